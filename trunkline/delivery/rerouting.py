"""Parts of webhooks that had no lane, through intake once more: whether they have one by now."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from trunkline.arrival import Arrival, Stray
from trunkline.delivery.genesys_webhook import integration_id
from trunkline.delivery.intake import Intake
from trunkline.delivery.meta_webhook import Element, webhook_of
from trunkline.delivery.people import People
from trunkline.delivery.webhook_json import NotJson, read_json
from trunkline.envelope import Envelope
from trunkline.protocol.signatures import genesys_signature_is_valid
from trunkline.tenancy.directory import TenantDirectory

UNREADABLE = "what was kept of it cannot be read, so nobody can tell what to deliver"
NOBODYS = "no tenant has this integration id: make or correct the tenant, then replay it"


class Unroutable(Exception):
    """It still has no lane; `words` say what is missing."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class _Collected:
    """The broker and the record of an intake that stores nothing: what it would have stored."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.strays: list[Stray] = []
        self.arrivals: dict[str, Arrival] = {}

    async def publish(self, envelope: Envelope) -> bool:
        self.envelopes.append(envelope)
        return False

    async def record(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals.update({arrival.envelope.message_id: arrival for arrival in arrivals})

    async def bury(self, strays: Sequence[Stray]) -> None:
        self.strays.extend(strays)

    async def count_unrouted(self) -> tuple[int, int]:
        return 0, 0


class Rerouting:
    """Routes what is kept of webhooks as if they came in now; one at a time."""

    def __init__(self, directory: TenantDirectory, people: People, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._collected = _Collected()
        self._intake = Intake(directory, self._collected, self._collected, people, clock)

    async def envelopes_of(self, body: bytes) -> list[Envelope]:
        """Its envelopes, none where nothing has to be delivered; raises Unroutable or StoreUnavailable."""
        self._collected.envelopes, self._collected.strays = [], []
        kept = _read_kept(body)
        if kept.get("source") == "meta":
            await self._take_meta(kept)
        elif isinstance(kept.get("webhook"), dict):
            await self._take_verified(kept["webhook"])
        else:
            await self._take_unverified(kept)
        if self._collected.strays:
            raise Unroutable(self._collected.strays[0].answer)
        return self._collected.envelopes

    async def arrivals_of(self, envelopes: Sequence[Envelope]) -> list[Arrival]:
        """What their rows show, for envelopes that were made here."""
        await self._intake.idle()
        found = [self._collected.arrivals.get(envelope.message_id) for envelope in envelopes]
        return [arrival for arrival in found if arrival is not None]

    async def _take_meta(self, kept: dict[str, Any]) -> None:
        """Meta's signature was verified on arrival, with the secret of the app that the number must belong to."""
        app, kind, number = kept.get("app"), kept.get("kind"), kept.get("phoneNumberId")
        if not isinstance(app, str) or kind not in ("message", "status") or not isinstance(number, str | None):
            raise Unroutable(UNREADABLE)
        await self._intake.take_meta(app, webhook_of(Element(kind, number, kept.get("raw"), kept.get("contact"))))

    async def _take_verified(self, webhook: dict[str, Any]) -> None:
        named = integration_id(webhook)
        record = await self._directory.by_integration(named) if named else None
        if record is None:
            raise Unroutable(NOBODYS)
        await self._intake.take_genesys(record, webhook)

    async def _take_unverified(self, kept: dict[str, Any]) -> None:
        signature, body = kept.get("signature"), _decoded(kept.get("body"))
        webhook = _parsed(body)
        named = integration_id(webhook)
        record = await self._directory.by_integration(named) if named else None
        if record is None:
            raise Unroutable(NOBODYS)
        if not isinstance(signature, str) or not genesys_signature_is_valid(
            body, signature, record.genesys.webhook_secret.reveal()
        ):
            raise Unroutable(f"its signature is not made with the webhook secret of tenant {record.tenant_id}")
        await self._intake.take_genesys(record, webhook)


def _read_kept(body: bytes) -> dict[str, Any]:
    try:
        kept = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unroutable(UNREADABLE) from None
    if not isinstance(kept, dict) or kept.get("v") != 1 or kept.get("source") not in ("meta", "genesys"):
        raise Unroutable(UNREADABLE)
    return kept


def _decoded(body: Any) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Unroutable(UNREADABLE) from None


def _parsed(body: bytes) -> Any:
    try:
        return read_json(body)
    except NotJson:
        raise Unroutable(UNREADABLE) from None
