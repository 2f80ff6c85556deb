"""What the Send API accepts as a body: required members, kinds and limits of every message type. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from sandbox.graph_errors import Refused

TEXT_LENGTH = 4096
CAPTION_LENGTH = 1024
OPAQUE_LENGTH = 512
CONTACTS_COUNT = 257

COMMON = frozenset(
    {"messaging_product", "recipient_type", "to", "recipient", "type", "context", "biz_opaque_callback_data"}
)
READ = frozenset({"messaging_product", "status", "message_id", "typing_indicator"})
BSUID = re.compile(r"^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]+$")
PHONE = re.compile(r"^[0-9]{5,15}$")
BAD_PARAMETER_TEXT = re.compile(r"[\n\r\t]| {5,}")
TEMPLATE_NAME = re.compile(r"^[a-z0-9_]{1,512}$")
LANGUAGE = re.compile(r"^[a-z]{2,3}(_[A-Za-z]{2,4})?$")


def is_read_mark(body: Any) -> bool:
    """True for a read mark, with or without a typing indicator."""
    return isinstance(body, dict) and "status" in body


def check_read_mark(body: dict[str, Any]) -> None:
    """Raise Refused unless the body is a right read mark."""
    _only(body, READ, "")
    _product(body)
    if body["status"] != "read":
        raise Refused(131009, "status must be 'read'")
    _text(body, "message_id", "message_id")
    if "typing_indicator" in body:
        typing = _object(body, "typing_indicator", "")
        _only(typing, {"type"}, "typing_indicator")
        if typing.get("type") != "text":
            raise Refused(131009, "typing_indicator['type'] must be 'text'")


def check_message(body: Any) -> str:
    """The recipient as its digits or id; raises Refused unless the body is a right message."""
    if not isinstance(body, dict):
        raise Refused(100, "The request body is not a JSON object")
    _product(body)
    kind = _text(body, "type", "type")
    check = CHECKS.get(kind)
    if check is None:
        raise Refused(131051, f"Message type {kind!r} is not supported")
    _only(body, COMMON | {kind}, "")
    to = check_recipient(body)
    _text(body, "biz_opaque_callback_data", "biz_opaque_callback_data", OPAQUE_LENGTH, optional=True)
    if "context" in body:
        context = _object(body, "context", "")
        _only(context, {"message_id"}, "context")
        _text(context, "message_id", "context['message_id']")
        if kind == "reaction":
            raise Refused(100, "context is not allowed with a reaction")
    if kind not in body:
        raise Refused(131008, f"The parameter {kind} is required")
    check(body[kind])
    return to


def check_recipient(body: dict[str, Any]) -> str:
    """The recipient: digits of `to`, a group's id, or the BSUID of `recipient`."""
    recipient_type = body.get("recipient_type", "individual")
    if recipient_type not in ("individual", "group"):
        raise Refused(131009, "recipient_type must be 'individual' or 'group'")
    if "recipient" in body and "to" not in body:
        bsuid = _text(body, "recipient", "recipient")
        if not BSUID.match(bsuid):
            raise Refused(131009, "recipient is not a business-scoped user id")
        return bsuid
    to = _text(body, "to", "to")
    if recipient_type == "group":
        return to
    digits = re.sub(r"[+\s().-]", "", to)
    if not PHONE.match(digits):
        raise Refused(131009, "to is not a phone number")
    return digits


def length(text: str) -> int:
    """Characters as the strictest reading counts them: UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def _check_text(part: Any) -> None:
    text = _is_object(part, "text")
    _only(text, {"body", "preview_url"}, "text")
    _text(text, "body", "text['body']", TEXT_LENGTH)
    if not isinstance(text.get("preview_url", False), bool):
        raise Refused(131009, "text['preview_url'] must be a boolean")


def _check_media(kind: str, extra: Collection[str]) -> Callable[[Any], None]:
    def check(part: Any) -> None:
        media = _is_object(part, kind)
        _only(media, {"id", "link", *extra}, kind)
        if ("id" in media) == ("link" in media):
            raise Refused(131008, f"{kind} needs either an id or a link")
        if "link" in media and not re.match(r"^https?://", _text(media, "link", f"{kind}['link']")):
            raise Refused(131009, f"{kind}['link'] is not a URL")
        if "id" in media:
            _text(media, "id", f"{kind}['id']")
        _text(media, "caption", f"{kind}['caption']", CAPTION_LENGTH, optional=True)
        _text(media, "filename", f"{kind}['filename']", optional=True)
        if not isinstance(media.get("voice", False), bool):
            raise Refused(131009, f"{kind}['voice'] must be a boolean")

    return check


def _check_location(part: Any) -> None:
    location = _is_object(part, "location")
    _only(location, {"latitude", "longitude", "name", "address"}, "location")
    for name, bound in (("latitude", 90), ("longitude", 180)):
        if name not in location:
            raise Refused(131008, f"location['{name}'] is required")
        try:
            inside = abs(float(location[name])) <= bound
        except (TypeError, ValueError):
            inside = False
        if not inside:
            raise Refused(131009, f"location['{name}'] is not a coordinate")


def _check_contacts(part: Any) -> None:
    if not isinstance(part, list) or not part:
        raise Refused(131009, "contacts must be a list with at least one contact")
    if len(part) > CONTACTS_COUNT:
        raise Refused(131009, f"contacts must be at most {CONTACTS_COUNT}")
    for number, each in enumerate(part):
        name = _object(_is_object(each, f"contacts[{number}]"), "name", f"contacts[{number}]")
        _text(name, "formatted_name", f"contacts[{number}]['name']['formatted_name']")
        if not any(name.get(key) for key in ("first_name", "last_name", "middle_name", "prefix", "suffix")):
            raise Refused(131008, f"contacts[{number}]['name'] needs a further part besides formatted_name")


def _check_reaction(part: Any) -> None:
    reaction = _is_object(part, "reaction")
    _only(reaction, {"message_id", "emoji"}, "reaction")
    _text(reaction, "message_id", "reaction['message_id']")
    if not isinstance(reaction.get("emoji"), str):
        raise Refused(131008, "reaction['emoji'] is required")


def _check_interactive(part: Any) -> None:
    interactive = _is_object(part, "interactive")
    kind = _text(interactive, "type", "interactive['type']")
    if kind not in INTERACTIVE:
        raise Refused(131009, f"interactive['type'] {kind!r} is not known")
    _only(interactive, {"type", "header", "body", "footer", "action"}, "interactive")
    body = _object(interactive, "body", "interactive")
    _text(body, "text", "interactive['body']['text']", 1024)
    if "footer" in interactive:
        _text(_object(interactive, "footer", "interactive"), "text", "interactive['footer']['text']", 60)
    if "header" in interactive:
        _check_header(_object(interactive, "header", "interactive"), kind)
    INTERACTIVE[kind](_object(interactive, "action", "interactive"))


def _check_header(header: dict[str, Any], kind: str) -> None:
    shape = _text(header, "type", "interactive['header']['type']")
    if shape == "text":
        _text(header, "text", "interactive['header']['text']", 60)
    elif kind == "list" or shape not in ("image", "video", "document"):
        raise Refused(131009, f"a header of type {shape!r} is not allowed here")
    else:
        CHECKS[shape](header.get(shape))


def _check_buttons(action: dict[str, Any]) -> None:
    buttons = action.get("buttons")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
        raise Refused(131009, "buttons must be 1 to 3")
    replies = []
    for number, button in enumerate(buttons):
        where = f"buttons[{number}]"
        if _is_object(button, where).get("type") != "reply":
            raise Refused(131009, f"{where}['type'] must be 'reply'")
        reply = _object(button, "reply", where)
        replies.append((_text(reply, "id", f"{where}['id']", 256), _text(reply, "title", f"{where}['title']", 20)))
    _distinct([id for id, _ in replies], "button ids")
    _distinct([title for _, title in replies], "button titles")


def _check_list(action: dict[str, Any]) -> None:
    _text(action, "button", "action['button']", 20)
    sections = action.get("sections")
    if not isinstance(sections, list) or not 1 <= len(sections) <= 10:
        raise Refused(131009, "list sections must be 1 to 10")
    ids = []
    for number, section in enumerate(sections):
        where = f"sections[{number}]"
        _text(_is_object(section, where), "title", f"{where}['title']", 24, optional=len(sections) == 1)
        rows = section.get("rows")
        if not isinstance(rows, list) or not rows:
            raise Refused(131009, f"{where} needs rows")
        for row in rows:
            ids.append(_text(_is_object(row, f"a row of {where}"), "id", "row id", 200))
            _text(row, "title", "row title", 24)
            _text(row, "description", "row description", 72, optional=True)
    if len(ids) > 10:
        raise Refused(131009, "list rows exceed 10")
    _distinct(ids, "row ids")


def _check_link_button(action: dict[str, Any]) -> None:
    if action.get("name") != "cta_url":
        raise Refused(131009, "action['name'] must be 'cta_url'")
    parameters = _object(action, "parameters", "action")
    _text(parameters, "display_text", "display_text", 20)
    if not re.match(r"^https?://", _text(parameters, "url", "url")):
        raise Refused(131009, "url is not a URL")


def _check_template(part: Any) -> None:
    template = _is_object(part, "template")
    _only(template, {"name", "language", "components", "namespace"}, "template")
    if not TEMPLATE_NAME.match(_text(template, "name", "template['name']")):
        raise Refused(132001, "Template name does not exist in the translation")
    language = _object(template, "language", "template")
    if not LANGUAGE.match(_text(language, "code", "template['language']['code']")):
        raise Refused(132001, "Template name does not exist in the translation")
    components = template.get("components", [])
    if not isinstance(components, list):
        raise Refused(131009, "template['components'] must be a list")
    for component in components:
        _check_component(_is_object(component, "component"))


def _check_component(component: dict[str, Any]) -> None:
    kind = _text(component, "type", "component['type']")
    if kind not in ("header", "body", "button"):
        raise Refused(131009, f"a component of type {kind!r} is not known")
    if kind == "button":
        _text(component, "sub_type", "component['sub_type']")
        if not re.match(r"^[0-9]$", str(component.get("index", ""))):
            raise Refused(131008, "component['index'] is required")
    parameters = component.get("parameters", [])
    if not isinstance(parameters, list):
        raise Refused(131009, "component['parameters'] must be a list")
    named = 0
    for parameter in parameters:
        named += "parameter_name" in _is_object(parameter, "parameter")
        _check_parameter(parameter)
    if named not in (0, len(parameters)):
        raise Refused(132012, "Parameters are either all positional or all named")


def _check_parameter(parameter: dict[str, Any]) -> None:
    kind = _text(parameter, "type", "parameter['type']")
    if kind not in ("text", "payload", "currency", "date_time", "image", "document", "video", "location"):
        raise Refused(131009, f"a parameter of type {kind!r} is not known")
    if kind not in parameter:
        raise Refused(131008, f"parameter['{kind}'] is required")
    if kind == "text" and BAD_PARAMETER_TEXT.search(_text(parameter, "text", "parameter['text']")):
        raise Refused(132012, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    if kind == "payload":
        _text(parameter, "payload", "parameter['payload']")
    if kind in ("image", "document", "video", "location"):
        CHECKS[kind](parameter[kind])


def _product(body: dict[str, Any]) -> None:
    if body.get("messaging_product") != "whatsapp":
        raise Refused(100, "The parameter messaging_product is required and must be 'whatsapp'")


def _only(part: dict[str, Any], allowed: Collection[str], where: str) -> None:
    for key in part:
        if key not in allowed:
            raise Refused(100, f"Unexpected key '{key}'" + (f" on param '{where}'" if where else ""))


def _is_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refused(131009, f"{where} must be an object")
    return value


def _object(part: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    name = f"{where}['{key}']" if where else key
    if key not in part:
        raise Refused(131008, f"The parameter {name} is required")
    return _is_object(part[key], name)


def _text(part: dict[str, Any], key: str, where: str, limit: int | None = None, optional: bool = False) -> str:
    value = part.get(key)
    if value is None and key not in part and optional:
        return ""
    if value is None:
        raise Refused(131008, f"The parameter {where} is required")
    if not isinstance(value, str):
        raise Refused(131009, f"{where} must be a string")
    if not value and not optional:
        raise Refused(131008, f"The parameter {where} is required")
    if limit is not None and length(value) > limit:
        raise Refused(100, f"Param {where} must be at most {limit} characters long")
    return value


def _distinct(values: list[str], what: str) -> None:
    if len(set(values)) != len(values):
        raise Refused(131009, f"{what} must be distinct")


CHECKS: dict[str, Callable[[Any], None]] = {
    "text": _check_text,
    "image": _check_media("image", {"caption"}),
    "video": _check_media("video", {"caption"}),
    "audio": _check_media("audio", {"voice"}),
    "document": _check_media("document", {"caption", "filename"}),
    "sticker": _check_media("sticker", ()),
    "location": _check_location,
    "contacts": _check_contacts,
    "reaction": _check_reaction,
    "interactive": _check_interactive,
    "template": _check_template,
}
INTERACTIVE: dict[str, Callable[[dict[str, Any]], None]] = {
    "button": _check_buttons,
    "list": _check_list,
    "cta_url": _check_link_button,
}
