"""The rows of the table: what is sent, how fast, by whom, and how the clouds and the pools are meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from scripts.benchmark.plan import Direction

# What a row's rate and latencies are: of the whole way, of the answer to a webhook, or of what waited until then.
Measures = Literal["way", "accept", "drain"]

PACES = (50, 100, 300, 600)
ACCEPT_CONNECTIONS = (16, 64, 256)
ACTIVE_TENANTS = (1, 50, 1_000)
LATENCIES_MS = (0, 100, 500)
POOL_SIZES = (1, 4)
POOL_LATENCY_MS = 200
IN_A_WEBHOOK = 20
INBOUND = (Direction.INBOUND,)
BOTH = (Direction.INBOUND, Direction.OUTBOUND)


@dataclass(frozen=True, slots=True)
class Row:
    """One load and its conditions.

    `count` messages, each direction's share of them, of `customers` who write to `tenants`; at `rate` messages a
    second, or as fast as they are answered where it is 0. If `held`, the pools deliver nothing until all is accepted.
    """

    name: str
    what: str
    count: int
    measures: Measures = "way"
    directions: tuple[Direction, ...] = INBOUND
    rate: int = 0
    connections: int = 64
    customers: int = 200
    tenants: int = 5
    in_a_webhook: int = 1
    latency_ms: int = 0
    statuses: bool = False
    transformers: int = 1
    lanes: int = 1
    beside_yardstick: bool = True

    @property
    def held(self) -> bool:
        """Whether the pools wait until everything is accepted."""
        return self.measures != "way"

    def described(self) -> dict[str, Any]:
        """Its conditions, as they stand in the result."""
        return {**asdict(self), "directions": [str(direction) for direction in self.directions]}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is sent: messages flat out, seconds at each rate, messages that wait."""

    messages: int
    pace_s: float
    backlog: int


def every_row(sizes: Sizes) -> dict[str, tuple[Row, ...]]:
    """All rows by their group, in the order in which they are measured: those that leave much behind come last."""
    messages = sizes.messages
    return {
        "flat": (Row("flat", "inbound flat out", messages),),
        "paced": tuple(
            Row(f"paced-{rate}", f"inbound at {rate}/s", int(rate * sizes.pace_s), rate=rate) for rate in PACES
        ),
        "outbound": (
            Row("outbound", "outbound flat out", messages, directions=(Direction.OUTBOUND,), beside_yardstick=False),
        ),
        "mixed": (
            Row(
                "mixed", "inbound and outbound flat out, with statuses", messages - messages % len(BOTH),
                directions=BOTH, statuses=True, beside_yardstick=False,
            ),
        ),
        "accept": tuple(
            Row(
                f"accept-{connections}", f"accepted alone, {connections} connections", messages,
                measures="accept", connections=connections, customers=max(200, connections),
            )
            for connections in ACCEPT_CONNECTIONS
        ),
        "batch": (
            Row(
                "batch", f"inbound, {IN_A_WEBHOOK} messages a webhook", messages - messages % IN_A_WEBHOOK,
                in_a_webhook=IN_A_WEBHOOK, customers=2_000,
            ),
        ),
        "latency": tuple(
            Row(
                f"latency-{latency_ms}", f"inbound, clouds take {latency_ms} ms, 50 tenants", messages,
                latency_ms=latency_ms, customers=1_000, tenants=50,
            )
            for latency_ms in LATENCIES_MS
        ),
        "pool": tuple(
            Row(
                f"pool-{size}",
                f"inbound, clouds take {POOL_LATENCY_MS} ms, 1 tenant of 4 lanes, {_transformers(size)}",
                messages // 2, latency_ms=POOL_LATENCY_MS, tenants=1, lanes=max(POOL_SIZES), customers=400,
                transformers=size, beside_yardstick=False,
            )
            for size in POOL_SIZES
        ),
        "backlog": (
            Row(
                "backlog", f"a backlog of {sizes.backlog:,} drained", sizes.backlog,
                measures="drain", customers=1_000, tenants=50,
            ),
        ),
        "tenants": tuple(
            Row(
                f"tenants-{number}", f"inbound flat out, {number:,} active {'tenant' if number == 1 else 'tenants'}",
                messages, tenants=number, customers=max(200, number),
            )
            for number in ACTIVE_TENANTS
        ),
    }  # fmt: skip


# What a run measures that names no rows.
USUAL = ("flat", "paced-50", "paced-100", "outbound", "accept-64")


def names(sizes: Sizes) -> Iterator[str]:
    """What may be asked for: groups, and single rows."""
    for group, rows in every_row(sizes).items():
        yield group
        yield from (row.name for row in rows if row.name != group)


def select(wanted: Sequence[str], sizes: Sizes) -> tuple[Row, ...]:
    """The rows with these names or in these groups, in the order in which they are measured."""
    return tuple(
        row for group, rows in every_row(sizes).items() for row in rows if group in wanted or row.name in wanted
    )


def warm_up(row: Row, each: int) -> Row:
    """The load before a row: `each` messages of every customer, without what makes the row hard."""
    count = each * row.customers * len(row.directions)
    return replace(
        row, name=f"{row.name}-warm", count=count, measures="way", rate=0, latency_ms=0, statuses=False, connections=64
    )


def _transformers(size: int) -> str:
    return "1 transformer" if size == 1 else f"{size} transformers"
