"""Files on their way through: how each side names them, and what the other side takes them for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from trunkline.errors import Rejected
from trunkline.protocol.file_types import OCTETS, UNKNOWN_TYPE, bare_mime, extension, kind_for_whatsapp
from trunkline.protocol.file_types import sniff as sniff
from trunkline.protocol.genesys import Attachment, Card, Content, OutboundMessage
from trunkline.protocol.text import cut, is_url
from trunkline.protocol.whatsapp import MEDIA_KINDS, Message

GENESYS_LIMIT_BYTES = 25 * 1024 * 1024
WHATSAPP_LIMIT_BYTES = 100 * 1024 * 1024
FILE_NAME_LIMIT = 240
_LONGEST_SUFFIX = 16
_SIZE_REFUSED = "InvalidMediaContentLength"
# It goes into the path of a call that carries a token.
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# Control characters, and those that turn the direction of writing: they make `fdp.exe` look like `exe.pdf`.
_NOT_IN_FILE_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class CustomerFile:
    """A file in a customer's message, as its webhook names it; `kind` as in WhatsApp, `mime` without parameters."""

    media_id: str
    kind: str
    mime: str | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class Attachable:
    """A customer's file that waits for Genesys at a link of ours."""

    url: str
    mime: str
    filename: str


@dataclass(frozen=True, slots=True)
class Unattachable:
    """A customer's file that Genesys cannot have: `words` say why, at `url` an agent can load it all the same."""

    words: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A file that a Genesys message refers to; one that is not `required` is decoration, and may be missing."""

    url: str
    mime: str | None
    filename: str | None
    size: int | None
    required: bool


@dataclass(frozen=True, slots=True)
class Sendable:
    """How WhatsApp takes a file."""

    kind: Literal["image", "video", "audio", "document"]
    mime: str


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """An agent's file that WhatsApp has; a document is shown with its `filename`."""

    media_id: str
    kind: Literal["image", "video", "audio", "document"]
    filename: str | None


def file_name(given: str | None) -> str:
    """A file's name without folders, control characters and leading dots; empty if nothing is left."""
    name = _NOT_IN_FILE_NAMES.sub("", re.split(r"[/\\]", given or "")[-1]).strip().lstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > _LONGEST_SUFFIX:
        return cut(name, FILE_NAME_LIMIT)
    return cut(stem, FILE_NAME_LIMIT - 2 * len(suffix) - 1) + dot + suffix


def customer_file(message: dict[str, Any]) -> CustomerFile | None:
    """The file of a WhatsApp message, or of the message in an edit; None if there is none to be fetched."""
    content = _content(message)
    if content is None or content.media is None or content.media_kind is None:
        return None
    media = content.media
    if not _MEDIA_ID.fullmatch(media.id or ""):
        return None
    return CustomerFile(media.id or "", content.media_kind, bare_mime(media.mime_type), media.filename)


def attachment_name(file: CustomerFile, mime: str) -> str:
    """The name under which Genesys gets the file: its own, made safe, else one that says what it is."""
    return file_name(file.filename) or f"{file.kind}.{extension(mime)}"


def agent_files(body: dict[str, Any]) -> list[AgentFile]:
    """Every file of a Genesys webhook, in order, each link once."""
    found: dict[str, AgentFile] = {}
    for content in OutboundMessage.read(body).content:
        for file in _files(content):
            if is_url(file.url) and not (file.url in found and found[file.url].required):
                found[file.url] = file
    return list(found.values())


def sendable(declared: str | None, answered: str | None, head: bytes, size: int) -> Sendable:
    """How WhatsApp takes a file, by the type that Genesys and the download declared and by its first bytes.

    Raises Rejected for a file that WhatsApp takes in no way.
    """
    if size <= 0:
        raise Rejected("unsupported", "the file is empty", _SIZE_REFUSED)
    if size > WHATSAPP_LIMIT_BYTES:
        raise Rejected("unsupported", "the file is larger than 100 MB, the most that WhatsApp takes", _SIZE_REFUSED)
    sniffed = sniff(head)
    known = (mime for mime in (bare_mime(declared), bare_mime(answered), sniffed) if mime and mime not in OCTETS)
    mime = next(known, UNKNOWN_TYPE)
    if mime.startswith("image/") and sniffed:
        mime = sniffed
    return Sendable(kind_for_whatsapp(mime, head, size), mime)


def _content(message: Any) -> Message | None:
    """The message that may hold the file; read only where its type says so, since most messages are text."""
    kind = message.get("type") if isinstance(message, dict) else None
    if kind == "edit" and isinstance(message.get("edit"), dict):
        return Message.read(message["edit"].get("message")) if not message.get("group_id") else None
    if kind not in MEDIA_KINDS or message.get("group_id"):
        return None  # what is said in a group is not bridged
    return Message.read(message)


def _files(content: Content) -> Iterator[AgentFile]:
    match content.kind:
        case "Attachment" if content.attachment and not content.attachment.is_link:
            yield _attached(content.attachment)
        case "Notification" if content.template and content.template.header and content.template.header.media:
            yield _attached(content.template.header.media)
        case "Card" if content.card:
            yield from _pictures(content.card)
        case "Carousel" if content.carousel:
            for card in content.carousel.cards:
                yield from _pictures(card)


def _attached(attachment: Attachment) -> AgentFile:
    size = attachment.content_size_bytes
    return AgentFile(
        url=attachment.url or "",
        mime=attachment.mime,
        filename=attachment.filename,
        size=int(size) if size is not None and size >= 0 else None,
        required=True,
    )


def _pictures(card: Card) -> Iterator[AgentFile]:
    for url in (card.image, card.video):
        if url:
            yield AgentFile(url, None, None, None, required=False)
