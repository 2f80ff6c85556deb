"""What the Open Messaging endpoints accept as a body, as strictly as their published models. Pure."""

from __future__ import annotations

import re
from typing import Any

ID_TYPES = ("Email", "Phone", "Opaque")
MEDIA_TYPES = ("Image", "Video", "Audio", "File", "Link")
RESPONSE_TYPES = ("Button", "QuickReply", "DatePicker")
SUB_TYPES = ("None", "GoogleBusinessProfile", "RoadsideAssistance", "YouTube")
RECEIPT_STATUSES = ("Sent", "Delivered", "Failed", "Published", "Removed")
REASON_CODES = (
    "MessageExpired",
    "RateLimited",
    "MessageNotAllowed",
    "GeneralError",
    "UnsupportedMessage",
    "UnknownMessage",
    "InvalidMessageStructure",
    "InvalidDestination",
    "ServerError",
    "MediaTypeNotAllowed",
    "InvalidMediaContentLength",
    "RecipientOptedOut",
    "DataFiltered",
)
TIME = re.compile(r"^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,3})?Z$")
NEITHER_TEXT_NOR_CONTENT = (
    "JSON validation failed: body should have required property 'content', "
    "body should have required property '.text', body should match some schema in anyOf"
)


class BadBody(Exception):
    """The body does not fit its model."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.message = message
        self.field = field


def check_message(body: Any) -> None:
    """Raise BadBody unless this is an OpenInboundNormalizedMessage."""
    channel = _channel(body)
    _person(channel, "from")
    _string(channel, "messageId", "body.channel", optional=True)
    if channel.get("metadata") is not None:
        _channel_metadata(_object(channel, "metadata", "body.channel"))
    _string(body, "text", "body", optional=True)
    if body.get("content") is not None:
        for number, element in enumerate(_list(body, "content", "body")):
            _attachment(element, f"body.content[{number}]")
    if body.get("metadata") is not None:
        _strings(_object(body, "metadata", "body"), "body.metadata")
    if not body.get("text") and not body.get("content"):
        raise BadBody(NEITHER_TEXT_NOR_CONTENT)


def check_receipt(body: Any) -> None:
    """Raise BadBody unless this is an OpenInboundNormalizedReceipt."""
    channel = _channel(body)
    _person(channel, "to")
    _string(body, "id", "body")
    _one_of(body, "status", "body", RECEIPT_STATUSES)
    if not isinstance(body.get("isFinalReceipt", True), bool):
        raise _wrong("body.isFinalReceipt", "boolean")
    for number, reason in enumerate(_list(body, "reasons", "body") if body.get("reasons") is not None else []):
        where = f"body.reasons[{number}]"
        if not isinstance(reason, dict):
            raise _wrong(where, "object")
        _one_of(reason, "code", where, REASON_CODES)
        _string(reason, "message", where, optional=True)


def check_event(body: Any) -> None:
    """Raise BadBody unless this is an OpenInboundNormalizedEvent."""
    _person(_channel(body), "from")
    events = _list(body, "events", "body")
    if not events:
        raise BadBody("JSON validation failed: body.events should NOT have fewer than 1 items", "events")
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            raise _wrong(f"body.events[{number}]", "object")
        _one_of(event, "eventType", f"body.events[{number}]", ("Typing",))


def check_response(body: Any) -> None:
    """Raise BadBody unless this is an OpenInboundStructuredResponseMessage."""
    channel = _channel(body)
    _person(channel, "from")
    _string(channel, "messageId", "body.channel", optional=True)
    if channel.get("metadata") is not None:
        _channel_metadata(_object(channel, "metadata", "body.channel"))
    response = _object(body, "buttonResponse", "body")
    _one_of(response, "type", "body.buttonResponse", RESPONSE_TYPES)
    for name in ("text", "payload"):
        if not _string(response, name, "body.buttonResponse"):
            raise BadBody(f"JSON validation failed: body.buttonResponse.{name} should not be empty", name)
    _string(response, "id", "body.buttonResponse", optional=True)
    _string(body, "originatingMessageId", "body")


CHECKS = {"message": check_message, "receipt": check_receipt, "event": check_event, "response": check_response}


def _channel(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise _wrong("body", "object")
    channel = _object(body, "channel", "body")
    if not TIME.match(_string(channel, "time", "body.channel")):
        raise BadBody("JSON validation failed: body.channel.time should match format 'date-time'", "channel.time")
    return channel


def _person(channel: dict[str, Any], key: str) -> None:
    person = _object(channel, key, "body.channel")
    where = f"body.channel.{key}"
    if not _string(person, "id", where):
        raise BadBody(f"JSON validation failed: {where}.id should NOT be shorter than 1 characters", "id")
    _one_of(person, "idType", where, ID_TYPES)
    for name in ("nickname", "firstName", "lastName", "image", "email"):
        _string(person, name, where, optional=True)


def _channel_metadata(metadata: dict[str, Any]) -> None:
    where = "body.channel.metadata"
    if metadata.get("subType") is not None:
        _one_of(metadata, "subType", where, SUB_TYPES)
    if metadata.get("customAttributes") is not None:
        _strings(_object(metadata, "customAttributes", where), f"{where}.customAttributes")


def _attachment(element: Any, where: str) -> None:
    if not isinstance(element, dict):
        raise _wrong(where, "object")
    if element.get("contentType", "Attachment") != "Attachment":
        raise BadBody(f"JSON validation failed: {where}.contentType should be equal to one of the allowed values")
    attachment = _object(element, "attachment", where)
    inside = f"{where}.attachment"
    _one_of(attachment, "mediaType", inside, MEDIA_TYPES)
    if not re.match(r"^https?://", _string(attachment, "url", inside)):
        raise BadBody(f"JSON validation failed: {inside}.url should match format 'uri'", "url")
    _string(attachment, "mime", inside)
    for name in ("id", "text", "sha256", "filename"):
        _string(attachment, name, inside, optional=True)
    if attachment.get("thumbnail") is not None:
        _thumbnail(_object(attachment, "thumbnail", inside), f"{inside}.thumbnail")


def _thumbnail(thumbnail: dict[str, Any], where: str) -> None:
    for name in ("url", "mime", "sha256"):
        _string(thumbnail, name, where, optional=True)
    if not isinstance(thumbnail.get("contentSizeBytes", 0), int):
        raise _wrong(f"{where}.contentSizeBytes", "integer")


def _strings(mapping: dict[str, Any], where: str) -> None:
    for key, value in mapping.items():
        if not isinstance(value, str):
            raise _wrong(f"{where}.{key}", "string")


def _object(part: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = part.get(key)
    if value is None:
        raise _missing(where, key)
    if not isinstance(value, dict):
        raise _wrong(f"{where}.{key}", "object")
    return value


def _list(part: dict[str, Any], key: str, where: str) -> list[Any]:
    value = part.get(key)
    if value is None:
        raise _missing(where, key)
    if not isinstance(value, list):
        raise _wrong(f"{where}.{key}", "array")
    return value


def _string(part: dict[str, Any], key: str, where: str, optional: bool = False) -> str:
    value = part.get(key)
    if value is None:
        if optional:
            return ""
        raise _missing(where, key)
    if not isinstance(value, str):
        raise _wrong(f"{where}.{key}", "string")
    return value


def _one_of(part: dict[str, Any], key: str, where: str, allowed: tuple[str, ...]) -> None:
    if _string(part, key, where) not in allowed:
        raise BadBody(f"JSON validation failed: {where}.{key} should be equal to one of the allowed values", key)


def _missing(where: str, key: str) -> BadBody:
    return BadBody(f"JSON validation failed: {where} should have required property '{key}'", key)


def _wrong(where: str, kind: str) -> BadBody:
    return BadBody(f"JSON validation failed: {where} should be {kind}", where.removeprefix("body."))
