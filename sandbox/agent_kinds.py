"""What agents and bots can send: each kind of message in Genesys Cloud's own shape, or an example of it. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.kinds import BadContent

Parts = dict[str, Any]

_CARD: Parts = {
    "title": "Winter set",
    "description": "Four tyres, fitted",
    "actions": [
        {"type": "Postback", "text": "Book", "payload": "book_winter"},
        {"type": "Postback", "text": "Details", "payload": "details_winter"},
    ],
}
_LINK_CARD: Parts = {
    "title": "Room B",
    "actions": [{"type": "Link", "text": "Photos", "url": "https://hotel.example.com/b"}],
}
EXAMPLES: dict[str, Any] = {
    "quick_replies": ["Yes", "No"],
    "quick_replies_v2": {
        "title": "Do you want to proceed?",
        "actions": [
            {"action": "Message", "text": "Yes", "payload": "yes"},
            {"action": "Message", "text": "No", "payload": "no"},
        ],
    },
    "card": _CARD,
    "carousel": {"cards": [_CARD, _LINK_CARD]},
    "list_picker": {
        "sections": [
            {
                "title": "Tomorrow",
                "multipleSelection": False,
                "items": [{"id": "s09", "title": "09:00", "subtitle": "Desk 1"}, {"id": "s10", "title": "10:00"}],
            }
        ],
        "receivedMessage": {"title": "Pick a slot", "subtitle": "All times local", "buttonLabel": "Slots"},
        "replyMessage": {"title": "You picked"},
    },
    "date_picker": {
        "title": "When suits you?",
        "subtitle": "Choose a time",
        "availableTimes": [{"dateTime": "2026-12-01T09:00:00.000Z", "duration": 1800}],
    },
    "notification": {
        "id": "3d1c_shop@order_update",
        "language": "en_GB",
        "body": {
            "text": "Order {{1}} arrives {{2}}.",
            "parameters": [{"name": "1", "text": "4711"}, {"name": "2", "text": "Friday"}],
        },
    },
    "canned_response": {
        "header": {"type": "Text", "text": "Welcome"},
        "body": {"text": "How can I help?", "parameters": []},
        "footer": {"text": "Team Alder"},
    },
    "location": {"latitude": 51.5007, "longitude": -0.1246, "text": "Big Ben", "address": "London SW1A 0AA"},
    "typing": {"type": "On", "duration": 5000},
    "raw": {"type": "Structured", "content": [{"contentType": "Hologram", "hologram": {"x": 1}}]},
}
# kind: (contentType, member); a member of `content`
SINGLE: dict[str, tuple[str, str]] = {
    "quick_replies_v2": ("QuickReplyV2", "quickReplyV2"),
    "card": ("Card", "card"),
    "carousel": ("Carousel", "carousel"),
    "list_picker": ("ListPicker", "listPicker"),
    "date_picker": ("DatePicker", "datePicker"),
    "notification": ("Notification", "template"),
    "canned_response": ("Notification", "template"),
    "location": ("Location", "location"),
}
LISTS = frozenset({"quick_replies"})


def agent_message(kind: str, text: str | None, content: Any) -> Parts:
    """The members of a message of this kind but for its envelope; raises BadContent."""
    if kind not in BUILDERS:
        raise BadContent(f"An agent cannot send {kind!r}; kinds: text, attachments, {', '.join(BUILDERS)}")
    content = EXAMPLES[kind] if content is None else content
    if not isinstance(content, list if kind in LISTS else dict):
        raise BadContent(f"The content of {kind} is {'a list' if kind in LISTS else 'an object'}")
    return BUILDERS[kind](text, content)


def text_message(text: str | None, attachments: list[Parts]) -> Parts:
    """A text, some attachments, or both."""
    elements = [{"contentType": "Attachment", "attachment": each} for each in attachments]
    return {"type": "Text", **_said(text), "content": elements}


def _single(kind: str) -> Callable[[str | None, Parts], Parts]:
    content_type, member = SINGLE[kind]
    return lambda text, content: {
        "type": "Structured",
        **_said(text),
        "content": [{"contentType": content_type, member: content}],
    }


def _quick_replies(text: str | None, options: list[Any]) -> Parts:
    elements = []
    for option in options:
        given = {"text": option} if isinstance(option, str) else option
        reply = {"action": "Message", "payload": given.get("text"), **given}
        elements.append({"contentType": "QuickReply", "quickReply": reply})
    return {"type": "Structured", **_said("Do you want to proceed?" if text is None else text), "content": elements}


def _typing(text: str | None, content: Parts) -> Parts:
    return {"type": "Event", "events": [{"eventType": "Typing", "typing": content}]}


def _raw(text: str | None, content: Parts) -> Parts:
    return {**_said(text), **content}


def _said(text: str | None) -> Parts:
    return {} if text is None else {"text": text}


BUILDERS: dict[str, Callable[[str | None, Any], Parts]] = {
    "quick_replies": _quick_replies,
    **{kind: _single(kind) for kind in SINGLE},
    "typing": _typing,
    "raw": _raw,
}
