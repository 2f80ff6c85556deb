"""Every metric: its name, what it says, its unit and its labels. Nothing else makes up a name.

Ray exports what it is given below its own name: a gauge `trunkline_x` as `ray_trunkline_x`, a counter with `_total`
behind it. A histogram is three counters, `…_bucket`, `…_count` and `…_sum`: Ray's own would have its agent record each
observation one by one (docs/decisions/0015-metrics-are-added-up-before-ray-gets-them.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "trunkline_"
# What stands for all tenants that have no name of their own in a metric.
OTHER: Final = "other"
# Tenants that a process names at once, and how many it ever names before it only says `other`.
TENANTS_NAMED: Final = 20
TENANTS_EVER_NAMED: Final = 200

# Why messages are given up; each is shown from the start, since a rise from nothing is no rise to Prometheus.
REASONS: Final = (
    "unrouted",
    "rejected",
    "exhausted",
    "unknown_outcome",
    "invalid",
    "unsupported",
    "window_closed",
    "media_unavailable",
    "poison",
    "tenant_deleted",
)

# Seconds. Fine where the promises lie (25, 60, 200 ms), coarse where a message waits for a cloud.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Kind(StrEnum):
    """What may be done with it: added to, set, or observed."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. `bounds` are a histogram's, in its unit."""

    name: str
    kind: Kind
    unit: str
    says: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exported(self) -> tuple[str, ...]:
        """The names of its series in Prometheus."""
        name = f"ray_{self.name}"
        match self.kind:
            case Kind.GAUGE:
                return (name,)
            case Kind.COUNTER:
                return (f"{name}_total",)
            case Kind.HISTOGRAM:
                return tuple(f"{name}_{part}_total" for part in ("bucket", "count", "sum"))


METRICS: Final[list[Metric]] = []


def _add(metric: Metric) -> Metric:
    METRICS.append(metric)
    return metric


def _counter(name: str, unit: str, says: str, *labels: str) -> Metric:
    return _add(Metric(PREFIX + name, Kind.COUNTER, unit, says, labels))


def _gauge(name: str, unit: str, says: str, *labels: str) -> Metric:
    return _add(Metric(PREFIX + name, Kind.GAUGE, unit, says, labels))


def _seconds(name: str, says: str, *labels: str) -> Metric:
    return _add(Metric(f"{PREFIX}{name}_seconds", Kind.HISTOGRAM, "seconds", says, labels, BOUNDS))


# --- what comes in ---

WEBHOOKS = _counter(
    "webhooks",
    "requests",
    "requests below /webhook, by source (meta, genesys, other), method (GET is the handshake) and status answered",
    "source", "method", "answer",
)  # fmt: skip
ACCEPT = _seconds("accept", "from a webhook's headers to its answer, by source", "source")
ACCEPTED = _counter(
    "accepted_messages",
    "messages",
    "messages stored by intake, by direction and whether in their queue or, the broker being away, in the spool",
    "direction", "kept",
)  # fmt: skip
ADMIN_REQUESTS = _counter("admin_requests", "requests", "requests of the admin API, by status answered", "answer")

# --- what becomes of it ---

ATTEMPTS = _counter(
    "attempts",
    "outcomes",
    "outcomes of attempts, by direction and outcome: delivered, repeated (after an unknown one), part_sent, retry, "
    "throttled, credentials_refused, unknown, dead, and rarer ones, named as in traces",
    "direction", "outcome",
)  # fmt: skip
CLAIMS = _counter(
    "claims",
    "claims",
    "answers to claims, by direction and answer: granted, settled (a repetition), behind (something older goes first), "
    "busy, uncertain, out_of_date, erased",
    "direction", "answer",
)  # fmt: skip
DEAD_LETTERS_MADE = _counter(
    "dead_letters_made", "messages", "messages given up, by direction and reason", "direction", "reason"
)
STAGES = _seconds(
    "stage",
    "how long messages take, by direction and stage: queue (accepted until a transformer takes it up), admit (its "
    "tenant's passage), claim, send (granted until its outcome is known), record, total (accepted until delivered), "
    "refused (accepted until refused for a closed window)",
    "direction",
    "stage",
)
CLOUD_CALLS = _counter(
    "cloud_calls",
    "calls",
    "calls to the clouds, by host (genesys, whatsapp, genesys_login) and status answered, or no_answer, not_sent",
    "cloud", "answer",
)  # fmt: skip
CLOUD_CALL = _seconds("cloud_call", "how long calls to the clouds take, by host", "cloud")
TENANT_MESSAGES = _counter(
    "tenant_messages",
    "messages",
    "messages that came to their end, by tenant (the busiest by name), direction and end (delivered, dead)",
    "tenant", "direction", "end",
)  # fmt: skip

# --- what waits ---

OLDEST = _gauge(
    "oldest_message_age_seconds",
    "seconds",
    "age of the oldest message in its lane or the spool, by direction, and whether something known holds it "
    "(suspended, a circuit, a limit)",
    "direction", "held",
)  # fmt: skip
TENANT_OLDEST = _gauge(
    "tenant_oldest_message_age_seconds",
    "seconds",
    "the same by tenant (the oldest by name) and direction",
    "tenant", "direction",
)  # fmt: skip
LANES = _gauge(
    "lanes",
    "lanes",
    "lanes in use, by direction and state: read, held (its transformer lets it wait), unread (has something and no "
    "reader), read_twice (two transformers say they read it)",
    "direction", "state",
)  # fmt: skip
UNACKED = _gauge("unacked_deliveries", "deliveries", "deliveries that transformers have of queues", "direction")
UNFINISHED = _gauge("unfinished_deliveries", "deliveries", "deliveries in transformers' hands", "direction")
SPOOLED = _gauge(
    "spooled_messages",
    "messages",
    "messages in the spool in Postgres, by direction and cause (broker_away, parked, replayed)",
    "direction", "cause",
)  # fmt: skip
DEAD_LETTERS = _gauge("dead_letters", "messages", "dead letters kept, by reason", "reason")

# --- tenants ---

ACTIVE_TENANTS = _gauge("active_tenants", "tenants", "tenants active in a cell, by cell", "actor")
TENANTS = _gauge("tenants", "tenants", "tenants in the directory, whether active or not")
CIRCUITS = _gauge(
    "circuits",
    "circuits",
    "circuits of active tenants, by cell, cloud and state (closed, open, half_open)",
    "actor", "cloud", "state",
)  # fmt: skip
TENANT_CIRCUIT = _gauge(
    "tenant_circuit_open",
    "1 or 0",
    "1 while a tenant's circuit towards a cloud is not closed (some by name; other: how many more)",
    "tenant", "cloud",
)  # fmt: skip
TOKEN_AGE = _gauge("token_age_seconds", "seconds", "age of the oldest Genesys token in use, by cell", "actor")
TOKEN_LIFE = _gauge(
    "tenant_token_life_used_ratio",
    "ratio",
    "how much of its life a tenant's Genesys token has behind it (the oldest by name); one is refreshed at 0.9",
    "tenant",
)  # fmt: skip
WITHOUT_TOKEN = _gauge(
    "tenants_without_token", "tenants", "active tenants whose Genesys token could not be had, by cell", "actor"
)
LIMIT_USED = _gauge(
    "tenant_limit_used_ratio",
    "ratio",
    "calls of the last minute as a part of what the cloud's limit allows (those nearest to it by name)",
    "tenant", "cloud",
)  # fmt: skip

# --- pools and actors ---

POOLS = _gauge(
    "pool_transformers",
    "actors",
    "transformers, by pool and what is counted: size (wanted), running, missing, min, max",
    "pool", "count",
)  # fmt: skip
LANE_MOVES = _counter(
    "lane_moves",
    "lanes",
    "lanes that got a reader (taken), lost it (let_go) or changed it (moved), by pool",
    "pool", "change",
)  # fmt: skip
ACTOR_UP = _gauge(
    "actor_up", "1 or 0", "whether an actor, or a replica of the web edge, answers the supervisor", "actor", "kind"
)
ACTOR_RESTARTS = _counter("actor_restarts", "restarts", "processes of actors and replicas that were replaced", "kind")
MEMORY = _gauge("process_memory_bytes", "bytes", "resident memory of an actor's process", "actor", "kind")
MEMORY_LIMIT = _gauge("actor_memory_limit_bytes", "bytes", "what an actor may have (TRUNKLINE_ACTOR_MEMORY_MB)")
CPU = _counter("process_cpu_seconds", "seconds", "CPU time of an actor's process", "actor", "kind")
METRICS_CPU = _counter(
    "metrics_cpu_seconds", "seconds", "of that, what handing its metrics to Ray took", "actor", "kind"
)

# --- stores and machine, as the supervisor sees them ---

STORE_UP = _gauge("store_up", "1 or 0", "whether a store (postgres, redis, rabbitmq) answers", "store")
STORE_LATENCY = _gauge("store_latency_seconds", "seconds", "how long a store took to answer", "store")
CONNECTIONS = _gauge("postgres_connections", "connections", "connections that Postgres has, ours and others'")
CONNECTIONS_LIMIT = _gauge("postgres_connections_limit", "connections", "as many as it allows (max_connections)")
CLOCK_SKEW = _gauge("clock_skew_seconds", "seconds", "how far Postgres' clock is ahead of this machine's")
AUDIT_WHOLE = _gauge("audit_log_whole", "1 or 0", "whether the chain of the audit log held when last followed")
BACKUP_AGE = _gauge(
    "backup_age_seconds", "seconds", "since the last `trunkline backup`, or since the first metrics if there was none"
)
CERTIFICATE = _gauge(
    "certificate_expires_seconds", "seconds", "until the certificate of PUBLIC_URL ends; none for http"
)
MACHINE_MEMORY = _gauge("machine_memory_bytes", "bytes", "the machine's memory: total, available", "count")
MACHINE_LOAD = _gauge("machine_load_per_core", "processes", "processes that want a core, for each core, over a minute")
DISK_FREE = _gauge("disk_free_bytes", "bytes", "free on the disk of TRUNKLINE_HOME")
MEDIA = _gauge("media_bytes", "bytes", "customers' files: kept, limit (TRUNKLINE_MEDIA_LIMIT_MB)", "count")

BY_NAME: Final = {metric.name: metric for metric in METRICS}
EXPORTED: Final = {series: metric for metric in METRICS for series in metric.exported}
