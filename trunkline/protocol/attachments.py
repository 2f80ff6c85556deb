"""Files for WhatsApp: a message for each, its text as caption where one is possible and long enough for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.errors import Rejected
from trunkline.protocol.genesys import Attachment
from trunkline.protocol.interactive import Message, texts
from trunkline.protocol.media import UploadedFile, file_name
from trunkline.protocol.text import is_blank, utf16_length

CAPTION_LIMIT = 1024
_CAPTIONED = {"image", "video", "document"}
_HEADED = {"button", "cta_url"}

Files = Mapping[str, UploadedFile]


def attachment_messages(attachment: Attachment, files: Files, said: str) -> list[Message]:
    """The file, or the link, with its own text, unless that is what the message has `said` anyway."""
    text = "" if attachment.text is None or attachment.text == said else attachment.text
    if not attachment.is_link:
        return file_messages(uploaded(attachment, files), text)
    if not attachment.url or attachment.url in said:
        return texts(text)
    return texts(attachment.url if is_blank(text) else f"{text}\n{attachment.url}")


def uploaded(attachment: Attachment, files: Files) -> UploadedFile:
    """The file of an attachment; raises Rejected when WhatsApp does not have it."""
    file = files.get(attachment.url or "")
    if file is None:
        raise Rejected("media_unavailable", "the file could not be fetched", "MediaTypeNotAllowed")
    return file


def file_messages(file: UploadedFile, caption: str = "") -> list[Message]:
    """The file with its caption; one that is too long, or that audio cannot have, goes before it as text."""
    media = file_object(file)
    if is_blank(caption):
        return [{"type": file.kind, file.kind: media}]
    if file.kind in _CAPTIONED and utf16_length(caption) <= CAPTION_LIMIT:
        return [{"type": file.kind, file.kind: {**media, "caption": caption}}]
    return [*texts(caption), {"type": file.kind, file.kind: media}]


def file_object(file: UploadedFile) -> dict[str, str]:
    """The file as the Send API names it; a document shows its name."""
    name = file_name(file.filename) if file.kind == "document" else ""
    return {"id": file.media_id, **({"filename": name} if name else {})}


def with_text(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages and their text: as caption of the first file that can have one, else before them all."""
    for at, message in enumerate(messages):
        if message["type"] in _CAPTIONED:
            media: dict[str, Any] = message[message["type"]]
            caption = "\n".join(filter(None, (text, media.get("caption"))))
            if utf16_length(caption) > CAPTION_LIMIT:
                break
            return [*messages[:at], {**message, message["type"]: {**media, "caption": caption}}, *messages[at + 1 :]]
    return [*texts(text), *messages]


def with_picture(messages: Sequence[Message], file: UploadedFile) -> list[Message]:
    """The messages with the file as header of the last, as what one text captions, or else before them."""
    *before, last = messages or [{"type": "text", "text": {"body": ""}}]
    if last["type"] == "text" and not before:
        return file_messages(file, last["text"]["body"])
    if last["type"] != "interactive" or last["interactive"]["type"] not in _HEADED or file.kind == "audio":
        return [*file_messages(file), *messages]
    header = {"type": file.kind, file.kind: file_object(file)}
    return [*before, {**last, "interactive": {**last["interactive"], "header": header}}]
