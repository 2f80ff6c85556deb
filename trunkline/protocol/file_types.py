"""File types: MIME types as they are written, named and recognised, and what WhatsApp takes them for."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["image", "video", "audio", "document"]

UNKNOWN_TYPE = "application/octet-stream"
OCTETS = frozenset({UNKNOWN_TYPE, "binary/octet-stream", "application/force-download", "application/x-download"})
_TOKEN = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
_MIME = re.compile(f"{_TOKEN}/{_TOKEN}")
_OTHER_SPELLINGS = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "video/3gp": "video/3gpp",
    "audio/mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/heic": "heic",
    "video/mp4": "mp4",
    "video/3gpp": "3gp",
    "video/quicktime": "mov",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}.presentationml.presentation": "pptx",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/vcard": "vcf",
}
_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
)
# The beginning of the major brand of an ISO media file, which MP4 and its kin are.
_BRANDS = {
    b"3gp": "video/3gpp",
    b"M4A": "audio/mp4",
    b"M4B": "audio/mp4",
    b"qt ": "video/quicktime",
    b"hei": "image/heic",
    b"hev": "image/heic",
    b"mif": "image/heic",
    b"avi": "image/avif",
}
_MIB = 1024 * 1024
# What WhatsApp shows as more than a document, and up to which size.
_SHOWN: dict[str, tuple[Kind, int]] = {
    "image/jpeg": ("image", 5 * _MIB),
    "image/png": ("image", 5 * _MIB),
    "video/mp4": ("video", 16 * _MIB),
    "video/3gpp": ("video", 16 * _MIB),
    "audio/aac": ("audio", 16 * _MIB),
    "audio/amr": ("audio", 16 * _MIB),
    "audio/mpeg": ("audio", 16 * _MIB),
    "audio/mp4": ("audio", 16 * _MIB),
    "audio/ogg": ("audio", 16 * _MIB),
}


def bare_mime(written: str | None) -> str | None:
    """The MIME type in lower case, without parameters and in its usual spelling; None if it is none."""
    mime = (written or "").partition(";")[0].strip().lower()
    return _OTHER_SPELLINGS.get(mime, mime) if _MIME.fullmatch(mime) else None


def extension(mime: str | None) -> str:
    """What the name of a file of this type ends with."""
    return _EXTENSIONS.get(bare_mime(mime) or "", "bin")


def sniff(head: bytes) -> str | None:
    """The MIME type that the first bytes of a file show; None where they show none for certain."""
    for signature, mime in _SIGNATURES:
        if head.startswith(signature):
            return mime
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:11], "video/mp4")
    return _sniff_frame(head)


def kind_for_whatsapp(mime: str, head: bytes, size: int) -> Kind:
    """How WhatsApp takes a file of this type and size, whose first bytes are `head`."""
    kind, limit = _SHOWN.get(mime, ("document", 0))
    if size > limit or (mime == "audio/ogg" and b"OpusHead" not in head):
        return "document"  # of Ogg it plays Opus only
    return kind


def _sniff_frame(head: bytes) -> str | None:
    """MP3 and AAC may begin with a frame of sound at once: eleven or twelve set bits and the layer."""
    if len(head) < 2 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    return "audio/mpeg" if head[1] & 0xE6 == 0xE2 else None
