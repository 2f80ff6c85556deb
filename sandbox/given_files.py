"""Files as the control API is given them: bytes in base64, or a size and a seed to make them up from."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox.files import Content, Files, make_up
from sandbox.kinds import BadContent
from sandbox.media_rules import bare_mime

USUAL_SIZE = 1000

MediaType = Literal["Image", "Video", "Audio", "File", "Link"]
Access = Literal["open", "bearer", "redirect", "missing"]


class GivenFile(BaseModel):
    """What is in a file, and how it is called."""

    model_config = ConfigDict(extra="forbid")

    base64: str | None = None
    size: int | None = Field(None, ge=0)
    seed: int = 0
    mime: str | None = None
    filename: str | None = None

    async def content(self, mime: str, files: Files) -> Content:
        """The file; raises BadContent."""
        if self.base64 is None:
            return await make_up(USUAL_SIZE if self.size is None else self.size, self.seed, bare_mime(mime))
        try:
            return files.keep(base64.b64decode(self.base64, validate=True))
        except binascii.Error:
            raise BadContent("base64 is not Base64") from None


class CustomerFile(GivenFile):
    """A file that a customer sends."""

    caption: str | None = None
    voice: bool | None = None
    animated: bool | None = None
    url: bool = False  # with the link that newer webhooks carry


class AgentFile(GivenFile):
    """A file of an agent's side; null for `mime`, `filename` or `contentSizeBytes` leaves that member out."""

    mediaType: MediaType | None = None
    text: str | None = None
    contentSizeBytes: int | None = None
    access: Access = "open"  # with the tenant's bearer only; by redirect after that; or 404
    bytesPerS: int | None = Field(None, ge=1)
    link: str | None = None  # somebody else's URL in place of a file

    @property
    def type(self) -> str:
        """The MIME type of the file, declared or not."""
        if self.mime is not None:
            return self.mime
        return {"Image": "image/png", "Video": "video/mp4", "Audio": "audio/mpeg"}.get(
            self.mediaType or "", "application/pdf"
        )

    @property
    def kind(self) -> str:
        """The media type of Genesys Cloud."""
        family = bare_mime(self.type).partition("/")[0].capitalize()
        return self.mediaType or (family if family in ("Image", "Video", "Audio") else "File")
