"""What was sent against what arrived: lost, doubled, reordered, and how long it took. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.benchmark.figures import percentile

ACCEPTED = 200
NS_PER_MS = 1e6
NS_PER_S = 1e9

Key = tuple[int, int]  # customer, number of the message


@dataclass(frozen=True, slots=True)
class Sent:
    """One webhook: when it left, when it was answered, and how (0: not at all)."""

    from_ns: int
    answered_ns: int
    status: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message that a simulated cloud accepted, in the order of its log."""

    key: Key
    at_ns: int


def read_arrivals(run: str, records: Iterable[Mapping[str, Any]]) -> list[Arrival]:
    """The accepted arrivals of one run among the sandbox's records."""
    found = []
    for record in records:
        name, _, rest = record["text"].partition(" ")
        if name == run and record["status"] == ACCEPTED and not record["lost"]:
            customer, number = rest.split(" ", 2)[:2]
            found.append(Arrival((int(customer), int(number)), record["mono_ns"]))
    return found


def balance(began_ns: int, sent: Mapping[Key, Sent], arrivals: Sequence[Arrival]) -> dict[str, float]:
    """The figures of one load: rates, latencies, and what went wrong."""
    accepted = {key for key, webhook in sent.items() if webhook.status == ACCEPTED}
    times = Counter(arrival.key for arrival in arrivals)
    first: dict[Key, int] = {}
    for arrival in arrivals:
        first.setdefault(arrival.key, arrival.at_ns)
    answers_ms = [(sent[key].answered_ns - sent[key].from_ns) / NS_PER_MS for key in accepted]
    ways_ms = [(at_ns - sent[key].from_ns) / NS_PER_MS for key, at_ns in first.items() if key in sent]
    send_s = (max((sent[key].answered_ns for key in accepted), default=began_ns) - began_ns) / NS_PER_S
    whole_s = (max(first.values(), default=began_ns) - began_ns) / NS_PER_S
    return {
        "sent": len(sent),
        "refused": len(sent) - len(accepted),
        "lost": len(accepted - first.keys()),
        "doubled": sum(times.values()) - len(times),
        "reordered": _reordered(arrivals),
        "rate": len(first) / whole_s if whole_s else 0.0,
        "p50_ms": percentile(ways_ms, 50),
        "p99_ms": percentile(ways_ms, 99),
        "p999_ms": percentile(ways_ms, 99.9),
        "accept_rate": len(accepted) / send_s if send_s else 0.0,
        "accept_p50_ms": percentile(answers_ms, 50),
        "accept_p99_ms": percentile(answers_ms, 99),
        "accept_p999_ms": percentile(answers_ms, 99.9),
    }


def drained(from_ns: int, arrivals: Sequence[Arrival]) -> dict[str, float]:
    """How fast messages arrived that had waited until `from_ns`."""
    last_ns = max((arrival.at_ns for arrival in arrivals), default=from_ns)
    whole_s = (last_ns - from_ns) / NS_PER_S
    return {"rate": len({arrival.key for arrival in arrivals}) / whole_s if whole_s > 0 else 0.0}


def _reordered(arrivals: Sequence[Arrival]) -> int:
    """Messages that arrived for the first time after a later one of the same customer."""
    newest: dict[int, int] = {}
    seen: set[Key] = set()
    late = 0
    for arrival in arrivals:
        customer, number = arrival.key
        if arrival.key not in seen:
            late += number < newest.get(customer, -1)
            newest[customer] = max(newest.get(customer, -1), number)
        seen.add(arrival.key)
    return late
