"""A tenant's key never shows or changes anything of another tenant's: tried on every route of the API's description."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg.rows import dict_row

from tests.trunkline.admin_app import AdminApp
from tests.trunkline.records import BY, tenant_record
from tests.trunkline.web.rows import insert_conversation, insert_dead_letter, insert_message, insert_spooled
from trunkline.envelope import Direction, Envelope
from trunkline.stores.database import connection
from trunkline.tenancy.access import Role
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord

pytestmark = pytest.mark.services

KEYLESS = {"/health", "/health/live", "/health/ready"}
Values = dict[str, Any]

# All that is kept of a tenant, and what belongs to everybody.
_KEPT = (
    *(
        f"SELECT * FROM {table} WHERE tenant_id = %(tenant)s ORDER BY {order}"
        for table, order in {
            "tenants": "1",
            "tenant_credentials": "1",
            "tenant_api_keys": "1",
            "conversation_mappings": "conversation_id",
            "messages": "message_id",
            "message_events": "at",
            "dead_letters": "id",
            "intake_spool": "id",
            "audit_log": "id",
        }.items()
    ),
    "SELECT * FROM tenant_api_keys WHERE tenant_id IS NULL ORDER BY 1",
    "SELECT * FROM meta_apps ORDER BY 1",
    "SELECT * FROM pools ORDER BY 1",
)


@dataclass
class World:
    """A tenant with something of everything, all of it with `mark` in it; and another tenant, whose key is used."""

    admin: AdminApp
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    wa_id: str = field(default_factory=lambda: f"4477{secrets.randbelow(10**8):08}")

    async def fill(self) -> World:
        """Make all of it."""
        self.tenant = tenant_record(f"owner-{self.mark}", rate_limit=1_000_000)
        self.other = tenant_record(rate_limit=1_000_000)
        await self.admin.tenants.create(self.tenant, BY)
        await self.admin.tenants.create(self.other, BY)
        self.foreign_key = await self.admin.key_of(self.other)
        keys = self.admin.keys
        self.key_id, _ = await keys.create(Role.TENANT, self.tenant.tenant_id, self.mark, BY)
        self.staff_key_id, _ = await keys.create(Role.OPERATOR, None, self.mark, BY)
        await self.admin.tenants.create_app(MetaApp(self.mark, (Secret("s" * 12),), (Secret("t" * 12),)), BY)
        await self._fill_history(self.tenant)
        self.entry_id = (await self.admin.audit.entries(1, tenant_id=self.tenant.tenant_id))[0].id
        return self

    async def _fill_history(self, tenant: TenantRecord) -> None:
        self.wamid = f"wamid.{self.mark}"
        self.conversation_id = await insert_conversation(self.admin, tenant, wa_id=self.wa_id)
        owned = {"wa_id": self.wa_id, "conversation_id": self.conversation_id}
        await insert_message(self.admin, tenant, **owned, wamid=self.wamid, text=f"secret {self.mark}")
        message_id = str(uuid.uuid4())
        await insert_message(self.admin, tenant, **owned, message_id=message_id, status="dead")
        self.letter_id = await insert_dead_letter(
            self.admin,
            tenant.tenant_id,
            message_id=message_id,
            answer=self.mark,
            envelope=self._envelope(tenant, message_id),
        )
        waiting_id = str(uuid.uuid4())
        await insert_spooled(
            self.admin,
            tenant.tenant_id,
            wa_id=self.wa_id,
            message_id=waiting_id,
            envelope=self._envelope(tenant, waiting_id),
        )

    def _envelope(self, tenant: TenantRecord, message_id: str) -> bytes:
        made = Envelope(message_id, tenant.tenant_id, Direction.INBOUND, self.wa_id, self.mark, "text", time.time(), {})
        return made.to_bytes()

    async def kept(self) -> list[list[dict[str, Any]]]:
        """All that is stored of the tenant and of everybody."""
        async with connection(self.admin.pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            found = []
            for query in _KEPT:
                await cursor.execute(query, {"tenant": self.tenant.tenant_id})
                found.append(await cursor.fetchall())
        return found


@dataclass(frozen=True)
class Example:
    """What a route is asked about the tenant; `answer` is what an admin's key gets who asks the same."""

    answer: int = 200
    path: Callable[[World], Values] = lambda world: {}
    query: Callable[[World], Values] = lambda world: {}
    body: Callable[[World], Values | None] = lambda world: None


def _genesys(world: World) -> Values:
    return {
        "region": "mypurecloud.ie",
        "clientId": "client-1",
        "clientSecret": "another-secret-1234",
        "integrationId": secrets.token_hex(16),
        "webhookSecret": "another-secret-5678",
    }


def _whatsapp(world: World) -> Values:
    return {"phoneNumberId": str(secrets.randbits(60)), "wabaId": "1", "accessToken": "another-token-1234"}


def _new_tenant(world: World) -> Values:
    tenant_id = f"new-{world.mark}"
    return {"tenantId": tenant_id, "name": "x", "whatsapp": _whatsapp(world), "genesys": _genesys(world)}


EXAMPLES: dict[tuple[str, str], Example] = {
    ("POST", "/tenants"): Example(201, body=_new_tenant),
    ("GET", "/tenants"): Example(),
    ("GET", "/tenants/{tenant_id}"): Example(),
    ("PATCH", "/tenants/{tenant_id}"): Example(body=lambda world: {"status": "suspended", "rateLimit": 1}),
    ("DELETE", "/tenants/{tenant_id}"): Example(204),
    ("GET", "/tenants/{tenant_id}/credentials/genesys"): Example(),
    ("PUT", "/tenants/{tenant_id}/credentials/genesys"): Example(body=_genesys),
    ("GET", "/tenants/{tenant_id}/whatsapp"): Example(),
    ("PUT", "/tenants/{tenant_id}/whatsapp"): Example(body=_whatsapp),
    ("GET", "/tenants/{tenant_id}/status"): Example(),
    ("POST", "/tenants/{tenant_id}/api-keys"): Example(201, body=lambda world: {"name": "x"}),
    ("GET", "/tenants/{tenant_id}/api-keys"): Example(),
    ("DELETE", "/tenants/{tenant_id}/api-keys/{key_id}"): Example(204, path=lambda world: {"key_id": world.key_id}),
    ("GET", "/api-keys"): Example(),
    ("POST", "/api-keys"): Example(201, body=lambda world: {"name": "x", "role": "admin"}),
    ("DELETE", "/api-keys/{key_id}"): Example(204, path=lambda world: {"key_id": world.staff_key_id}),
    ("GET", "/meta-apps"): Example(),
    ("POST", "/meta-apps"): Example(
        201, body=lambda world: {"app": f"{world.mark}-2", "appSecret": "s" * 12, "verifyToken": "t" * 12}
    ),
    ("DELETE", "/meta-apps/{app}"): Example(204, path=lambda world: {"app": world.mark}),
    ("GET", "/auth/token"): Example(query=lambda world: {"force": "true"}),
    ("GET", "/state/conversation"): Example(query=lambda world: {"whatsappNumber": world.wa_id}),
    ("GET", "/state/conversation/{conversation_id}"): Example(
        path=lambda world: {"conversation_id": world.conversation_id}
    ),
    ("GET", "/state/conversation/{conversation_id}/messages"): Example(
        path=lambda world: {"conversation_id": world.conversation_id}
    ),
    ("GET", "/messages/{id}/trace"): Example(path=lambda world: {"id": world.wamid}),
    ("GET", "/dead-letters"): Example(),
    ("GET", "/dead-letters/{id}"): Example(path=lambda world: {"id": world.letter_id}),
    ("POST", "/dead-letters/{id}/replay"): Example(path=lambda world: {"id": world.letter_id}),
    ("POST", "/dead-letters/replay"): Example(body=lambda world: {"ids": [world.letter_id]}),
    ("POST", "/tenants/{tenant_id}/people/erase"): Example(body=lambda world: {"whatsappNumber": world.wa_id}),
    ("GET", "/retention"): Example(),
    ("GET", "/pools"): Example(),
    ("PATCH", "/pools/{pool}"): Example(path=lambda world: {"pool": "inbound"}, body=lambda world: {"size": 2}),
    ("GET", "/actors"): Example(),
    ("GET", "/restart"): Example(),
    ("POST", "/restart"): Example(202),
    ("GET", "/queues"): Example(query=lambda world: {"queue": f"inbound-whatsapp-messages.{world.tenant.tenant_id}"}),
    ("POST", "/queues/{queue}/purge"): Example(path=lambda world: {"queue": "inbound-whatsapp-messages"}),
    ("POST", "/cache/clear"): Example(body=lambda world: {}),
    ("GET", "/audit"): Example(query=lambda world: {"tenant": world.tenant.tenant_id}),
    ("GET", "/audit/verify"): Example(),
    ("GET", "/audit/{id}"): Example(path=lambda world: {"id": world.entry_id}),
    ("GET", "/secrets"): Example(),
    ("POST", "/secrets/rotate"): Example(body=lambda world: {}),
}


@dataclass(frozen=True)
class Asked:
    """One way of naming the tenant with another's key."""

    path: str
    headers: Sequence[tuple[str, str]]
    query: Values
    names_tenant: bool


def _ways(template: str, example: Example, world: World) -> Iterator[Asked]:
    """By path, by header, by both, with two headers, and by ids in path, query and body only."""
    theirs, own = world.tenant.tenant_id, world.other.tenant_id
    named, both = [("X-Tenant-ID", theirs)], [("X-Tenant-ID", own), ("X-Tenant-ID", theirs)]
    query = example.query(world)
    for tenant_id in dict.fromkeys((theirs, own) if "{tenant_id}" in template else (theirs,)):
        path = template.format(tenant_id=tenant_id, **example.path(world))
        in_path = "{" in template and not ("{tenant_id}" in template and tenant_id == own and template.count("{") == 1)
        yield Asked(path, named, query, names_tenant=True)
        yield Asked(path, both, query, in_path)
        yield Asked(path, [], query, in_path)
        yield Asked(path, [], {**query, "tenant": theirs, "tenantId": theirs, "X-Tenant-ID": theirs}, in_path)


async def _ask(client: AsyncClient, method: str, asked: Asked, body: Values | None) -> tuple[int, str]:
    answer = await client.request(method, asked.path, headers=list(asked.headers), params=asked.query, json=body)
    return answer.status_code, answer.text


def test_every_route_has_an_example(admin: AdminApp) -> None:
    routes = {(m.upper(), path) for path, methods in admin.app.openapi()["paths"].items() for m in methods}
    assert {route for route in routes if route[1] not in KEYLESS} == EXAMPLES.keys()


@pytest.mark.parametrize(("method", "template"), EXAMPLES, ids=map(" ".join, EXAMPLES))
async def test_another_tenants_key_shows_and_changes_nothing(admin: AdminApp, method: str, template: str) -> None:
    example, world = EXAMPLES[method, template], await World(admin).fill()
    before = await world.kept()
    async with admin.client(world.foreign_key) as client:
        for asked in _ways(template, example, world):
            sent = example.body(world)
            for body in [None] if sent is None else [None, sent]:
                status, text = await _ask(client, method, asked, body)
                assert status < 500, (asked, text)
                if asked.headers == [("X-Tenant-ID", world.tenant.tenant_id)]:
                    assert status == 404, (asked, text)
                if asked.names_tenant:
                    assert status >= 400, (asked, text)
                assert world.mark not in text and world.wa_id not in text, (asked, text)
    assert await world.kept() == before
    # The example is right: whoever may, gets an answer.
    path = template.format(tenant_id=world.tenant.tenant_id, **example.path(world))
    headers = [("X-Tenant-ID", world.tenant.tenant_id)]
    async with admin.client() as client:
        right = Asked(path, headers, example.query(world), names_tenant=True)
        status, text = await _ask(client, method, right, example.body(world))
        assert status == example.answer, text
