"""Every error Trunkline raises on purpose; the class says what becomes of the envelope.

TrunklineError
├── Rejected              the far side, or our own check, said no: never passes; dead letter with `reason`
├── Unavailable           may pass later: try again, in order
│   └── StoreUnavailable  one of our own stores is away
├── Throttled             passes after `retry_after_s`; never counted as an attempt
├── CredentialsRefused    the tenant's credentials or rights are wrong: hold the tenant, keep its messages
├── OutcomeUnknown        the request left and no usable answer came: may or may not have been done
├── Sealed                a secret cannot be opened with any of CREDENTIALS_KEYS
├── DumpFailed            the database could not be dumped or restored; it is as it was
├── NotFound              no such record
├── Conflict              the record's id, number or integration is taken
└── ConfigurationError    the process cannot start with these settings

Errors cross process borders, so each passes its arguments to `super().__init__` in order and pickles.
"""

from __future__ import annotations


class TrunklineError(Exception):
    """Base of all errors raised on purpose."""


class Rejected(TrunklineError):
    """A final no; `reason` is one of the contract's reasons of dead letters, `code` the far side's own."""

    def __init__(self, reason: str, detail: str, code: str | None = None) -> None:
        super().__init__(reason, detail, code)
        self.reason = reason
        self.detail = detail
        self.code = code

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class _InWords(TrunklineError):
    """An error that is told by `detail`, the far side's words or ours, and the far side's `code` if it gave one."""

    def __init__(self, detail: str, code: str | None = None) -> None:
        super().__init__(detail, code)
        self.detail = detail
        self.code = code

    def __str__(self) -> str:
        return self.detail


class Unavailable(_InWords):
    """A failure that may pass; nothing was done at the far side."""


class StoreUnavailable(Unavailable):
    """RabbitMQ, Postgres or Redis is away; `detail` is the text operators know."""


class Throttled(TrunklineError):
    """The far side, or our own limit towards it, asks to wait `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float, detail: str = "rate limited", code: str | None = None) -> None:
        super().__init__(retry_after_s, detail, code)
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.code = code

    def __str__(self) -> str:
        return f"{self.detail}, again in {self.retry_after_s:g} s"


class CredentialsRefused(_InWords):
    """The cloud refuses the tenant's credentials; `detail` is the cloud's own words."""


class OutcomeUnknown(_InWords):
    """The request left and no usable answer came."""


class Sealed(TrunklineError):
    """A sealed secret opens with none of CREDENTIALS_KEYS."""


class DumpFailed(_InWords):
    """A dump of the database could not be made, or not be restored; nothing was changed."""


class NotFound(TrunklineError):
    """`what` does not exist."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} not found"


class Conflict(TrunklineError):
    """`field` with this value belongs to somebody else already."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(field, value)
        self.field = field
        self.value = value

    def __str__(self) -> str:
        return f"{self.field} {self.value!r} is already taken: choose another or update its owner"


class ConfigurationError(TrunklineError):
    """The settings do not allow a start; the text names each variable, its value and the remedy."""
