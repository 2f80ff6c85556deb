"""The media that Meta keeps for a while: what customers sent, and what businesses uploaded."""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.files import Content

DAY_S = 24 * 3600.0
FROM_CUSTOMERS_S = 7 * DAY_S
UPLOADED_S = 30 * DAY_S
LINK_S = 300.0


@dataclass(slots=True, eq=False)
class Media:
    """One file under its media id."""

    id: str
    number: str  # phone_number_id of the business that may have it
    content: Content
    mime: str
    ends_at: float

    def as_json(self) -> dict[str, Any]:
        """The file as the control API shows it."""
        return {
            "mediaId": self.id,
            "mime": self.mime,
            "size": self.content.size,
            "sha256": self.content.sha256,
        }

    @property
    def base64_hash(self) -> str:
        """The hash as webhooks write it."""
        return base64.b64encode(bytes.fromhex(self.content.sha256)).decode()


@dataclass(slots=True, eq=False)
class _Link:
    media: Media
    ends_at: float


class MediaLibrary:
    """Media by id, and the short-lived links to them."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._media: dict[str, Media] = {}
        self._links: dict[str, _Link] = {}
        self.link_lifetime_s = LINK_S

    def keep(self, number: str, content: Content, mime: str, lifetime_s: float) -> Media:
        """Give a file an id for so long."""
        media = Media(str(random.randrange(10**15, 10**16)), number, content, mime, self._now() + lifetime_s)
        self._media[media.id] = media
        return media

    def find(self, id: str) -> Media | None:
        """The media of this id, if it is still valid."""
        media = self._media.get(id)
        if media is not None and media.ends_at <= self._now():
            self.forget(media)
            return None
        return media

    def link(self, media: Media) -> str:
        """The key of a new link."""
        now = self._now()
        self._links = {key: link for key, link in self._links.items() if link.ends_at > now}
        key = secrets.token_urlsafe(24)
        self._links[key] = _Link(media, now + self.link_lifetime_s)
        return key

    def linked(self, key: str) -> Media | None:
        """What a link leads to, while it holds."""
        link = self._links.get(key)
        return self.find(link.media.id) if link is not None and link.ends_at > self._now() else None

    def expire_links(self, numbers: frozenset[str] | None, id: str | None = None) -> int:
        """End the links to the media of these numbers (of all if None), or to one of them; how many."""
        ended = [key for key, link in self._links.items() if _covered(link.media, numbers, id)]
        for key in ended:
            del self._links[key]
        return len(ended)

    def expire(self, numbers: frozenset[str] | None, id: str | None = None) -> int:
        """End the media themselves; how many."""
        ended = [media for media in self._media.values() if _covered(media, numbers, id)]
        for media in ended:
            self.forget(media)
        return len(ended)

    def forget(self, media: Media) -> None:
        """Delete one."""
        self._media.pop(media.id, None)
        media.content.remove()


def _covered(media: Media, numbers: frozenset[str] | None, id: str | None) -> bool:
    return (numbers is None or media.number in numbers) and id in (None, media.id)
