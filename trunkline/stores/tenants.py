"""Tenants, their credentials and Meta apps in Postgres; secrets are sealed on the way in and opened on the way out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from trunkline.errors import Conflict, NotFound, Sealed
from trunkline.stores.api_keys import insert_key
from trunkline.stores.audit import append
from trunkline.stores.database import Connection, Pool, connection
from trunkline.stores.sealing import Sealer
from trunkline.tenancy.access import Role
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.tenancy.audited import app_facts, tenant_changes, tenant_facts
from trunkline.tenancy.record import (
    GenesysAccount,
    MetaApp,
    Secret,
    TenantId,
    TenantRecord,
    TenantSettings,
    TenantStatus,
    WhatsAppAccount,
)

log = logging.getLogger(__name__)

FIRST_KEY_NAME = "first key"
# Opening seals is work for the processor; after so many tenants others get their turn.
OPEN_AT_ONCE = 100

_SELECT = """
SELECT t.tenant_id, t.name, t.status, t.rate_limit, t.dedicated, t.settings, t.created_at, t.updated_at,
       c.meta_app, c.phone_number_id, c.waba_id, c.display_phone_number, c.access_token,
       c.genesys_region, c.genesys_client_id, c.genesys_client_secret, c.integration_id, c.webhook_secret
FROM tenants t JOIN tenant_credentials c USING (tenant_id)
WHERE t.status <> 'deleted'
"""

_INSERT_TENANT = """
INSERT INTO tenants (tenant_id, name, status, rate_limit, dedicated, settings, created_at, updated_at)
VALUES (%(tenant_id)s, %(name)s, %(status)s, %(rate_limit)s, %(dedicated)s, %(settings)s, %(created_at)s,
        %(updated_at)s)
"""

_INSERT_CREDENTIALS = """
INSERT INTO tenant_credentials (tenant_id, meta_app, phone_number_id, waba_id, display_phone_number, access_token,
    genesys_region, genesys_client_id, genesys_client_secret, integration_id, webhook_secret)
VALUES (%(tenant_id)s, %(meta_app)s, %(phone_number_id)s, %(waba_id)s, %(display_phone_number)s, %(access_token)s,
    %(genesys_region)s, %(genesys_client_id)s, %(genesys_client_secret)s, %(integration_id)s, %(webhook_secret)s)
"""

_UPDATE_TENANT = """
UPDATE tenants SET name = %(name)s, status = %(status)s, rate_limit = %(rate_limit)s, dedicated = %(dedicated)s,
    settings = %(settings)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s RETURNING updated_at
"""

_UPDATE_CREDENTIALS = """
UPDATE tenant_credentials SET meta_app = %(meta_app)s, phone_number_id = %(phone_number_id)s, waba_id = %(waba_id)s,
    display_phone_number = %(display_phone_number)s, access_token = %(access_token)s,
    genesys_region = %(genesys_region)s, genesys_client_id = %(genesys_client_id)s,
    genesys_client_secret = %(genesys_client_secret)s, integration_id = %(integration_id)s,
    webhook_secret = %(webhook_secret)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s
"""

_STANDING = "SELECT name, status FROM tenants WHERE tenant_id = %s AND status <> 'deleted' FOR UPDATE"
_DELETE = "UPDATE tenants SET status = 'deleted', updated_at = now() WHERE tenant_id = %s"
_REVOKE_KEYS = """
UPDATE tenant_api_keys SET revoked_at = now() WHERE tenant_id = %s AND revoked_at IS NULL RETURNING key_id
"""

_TAKEN = {
    "tenants_pkey": "tenantId",
    "tenant_credentials_phone_number_id": "whatsapp.phoneNumberId",
    "tenant_credentials_integration_id": "genesys.integrationId",
}


class TenantStore:
    """Tenants and Meta apps. Deleted tenants are as good as not there; their id stays taken.

    Every change is noted in the audit log with it, as done by `by`.

    `conversation_window_hours` is the window of tenants that set none of their own.
    """

    def __init__(self, pool: Pool, sealer: Sealer, conversation_window_hours: int = 72) -> None:
        self._pool = pool
        self._sealer = sealer
        self._window_hours = conversation_window_hours

    async def create(self, record: TenantRecord, by: Actor) -> tuple[str, str]:
        """Store a new tenant with its first key: `(key_id, key)`; raises Conflict naming the field that is taken."""
        row = self._row(record)
        try:
            async with connection(self._pool) as taken:
                await taken.execute(_INSERT_TENANT, row)
                await taken.execute(_INSERT_CREDENTIALS, row)
                key_id, key = await insert_key(taken, Role.TENANT, record.tenant_id, FIRST_KEY_NAME, None)
                facts = {**tenant_facts(record), "keyId": key_id}
                await _note(taken, by, "tenant.created", record.tenant_id, after=facts)
                return key_id, key
        except UniqueViolation as error:
            raise _conflict(error, row) from None

    async def get(self, tenant_id: str) -> TenantRecord | None:
        """The tenant, or None when there is none or it was deleted."""
        return await self._find(" AND t.tenant_id = %s", tenant_id)

    async def find_by_phone_number(self, phone_number_id: str) -> TenantRecord | None:
        """The tenant that owns a WhatsApp number."""
        return await self._find(" AND c.in_use AND c.phone_number_id = %s", phone_number_id)

    async def find_by_integration(self, integration_id: str) -> TenantRecord | None:
        """The tenant that owns an Open Messaging integration."""
        return await self._find(" AND c.in_use AND c.integration_id = %s", integration_id)

    async def list_tenants(self, limit: int, after: str | None = None) -> list[TenantRecord]:
        """A page of tenants in order of their ids, those behind `after`, to be shown: their secrets are left empty."""
        query = f"{_SELECT} AND t.tenant_id > %s ORDER BY t.tenant_id LIMIT %s"
        return [self._record(row, _leave_sealed) for row in await self._rows(query, (after or "", limit))]

    async def load_all(self) -> list[TenantRecord]:
        """Every tenant. One whose secrets cannot be opened is left out and logged; raises Sealed if none can."""
        records: list[TenantRecord] = []
        rows = await self._rows(f"{_SELECT} ORDER BY t.tenant_id", ())
        sealed: Sealed | None = None
        for number, row in enumerate(rows, start=1):
            try:
                records.append(self._record(row))
            except Sealed as error:
                sealed = error
                log.error("tenant.sealed", extra={"tenant": row["tenant_id"], "reason": str(error)})
            if number % OPEN_AT_ONCE == 0:
                await asyncio.sleep(0)
        if sealed is not None and not records:
            raise sealed
        return records

    async def update(self, tenant_id: str, change: Callable[[TenantRecord], TenantRecord], by: Actor) -> TenantRecord:
        """Store what `change` makes of the tenant as it stands; nobody else changes it meanwhile.

        Raises NotFound, or Conflict naming the field that is taken. What `change` raises leaves all as it was.
        """
        row: dict[str, Any] = {}
        try:
            async with connection(self._pool) as taken:
                before = await self._lock(taken, tenant_id)
                after = change(before)
                row = self._row(after)
                await taken.execute(_UPDATE_TENANT, row)
                if (after.whatsapp, after.genesys) != (before.whatsapp, before.genesys):
                    await taken.execute(_UPDATE_CREDENTIALS, row)
                stored = await self._lock(taken, tenant_id)
                was, now = tenant_changes(before, after)
                if now:
                    await _note(taken, by, "tenant.updated", tenant_id, before=was, after=now)
                return stored
        except UniqueViolation as error:
            raise _conflict(error, row) from None

    async def delete(self, tenant_id: str, by: Actor) -> bool:
        """Whether there was such a tenant; its number and integration are free again, its keys dead."""
        async with connection(self._pool) as taken:
            standing = await (await taken.execute(_STANDING, (tenant_id,))).fetchone()
            if standing is None:
                return False
            await taken.execute(_DELETE, (tenant_id,))
            await taken.execute("UPDATE tenant_credentials SET in_use = false WHERE tenant_id = %s", (tenant_id,))
            keys = await (await taken.execute(_REVOKE_KEYS, (tenant_id,))).fetchall()
            before = {"name": standing[0], "status": standing[1]}
            after = {"status": "deleted", "revokedKeys": [key_id for (key_id,) in keys]}
            await _note(taken, by, "tenant.deleted", tenant_id, before=before, after=after)
        return True

    async def create_app(self, app: MetaApp, by: Actor) -> None:
        """Store a further Meta app; raises Conflict when its name is taken."""
        row = (app.app, self._seal_all(app.app_secrets), self._seal_all(app.verify_tokens))
        try:
            async with connection(self._pool) as taken:
                await taken.execute("INSERT INTO meta_apps (app, app_secret, verify_token) VALUES (%s, %s, %s)", row)
                await append(taken, AuditRecord(by, "meta_app.created", None, app.app, after=app_facts(app)))
        except UniqueViolation:
            raise Conflict("app", app.app) from None

    async def list_apps(self) -> list[MetaApp]:
        """The further Meta apps in order of their names; raises Sealed."""
        return [self._app(row) for row in await self._rows("SELECT * FROM meta_apps ORDER BY app", ())]

    async def load_apps(self) -> list[MetaApp]:
        """Every further Meta app whose secrets can be opened; the others are logged."""
        apps: list[MetaApp] = []
        for row in await self._rows("SELECT * FROM meta_apps ORDER BY app", ()):
            try:
                apps.append(self._app(row))
            except Sealed as error:
                log.error("meta_app.sealed", extra={"app": row["app"], "reason": str(error)})
        return apps

    async def has_app(self, app: str) -> bool:
        """Whether there is a further Meta app of this name."""
        return bool(await self._rows("SELECT FROM meta_apps WHERE app = %s", (app,)))

    async def tenants_of_app(self, app: str, limit: int = 10) -> list[str]:
        """Ids of tenants whose number belongs to this Meta app."""
        query = "SELECT tenant_id FROM tenant_credentials WHERE in_use AND meta_app = %s ORDER BY tenant_id LIMIT %s"
        return [row["tenant_id"] for row in await self._rows(query, (app, limit))]

    async def delete_app(self, app: str, by: Actor) -> bool:
        """Whether there was such a Meta app."""
        async with connection(self._pool) as taken:
            if (await taken.execute("DELETE FROM meta_apps WHERE app = %s", (app,))).rowcount == 0:
                return False
            await append(taken, AuditRecord(by, "meta_app.deleted", None, app, before={"app": app}))
        return True

    async def _find(self, condition: str, value: str) -> TenantRecord | None:
        rows = await self._rows(_SELECT + condition, (value,))
        return self._record(rows[0]) if rows else None

    async def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[dict[str, Any]]:
        async with connection(self._pool) as taken, taken.cursor(row_factory=dict_row) as cursor:
            return await (await cursor.execute(query, parameters)).fetchall()

    async def _lock(self, taken: Connection, tenant_id: str) -> TenantRecord:
        async with taken.cursor(row_factory=dict_row) as cursor:
            row = await (await cursor.execute(f"{_SELECT} AND t.tenant_id = %s FOR UPDATE", (tenant_id,))).fetchone()
        if row is None:
            raise NotFound("Tenant")
        return self._record(row)

    def _record(self, row: dict[str, Any], unseal: Callable[[bytes], Secret] | None = None) -> TenantRecord:
        unseal = unseal or self._sealer.open
        return TenantRecord(
            tenant_id=TenantId(row["tenant_id"]),
            name=row["name"],
            status=TenantStatus(row["status"]),
            rate_limit=row["rate_limit"],
            dedicated=row["dedicated"],
            settings=self._settings(row["settings"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            whatsapp=WhatsAppAccount(
                phone_number_id=row["phone_number_id"],
                waba_id=row["waba_id"],
                access_token=unseal(row["access_token"]),
                display_phone_number=row["display_phone_number"],
                app=row["meta_app"],
            ),
            genesys=GenesysAccount(
                region=row["genesys_region"],
                client_id=row["genesys_client_id"],
                client_secret=unseal(row["genesys_client_secret"]),
                integration_id=row["integration_id"],
                webhook_secret=unseal(row["webhook_secret"]),
            ),
        )

    def _settings(self, stored: dict[str, Any]) -> TenantSettings:
        settings = TenantSettings.model_validate(stored)
        if "conversation_window_hours" in settings.model_fields_set:
            return settings
        # Not counted as set, so that storing the record again does not freeze today's default.
        values = {**dict(settings), "conversation_window_hours": self._window_hours}
        return TenantSettings.model_construct(_fields_set=set(settings.model_fields_set), **values)

    def _row(self, record: TenantRecord) -> dict[str, Any]:
        return {
            "tenant_id": record.tenant_id,
            "name": record.name,
            "status": record.status.value,
            "rate_limit": record.rate_limit,
            "dedicated": record.dedicated,
            "settings": Jsonb(record.settings.model_dump(mode="json", by_alias=True, exclude_unset=True)),
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "meta_app": record.whatsapp.app,
            "phone_number_id": record.whatsapp.phone_number_id,
            "waba_id": record.whatsapp.waba_id,
            "display_phone_number": record.whatsapp.display_phone_number,
            "access_token": self._sealer.seal(record.whatsapp.access_token),
            "genesys_region": record.genesys.region,
            "genesys_client_id": record.genesys.client_id,
            "genesys_client_secret": self._sealer.seal(record.genesys.client_secret),
            "integration_id": record.genesys.integration_id,
            "webhook_secret": self._sealer.seal(record.genesys.webhook_secret),
        }

    def _app(self, row: dict[str, Any]) -> MetaApp:
        return MetaApp(row["app"], self._open_all(row["app_secret"]), self._open_all(row["verify_token"]))

    def _seal_all(self, secrets: tuple[Secret, ...]) -> bytes:
        return self._sealer.seal(Secret(",".join(secret.reveal() for secret in secrets)))

    def _open_all(self, sealed: bytes) -> tuple[Secret, ...]:
        return tuple(Secret(part) for part in self._sealer.open(sealed).reveal().split(","))


async def _note(
    taken: Connection,
    by: Actor,
    action: str,
    tenant_id: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    await append(taken, AuditRecord(by, action, tenant_id, tenant_id, before, after))


def _leave_sealed(_: bytes) -> Secret:
    return Secret("")


def _conflict(error: UniqueViolation, row: dict[str, Any]) -> Conflict:
    field = _TAKEN.get(error.diag.constraint_name or "", "tenantId")
    column = {"tenantId": "tenant_id", "whatsapp.phoneNumberId": "phone_number_id"}.get(field, "integration_id")
    return Conflict(field, str(row[column]))
