"""Cleaning, measuring, splitting and cutting of text. Both clouds are taken to count UTF-16 code units."""

from __future__ import annotations

import re
import unicodedata

_UNSENDABLE = re.compile("[\ud800-\udfff\x00]")
_URL = re.compile(r"https?://[^\s\x00-\x20]+", re.IGNORECASE)
_LONGEST_CLUSTER = 64  # code points; a longer pile of marks is cut through rather than looked through
_ZERO_WIDTH_JOINER = "\u200d"


def clean(text: str) -> str:
    """The text with lone surrogates and NULs, which neither JSON nor Postgres carry, as U+FFFD."""
    return _UNSENDABLE.sub("\ufffd", text)


def utf16_length(text: str) -> int:
    """The number of UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_blank(text: str | None) -> bool:
    """Whether there is nothing to read in it."""
    return text is None or not text.strip()


def is_url(text: str | None) -> bool:
    """Whether it is a link, and nothing but a link, that a browser opens."""
    return text is not None and _URL.fullmatch(text) is not None


def cut(text: str, limit: int) -> str:
    """The longest beginning within `limit` code units that ends between two characters as a reader sees them."""
    end = _end_within(text, 0, limit)
    return text if end == len(text) else text[: _between_characters(text, 0, end)]


def split(text: str, limit: int) -> list[str]:
    """Parts of at most `limit` code units, cut at line ends, else word ends; joined they equal the text.

    No part is blank as long as the blanks of the text leave a choice.
    """
    parts = []
    start, words_end = 0, len(text.rstrip())
    while (end := _end_within(text, start, limit)) < len(text):
        end = _good_end(text, start, end, words_end, limit)
        parts.append(text[start:end])
        start = end
    parts.append(text[start:])
    return parts


def _end_within(text: str, start: int, limit: int) -> int:
    """Where a part from `start` has to end at the latest."""
    end = min(len(text), start + limit)
    while (excess := utf16_length(text[start:end]) - limit) > 0:
        end -= (excess + 1) // 2  # as if all that goes counted double: never takes away too much
    return end


def _good_end(text: str, start: int, end: int, words_end: int, limit: int) -> int:
    last_word = _blank_before(text, start, words_end) if words_end <= end else 0
    if last_word and utf16_length(text[last_word:]) <= limit:
        return last_word  # else the last part were blank
    line = text.rfind("\n", start, end) + 1
    if line > (start + end) // 2 and not is_blank(text[start:line]) and not _joined(text, start, line):
        return line
    return _blank_before(text, start, end) or _between_characters(text, start, end)


def _blank_before(text: str, start: int, end: int) -> int:
    """The last place up to `end` that follows a blank and leaves words before it; 0 if there is none."""
    for at in range(end, start, -1):
        if text[at - 1].isspace() and not _joined(text, start, at):
            return 0 if is_blank(text[start:at]) else at
    return 0


def _between_characters(text: str, start: int, end: int) -> int:
    """The last border at or before `end` that tears no emoji, accent or flag apart."""
    for at in range(end, max(start, end - _LONGEST_CLUSTER), -1):
        if not _joined(text, start, at):
            return at
    return end


def _joined(text: str, start: int, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if _ZERO_WIDTH_JOINER in (before, after) or (before == "\r" and after == "\n"):
        return True
    if _is_flag_half(after) and _is_flag_half(before):
        halves = 0
        while at - halves > start and _is_flag_half(text[at - halves - 1]):
            halves += 1
        return halves % 2 == 1
    return _continues(after)


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _continues(character: str) -> bool:
    """Whether it only changes what stands before it: an accent, a skin tone, a flag's tag, the end of a syllable."""
    return (
        unicodedata.category(character).startswith("M")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or "\u1160" <= character <= "\u11ff"
    )
