"""A flame graph of stacks as SVG: a box for each function above the one that called it, as wide as its share. Pure."""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from scripts.benchmark.stacks import Frame, Samples

WIDTH = 1600
ROW_HEIGHT = 17
MARGIN = 10
TITLE_HEIGHT = 34
CHARACTER_WIDTH = 6.3
# Narrower boxes cannot be seen.
NARROWEST = 0.4
LABEL_FROM = 30


@dataclass(slots=True)
class _Box:
    count: int = 0
    callees: dict[Frame, _Box] = field(default_factory=dict)


def draw(title: str, samples: Samples) -> str:
    """The picture; a box tells its function, its samples and its share when it is pointed at."""
    root = _Box()
    for stack, count in samples.items():
        box = root
        box.count += count
        for frame in stack:
            box = box.callees.setdefault(frame, _Box())
            box.count += count
    height = TITLE_HEIGHT + _depth(root) * ROW_HEIGHT + MARGIN
    scale = (WIDTH - 2 * MARGIN) / max(1, root.count)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            'font-family="monospace" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fffdf7"/>',
            f'<text x="{MARGIN}" y="20" font-size="14">{html.escape(title)}</text>',
            *_boxes(root, MARGIN, TITLE_HEIGHT, scale, root.count),
            "</svg>",
            "",
        ]
    )


def _depth(box: _Box) -> int:
    return max((1 + _depth(callee) for callee in box.callees.values()), default=0)


def _boxes(box: _Box, left: float, top: float, scale: float, total: int) -> Iterator[str]:
    for frame, callee in sorted(box.callees.items(), key=lambda item: -item[1].count):
        width = callee.count * scale
        if width >= NARROWEST:
            yield _drawn(frame, callee.count, left, top, width, total)
            yield from _boxes(callee, left, top + ROW_HEIGHT, scale, total)
        left += width


def _drawn(frame: Frame, count: int, left: float, top: float, width: float, total: int) -> str:
    name = str(frame)
    label = ""
    if width >= LABEL_FROM:
        shown = html.escape(name[: int(width / CHARACTER_WIDTH)])
        label = f'<text x="{left + 2:.1f}" y="{top + 12:.1f}">{shown}</text>'
    return (
        f"<g><title>{html.escape(name)}: {count} samples, {count / total:.1%}</title>"
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{ROW_HEIGHT - 1}" fill="{_colour(frame)}"/>'
        f"{label}</g>"
    )


def _colour(frame: Frame) -> str:
    """Ours in blue, libraries in warm colours, each package with a shade of its own."""
    shade = zlib.crc32(frame.package.encode()) % 40
    return f"hsl({205 + shade // 4},65%,{62 + shade % 16}%)" if frame.is_ours else f"hsl({20 + shade},75%,70%)"
