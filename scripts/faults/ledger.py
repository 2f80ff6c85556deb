"""What became of each message of a load: delivered, dead, waiting, or lost; and which came twice or too early."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from scripts.faults.load import Direction, Load
from scripts.faults.platform import Platform, TenantUnderTest
from trunkline.envelope import Envelope

UNDER_WAY = ("received", "waiting", "sending", "unknown")
REPEATED = frozenset({"unknown", "repeated"})
TRACES_READ = 200
# Its own id in the cloud that it came from.
EXTERNAL_ID = {"inbound": "wamid", "outbound": "genesys_id"}


@dataclass(frozen=True, slots=True)
class Balance:
    """accepted = delivered + dead + waiting + lost. The lists hold texts of messages."""

    sent: int
    accepted: int
    delivered: int
    dead: int
    waiting: int
    lost: list[str]
    doubled: list[str]
    unknown: list[str]
    reordered: list[str]


@dataclass(frozen=True, slots=True)
class Books:
    """What the platform's tables say of a tenant's messages one way, by the cloud's id."""

    dead: frozenset[str]
    waiting: frozenset[str]


def read_books(platform: Platform, tenant: TenantUnderTest, direction: Direction) -> Books:
    """The books as they are now."""
    name = EXTERNAL_ID[direction]
    dead = platform.rows(
        f"SELECT {name} AS id FROM dead_letters WHERE tenant_id = %s AND direction = %s", tenant.tenant_id, direction
    )
    waiting = platform.rows(
        f"SELECT {name} AS id FROM messages WHERE tenant_id = %s AND direction = %s AND status = ANY(%s)",
        tenant.tenant_id,
        direction,
        list(UNDER_WAY),
    )
    spooled = platform.rows(
        "SELECT envelope FROM intake_spool WHERE tenant_id = %s AND direction = %s", tenant.tenant_id, direction
    )
    return Books(
        frozenset(row["id"] for row in dead),
        frozenset([row["id"] for row in waiting])
        | {Envelope.from_bytes(bytes(row["envelope"])).external_id for row in spooled},
    )


def unsettled(load: Load, records: Sequence[dict[str, Any]], books: Books) -> list[str]:
    """Texts of messages that are under way still: taken, and neither arrived nor dead, or not written down as such."""
    arrived = {record["text"] for record in load.arrivals(records)}
    return [
        text
        for text in load.taken
        if load.id_of(text) in books.waiting or (text not in arrived and load.id_of(text) not in books.dead)
    ]


def balance(load: Load, records: Sequence[dict[str, Any]], books: Books, repeated: Iterable[str] = ()) -> Balance:
    """The balance of a load; `repeated` are texts of messages whose trace tells of an unknown outcome."""
    arrivals = [record["text"] for record in load.arrivals(records)]
    times = Counter(arrivals)
    rest = [text for text in load.taken if text not in times]
    dead = [text for text in rest if load.id_of(text) in books.dead]
    rest = [text for text in rest if load.id_of(text) not in books.dead]
    waiting = [text for text in rest if load.id_of(text) in books.waiting]
    twice = [text for text, count in times.items() for _ in range(count - 1)]
    known = set(repeated)
    return Balance(
        sent=len(load.sent),
        accepted=len(load.taken),
        delivered=sum(text in times for text in load.taken),
        dead=len(dead),
        waiting=len(waiting),
        lost=sorted(set(rest) - set(waiting)),
        doubled=[text for text in twice if text not in known],
        unknown=[text for text in twice if text in known],
        reordered=_reordered(arrivals),
    )


def repeats(platform: Platform, load: Load, records: Sequence[dict[str, Any]]) -> set[str]:
    """Texts of messages that arrived more than once and whose trace tells of an unknown outcome."""
    times = Counter(record["text"] for record in load.arrivals(records))
    twice = [text for text, count in times.items() if count > 1][:TRACES_READ]
    return {text for text in twice if REPEATED & outcomes(platform, load.tenant, load.id_of(text))}


def outcomes(platform: Platform, tenant: TenantUnderTest, message_id: str) -> set[str]:
    """Names of the steps and outcomes in a message's trace."""
    trace: Mapping[str, Any] = platform.trace(tenant, message_id)
    return {attempt["outcome"] for attempt in trace["attempts"]} | {step["step"] for step in trace["steps"]}


def total(balances: Sequence[Balance]) -> Counter[str]:
    """The figures of several loads together."""
    summed: Counter[str] = Counter()
    for each in balances:
        for field in fields(each):
            value = getattr(each, field.name)
            summed[field.name] += value if isinstance(value, int) else len(value)
    return summed


def _reordered(arrivals: Sequence[str]) -> list[str]:
    """Messages that arrived after a later one of their customer, be it for the second time."""
    newest: defaultdict[str, int] = defaultdict(lambda: -1)
    late = []
    for text in arrivals:
        _, customer, number = text.split(" ")
        if int(number) < newest[customer]:
            late.append(text)
        newest[customer] = max(newest[customer], int(number))
    return late
