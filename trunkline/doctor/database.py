"""What Postgres says of itself: its sessions, its migrations, its tables, and what tenants lack."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from trunkline.doctor.facts import ASK_WITHIN_S, Facts, Look
from trunkline.doctor.stores import postgres
from trunkline.stores import migrations
from trunkline.stores.database import conninfo

# The tables that the routes and the guide's queries are about.
TABLES = (
    "tenants", "tenant_credentials", "tenant_api_keys", "meta_apps", "conversation_mappings", "messages",
    "message_events", "dead_letters", "intake_spool", "seen", "lanes",
)  # fmt: skip

_SESSIONS = """
SELECT current_setting('max_connections')::int AS most,
       current_setting('superuser_reserved_connections')::int AS reserved,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_most,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
       (SELECT count(*)::int FROM pg_stat_activity WHERE usename = current_user) AS role_used,
       (SELECT count(*)::int FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND state_change < now() - interval '30 seconds') AS forgotten
"""

_HOLDERS = """
SELECT COALESCE(NULLIF(application_name, ''), 'unnamed') AS name, count(*)::int AS held
FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5
"""

_KEYLESS = """
SELECT t.tenant_id FROM tenants t
WHERE t.status <> 'deleted' AND (%(tenant)s::text IS NULL OR t.tenant_id = %(tenant)s) AND NOT EXISTS (
    SELECT FROM tenant_api_keys k
    WHERE k.tenant_id = t.tenant_id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
)
ORDER BY 1 LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Connections to the server: `used` of `most`, `holders` by application; `forgotten` ones block a transaction."""

    used: int
    most: int
    holders: tuple[tuple[str, int], ...]
    forgotten: int


@dataclass(frozen=True, slots=True)
class Schema:
    """Migrations by what became of them, and tables that are there or not."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]
    tables: tuple[str, ...]
    missing_tables: tuple[str, ...]


def _look_at_sessions(facts: Facts) -> Sessions:
    with postgres(facts.scene) as connection:
        found = connection.execute(_SESSIONS).fetchone()
        holders = connection.execute(_HOLDERS).fetchall()
    assert found is not None, "a SELECT without FROM answers a row"
    used, most = found["used"], found["most"] - found["reserved"]
    if 0 <= found["role_most"] < most:
        used, most = found["role_used"], found["role_most"]
    return Sessions(used, most, tuple((each["name"], each["held"]) for each in holders), found["forgotten"])


def _look_at_schema(facts: Facts) -> Schema:
    with postgres(facts.scene) as connection:
        tables = {name for name in TABLES if _exists(connection, name)}
    url = conninfo(facts.scene.settings.database_url, connect_timeout=int(ASK_WITHIN_S))
    known = migrations.status(url)
    return Schema(
        applied=tuple(name for name, is_applied in known if is_applied),
        pending=tuple(name for name, is_applied in known if not is_applied),
        unknown=tuple(migrations.unknown(url)),
        tables=tuple(name for name in TABLES if name in tables),
        missing_tables=tuple(name for name in TABLES if name not in tables),
    )


def _exists(connection: Connection[dict[str, object]], table: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s) AS found", (table,)).fetchone()
    return found is not None and found["found"] is not None


def _look_for_keyless(facts: Facts) -> tuple[str, ...]:
    with postgres(facts.scene) as connection:
        rows = connection.execute(_KEYLESS, {"tenant": facts.scene.tenant}).fetchall()
    return tuple(row["tenant_id"] for row in rows)


SESSIONS: Look[Sessions] = Look("sessions", _look_at_sessions)
SCHEMA: Look[Schema] = Look("schema", _look_at_schema)
KEYLESS: Look[tuple[str, ...]] = Look("keyless tenants", _look_for_keyless)
