"""Tenant: the one owner of a tenant's token, limits, conversations and standing towards both clouds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trunkline.envelope import Direction
from trunkline.errors import CredentialsRefused, Throttled, TrunklineError, Unavailable
from trunkline.tenancy.conversations import Conversations
from trunkline.tenancy.hold import Hold
from trunkline.tenancy.rate_limit import PersonPaces, WindowPace
from trunkline.tenancy.record import GenesysAccount, TenantRecord, TenantStatus
from trunkline.tenancy.tokens import Token, TokenKeeper, TokenSource

SUSPENDED_CHECK_S = 1.0
# After so long a lane asks for its standing, which waits for the token.
TOKEN_CHECK_S = 0.02


class Cloud(StrEnum):
    """The two far sides."""

    GENESYS = "genesys"
    WHATSAPP = "whatsapp"


def cloud_of(direction: Direction) -> Cloud:
    """The cloud that envelopes of this direction are delivered to."""
    return Cloud.WHATSAPP if direction is Direction.OUTBOUND else Cloud.GENESYS


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for passage of one message of customer `wa_id`, accepted at `accepted_at` (Unix seconds).

    A sign of life (a read mark, typing) is no message for WhatsApp's limits.
    """

    direction: Direction
    wa_id: str
    accepted_at: float
    is_message: bool = True


@dataclass(frozen=True, slots=True)
class GenesysAccess:
    """What a call to Genesys needs."""

    region: str
    integration_id: str
    access_token: str
    phone_with_plus: bool

    def __repr__(self) -> str:
        return f"GenesysAccess({self.integration_id})"


@dataclass(frozen=True, slots=True)
class WhatsAppAccess:
    """What a call to the Graph API needs."""

    phone_number_id: str
    access_token: str

    def __repr__(self) -> str:
        return f"WhatsAppAccess({self.phone_number_id})"


@dataclass(frozen=True, slots=True)
class Passage:
    """The call may leave `wait_s` seconds from now; claims carry `epoch`. The outcome of a `probe` must be reported."""

    epoch: int
    conversation_id: str
    access: GenesysAccess | WhatsAppAccess
    wait_s: float
    probe: bool


@dataclass(frozen=True, slots=True)
class Held:
    """No call of this lane may leave now; ask again after `retry_after_s`."""

    reason: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Credentials:
    """What moving files between the clouds needs; `genesys_token` is None while there is none to be had.

    `whatsapp_held` says why nothing may be sent to WhatsApp just now.
    """

    whatsapp: WhatsAppAccess
    whatsapp_held: Held | None
    genesys_region: str
    genesys_token: str | None

    def __repr__(self) -> str:
        return f"Credentials({self.whatsapp})"


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such tenant any more: what waits for it is given up."""


class Tenant:
    """An activation of a tenant; its methods are called one group at a time by its cell. `clock` gives Unix seconds."""

    def __init__(
        self,
        record: TenantRecord,
        epoch: int,
        tokens: TokenKeeper,
        conversations: Conversations,
        token_source: Callable[[GenesysAccount], TokenSource],
        clock: Callable[[], float],
    ) -> None:
        now = clock()
        settings = record.settings
        self.record = record
        self.epoch = epoch
        self.last_used_at = now
        self._tokens = tokens
        self._conversations = conversations
        self._token_source = token_source
        self._clock = clock
        self._holds = {cloud: Hold() for cloud in Cloud}
        self._genesys_pace = WindowPace(settings.genesys_requests_per_minute, 60, now=now)
        self._number_pace = WindowPace(settings.whatsapp_messages_per_second, 1, now=now)
        self._person_paces = PersonPaces(settings.whatsapp_person_messages_per_minute, settings.whatsapp_person_burst)

    def update(self, record: TenantRecord) -> None:
        """Follow a changed record: limits at once, credentials with a fresh token, holds lifted."""
        before, self.record = self.record, record
        settings = record.settings
        self._genesys_pace.change_limit(settings.genesys_requests_per_minute)
        self._number_pace.change_limit(settings.whatsapp_messages_per_second)
        self._person_paces.change(settings.whatsapp_person_messages_per_minute, settings.whatsapp_person_burst)
        if record.genesys != before.genesys:
            self._tokens.credentials_changed(self._token_source(record.genesys))
            self._holds[Cloud.GENESYS].reset()
        if record.whatsapp != before.whatsapp:
            self._holds[Cloud.WHATSAPP].reset()

    async def admit(self, asks: Sequence[Ask]) -> list[Passage | Held]:
        """Passage for each message, or why its lane must wait. Waits for no cloud: others wait for this answer."""
        self.last_used_at = self._clock()
        if self.record.status is not TenantStatus.ACTIVE:
            return [Held(f"tenant is {self.record.status.value}", SUSPENDED_CHECK_S)] * len(asks)
        return list(await asyncio.gather(*(self._admit_one(ask) for ask in asks)))

    async def standing(self, cloud: Cloud) -> Held | None:
        """Why a lane towards `cloud` must wait, or None when it may go on. Waits for a token if one is needed."""
        self.last_used_at = self._clock()
        if self.record.status is not TenantStatus.ACTIVE:
            return Held(f"tenant is {self.record.status.value}", SUSPENDED_CHECK_S)
        no_token = await self._wait_for_token() if cloud is Cloud.GENESYS else None
        if no_token is not None:
            return no_token
        hold = self._holds[cloud]
        wait_s = hold.wait_s(self._clock())
        return Held(hold.reason or "", wait_s) if wait_s > 0 else None

    async def credentials(self) -> Credentials:
        """What moving a file needs."""
        self.last_used_at = self._clock()
        try:
            token = await self._tokens.current()
        except TrunklineError:
            token = None  # most files need none
        hold = self._holds[Cloud.WHATSAPP]
        wait_s = hold.wait_s(self._clock())
        return Credentials(
            self._whatsapp_access(),
            Held(hold.reason or "", wait_s) if wait_s > 0 else None,
            self.record.genesys.region,
            token.access_token.reveal() if token else None,
        )

    async def refused(self, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        """The cloud refused a call: an expired Genesys token is replaced, anything else holds the cloud's lanes."""
        if used_token != self._token_in_force(cloud):
            return
        replaceable = cloud is Cloud.GENESYS and (expired or self._tokens.is_inherited)
        if replaceable and not await self._tokens.refused(used_token):
            return
        self._holds[cloud].refused(words, self._clock())
        self._drop_bookings(cloud)

    def throttled(self, cloud: Cloud, words: str, retry_after_s: float) -> None:
        """The cloud asks to be left alone for so long."""
        self._holds[cloud].throttled(words, self._clock(), retry_after_s)
        self._drop_bookings(cloud)

    def accepted(self, cloud: Cloud) -> None:
        """The cloud accepted a probe."""
        self._holds[cloud].accepted()
        if cloud is Cloud.GENESYS:
            self._tokens.worked()

    async def token(self, *, force: bool) -> tuple[Token, str]:
        """The Genesys token and where it came from (`cache` or `fresh`); raises what the login host answers."""
        before = self._tokens.fetches
        token = await (self._tokens.fresh() if force else self._tokens.current())
        return token, "cache" if self._tokens.fetches == before else "fresh"

    def status(self) -> dict[str, Any]:
        """What an operator asks about an active tenant, without secrets."""
        token = self._tokens.held
        now = self._clock()
        return {
            "epoch": self.epoch,
            "token": token and {"ageSeconds": round(now - token.issued_at), "expiresIn": round(token.expires_at - now)},
            "tokenError": str(self._tokens.trouble) if self._tokens.trouble else None,
            "holds": {cloud.value: hold.reason for cloud, hold in self._holds.items()},
            "rememberedConversations": len(self._conversations),
        }

    def _drop_bookings(self, cloud: Cloud) -> None:
        """Passages that have not left by now are asked for again after the hold."""
        pace = self._genesys_pace if cloud is Cloud.GENESYS else self._number_pace
        pace.drop_bookings(self._clock())

    def _token_in_force(self, cloud: Cloud) -> str | None:
        if cloud is Cloud.WHATSAPP:
            return self.record.whatsapp.access_token.reveal()
        return self._tokens.held.access_token.reveal() if self._tokens.held else None

    async def _wait_for_token(self) -> Held | None:
        """Why there is no Genesys token, or None when there is one."""
        try:
            await self._tokens.current()
        except CredentialsRefused as error:
            return Held(f"Genesys refuses the credentials: {error}", SUSPENDED_CHECK_S)
        except Throttled as error:
            return Held(str(error), min(error.retry_after_s, 10.0))
        except Unavailable as error:
            return Held(f"no Genesys token: {error}", SUSPENDED_CHECK_S)
        return None

    async def _admit_one(self, ask: Ask) -> Passage | Held:
        held = self._held(cloud_of(ask.direction))
        if held is not None:
            return held
        hours = self.record.settings.conversation_window_hours
        conversation = await self._conversations.of(ask.wa_id, ask.accepted_at, hours)
        return self._let_pass(ask, conversation.conversation_id)

    def _held(self, cloud: Cloud) -> Held | None:
        hold = self._holds[cloud]
        wait_s = hold.wait_s(self._clock())
        if wait_s > 0:
            return Held(hold.reason or "", wait_s)
        if cloud is Cloud.GENESYS and self._tokens.at_hand() is None:
            return Held("its Genesys token is being fetched", TOKEN_CHECK_S)
        return None

    def _let_pass(self, ask: Ask, conversation_id: str) -> Passage | Held:
        """Asks again what may have changed while the conversation was looked up; from here on nothing is awaited."""
        cloud = cloud_of(ask.direction)
        held = self._held(cloud)
        if held is not None:
            return held
        now = self._clock()
        probe = self._holds[cloud].take_probe(now)
        token = self._tokens.held
        if cloud is Cloud.GENESYS and token is not None:
            wait_s = self._genesys_pace.reserve(now)
            return Passage(self.epoch, conversation_id, self._genesys_access(token), wait_s, probe)
        wait_s = 0.0
        if ask.is_message:
            wait_s = max(self._number_pace.reserve(now), self._person_paces.reserve(ask.wa_id, now))
        return Passage(self.epoch, conversation_id, self._whatsapp_access(), wait_s, probe)

    def _whatsapp_access(self) -> WhatsAppAccess:
        whatsapp = self.record.whatsapp
        return WhatsAppAccess(whatsapp.phone_number_id, whatsapp.access_token.reveal())

    def _genesys_access(self, token: Token) -> GenesysAccess:
        account = self.record.genesys
        with_plus = self.record.settings.phone_with_plus
        return GenesysAccess(account.region, account.integration_id, token.access_token.reveal(), with_plus)
