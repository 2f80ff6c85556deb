"""Claims and outcomes: what is written down before a request may leave, and what after its answer."""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trunkline.envelope import Envelope

# A request may leave only so long after its claim was committed; later it is claimed anew.
LEAVE_WITHIN_S = 2.0
# Beyond the cloud's time-out, until a claim without an outcome counts as unknown.
CLAIM_GRACE_S = 5.0
# How long a send to WhatsApp with an unknown outcome waits for a status that tells (protocol notes 5.1).
NEWS_WITHIN_S = 30.0
_CALLBACK = re.compile(r"([0-9A-Fa-f-]{36})(?:#([0-9]{1,4})/([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Claim:
    """The wish to send one request of `envelope` now. `claim_s`: seconds until it counts as abandoned.

    `spooled`: it comes from the spool; `alone`: nothing older of its conversation can be in its queue.
    """

    envelope: Envelope
    conversation_id: str | None
    text: str | None
    epoch: int
    attempt_id: str
    owner: str
    claim_s: float
    spooled: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """Send it. `attempt` counts from 1; `parts_done` requests of the message were accepted before."""

    attempt: int
    parts_done: int
    unknowns: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is left to do: it was delivered, given up or purged before."""

    status: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody may be sending it at this moment: `attempt_id` has no outcome yet, and `left_s` seconds to get one."""

    attempt_id: str
    owner: str
    left_s: float


@dataclass(frozen=True, slots=True)
class Uncertain:
    """An attempt's outcome is unknown, and news of it may still come for `wait_s` seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Behind:
    """Something older of its conversation goes first.

    `due_in_s`: seconds until that, in the spool, may be tried; None when it must be in the queue.
    """

    due_in_s: float | None


@dataclass(frozen=True, slots=True)
class OutOfDate:
    """The tenant has a newer activation: ask its cell again."""


@dataclass(frozen=True, slots=True)
class Erased:
    """Its person was erased since it was accepted: it is to be purged."""


ClaimAnswer = Granted | Settled | Busy | Uncertain | Behind | OutOfDate | Erased


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a message was given up; `answer` is the far side's own words."""

    reason: str
    answer: str


@dataclass(frozen=True, slots=True)
class ReceiptNote:
    """The agent's message `message_id` has a receipt in Genesys: `Delivered` or `Failed`."""

    message_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `counted` is false where it must not use up the message's attempts.

    `parts_done` of `parts` requests have been accepted. `receipt` is what a status has told Genesys.
    """

    envelope: Envelope
    attempt_id: str
    status: Literal["waiting", "unknown", "delivered", "dead"]
    event: str
    parts_done: int = 0
    parts: int = 1
    wamid: str | None = None
    genesys_id: str | None = None
    conversation_id: str | None = None
    genesys_conversation_id: str | None = None
    counted: bool = True
    detail: dict[str, Any] = field(default_factory=dict)
    dead_letter: DeadLetter | None = None
    receipt: ReceiptNote | None = None


@dataclass(frozen=True, slots=True)
class Callback:
    """What goes along with a send to WhatsApp and comes back with its statuses: which part of which message it is."""

    message_id: str
    part: int = 1
    parts: int = 1

    def __str__(self) -> str:
        return self.message_id if self.parts == 1 else f"{self.message_id}#{self.part}/{self.parts}"

    @classmethod
    def read(cls, text: Any) -> Callback | None:
        """What a status brings back, if it is ours."""
        found = _CALLBACK.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None
        try:
            message_id = str(uuid.UUID(found[1]))
        except ValueError:
            return None
        part, parts = int(found[2] or 1), int(found[3] or 1)
        return cls(message_id, part, parts) if 1 <= part <= parts else None


def new_attempt_id() -> str:
    """An id for one try to send."""
    return str(uuid.uuid4())


def this_owner() -> str:
    """This process, so that another one on the same host can tell whether it still lives."""
    return f"{_host()}/{os.getpid()}/{_started(os.getpid())}"


def owner_is_dead(owner: str) -> bool:
    """Whether the owner is known to have ended; False when it lives, or runs where we cannot look."""
    try:
        host, pid, started = owner.rsplit("/", 2)
        return host == _host() and _started(int(pid)) != started
    except ValueError:
        return False


def _host() -> str:
    """The boot and the process namespace: within both of them, process ids mean the same."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return f"unknown-{uuid.getnode()}"
    return f"{boot.read_text().strip()}:{os.readlink('/proc/self/ns/pid')}"


def _started(pid: int) -> str:
    """When the process started, in clock ticks since boot; empty when there is none or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else started
