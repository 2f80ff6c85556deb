"""Tenant: the one owner of a tenant's token, limits, conversations and standing towards both clouds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from trunkline.envelope import Direction
from trunkline.errors import CredentialsRefused, Throttled, TrunklineError, Unavailable
from trunkline.protocol.times import iso_milliseconds
from trunkline.tenancy.circuit import Circuit, CircuitState
from trunkline.tenancy.conversations import Conversation, Conversations
from trunkline.tenancy.rate_limit import AdaptivePace, Pace, PersonPaces, WindowPace
from trunkline.tenancy.record import GenesysAccount, TenantRecord, TenantStatus
from trunkline.tenancy.standing import Hindrance, Obstacle
from trunkline.tenancy.tokens import Token, TokenKeeper, TokenSource
from trunkline.tenancy.usage import Usage
from trunkline.tenancy.vitals import Vitals

SUSPENDED_CHECK_S = 1.0
# After so long a lane asks for its standing, which waits for the token.
TOKEN_CHECK_S = 0.02
LONGEST_TOKEN_CHECK_S = 10.0
# A call may leave so long after its slot; a number's second leaves less room than a client's minute.
GENESYS_SLACK_S = 1.0
NUMBER_SLACK_S = 0.1
# What a receipt leaves of Genesys' burst to those that go before it.
LEFT_BY_FAILED = 1 / 3
LEFT_BY_DELIVERED = 2 / 3
SHORTEST_LATER_S = 0.2
LONGEST_LATER_S = 5.0
# With messages booked so far ahead, a lane of receipts is not worth reading.
RECEIPTS_WAIT_S = 10.0
# How far ahead a lane may be read.
READ_AHEAD_S = 30.0
LONGEST_PREFETCH = 2000
# More than may be in flight, so that others can be the probe where the first are suspects; few, since most go back.
PROBE_PREFETCH = 25
NUMBER_TOO_FAST = "130429"


class Cloud(StrEnum):
    """The two far sides."""

    GENESYS = "genesys"
    WHATSAPP = "whatsapp"


def cloud_of(direction: Direction) -> Cloud:
    """The cloud that envelopes of this direction are delivered to."""
    return Cloud.WHATSAPP if direction is Direction.OUTBOUND else Cloud.GENESYS


class Priority(IntEnum):
    """Who goes first where Genesys' limit is short; lower first."""

    MESSAGE = 0
    FAILED_RECEIPT = 1
    DELIVERED_RECEIPT = 2


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for passage of one message of customer `wa_id`, accepted at `accepted_at` (Unix seconds).

    A sign of life (a read mark, typing) is no message for WhatsApp's limits. What is in free form, not a template,
    needs WhatsApp's 24-hour window, which the customer's own message, `said_at`, opens. An earlier send of a suspect
    had an unknown outcome.
    """

    direction: Direction
    wa_id: str
    accepted_at: float
    is_message: bool = True
    priority: Priority = Priority.MESSAGE
    is_free_form: bool = False
    said_at: float | None = None
    is_suspect: bool = False


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
    """The call may leave `wait_s` seconds from now; claims carry `epoch`. The outcome of a `probe` must be reported.

    `window_closed` says in words for the agent that WhatsApp's window is closed: then no call may leave at all.
    """

    epoch: int
    conversation_id: str
    access: GenesysAccess | WhatsAppAccess
    wait_s: float
    probe: bool
    window_closed: str | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing is booked yet: ask again after `wait_s`. The lane may go on.

    A receipt has to let messages go first; or nothing may be sent to this person before.
    """

    wait_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """No call of this lane may leave now; ask again after `retry_after_s`."""

    reason: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """A lane may be read; at most `prefetch` deliveries can leave within half a minute.

    `is_half_open`: one of them, as a probe.
    """

    prefetch: int
    is_half_open: bool = False


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
        self._circuits = {cloud: Circuit() for cloud in Cloud}
        self._usages = {cloud: Usage() for cloud in Cloud}
        self._genesys_pace = WindowPace(settings.genesys_requests_per_minute, 60, slack_s=GENESYS_SLACK_S, now=now)
        self._number_pace = AdaptivePace(settings.whatsapp_messages_per_second, 1, slack_s=NUMBER_SLACK_S, now=now)
        self._person_paces = PersonPaces(settings.whatsapp_person_messages_per_minute, settings.whatsapp_person_burst)

    def update(self, record: TenantRecord) -> None:
        """Follow a changed record: limits at once, credentials with a fresh token, circuits closed."""
        before, self.record = self.record, record
        settings, now = record.settings, self._clock()
        self._genesys_pace.change_limit(settings.genesys_requests_per_minute, now)
        self._number_pace.change_limit(settings.whatsapp_messages_per_second, now)
        self._person_paces.change(settings.whatsapp_person_messages_per_minute, settings.whatsapp_person_burst, now)
        if record.genesys != before.genesys:
            self._tokens.credentials_changed(self._token_source(record.genesys))
            self._circuits[Cloud.GENESYS].reset()
        if record.whatsapp != before.whatsapp:
            self._circuits[Cloud.WHATSAPP].reset()

    async def admit(self, asks: Sequence[Ask]) -> list[Passage | Later | Held]:
        """Passage for each message, or why it must wait. Waits for no cloud: others wait for this answer."""
        self.last_used_at = self._clock()
        if self.record.status is not TenantStatus.ACTIVE:
            return [Held(f"tenant is {self.record.status.value}", SUSPENDED_CHECK_S)] * len(asks)
        found = await asyncio.gather(*(self._look_up(ask) for ask in asks))
        # From here on nothing is awaited: who goes first is served first, whatever the order of asking.
        answers: dict[int, Passage | Later | Held] = {}
        later: defaultdict[Priority, int] = defaultdict(int)
        for position in sorted(range(len(asks)), key=lambda at: (asks[at].priority, asks[at].is_suspect, at)):
            ask, looked_up = asks[position], found[position]
            answers[position] = looked_up if isinstance(looked_up, Held) else self._let_pass(ask, looked_up, later)
        return [answers[position] for position in range(len(asks))]

    async def standing(self, cloud: Cloud) -> Held | Ready:
        """Whether a lane towards `cloud` may be read, and how far ahead. Waits for a token if one is needed."""
        self.last_used_at = self._clock()
        if self.record.status is not TenantStatus.ACTIVE:
            return Held(f"tenant is {self.record.status.value}", SUSPENDED_CHECK_S)
        no_token = await self._wait_for_token() if cloud is Cloud.GENESYS else None
        held = no_token or self._held_by_circuit(cloud)
        if held is not None:
            return held
        if self._circuits[cloud].state(self._clock()) is CircuitState.HALF_OPEN:
            return Ready(PROBE_PREFETCH, is_half_open=True)
        within = int(self._pace(cloud).per_second * READ_AHEAD_S)
        return Ready(max(1, min(LONGEST_PREFETCH, within)))

    async def credentials(self) -> Credentials:
        """What moving a file needs."""
        self.last_used_at = self._clock()
        try:
            token = await self._tokens.current()
        except TrunklineError:
            token = None  # most files need none
        return Credentials(
            self._whatsapp_access(),
            self._held_by_circuit(Cloud.WHATSAPP),
            self.record.genesys.region,
            token.access_token.reveal() if token else None,
        )

    async def refused(self, cloud: Cloud, used_token: str, words: str, *, expired: bool) -> None:
        """The cloud refused a call: an expired Genesys token is replaced, anything else opens the cloud's circuit."""
        if used_token != self._token_in_force(cloud):
            return
        circuit = self._circuits[cloud]
        replaceable = cloud is Cloud.GENESYS and (expired or self._tokens.is_inherited)
        if replaceable and not await self._tokens.refused(used_token):
            circuit.void_probe()
            return
        circuit.refused(words, self._clock())
        self._drop_bookings(cloud)

    def throttled(self, cloud: Cloud, words: str, retry_after_s: float, code: str | None = None) -> None:
        """The cloud asks to be left alone for so long."""
        now = self._clock()
        circuit = self._circuits[cloud]
        if code == NUMBER_TOO_FAST and circuit.is_news(now):
            self._number_pace.slow_down(now)
        circuit.throttled(words, now, retry_after_s)
        self._drop_bookings(cloud)

    def person_throttled(self, wa_id: str) -> None:
        """WhatsApp wants nothing more for this person for a while."""
        self._person_paces.refused(wa_id, self._clock())

    def forget_people(self, wa_ids: Iterable[str]) -> None:
        """Customers were erased: remember no conversation of theirs."""
        self._conversations.forget(wa_ids)

    def failing(self, cloud: Cloud, words: str) -> None:
        """The cloud fails call after call, or failed a probe: nothing leaves until a probe is accepted."""
        self._circuits[cloud].failing(words, self._clock())
        self._drop_bookings(cloud)

    def unused(self, cloud: Cloud) -> None:
        """The probe turned out to need no call: another one may follow."""
        self._circuits[cloud].void_probe()

    def accepted(self, cloud: Cloud) -> None:
        """The cloud accepted a probe."""
        self._circuits[cloud].accepted()
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
            "token": token
            and {
                "ageSeconds": round(now - token.issued_at),
                "expiresIn": round(token.expires_at - now),
                "expiresAt": iso_milliseconds(token.expires_at),
            },
            "tokenError": str(self._tokens.trouble) if self._tokens.trouble else None,
            "circuits": {cloud.value: self._describe(cloud, now) for cloud in Cloud},
            "limits": self._limits(now),
            "rememberedConversations": len(self._conversations),
        }

    def vitals(self) -> Vitals:
        """What is measured of an active tenant."""
        now, token, settings = self._clock(), self._tokens.held, self.record.settings
        allowed = {
            Cloud.GENESYS: settings.genesys_requests_per_minute,
            Cloud.WHATSAPP: settings.whatsapp_messages_per_second * 60,
        }
        return Vitals(
            self.record.tenant_id,
            {cloud.value: circuit.state(now).value for cloud, circuit in self._circuits.items()},
            {cloud.value: self._usages[cloud].last_minute(now) / allowed[cloud] for cloud in Cloud},
            now - token.issued_at if token else None,
            (now - token.issued_at) / max(1.0, token.expires_at - token.issued_at) if token else None,
            self._tokens.trouble is not None and not self._tokens.is_usable,
        )

    def clear_cache(self) -> None:
        """Remember no conversation, and look at the next use whether the cached token is still there."""
        self._conversations.forget_all()
        self._tokens.look_again()

    def obstacle(self, direction: Direction, wa_id: str) -> Obstacle | None:
        """Why a message of this customer cannot leave now, as far as is remembered here; books nothing."""
        if self.record.status is not TenantStatus.ACTIVE:
            return Obstacle(Hindrance.SUSPENDED, f"tenant is {self.record.status.value}")
        cloud, now = cloud_of(direction), self._clock()
        circuit, trouble = self._circuits[cloud], self._tokens.trouble
        if circuit.cause is not None:
            return Obstacle(circuit.cause, circuit.reason or "", circuit.wait_s(now))
        if cloud is Cloud.GENESYS and trouble is not None and not self._tokens.is_usable:
            refused = isinstance(trouble, CredentialsRefused)
            hindrance = Hindrance.CREDENTIALS if refused else Hindrance.NO_TOKEN
            return Obstacle(hindrance, _in_words(trouble), self._tokens.pause_s)
        person_wait_s = self._person_paces.known_wait_s(wa_id, now) if cloud is Cloud.WHATSAPP else 0.0
        if person_wait_s > 0:
            return Obstacle(
                Hindrance.PERSON_LIMIT, "WhatsApp takes only so many messages for one person", person_wait_s
            )
        own_wait_s = self._pace(cloud).wait_s(now)
        if own_wait_s > 0:
            return Obstacle(Hindrance.OWN_LIMIT, "the tenant's limit towards the cloud is booked ahead", own_wait_s)
        return None

    def _describe(self, cloud: Cloud, now: float) -> dict[str, Any]:
        """A cloud's circuit; to people it is open too while there is no token to call with."""
        circuit, trouble = self._circuits[cloud], self._tokens.trouble
        if cloud is Cloud.GENESYS and circuit.reason is None and trouble is not None and not self._tokens.is_usable:
            next_try_s = round(self._tokens.pause_s, 1)
            return {"state": CircuitState.OPEN.value, "reason": _in_words(trouble), "nextTryInSeconds": next_try_s}
        return circuit.describe(now)

    def _limits(self, now: float) -> dict[str, Any]:
        """The limits in force, what was used of them in the last minute, and how far ahead their use is booked."""
        settings = self.record.settings
        return {
            "genesysRequestsPerMinute": settings.genesys_requests_per_minute,
            "genesysRequestsLastMinute": self._usages[Cloud.GENESYS].last_minute(now),
            "genesysBookedAheadSeconds": round(self._pace(Cloud.GENESYS).wait_s(now), 1),
            "whatsappMessagesPerSecond": settings.whatsapp_messages_per_second,
            "whatsappEffectiveMessagesPerSecond": round(self._number_pace.effective(now), 1),
            "whatsappMessagesLastMinute": self._usages[Cloud.WHATSAPP].last_minute(now),
            "whatsappBookedAheadSeconds": round(self._pace(Cloud.WHATSAPP).wait_s(now), 1),
        }

    def _pace(self, cloud: Cloud) -> Pace:
        return self._genesys_pace if cloud is Cloud.GENESYS else self._number_pace.pace(self._clock())

    def _drop_bookings(self, cloud: Cloud) -> None:
        """Passages that have not left by now are asked for again once the circuit lets them."""
        self._pace(cloud).drop_bookings(self._clock())

    def _token_in_force(self, cloud: Cloud) -> str | None:
        if cloud is Cloud.WHATSAPP:
            return self.record.whatsapp.access_token.reveal()
        return self._tokens.held.access_token.reveal() if self._tokens.held else None

    async def _wait_for_token(self) -> Held | None:
        """Why there is no Genesys token, or None when there is one."""
        try:
            await self._tokens.current()
        except (CredentialsRefused, Throttled, Unavailable) as error:
            wait_s = (
                min(error.retry_after_s, LONGEST_TOKEN_CHECK_S) if isinstance(error, Throttled) else SUSPENDED_CHECK_S
            )
            return Held(_in_words(error), wait_s)
        return None

    async def _look_up(self, ask: Ask) -> _LookedUp | Held:
        """The message's conversation, unless its lane must wait anyway."""
        held = self._held(ask)
        if held is not None:
            return held
        hours = self.record.settings.conversation_window_hours
        conversation = await self._conversations.of(ask.wa_id, ask.accepted_at, hours, ask.said_at)
        window_closed = self._window_closed(ask, conversation)
        if window_closed is not None:
            # The customer may have been heard of elsewhere since.
            conversation = await self._conversations.refreshed(ask.wa_id, conversation)
            window_closed = self._window_closed(ask, conversation)
        return _LookedUp(conversation, window_closed)

    def _held(self, ask: Ask) -> Held | None:
        cloud = cloud_of(ask.direction)
        held = self._held_by_circuit(cloud, suspect=ask.is_suspect)
        if held is None and cloud is Cloud.GENESYS and self._tokens.at_hand() is None:
            return Held("its Genesys token is being fetched", TOKEN_CHECK_S)
        return held

    def _held_by_circuit(self, cloud: Cloud, *, suspect: bool = False) -> Held | None:
        circuit = self._circuits[cloud]
        wait_s = circuit.wait_s(self._clock(), suspect=suspect)
        return Held(circuit.reason or "", wait_s) if wait_s > 0 else None

    def _let_pass(self, ask: Ask, found: _LookedUp, later: defaultdict[Priority, int]) -> Passage | Later | Held:
        """Asks again what may have changed while the conversation was looked up.

        `later` counts those of this group who were told to come again: they had better not all come at once.
        """
        held = self._held(ask)
        if held is not None:
            return held
        if cloud_of(ask.direction) is Cloud.WHATSAPP:
            return self._let_pass_to_whatsapp(ask, found)
        behind = None if ask.priority is Priority.MESSAGE else self._behind_messages(ask.priority, later)
        return behind or self._book(ask, found.conversation, self._genesys_access(), self._genesys_pace)

    def _behind_messages(self, priority: Priority, later: defaultdict[Priority, int]) -> Later | Held | None:
        """Why a receipt has to wait: it takes only what messages leave over."""
        now = self._clock()
        if self._genesys_pace.wait_s(now) > RECEIPTS_WAIT_S:
            return Held("messages go before receipts", LONGEST_LATER_S)
        left_share = LEFT_BY_FAILED if priority is Priority.FAILED_RECEIPT else LEFT_BY_DELIVERED
        wait_s = self._genesys_pace.spare_in_s(now, left_share)
        if wait_s <= 0:
            return None
        wait_s += later[priority] * self._genesys_pace.interval_s
        later[priority] += 1
        return Later(min(max(wait_s, SHORTEST_LATER_S), LONGEST_LATER_S))

    def _let_pass_to_whatsapp(self, ask: Ask, found: _LookedUp) -> Passage | Later:
        conversation, access = found.conversation, self._whatsapp_access()
        if found.window_closed is not None:
            return Passage(
                self.epoch, conversation.conversation_id, access, 0.0, probe=False, window_closed=found.window_closed
            )
        if not ask.is_message:
            return self._book(ask, conversation, access, None)
        now = self._clock()
        person_wait_s = self._person_paces.wait_s(ask.wa_id, now, conversation.recent_sends)
        if person_wait_s > 0:
            # A slot of the number booked for now would be over by then, and one booked for then would stop everybody.
            return Later(person_wait_s)
        passage = self._book(ask, conversation, access, self._pace(Cloud.WHATSAPP))
        self._person_paces.reserve(ask.wa_id, now + passage.wait_s)
        return passage

    def _book(
        self, ask: Ask, conversation: Conversation, access: GenesysAccess | WhatsAppAccess, pace: Pace | None
    ) -> Passage:
        now = self._clock()
        cloud, wait_s = cloud_of(ask.direction), 0.0
        if pace is not None:
            wait_s = pace.reserve(now)
            self._usages[cloud].add(now + wait_s)
        circuit = self._circuits[cloud]
        probe = circuit.take_probe(now, suspect=ask.is_suspect, leaves_in_s=wait_s)
        return Passage(self.epoch, conversation.conversation_id, access, wait_s, probe)

    def _window_closed(self, ask: Ask, conversation: Conversation) -> str | None:
        """Why a message in free form may not be sent to this customer, in words for the agent."""
        ends_at = conversation.window_ends_at()
        if not ask.is_free_form or cloud_of(ask.direction) is not Cloud.WHATSAPP or ends_at is None:
            return None
        now = self._clock()
        # It leaves in its slot, not now.
        leaves_at = now + min(self._pace(Cloud.WHATSAPP).wait_s(now), READ_AHEAD_S)
        if leaves_at < ends_at:
            return None
        return f"WhatsApp's 24-hour window closed at {iso_milliseconds(ends_at)}: only a template may be sent"

    def _whatsapp_access(self) -> WhatsAppAccess:
        whatsapp = self.record.whatsapp
        return WhatsAppAccess(whatsapp.phone_number_id, whatsapp.access_token.reveal())

    def _genesys_access(self) -> GenesysAccess:
        account, token = self.record.genesys, self._tokens.held
        assert token is not None, "without a token the lane is held"
        with_plus = self.record.settings.phone_with_plus
        return GenesysAccess(account.region, account.integration_id, token.access_token.reveal(), with_plus)


@dataclass(frozen=True, slots=True)
class _LookedUp:
    """A message's conversation, and why WhatsApp would not take the message, if so."""

    conversation: Conversation
    window_closed: str | None


def _in_words(no_token: TrunklineError) -> str:
    """Why there is no Genesys token."""
    if isinstance(no_token, CredentialsRefused):
        return f"Genesys refuses the credentials: {no_token}"
    return str(no_token) if isinstance(no_token, Throttled) else f"no Genesys token: {no_token}"
