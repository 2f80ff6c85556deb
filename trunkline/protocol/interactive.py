"""Texts, buttons and lists for WhatsApp, within its limits: what does not fit becomes plain or numbered text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.protocol.text import cut, is_blank, split

TEXT_LIMIT = 4096
BODY_LIMIT = 1024
BUTTONS_LIMIT, BUTTON_TITLE_LIMIT, BUTTON_ID_LIMIT = 3, 20, 256
ROWS_LIMIT, ROW_TITLE_LIMIT, ROW_ID_LIMIT, ROW_DESCRIPTION_LIMIT, SECTION_TITLE_LIMIT = 10, 24, 200, 72, 24
URL_LIMIT = 2000
DEFAULT_LIST_LABEL = "Choose"
_URL = re.compile(r"https?://\S", re.IGNORECASE)

Message = dict[str, Any]  # `type` and the object of that name


@dataclass(frozen=True)
class Option:
    """Something to choose; `id` comes back when the customer chooses it."""

    title: str
    id: str
    description: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a list."""

    title: str
    options: Sequence[Option]


def texts(text: str) -> list[Message]:
    """The text, in several messages if it is too long for one."""
    # WhatsApp refuses a blank message, and only a text with thousands of blanks in a row leaves such a part.
    return [_text(part) for part in split(text, TEXT_LIMIT) if not is_blank(part)]


def choices(body: str, options: Sequence[Option]) -> list[Message]:
    """The question with its answers as buttons, as a list, or numbered."""
    if is_blank(body) or len(options) > ROWS_LIMIT:
        return numbered(body, [Section("", options)])
    if len(options) > BUTTONS_LIMIT:
        return list_message(body, DEFAULT_LIST_LABEL, [Section("", options)])
    titles = distinct_titles([option.title for option in options], BUTTON_TITLE_LIMIT)
    ids = distinct_ids([option.id for option in options], BUTTON_ID_LIMIT)
    buttons = [{"type": "reply", "reply": {"id": id_, "title": title}} for id_, title in zip(ids, titles, strict=True)]
    return _with_body(body, {"type": "button", "action": {"buttons": buttons}})


def list_message(body: str, label: str, sections: Sequence[Section]) -> list[Message]:
    """The question with a list to open, numbered text where a list cannot hold it."""
    options = [option for section in sections for option in section.options]
    if is_blank(body) or len(options) > ROWS_LIMIT:
        return numbered(body, sections)
    rows = iter(_rows(options))
    parts: list[dict[str, Any]] = []
    for number, section in enumerate(sections, start=1):
        part: dict[str, Any] = {"rows": [next(rows) for _ in section.options]}
        if len(sections) > 1 or section.title:
            part["title"] = _title(section.title, SECTION_TITLE_LIMIT) or str(number)
        parts.append(part)
    button = _title(label, BUTTON_TITLE_LIMIT) or DEFAULT_LIST_LABEL
    return _with_body(body, {"type": "list", "action": {"button": button, "sections": parts}})


def numbered(body: str, sections: Sequence[Section]) -> list[Message]:
    """The question and its answers as text, one number a line."""
    paragraphs = [] if is_blank(body) else [body]
    number = 0
    for section in sections:
        lines = [section.title] if section.title else []
        for option in section.options:
            number += 1
            lines.append(f"{number}. {option.title}" + (f" - {option.description}" if option.description else ""))
        paragraphs.append("\n".join(lines))
    return texts("\n\n".join(paragraphs))


def link_button(body: str, title: str, url: str) -> list[Message]:
    """The text with a button that opens a page."""
    parameters = {"display_text": _title(title, BUTTON_TITLE_LIMIT) or "Open", "url": url}
    return _with_body(body, {"type": "cta_url", "action": {"name": "cta_url", "parameters": parameters}})


def distinct_titles(titles: Sequence[str], limit: int) -> list[str]:
    """The titles cut to the limit; numbered where that, or their author, made two of them equal."""
    short = [_title(title, limit) for title in titles]
    if len(set(short)) == len(short):
        return short
    return [_title(f"{number}. {title}", limit) for number, title in enumerate(titles, start=1)]


def distinct_ids(ids: Sequence[str], limit: int) -> list[str]:
    """The ids cut to the limit; the second of two equal ones gets a suffix."""
    taken: list[str] = []
    for id_ in ids:
        candidate, copy = cut(id_, limit), 1
        while candidate in taken:
            copy += 1
            suffix = f"#{copy}"
            candidate = cut(id_, limit - len(suffix)) + suffix
        taken.append(candidate)
    return taken


def _text(body: str) -> Message:
    return {"type": "text", "text": {"body": body, "preview_url": _URL.search(body) is not None}}


def _with_body(body: str, interactive: dict[str, Any]) -> list[Message]:
    """The interactive message; what is too long for its body goes before it as text."""
    last = split(body, BODY_LIMIT)[-1]
    if is_blank(last):  # only thousands of blanks at its end leave that: they say nothing
        return _with_body(body.rstrip(), interactive)
    before = body[: len(body) - len(last)]
    message = {"type": "interactive", "interactive": {**interactive, "body": {"text": last}}}
    return [*texts(before), message] if before else [message]


def _rows(options: Sequence[Option]) -> list[dict[str, str]]:
    titles = distinct_titles([option.title for option in options], ROW_TITLE_LIMIT)
    ids = distinct_ids([option.id for option in options], ROW_ID_LIMIT)
    return [_row(option, title, id_) for option, title, id_ in zip(options, titles, ids, strict=True)]


def _row(option: Option, title: str, id_: str) -> dict[str, str]:
    whole = _one_line(option.title)
    told = () if whole in title else (whole,)  # the full text where the title had to be cut
    description = cut(" - ".join((*told, *filter(None, [_one_line(option.description)]))), ROW_DESCRIPTION_LIMIT)
    return {"id": id_, "title": title} | ({"description": description} if description else {})


def _title(text: str, limit: int) -> str:
    return cut(_one_line(text), limit).rstrip()


def _one_line(text: str) -> str:
    return " ".join(text.split())
