"""Chapter 5, the database: connections that are used up, migrations that are missing or failed."""

from __future__ import annotations

from datetime import timedelta

from trunkline.doctor.database import SCHEMA, SESSIONS, Schema
from trunkline.doctor.facts import Facts, Unseen
from trunkline.doctor.logbook import LOGBOOK, clock_of
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, some, well, worst
from trunkline.doctor.stores import POSTGRES
from trunkline.stores.database import TOO_MANY_CLIENTS

FULL_SHARE = 0.9
BUSY_SHARE = 0.75
# Lines of work without a connection are a symptom of now for so long.
LATELY = timedelta(minutes=5)

_WHO = (
    'psql "$DATABASE_URL" -c "SELECT application_name, usename, state, count(*) FROM pg_stat_activity '
    'GROUP BY 1, 2, 3 ORDER BY 4 DESC"'
)
_REMEDY = [
    f"see who holds them: {_WHO}",
    "stop what does not belong there, or have it hold fewer",
    "raise max_connections in postgresql.conf (each replica and transformer of Trunkline holds at most 8) and restart "
    "Postgres, or the role's own limit: ALTER ROLE name CONNECTION LIMIT -1",
]


def _connections(facts: Facts) -> Opinion:
    if facts.of(POSTGRES).is_full:
        return ill([TOO_MANY_CLIENTS], _REMEDY)
    sessions = facts.of(SESSIONS)
    holders = ", ".join(f"{name} {count}" for name, count in sessions.holders)
    seen = f"{sessions.used} of {sessions.most} connections are in use ({holders})"
    share = sessions.used / max(1, sessions.most)
    opinion = well(seen)
    if share >= BUSY_SHARE:
        opinion = (ill if share >= FULL_SHARE else doubtful)([seen], _REMEDY)
    if sessions.forgotten:
        opinion = worst(
            opinion,
            doubtful(
                [f"{sessions.forgotten} sessions have sat idle in a transaction for over 30 s and hold what it locked"],
                [f"see whose they are: {_WHO}"],
            ),
        )
    return worst(opinion, _in_log(facts))


def _in_log(facts: Facts) -> Opinion:
    try:
        lines = facts.of(LOGBOOK).without_connection()
    except Unseen:
        return well()
    if not lines:
        return well()
    last = lines[-1]
    told = [f"{len(lines)} times in the last hour, the last at {clock_of(last.at)}: {last.facts['error']}"]
    return (ill if facts.scene.now - last.at < LATELY else doubtful)(told, _REMEDY)


def _migrations(facts: Facts) -> Opinion:
    schema = facts.of(SCHEMA)
    if schema.pending:
        return _pending(schema)
    if schema.unknown:
        return ill(
            [f"the database has migrations that this version does not know: {', '.join(schema.unknown)}"],
            [
                "it belongs to a newer version: run that one",
                "or with the newer one, go back first: scripts/trunkline migrate down",
            ],
        )
    if schema.missing_tables:
        return ill(
            [f"every migration is marked as applied, but tables are missing: {', '.join(schema.missing_tables)}"],
            [
                "is DATABASE_URL the right database? scripts/trunkline migrate status",
                "if it is, something else has dropped them: scripts/trunkline restore FILE",
            ],
        )
    return well(f"{len(schema.applied)} migrations are applied, none is pending")


def _pending(schema: Schema) -> Opinion:
    evidence = some([f"pending: {name}" for name in schema.pending])
    remedy = ["scripts/trunkline migrate up", "then start again: scripts/run"]
    if not schema.applied and schema.tables:
        evidence.append(f"no migration is marked as applied, yet there are tables: {', '.join(schema.tables)}")
        remedy.insert(0, "is DATABASE_URL the right database? scripts/trunkline migrate status")
    if not schema.missing_tables:
        evidence.append(
            "every table is there all the same: a mark was lost, and `migrate up` will say what is in the way"
        )
        remedy.append(
            "if it is refused: scripts/trunkline restore FILE, or have the mark put back by whoever removed it"
        )
    return ill(evidence, remedy)


CHECKS = (
    Check("connections", 5, "connections to Postgres are left", (POSTGRES, SESSIONS, LOGBOOK), _connections),
    Check("migrations", 5, "every migration is applied", (SCHEMA,), _migrations, also=(1,)),
)
