"""What is kept of webhooks that had no lane, through intake once more."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.fakes import Clock, MemoryAliases, MemoryArrivals, MemoryLanes, MemoryTenants
from tests.trunkline.records import WEBHOOK_SECRET, tenant_record
from trunkline.delivery.intake import Intake
from trunkline.delivery.people import People
from trunkline.delivery.rerouting import Rerouting, Unroutable
from trunkline.envelope import Direction
from trunkline.errors import StoreUnavailable
from trunkline.protocol.signatures import sign_genesys
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import MetaApp, TenantRecord

ALDER = tenant_record("alder")
NUMBER, INTEGRATION = ALDER.whatsapp.phone_number_id, ALDER.genesys.integration_id
TEXT = {"id": "wamid.1", "from": "447700900111", "type": "text", "text": {"body": "hello"}}
STATUS = {"id": "wamid.9", "status": "delivered", "recipient_id": "447700900111"}
CONTACT = {"wa_id": "447700900111", "profile": {"name": "Ines"}}


def webhook(**value: Any) -> dict[str, Any]:
    changes = [{"field": "messages", "value": {"metadata": {"phone_number_id": NUMBER}, **value}}]
    return {"object": "whatsapp_business_account", "entry": [{"changes": changes}]}


class World:
    """An intake before and after a tenant was made."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.source = MemoryTenants()
        self.arrivals = MemoryArrivals()
        self.intake = Intake(self._directory(), MemoryLanes(), self.arrivals, self._people(), self.clock)
        self.rerouting = Rerouting(self._directory(), self._people(), self.clock)

    def make(self, record: TenantRecord) -> None:
        self.source.records[record.tenant_id] = record

    async def kept_of_meta(self, app: str = "default", **value: Any) -> list[bytes]:
        value = {"metadata": {"phone_number_id": NUMBER}, "contacts": [CONTACT], **value}
        webhook = {
            "object": "whatsapp_business_account",
            "entry": [{"changes": [{"field": "messages", "value": value}]}],
        }
        await self.intake.take_meta(app, webhook)
        return [stray.body for stray in self.arrivals.strays]

    async def kept_of_genesys(self, secret: str = WEBHOOK_SECRET) -> bytes:
        body = orjson.dumps(
            {"id": "g1", "type": "Text", "text": "hi", "channel": {"id": INTEGRATION, "to": {"id": "447700900111"}}}
        )
        await self.intake.keep_unverified(sign_genesys(body, secret), body)
        return self.arrivals.strays[-1].body

    def _directory(self) -> TenantDirectory:
        return TenantDirectory(self.source, MetaApp("default", (), ()), lambda: 0.0)

    def _people(self) -> People:
        return People(MemoryAliases(), self.clock)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_customers_message_has_an_envelope_once_its_number_has_a_tenant(world: World) -> None:
    kept = await world.kept_of_meta(messages=[TEXT], statuses=[STATUS])
    world.make(ALDER)
    (message,) = await world.rerouting.envelopes_of(kept[0])
    assert (message.tenant_id, message.direction, message.conversation) == ("alder", Direction.INBOUND, "447700900111")
    assert message.payload == {"phoneNumberId": NUMBER, "message": TEXT, "contact": CONTACT}
    (status,) = await world.rerouting.envelopes_of(kept[1])
    assert (status.direction, status.external_id, status.kind) == (Direction.STATUS, "wamid.9", "delivered")
    (arrival, _) = await world.rerouting.arrivals_of([message, status])
    assert (arrival.envelope, arrival.text) == (message, "hello")


async def test_the_envelope_is_the_one_that_a_repeated_webhook_would_make(world: World) -> None:
    (kept,) = await world.kept_of_meta(messages=[TEXT])
    world.make(ALDER)
    lanes = MemoryLanes()
    intake = Intake(world._directory(), lanes, world.arrivals, world._people(), world.clock)
    await intake.take_meta("default", webhook(messages=[TEXT]))
    (again,) = await world.rerouting.envelopes_of(kept)
    assert again.message_id == lanes.published[0].message_id


async def test_what_still_belongs_to_nobody_says_what_is_missing(world: World) -> None:
    (kept,) = await world.kept_of_meta(messages=[TEXT])
    with pytest.raises(Unroutable, match=f"no tenant has phone number id {NUMBER} with Meta app default"):
        await world.rerouting.envelopes_of(kept)
    with pytest.raises(Unroutable, match="no tenant has this integration id"):
        await world.rerouting.envelopes_of(await world.kept_of_genesys())


async def test_a_number_is_routed_only_for_the_app_that_owns_it(world: World) -> None:
    (kept,) = await world.kept_of_meta("other-app", messages=[TEXT])
    world.make(ALDER)
    with pytest.raises(Unroutable, match="with Meta app other-app"):
        await world.rerouting.envelopes_of(kept)


async def test_an_agents_message_is_verified_with_the_secret_of_the_tenant_that_has_the_integration(
    world: World,
) -> None:
    good, forged = await world.kept_of_genesys(), await world.kept_of_genesys("the secret of somebody else")
    world.make(ALDER)
    (envelope,) = await world.rerouting.envelopes_of(good)
    assert (envelope.tenant_id, envelope.direction, envelope.external_id) == ("alder", Direction.OUTBOUND, "g1")
    with pytest.raises(Unroutable, match="signature is not made with the webhook secret of tenant alder"):
        await world.rerouting.envelopes_of(forged)


async def test_a_message_that_is_invalid_is_so_again(world: World) -> None:
    world.make(ALDER)
    (kept,) = await world.kept_of_meta(messages=[{**TEXT, "id": None}])
    with pytest.raises(Unroutable, match="it has no usable id"):
        await world.rerouting.envelopes_of(kept)
    await world.intake.take_genesys(ALDER, {"id": None, "type": "Text", "channel": {"id": INTEGRATION}})
    with pytest.raises(Unroutable, match="no usable id"):
        await world.rerouting.envelopes_of(world.arrivals.strays[-1].body)


async def test_a_status_that_tells_nothing_has_no_envelope(world: World) -> None:
    (kept,) = await world.kept_of_meta(statuses=[{**STATUS, "status": "deleted"}])
    world.make(ALDER)
    assert await world.rerouting.envelopes_of(kept) == []


async def test_without_postgres_nobody_is_told_that_it_belongs_to_nobody(world: World) -> None:
    (kept,) = await world.kept_of_meta(messages=[TEXT])
    world.source.away = True
    with pytest.raises(StoreUnavailable):
        await world.rerouting.envelopes_of(kept)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"[]", b"{}", b'{"v":2,"source":"meta"}', b'{"v":1,"source":"meta"}',
        b'{"v":1,"source":"meta","app":"default","kind":"message","phoneNumberId":7}',
        b'{"v":1,"source":"genesys"}', b'{"v":1,"source":"genesys","body":"%"}',
        b'{"v":1,"source":"genesys","body":"' + base64.b64encode(b"not JSON") + b'"}',
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_not_routed(world: World, body: bytes) -> None:
    with pytest.raises(Unroutable, match="cannot be read"):
        await world.rerouting.envelopes_of(body)
