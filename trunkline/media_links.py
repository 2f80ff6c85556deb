"""Links under which Genesys fetches customers' files: sealed, expiring, each for one file of one tenant."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from trunkline.errors import NotFound


@dataclass(frozen=True, slots=True)
class MediaLink:
    """What a link leads to: a file of WhatsApp, and what it is called and is at Genesys."""

    tenant_id: str
    media_id: str
    phone_number_id: str
    mime: str
    filename: str


class MediaLinks:
    """Makes links and opens them again. The first of `keys` (Fernet's) seals, all open; `clock` gives Unix seconds."""

    def __init__(
        self, keys: Sequence[str], public_url: str, lifetime_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._public_url = public_url
        self._lifetime_s = lifetime_s
        self._clock = clock

    def url(self, link: MediaLink) -> str:
        """Where the file can be fetched from now on, for as long as a link lives."""
        named = {**asdict(link), "until": self._clock() + self._lifetime_s}
        return f"{self._public_url}/media/{self._fernet.encrypt(orjson.dumps(named)).decode()}"

    def open(self, token: str) -> MediaLink:
        """What the token of a link names; raises NotFound when it is not ours, or no longer valid."""
        try:
            named = orjson.loads(self._fernet.decrypt(token.encode()))
            until = named.pop("until")
            link = MediaLink(**named)
        except (InvalidToken, UnicodeEncodeError, KeyError, TypeError, ValueError) as error:
            raise NotFound("Media") from error
        if until < self._clock():
            raise NotFound("Media")
        return link
