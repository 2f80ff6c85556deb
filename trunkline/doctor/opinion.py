"""What a check comes to: a verdict, the evidence for it, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trunkline.doctor.facts import Facts, Look


class Verdict(StrEnum):
    """Skipped: it could not be looked at, or there was nothing to look at."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Opinion:
    """`evidence` is what was seen, `remedy` commands and deeds, in the order in which to try them."""

    verdict: Verdict
    evidence: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A symptom of the guide: what to look at, and how to decide. `also` are further chapters that name it."""

    id: str
    chapter: int
    title: str
    looks: tuple[Look[Any], ...]
    decide: Callable[[Facts], Opinion]
    also: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with what it came to."""

    check: Check
    opinion: Opinion


def well(*evidence: str) -> Opinion:
    """Nothing is wrong."""
    return Opinion(Verdict.PASS, evidence)


def doubtful(evidence: Sequence[str], remedy: Sequence[str] = ()) -> Opinion:
    """It holds, and somebody should know."""
    return Opinion(Verdict.WARN, tuple(evidence), tuple(remedy))


def ill(evidence: Sequence[str], remedy: Sequence[str]) -> Opinion:
    """It does not hold."""
    return Opinion(Verdict.FAIL, tuple(evidence), tuple(remedy))


def unseen(reason: str) -> Opinion:
    """It could not be looked at, for this reason."""
    return Opinion(Verdict.SKIPPED, (reason,))


def worst(first: Opinion, *others: Opinion) -> Opinion:
    """Several opinions as one: the worst verdict, everything that was seen, and each remedy once."""
    every = (first, *others)
    order = (Verdict.FAIL, Verdict.WARN, Verdict.PASS, Verdict.SKIPPED)
    verdict = min((each.verdict for each in every), key=order.index)
    evidence = tuple(line for each in every for line in each.evidence)
    return Opinion(verdict, evidence, tuple(dict.fromkeys(line for each in every for line in each.remedy)))


def some(lines: Sequence[str], most: int = 5) -> list[str]:
    """The first few lines, and how many more there are."""
    return [*lines[:most], *([f"and {len(lines) - most} more"] if len(lines) > most else [])]
