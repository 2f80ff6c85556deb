"""Intake: from a verified webhook to envelopes in their lanes. Answers for durability, does no other work."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson

from trunkline.arrival import Arrival, Stray
from trunkline.delivery.meta_webhook import Element, read_elements
from trunkline.delivery.people import People
from trunkline.delivery.recording import ArrivalLog, Recording
from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.errors import StoreUnavailable
from trunkline.people import Move
from trunkline.protocol.identity import addresses, alias_change, recipient_identity, sender_identity
from trunkline.protocol.media import customer_file
from trunkline.protocol.outbound import outbound_kind
from trunkline.protocol.times import customer_time
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import TenantRecord

log = logging.getLogger(__name__)

LONGEST_ID = 255
# Postgres tells times apart by microseconds.
CLOCK_STEP_S = 2e-6
# Statuses that tell something about an agent's message; others are counted and dropped.
TELLING_STATUSES = frozenset({"sent", "delivered", "read", "played", "failed"})
# Genesys' reports about messages, which are none themselves.
REPORT_TYPES = frozenset({"Event", "Receipt"})
# What nobody can verify is kept only up to here.
UNVERIFIED_LIMIT = 10_000
UNVERIFIED_BYTES_LIMIT = 64 * 1024 * 1024
UNVERIFIED_COUNT_EVERY_S = 5.0

# A number and a business-scoped user id, None what is not told.
Named = tuple[str | None, str | None]


class Lanes(Protocol):
    """Where envelopes are stored."""

    async def publish(self, envelope: Envelope) -> bool:
        """Whether the envelope went into its lane's queue; it is stored in any case. Raises StoreUnavailable."""


class Arrivals(ArrivalLog, Protocol):
    """The record of what came in."""

    async def bury(self, strays: Sequence[Stray]) -> None:
        """Keep strays as dead letters; raises StoreUnavailable."""

    async def count_unrouted(self) -> tuple[int, int]:
        """How many dead letters belong to no tenant, and their bytes; raises StoreUnavailable."""


class Intake:
    """Takes verified webhooks. A return means that everything in them is stored; StoreUnavailable that it is not."""

    def __init__(
        self,
        directory: TenantDirectory,
        lanes: Lanes,
        arrivals: Arrivals,
        people: People,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._lanes = lanes
        self._arrivals = arrivals
        self._people = people
        self._now = clock
        self._last_at = 0.0
        self._recording = Recording(arrivals)
        self._unverified = (0, 0)
        self._unverified_counted_at = 0.0

    async def take_meta(self, app: str, webhook: Any) -> None:
        """Store every message and status of a webhook that Meta app `app` has signed."""
        arrivals: dict[str, Arrival] = {}
        strays: list[Stray] = []
        owned: list[tuple[Element, TenantRecord, Named]] = []
        for element in read_elements(webhook):
            record = await self._owner(app, element)
            if record is None:
                strays.append(_unrouted(app, element))
            else:
                owned.append((element, record, _named(element)))
        await self._people.look_up(
            [(record.tenant_id, address) for _, record, named in owned for address in named if address]
        )
        for element, record, named in owned:
            taken = await self._arrival(element, record, named)
            if isinstance(taken, Stray):
                strays.append(taken)
            elif taken is not None:
                arrivals.setdefault(taken.envelope.message_id, taken)
        await self._store(list(arrivals.values()), strays)

    async def take_genesys(self, record: TenantRecord, webhook: dict[str, Any]) -> None:
        """Store one webhook of a tenant's integration."""
        to = _recipient(webhook)
        if to is not None:
            await self._people.look_up([(record.tenant_id, to)])
            to, _ = self._people.identify(record.tenant_id, to, None)
        taken = _genesys_arrival(webhook, record, to, self._clock())
        await self._store([taken] if isinstance(taken, Arrival) else [], [taken] if isinstance(taken, Stray) else [])

    async def keep_unverified(self, signature: str, body: bytes) -> None:
        """Keep a Genesys webhook of an unknown integration; raises StoreUnavailable when too many are kept."""
        now = self._clock()
        if now - self._unverified_counted_at > UNVERIFIED_COUNT_EVERY_S:
            self._unverified = await self._arrivals.count_unrouted()
            self._unverified_counted_at = now
        count, size = self._unverified
        if count >= UNVERIFIED_LIMIT or size + len(body) > UNVERIFIED_BYTES_LIMIT:
            raise StoreUnavailable("too many webhooks of unknown integrations are kept: look at the dead letters")
        self._unverified = (count + 1, size + len(body))
        kept = orjson.dumps(
            {"v": 1, "source": "genesys", "signature": signature, "body": base64.b64encode(body).decode()}
        )
        message_id = uuid.UUID(message_id_for("", Direction.OUTBOUND, signature, body.hex()))
        words = "no tenant has this integration id"
        await self._arrivals.bury([Stray(message_id, Direction.OUTBOUND, "unrouted", words, kept)])

    async def idle(self) -> None:
        """Return when what was accepted so far is recorded, if it can be."""
        await self._recording.idle()

    async def caught_up(self) -> None:
        """Return once all that is in queues is recorded; raises StoreUnavailable when it cannot be."""
        await self._recording.caught_up()

    def _clock(self) -> float:
        """The time, later than any that was told before: it orders what is spooled."""
        self._last_at = max(self._now(), self._last_at + CLOCK_STEP_S)
        return self._last_at

    async def _arrival(self, element: Element, record: TenantRecord, named: Named) -> Arrival | Stray | None:
        raw, now = element.raw, self._clock()
        external_id = raw.get("id") if isinstance(raw, dict) else None
        if not isinstance(external_id, str) or not 0 < len(external_id) <= LONGEST_ID:
            return _invalid(element, record, "it has no usable id")
        if element.kind == "status":
            return _status_arrival(element, record, external_id, now)
        identity, aliases = self._people.identify(record.tenant_id, *named)
        if identity is None:
            return _invalid(element, record, "it names no sender")
        if change := alias_change(raw):
            await self._people.move(Move(record.tenant_id, *change, customer_time(raw, now)))
        envelope, text = _message_envelope(element, record, external_id, identity, now)
        hours = record.settings.conversation_window_hours
        return Arrival(envelope, text, hours, is_message=True, aliases=tuple(aliases), file=customer_file(raw))

    async def _owner(self, app: str, element: Element) -> TenantRecord | None:
        if element.phone_number_id is None:
            return None
        record = await self._directory.by_phone_number(element.phone_number_id)
        # A tenant with an app of its own must not write in the name of another one's number.
        return record if record is not None and record.whatsapp.app == app else None

    async def _store(self, arrivals: Sequence[Arrival], strays: Sequence[Stray]) -> None:
        conversations: defaultdict[tuple[str, str, str], list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            envelope = arrival.envelope
            conversations[envelope.tenant_id, envelope.direction.value, envelope.conversation].append(arrival)
        work = [self._publish_in_order(conversation) for conversation in conversations.values()]
        if strays:
            work.append(self._arrivals.bury(strays))
        if len(work) == 1:
            await work[0]
            return
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _publish_in_order(self, arrivals: Sequence[Arrival]) -> None:
        """The first that cannot be stored stops the rest of its conversation, so that none overtakes it."""
        for arrival in arrivals:
            queued = await self._lanes.publish(arrival.envelope)
            self._recording.submit(arrival, queued=queued)


def _named(element: Element) -> Named:
    """The addresses that a message names for its sender."""
    is_message = element.kind == "message" and isinstance(element.raw, dict)
    return addresses(element.raw, element.contact) if is_message else (None, None)


def _message_envelope(
    element: Element, record: TenantRecord, wamid: str, identity: str, now: float
) -> tuple[Envelope, str | None]:
    raw = element.raw
    kind = raw.get("type")
    text = raw.get("text")
    body = text.get("body") if isinstance(text, dict) else None
    number = element.phone_number_id or ""
    envelope = Envelope(
        message_id=message_id_for(record.tenant_id, Direction.INBOUND, number, wamid),
        tenant_id=record.tenant_id,
        direction=Direction.INBOUND,
        conversation=identity,
        external_id=wamid,
        kind=kind if isinstance(kind, str) else "unknown",
        accepted_at=now,
        payload={"phoneNumberId": number, "message": raw, "contact": element.contact},
    )
    return envelope, body if isinstance(body, str) else None


def _status_arrival(element: Element, record: TenantRecord, wamid: str, now: float) -> Arrival | Stray | None:
    raw = element.raw
    status = raw.get("status")
    if not isinstance(status, str) or status not in TELLING_STATUSES:
        return None
    number = element.phone_number_id or ""
    participant = str(raw.get("recipient_participant_id") or "")
    envelope = Envelope(
        message_id=message_id_for(record.tenant_id, Direction.STATUS, number, wamid, status, participant),
        tenant_id=record.tenant_id,
        direction=Direction.STATUS,
        conversation=sender_identity(raw, element.contact) or wamid,
        external_id=wamid,
        kind=status,
        accepted_at=now,
        payload={"status": raw},
    )
    return _with_text(envelope, None, record, is_message=False)


def _recipient(webhook: dict[str, Any]) -> str | None:
    """Whom a webhook of Genesys is for, as far as it can be told."""
    channel = webhook.get("channel")
    to = channel.get("to") if isinstance(channel, dict) else None
    to_id = to.get("id") if isinstance(to, dict) else None
    # Nobody's identity is longer; Postgres could not index what is.
    return (recipient_identity(to_id) or to_id)[:LONGEST_ID] if isinstance(to_id, str) and to_id else None


def _genesys_arrival(
    webhook: dict[str, Any], record: TenantRecord, identity: str | None, now: float
) -> Arrival | Stray | None:
    kind = webhook.get("type")
    kind = kind if isinstance(kind, str) else "unknown"
    genesys_id = webhook.get("id")
    integration = record.genesys.integration_id
    if kind == "Event":
        genesys_id = genesys_id if isinstance(genesys_id, str) else str(uuid.uuid4())
    elif not isinstance(genesys_id, str) or not 0 < len(genesys_id) <= LONGEST_ID:
        body = orjson.dumps({"v": 1, "source": "genesys", "webhook": webhook})
        key = uuid.UUID(message_id_for(record.tenant_id, Direction.OUTBOUND, body.hex()))
        words = "it has no usable id, so no receipt could name it"
        return Stray(key, Direction.OUTBOUND, "invalid", words, body, record.tenant_id, wa_id=identity)
    status = str(webhook.get("status") or "") if kind == "Receipt" else ""
    text = webhook.get("text")
    envelope = Envelope(
        message_id=message_id_for(record.tenant_id, Direction.OUTBOUND, integration, kind, genesys_id, status),
        tenant_id=record.tenant_id,
        direction=Direction.OUTBOUND,
        conversation=identity or "nobody",
        external_id=genesys_id,
        kind=outbound_kind(webhook),
        accepted_at=now,
        payload=webhook,
    )
    return _with_text(envelope, text, record, is_message=kind not in REPORT_TYPES)


def _with_text(envelope: Envelope, text: Any, record: TenantRecord, *, is_message: bool) -> Arrival:
    return Arrival(
        envelope, text if isinstance(text, str) else None, record.settings.conversation_window_hours, is_message
    )


def _unrouted(app: str, element: Element) -> Stray:
    number = element.phone_number_id
    words = f"no tenant has phone number id {number} with Meta app {app}" if number else "no phone number id is named"
    return _stray(element, "unrouted", words, None, app)


def _invalid(element: Element, record: TenantRecord, words: str) -> Stray:
    return _stray(element, "invalid", words, record.tenant_id, record.whatsapp.app)


def _stray(element: Element, reason: str, words: str, tenant_id: str | None, app: str) -> Stray:
    external_id = element.raw.get("id") if isinstance(element.raw, dict) else None
    external_id = external_id if isinstance(external_id, str) else None
    direction = Direction.INBOUND if element.kind == "message" else Direction.STATUS
    body = orjson.dumps(
        {
            "v": 1,
            "source": "meta",
            "app": app,
            "kind": element.kind,
            "phoneNumberId": element.phone_number_id,
            "raw": element.raw,
            "contact": element.contact,
        }
    )
    # Without an id of its own, its content tells a repetition from another one.
    state = str(element.raw.get("status")) if isinstance(element.raw, dict) else ""
    key = external_id or body.hex()
    message_id = uuid.UUID(message_id_for(tenant_id or "", direction, str(element.phone_number_id), key, state))
    is_readable = tenant_id is not None and isinstance(element.raw, dict)
    wa_id = sender_identity(element.raw, element.contact) if is_readable else None
    return Stray(message_id, direction, reason, words, body, tenant_id, wamid=external_id, wa_id=wa_id)
