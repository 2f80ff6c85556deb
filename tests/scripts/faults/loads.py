"""Loads whose messages are said to have been taken, and records of the sandbox, for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripts.faults.load import Direction, Load
from scripts.faults.platform import unmade_tenant


def taken(numbers: Sequence[tuple[int, int]], direction: Direction = "inbound") -> tuple[Load, list[str]]:
    """A load of which these messages (customer, number) were answered 200, and their texts."""
    load = Load("http://nowhere", unmade_tenant(), direction, "secret", customers=9)
    texts = [load.text_of(number) for number in numbers]
    load.sent.update(texts)
    load.taken.update(dict.fromkeys(texts, 0))
    return load, texts


def arrivals(texts: Sequence[str], status: int = 200) -> list[dict[str, Any]]:
    """The sandbox's records of calls with these texts, one a second."""
    return [
        {"seq": seq, "mono_ns": seq * 1_000_000_000, "text": text, "status": status, "lost": False}
        for seq, text in enumerate(texts, start=1)
    ]
