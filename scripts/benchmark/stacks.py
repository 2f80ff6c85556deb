"""What a sampled process was doing: stacks by how often they were seen, and the costs of functions in them. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

OURS = frozenset({"actors", "config", "serve_app", "trunkline"})
# Above this share a function is the loop that all work runs in, and says nothing.
LOOP_SHARE = 0.95

_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(?::\d+)?\)")


@dataclass(frozen=True, slots=True)
class Frame:
    """A function on a stack, and its file, shortened to the part below its package's folder."""

    function: str
    file: str

    @property
    def package(self) -> str:
        """The package that the function belongs to."""
        return self.file.partition("/")[0].removesuffix(".py") or "interpreter"

    @property
    def is_ours(self) -> bool:
        """Whether it is the product's code, not a library's."""
        return self.package in OURS

    def __str__(self) -> str:
        return f"{self.function} ({self.file})" if self.file else self.function


# The outermost function first.
Stack = tuple[Frame, ...]
Samples = Mapping[Stack, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """Something's share of all samples."""

    what: str
    share: float
    is_ours: bool


def read_samples(text: str) -> Counter[Stack]:
    """The samples in a raw file of py-spy: a stack in each line, its frames between semicolons, then their number."""
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        frames, _, count = line.rpartition(" ")
        if frames:
            found[tuple(map(_frame, frames.split(";")))] += int(count)
    return found


def self_costs(samples: Samples, top: int) -> list[Cost]:
    """The functions that were at work themselves most often."""
    return _top(samples, lambda stack: {stack[-1]}, top)


def cumulative_costs(samples: Samples, top: int) -> list[Cost]:
    """The functions that were most often at work themselves or through what they called; not the loop around all."""
    costs = _top(samples, lambda stack: set(stack), len(samples) * 100)
    return [cost for cost in costs if cost.share < LOOP_SHARE][:top]


def package_costs(samples: Samples, top: int) -> list[Cost]:
    """The packages whose functions were at work themselves most often."""
    total = samples_in(samples)
    seen: Counter[str] = Counter()
    for stack, count in samples.items():
        seen[stack[-1].package] += count
    return [Cost(package, count / total, package in OURS) for package, count in seen.most_common(top)]


def samples_in(samples: Samples) -> int:
    """How many samples there are."""
    return sum(samples.values())


def _top(samples: Samples, charged: Callable[[Stack], set[Frame]], top: int) -> list[Cost]:
    total = samples_in(samples)
    seen: Counter[Frame] = Counter()
    for stack, count in samples.items():
        for frame in charged(stack):
            seen[frame] += count
    return [Cost(str(frame), count / total, frame.is_ours) for frame, count in seen.most_common(top)]


def _frame(text: str) -> Frame:
    match = _FRAME.fullmatch(text)
    return Frame(match["function"], match["file"]) if match else Frame(text, "")
