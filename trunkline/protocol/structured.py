"""What bots send beside text: quick replies, cards, lists, dates and places, as WhatsApp can show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from trunkline.protocol.attachments import Files, file_messages, with_picture
from trunkline.protocol.genesys import (
    AvailableTime,
    Card,
    CardAction,
    Carousel,
    DatePicker,
    ListPicker,
    ListSection,
    Location,
    Prompt,
    QuickReply,
)
from trunkline.protocol.interactive import (
    URL_LIMIT,
    Message,
    Option,
    Section,
    choices,
    link_button,
    list_message,
    texts,
)
from trunkline.protocol.text import cut, is_blank, is_url, utf16_length

PLACE_LIMIT = 1000  # Meta names none


def quick_replies(prompt: str, replies: Sequence[QuickReply]) -> list[Message]:
    """The question with its answers."""
    options = [
        Option(title=reply.text or reply.payload or "", id=reply.payload or reply.text or "")
        for reply in replies
        if not is_blank(reply.text or reply.payload)
    ]
    return choices(prompt, options) if options else texts(prompt)


def carousel(content: Carousel, files: Files) -> list[Message]:
    """The cards, one after the other."""
    return [message for each in content.cards for message in card(each, files)]


def card(content: Card, files: Files) -> list[Message]:
    """The card's words and buttons, with its picture or film if WhatsApp has it."""
    messages = _card(content)
    shown = [files[url] for url in (content.image, content.video) if url and url in files]
    if not shown:
        return messages
    return [*(one for more in shown[1:] for one in file_messages(more)), *with_picture(messages, shown[0])]


def list_picker(prompt: str, picker: ListPicker) -> list[Message]:
    """The question with a list to choose from."""
    asked = picker.received_message or Prompt()
    body = lines(*dict.fromkeys((prompt, asked.title, asked.subtitle)))
    sections = [section for section in map(_section, picker.sections) if section.options]
    return list_message(body, asked.button_label or "", sections) if sections else texts(body)


def date_picker(prompt: str, picker: DatePicker) -> list[Message]:
    """The question with a list of times."""
    body = lines(*dict.fromkeys((prompt, picker.title, picker.subtitle)))
    options = [option for option in map(_time_option, picker.available_times) if option]
    return list_message(body, "Choose a time", [Section("", options)]) if options else texts(body)


def location(place: Location) -> list[Message]:
    """The place on the map; in words where its coordinates name none."""
    latitude, longitude = place.latitude, place.longitude
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return texts(lines(place.text, place.address, place.url))
    point: dict[str, Any] = {"latitude": latitude, "longitude": longitude}
    for member, words in (("name", place.text), ("address", place.address)):
        if words and not is_blank(words):
            point[member] = cut(words, PLACE_LIMIT)
    return [{"type": "location", "location": point}]


def lines(*parts: str | None) -> str:
    """The parts that say something, a line each."""
    return "\n".join(part for part in parts if part is not None and not is_blank(part))


def _card(content: Card) -> list[Message]:
    body = lines(content.title, content.description)
    postbacks = [action for action in content.actions if action.type == "Postback"]
    links = _links(content)
    if postbacks:
        replies = [QuickReply.read({"text": action.text, "payload": action.payload}) for action in postbacks]
        return quick_replies(lines(body, *map(_link_line, links)), replies)
    if body and len(links) == 1 and _opens(url := links[0].url or ""):
        return link_button(body, links[0].text or "", url)
    return texts(lines(body, *map(_link_line, links)))


def _links(content: Card) -> list[CardAction]:
    """The card's links, that of a tap on the card itself included, each once."""
    actions = [*content.actions, *([content.default_action] if content.default_action else [])]
    links = [action for action in actions if action.type == "Link" and action.url]
    return list({link.url: link for link in reversed(links)}.values())[::-1]


def _opens(url: str) -> bool:
    """Whether a button can open it."""
    return is_url(url) and utf16_length(url) <= URL_LIMIT


def _link_line(link: CardAction) -> str:
    return f"{link.text}: {link.url}" if link.text else link.url or ""


def _section(section: ListSection) -> Section:
    options = [
        Option(title=item.title or item.id or "", id=item.id or item.title or "", description=item.subtitle or "")
        for item in section.items
        if not is_blank(item.title or item.id)
    ]
    return Section(section.title or "", options)


def _time_option(time: AvailableTime) -> Option | None:
    if not time.date_time or is_blank(time.date_time):
        return None
    length = f"{round(time.duration / 60)} min" if time.duration and time.duration > 0 else ""
    return Option(_shown_time(time.date_time), time.date_time, length)


def _shown_time(iso: str) -> str:
    """`2026-12-01 09:00 UTC`: no month's name and no order of day and month to misread."""
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = "UTC" if at.utcoffset() == timedelta(0) else at.strftime("%z")
    return f"{at:%Y-%m-%d %H:%M} {zone}".rstrip()
