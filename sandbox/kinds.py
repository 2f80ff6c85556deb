"""What customers can send: each kind of message as WhatsApp's own object, or an example of it. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Parts = dict[str, Any]


class BadContent(Exception):
    """The content does not fit its kind."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a message can refer to, by default the latest messages on the phone."""

    business: str  # display number
    customer: str
    name: str
    of_business: str  # wamid
    of_customer: str  # wamid

    def reply(self) -> Parts:
        """The context of an answer to the business."""
        return {"from": self.business, "id": self.of_business}


EXAMPLES: dict[str, Any] = {
    "location": {"latitude": 51.5007, "longitude": -0.1246, "name": "Big Ben", "address": "London SW1A 0AA"},
    "contacts": [
        {
            "name": {"formatted_name": "Dr Ayo Bright", "first_name": "Ayo", "last_name": "Bright", "prefix": "Dr"},
            "org": {"company": "Bright Dental"},
            "phones": [{"phone": "+44 7700 900222", "wa_id": "447700900222", "type": "CELL"}],
            "emails": [{"email": "ayo@bright.example.com", "type": "WORK"}],
        }
    ],
    "reaction": {"emoji": "👍"},
    "button": {"payload": "CONFIRM_4711", "text": "Confirm"},
    "button_reply": {"id": "opt_yes", "title": "Yes"},
    "list_reply": {"id": "row_3", "title": "Refund", "description": "Money back"},
    "nfm_reply": {"name": "flow", "body": "Sent", "response_json": {"flow_token": "ft-881", "slot": "09:00"}},
    "call_permission_reply": {"response": "accept", "response_source": "user_action"},
    "order": {
        "catalog_id": "661122334455",
        "text": "Gift wrap please",
        "product_items": [{"product_retailer_id": "MUG-07", "quantity": 2, "item_price": 8.5, "currency": "GBP"}],
    },
    "unsupported": {"type": "poll_creation"},
    "unknown_type": {"type": "hologram", "hologram": {"x": 1}},
    "referral": {
        "source_url": "https://fb.me/9xAbCdEf",
        "source_id": "120208811223344",
        "source_type": "ad",
        "headline": "Winter tyres",
        "body": "Book a fitting",
        "media_type": "image",
        "image_url": "https://scontent.example.net/ad/winter.jpg",
        "ctwa_clid": "ARBqK9s2vXexampleClickId",
    },
}
# type and default MIME type of the kinds that carry a file
FILES: dict[str, tuple[str, str]] = {
    "image": ("image", "image/jpeg"),
    "video": ("video", "video/mp4"),
    "audio": ("audio", "audio/mpeg"),
    "voice": ("audio", "audio/ogg; codecs=opus"),
    "document": ("document", "application/pdf"),
    "sticker": ("sticker", "image/webp"),
}
# system messages about a change come without the sender's contact
WITHOUT_CONTACT = frozenset({"number_change", "user_id_change"})


def customer_message(kind: str, content: Any, scene: Scene) -> Parts:
    """The members of a message of this kind but for its sender, id and time; raises BadContent."""
    if kind not in BUILDERS:
        raise BadContent(f"A customer cannot send {kind!r}; kinds: text, {', '.join([*FILES, *BUILDERS])}")
    content = EXAMPLES.get(kind, {}) if content is None else content
    if not isinstance(content, list if kind == "contacts" else dict):
        raise BadContent(f"The content of {kind} is {'a list' if kind == 'contacts' else 'an object'}")
    return BUILDERS[kind](content, scene)


def file_message(kind: str, facts: Parts, more: Parts) -> Parts:
    """The members of a message that carries a file; `facts` are its id, type and hash."""
    type_, _ = FILES[kind]
    own: Parts = {"voice": kind == "voice"} if type_ == "audio" else {"animated": False} if kind == "sticker" else {}
    return {"type": type_, type_: {**more, **facts, **own, **{n: v for n, v in more.items() if n in own}}}


def _plain(kind: str) -> Callable[[Any, Scene], Parts]:
    return lambda content, scene: {"type": kind, kind: content}


def _reply(kind: str) -> Callable[[Parts, Scene], Parts]:
    return lambda content, scene: {
        "type": "interactive",
        "interactive": {"type": kind, kind: content},
        "context": scene.reply(),
    }


def _button(content: Parts, scene: Scene) -> Parts:
    return {"type": "button", "button": content, "context": scene.reply()}


def _flow(content: Parts, scene: Scene) -> Parts:
    answer = content.get("response_json", {})
    as_string = answer if isinstance(answer, str) else json.dumps(answer)
    return _reply("nfm_reply")({"name": "flow", "body": "Sent", **content, "response_json": as_string}, scene)


def _reaction(content: Parts, scene: Scene) -> Parts:
    return _reaction_removal({**EXAMPLES["reaction"], **content}, scene)


def _reaction_removal(content: Parts, scene: Scene) -> Parts:
    return {"type": "reaction", "reaction": {"message_id": scene.of_business, **content}}


def _number_change(content: Parts, scene: Scene) -> Parts:
    new = content.get("wa_id", "447700900333")
    words = f"User {scene.name} changed from {scene.customer} to {new}"
    return {"type": "system", "system": {"body": words, "type": "user_changed_number", "wa_id": new, **content}}


def _user_id_change(content: Parts, scene: Scene) -> Parts:
    system = {"user_id": "GB.99988877766655544433", **content}
    words = f"User {scene.name} changed to {system['user_id']}"
    return {"type": "system", "system": {"body": words, "type": "user_changed_user_id", **system}}


def _identity_change(content: Parts, scene: Scene) -> Parts:
    identity = {"acknowledged": True, "created_timestamp": "1795435200", "hash": "vEZNcDhqR3o=", **content}
    words = f"User {scene.name} changed the security code"
    return {"type": "system", "system": {"body": words, "type": "customer_identity_changed"}, "identity": identity}


def _edit(content: Parts, scene: Scene) -> Parts:
    new = content.get("message") or {"type": "text", "text": {"body": content.get("text", "Edited words")}}
    original = content.get("original_message_id", scene.of_customer)
    return {"type": "edit", "edit": {"original_message_id": original, "message": {"context": {"id": "M0"}, **new}}}


def _revoke(content: Parts, scene: Scene) -> Parts:
    return {"type": "revoke", "revoke": {"original_message_id": scene.of_customer, **content}}


def _unsupported(content: Parts, scene: Scene) -> Parts:
    title = "Message type unknown"
    details = {"details": "Message type is currently not supported."}
    errors = [{"code": 131051, "title": title, "message": title, "error_data": details}]
    return {"type": "unsupported", "unsupported": content, "errors": errors}


def _raw(content: Parts, scene: Scene) -> Parts:
    return content


BUILDERS: dict[str, Callable[[Any, Scene], Parts]] = {
    "location": _plain("location"),
    "contacts": _plain("contacts"),
    "reaction": _reaction,
    "reaction_removal": _reaction_removal,
    "button": _button,
    "button_reply": _reply("button_reply"),
    "list_reply": _reply("list_reply"),
    "nfm_reply": _flow,
    "call_permission_reply": _reply("call_permission_reply"),
    "order": _plain("order"),
    "number_change": _number_change,
    "user_id_change": _user_id_change,
    "identity_change": _identity_change,
    "edit": _edit,
    "revoke": _revoke,
    "unsupported": _unsupported,
    "unknown_type": _raw,
    "request_welcome": lambda content, scene: {"type": "request_welcome", **content},
    "raw": _raw,
}
