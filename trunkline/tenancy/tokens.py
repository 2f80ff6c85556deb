"""A tenant's Genesys token: one fetch at a time, refreshed ahead, dropped when refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from trunkline.errors import CredentialsRefused, StoreUnavailable, Throttled, TrunklineError, Unavailable
from trunkline.tenancy.record import Secret

log = logging.getLogger(__name__)

REFRESH_AT_SHARE = 0.9
# An operator who deletes the cached token expects a fresh one within 5 s of its next use.
CACHE_CHECK_EVERY_S = 4.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 8.0
# A token refused so soon after it was issued means that the credentials' rights are wrong, not the token.
FRESH_FOR_S = 30.0


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; times are Unix seconds."""

    access_token: Secret
    issued_at: float
    expires_at: float

    @property
    def refresh_at(self) -> float:
        """When to fetch its successor."""
        return self.issued_at + REFRESH_AT_SHARE * (self.expires_at - self.issued_at)


class TokenSource(Protocol):
    """The login host."""

    async def fetch(self) -> Token:
        """A new token; raises CredentialsRefused, Throttled or Unavailable."""


class TokenCache(Protocol):
    """Where other activations find the token; may lose it at any time."""

    async def load(self) -> Token | None:
        """The token kept, or None; raises StoreUnavailable."""

    async def save(self, token: Token) -> None:
        """Keep the token until its refresh time; raises StoreUnavailable."""

    async def discard(self) -> None:
        """Forget the token; raises StoreUnavailable."""

    async def exists(self) -> bool:
        """Whether a token is kept; raises StoreUnavailable."""


class TokenKeeper:
    """Owns the token of one tenant. `clock` gives Unix seconds."""

    def __init__(self, tenant_id: str, source: TokenSource, cache: TokenCache, clock: Callable[[], float]) -> None:
        self._tenant_id = tenant_id
        self._source = source
        self._cache = cache
        self._clock = clock
        self._token: Token | None = None
        self._is_inherited = False
        self._fetching: asyncio.Task[Token] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._checked_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._paused_until = 0.0
        self._trouble: TrunklineError | None = None
        self._refusals = 0
        self.fetches = 0

    @property
    def held(self) -> Token | None:
        """The token in use, without fetching one."""
        return self._token

    @property
    def is_inherited(self) -> bool:
        """Whether an earlier activation fetched the token in use, maybe with other credentials."""
        return self._token is not None and self._is_inherited

    @property
    def trouble(self) -> TrunklineError | None:
        """Why the last fetch failed, if it did."""
        return self._trouble

    @property
    def is_usable(self) -> bool:
        """Whether there is a token that has not expired."""
        return self._token is not None and self._clock() < self._token.expires_at

    @property
    def pause_s(self) -> float:
        """Seconds until a token may be fetched again after a failure."""
        return max(0.0, self._paused_until - self._clock())

    def at_hand(self) -> Token | None:
        """The token if it is valid, and its successor on the way in time; None when one has to be waited for."""
        now = self._clock()
        token = self._token
        if token is None or now >= token.expires_at:
            return None
        if now < self._paused_until:
            return token
        if now >= token.refresh_at:
            self._fetch_in_background()
        elif now - self._checked_at > CACHE_CHECK_EVERY_S:
            self._checked_at = now
            self._checking = asyncio.create_task(self._refresh_if_discarded())
        return token

    async def current(self) -> Token:
        """A valid token; raises CredentialsRefused, Throttled or Unavailable when none can be had."""
        return self.at_hand() or await self._fetch_once(from_cache=self._token is None and self._refusals == 0)

    async def fresh(self) -> Token:
        """A new token, even if the one in use is still good."""
        self._paused_until = 0.0
        return await self._fetch_once(from_cache=False)

    async def refused(self, access_token: str) -> bool:
        """The API refused this token: use it no more, and fetch one other. Whether it, too, had just been issued."""
        token = self._token
        if token is None or token.access_token.reveal() != access_token:
            return False
        self._token = None
        self._refusals += 1
        again = self._refusals > 1 and self._clock() - token.issued_at < FRESH_FOR_S
        if again:
            self._pause(CredentialsRefused("Genesys refuses a token that it has just issued"))
        try:
            await self._cache.discard()
        except StoreUnavailable as error:
            log.info("token.cache_unavailable", extra={"tenant": self._tenant_id, "error": str(error)})
        return again

    def look_again(self) -> None:
        """Look at the next use whether the cache still has the token; if it has been deleted, another one is fetched.

        The one in use serves until then: it may be as good as ever, and the login host may be away.
        """
        self._checked_at = 0.0

    def worked(self) -> None:
        """The API accepted a call with the token in use."""
        self._refusals = 0

    def credentials_changed(self, source: TokenSource) -> None:
        """Forget token and trouble: other credentials are in force."""
        self._source = source
        self._token = None
        self._fetching = None
        self._trouble = None
        self._refusals = 1  # the cache may still hold a token of the old credentials
        self._paused_until = 0.0
        self._pause_s = FIRST_PAUSE_S

    async def _fetch_once(self, *, from_cache: bool) -> Token:
        if self._fetching is None:
            if self._clock() < self._paused_until and self._trouble is not None:
                raise self._trouble
            self._fetching = asyncio.create_task(self._fetch(from_cache=from_cache))
        return await asyncio.shield(self._fetching)

    def _fetch_in_background(self) -> None:
        if self._fetching is None:
            self._fetching = task = asyncio.create_task(self._fetch(from_cache=False))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _fetch(self, *, from_cache: bool) -> Token:
        this = asyncio.current_task()
        try:
            cached = await self._load_cached() if from_cache else None
            token = cached or await self._source.fetch()
            if self._fetching is not this:  # other credentials are in force by now
                return token
            if cached is None:
                self.fetches += 1
                await self._save_cached(token)
            if self._fetching is this:
                self._token, self._is_inherited = token, cached is not None
                self._trouble, self._pause_s = None, FIRST_PAUSE_S
                self._checked_at = self._clock()
            return token
        except (CredentialsRefused, Unavailable, Throttled) as error:
            if self._fetching is this:
                self._pause(error)
            raise
        finally:
            if self._fetching is this:
                self._fetching = None

    def _pause(self, error: TrunklineError) -> None:
        self._trouble = error
        wait_s = error.retry_after_s if isinstance(error, Throttled) else self._pause_s
        self._paused_until = self._clock() + wait_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        log.warning("token.unavailable", extra={"tenant": self._tenant_id, "error": str(error), "wait_s": wait_s})

    async def _load_cached(self) -> Token | None:
        try:
            token = await self._cache.load()
        except StoreUnavailable:
            return None
        return token if token is not None and self._clock() < token.refresh_at else None

    async def _save_cached(self, token: Token) -> None:
        try:
            await self._cache.save(token)
        except StoreUnavailable as error:
            log.info("token.cache_unavailable", extra={"tenant": self._tenant_id, "error": str(error)})

    async def _refresh_if_discarded(self) -> None:
        try:
            if not await self._cache.exists():
                self._fetch_in_background()
        except StoreUnavailable:
            return  # an absent cache is no reason to ask the login host
