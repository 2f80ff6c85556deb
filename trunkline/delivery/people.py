"""Who a customer is, whatever address a message names: one person keeps one identity, and so one conversation."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from trunkline.errors import StoreUnavailable
from trunkline.people import Alias, Move

log = logging.getLogger(__name__)

ADDRESSES_REMEMBERED = 50_000
# A person whom another replica met, or saw move, is known here so much later at the latest.
BELIEVED_FOR_S = 60.0
# Webhooks do not wait for Postgres: without it, people are taken at their word.
LOOK_UP_WITHIN_S = 1.0
BLIND_FOR_S = 5.0


class Aliases(Protocol):
    """Where addresses of people are kept."""

    async def identity(self, tenant_id: str, address: str) -> str | None:
        """Who is known by this address, if it is an alias of somebody; raises StoreUnavailable."""

    async def move(self, move: Move) -> None:
        """The person with the old address has the new one from now on; raises StoreUnavailable."""


class People:
    """What one process knows of people's addresses. `clock` gives Unix seconds."""

    def __init__(self, aliases: Aliases, clock: Callable[[], float]) -> None:
        self._aliases = aliases
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[str | None, float]] = OrderedDict()
        self._blind_until = 0.0

    async def look_up(self, tenants_addresses: Iterable[tuple[str, str]]) -> None:
        """Learn what is written down about these addresses, for `identify`."""
        now = self._clock()
        unknown = [key for key in tenants_addresses if not self._is_known(key, now)]
        if not unknown or now < self._blind_until:
            return
        try:
            unknown = list(dict.fromkeys(unknown))
            async with asyncio.timeout(LOOK_UP_WITHIN_S):
                found = await asyncio.gather(*(self._aliases.identity(*key) for key in unknown))
        except (StoreUnavailable, TimeoutError) as error:
            self._blind_until = now + BLIND_FOR_S
            log.warning("people.unknown", extra={"count": len(unknown), "error": str(error) or "no answer in time"})
            return
        for key, identity in zip(unknown, found, strict=True):
            self._believe(key, identity)

    def identify(self, tenant_id: str, phone: str | None, user_id: str | None) -> tuple[str | None, list[Alias]]:
        """Who has these addresses, and what is new about them; call `look_up` before."""
        named = [address for address in (phone, user_id) if address]
        if not named:
            return None, []
        held = {address: self._known.get((tenant_id, address), (None, 0.0))[0] for address in named}
        identity = next((known for known in held.values() if known), named[0])
        if any((tenant_id, address) not in self._known for address in named):
            return identity, []  # nobody could be asked: nothing is learned from that
        # A number needs no row to be somebody's identity; a user id does, or it would give way to the number later.
        news = [
            Alias(tenant_id, address, identity)
            for address in named
            if held[address] is None and (address != identity or address == user_id)
        ]
        for alias in news:
            self._believe((tenant_id, alias.address), identity)
        return identity, news

    async def move(self, move: Move) -> None:
        """Follow a person to another address; if it cannot be written down now, whoever delivers the news does it."""
        old, new = (move.tenant_id, move.old_address), (move.tenant_id, move.new_address)
        await self.look_up([old])
        self._believe(new, self._known.get(old, (None, 0.0))[0] or move.old_address)
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN_S):
                await self._aliases.move(move)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("people.unmoved", extra={"tenant": move.tenant_id, "error": str(error) or "no answer in time"})

    def _is_known(self, key: tuple[str, str], now: float) -> bool:
        return self._known.get(key, (None, 0.0))[1] > now

    def _believe(self, key: tuple[str, str], identity: str | None) -> None:
        self._known[key] = (identity, self._clock() + BELIEVED_FOR_S)
        self._known.move_to_end(key)
        if len(self._known) > ADDRESSES_REMEMBERED:
            self._known.popitem(last=False)
