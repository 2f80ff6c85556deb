"""A request to one of the simulated clouds, and what the cloud makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox.accounts import Account
from sandbox.events import Cloud
from sandbox.http import Request, Response


@dataclass(slots=True, eq=False)
class Call:
    """A request as far as it is understood before anything is decided."""

    request: Request
    cloud: Cloud
    kind: str
    target: str = ""  # the number or the integration that the path names
    account: Account | None = None
    body: Any = None
    id: str = ""
    ref: str = ""
    conversation: str = ""
    text: str = ""

    @property
    def tenant_id(self) -> str:
        """The tenant whose account the path or the credentials name."""
        return self.account.tenant_id if self.account is not None else ""


@dataclass(slots=True, eq=False)
class Outcome:
    """The answer to a call; `then` is what the cloud does because it accepted it, `before` even before it says so."""

    response: Response
    code: str = ""
    before: Callable[[], Awaitable[None]] | None = None
    then: Callable[[], None] | None = None


class SimulatedCloud(Protocol):
    """A cloud in three steps: understand, answer, or fail on demand."""

    def understand(self, request: Request) -> Call:
        """What the request is about; never fails."""

    def answer(self, call: Call) -> Outcome:
        """The true answer, with all its effects but `then`."""

    def failure(self, status: int, code: int | None, retry_after_s: float | None) -> Response:
        """An answer with this status in the cloud's own error shape."""


def as_dict(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""
