"""What the dashboards show: each panel its title, its unit, and its expressions with their legends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Unit = Literal["short", "s", "percentunit", "bytes", "reqps", "none", "bool"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph; `curves` are expressions, each with the legend of its curves. `says` is what to look for.

    Of a panel that is only a `number`, the last values count.
    """

    title: str
    unit: Unit
    curves: tuple[tuple[str, str], ...]
    says: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels, below `uid` in Grafana and in the file of that name."""

    uid: str
    title: str
    panels: tuple[Panel, ...]

    @property
    def file(self) -> str:
        """Its file in `config/grafana`."""
        return f"{self.uid.removeprefix('trunkline-')}.json"


def rate(metric: str, by: str, match: str = "", window: str = "1m") -> str:
    """A counter's growth a second, by labels."""
    return f"sum by ({by}) (rate(ray_trunkline_{metric}_total{match}[{window}]))"


def quantile(share: float, metric: str, by: str, match: str = "", window: str = "2m") -> str:
    """A quantile of a histogram, by labels."""
    of = f"rate(ray_trunkline_{metric}_seconds_bucket_total{match}[{window}])"
    return f"histogram_quantile({share:g}, sum by (le, {by}) ({of}))"


def largest(metric: str, by: str = "", match: str = "") -> str:
    """A gauge, the largest of those who tell it, by labels."""
    return f"max by ({by}) (ray_trunkline_{metric}{match})" if by else f"max(ray_trunkline_{metric}{match})"


def total(metric: str, by: str, match: str = "") -> str:
    """A gauge, added up over those who tell parts of it, by labels."""
    return f"sum by ({by}) (ray_trunkline_{metric}{match})"


DEAD: Final = '{end="dead"}'

OVERVIEW: Final = Dashboard(
    "trunkline-overview",
    "Trunkline: overview",
    (
        Panel(
            "Delivered", "reqps", ((rate("attempts", "direction", '{outcome=~"delivered|repeated"}'), "{{direction}}"),)
        ),
        Panel(
            "Webhooks by answer",
            "reqps",
            ((rate("webhooks", "source, answer"), "{{source}} {{answer}}"),),
            "200 is stored durably. 5xx: nothing takes them. 403: a signature, or a handshake, is wrong.",
        ),
        Panel(
            "From webhook to answer",
            "s",
            (
                (quantile(0.5, "accept", "source"), "{{source}} p50"),
                (quantile(0.99, "accept", "source"), "{{source}} p99"),
            ),
        ),
        Panel(
            "From acceptance to delivery",
            "s",
            (
                (quantile(0.5, "stage", "direction", '{stage="total"}'), "{{direction}} p50"),
                (quantile(0.99, "stage", "direction", '{stage="total"}'), "{{direction}} p99"),
            ),
        ),
        Panel(
            "Age of the oldest message",
            "s",
            (
                (largest("oldest_message_age_seconds", "direction", '{held="no"}'), "{{direction}}"),
                (largest("oldest_message_age_seconds", "direction", '{held="yes"}'), "{{direction}}, held"),
            ),
            "Held: its tenant is suspended, or a circuit or a limit lets it wait. Else over 60 s is trouble.",
        ),
        Panel("Stores answer", "bool", ((largest("store_up", "store"), "{{store}}"),)),
        Panel("How fast the stores answer", "s", ((largest("store_latency_seconds", "store"), "{{store}}"),)),
        Panel("Actors and replicas answer", "bool", ((largest("actor_up", "actor"), "{{actor}}"),)),
        Panel(
            "Connections of Postgres",
            "short",
            ((largest("postgres_connections"), "used"), (largest("postgres_connections_limit"), "allowed")),
        ),
        Panel(
            "Memory of the machine",
            "bytes",
            ((largest("machine_memory_bytes", "count"), "{{count}}"),),
        ),
        Panel("Processes for each core", "short", ((largest("machine_load_per_core"), "load"),)),
        Panel("Free on the disk", "bytes", ((largest("disk_free_bytes"), "free"),)),
        Panel("Customers' files", "bytes", ((largest("media_bytes", "count"), "{{count}}"),)),
        Panel("Requests of the admin API", "reqps", ((rate("admin_requests", "answer"), "{{answer}}"),)),
        Panel("Clock of Postgres, ahead of ours", "s", ((largest("clock_skew_seconds"), "ahead"),), number=True),
        Panel("The audit log is whole", "bool", (("min(ray_trunkline_audit_log_whole)", "whole"),), number=True),
        Panel("Since the last backup", "s", ((largest("backup_age_seconds"), "age"),), number=True),
        Panel(
            "Until the certificate ends",
            "s",
            (("min(ray_trunkline_certificate_expires_seconds)", "left"),),
            "Empty for a PUBLIC_URL of http.",
            number=True,
        ),
    ),
)

TENANTS: Final = Dashboard(
    "trunkline-tenants",
    "Trunkline: tenants",
    (
        Panel(
            "Tenants",
            "short",
            (("max(ray_trunkline_tenants)", "known"), ("sum(ray_trunkline_active_tenants)", "active")),
            "Who is not active costs no process, no connection and no timer.",
        ),
        Panel("Active tenants by cell", "short", ((total("active_tenants", "actor"), "{{actor}}"),)),
        Panel(
            "Busiest tenants",
            "reqps",
            ((f"topk(20, {rate('tenant_messages', 'tenant')})", "{{tenant}}"),),
            "Twenty by name at once in each transformer; the others together are `other`.",
        ),
        Panel(
            "Given up, by tenant",
            "reqps",
            ((f"topk(20, {rate('tenant_messages', 'tenant', DEAD, '5m')})", "{{tenant}}"),),
        ),
        Panel(
            "Oldest message by tenant",
            "s",
            ((largest("tenant_oldest_message_age_seconds", "tenant, direction"), "{{tenant}} {{direction}}"),),
        ),
        Panel(
            "Circuits that are not closed",
            "short",
            ((total("circuits", "cloud, state", '{state!="closed"}'), "{{cloud}} {{state}}"),),
        ),
        Panel(
            "Whose circuit is open",
            "bool",
            ((largest("tenant_circuit_open", "tenant, cloud"), "{{tenant}} {{cloud}}"),),
        ),
        Panel(
            "Use of the clouds' limits",
            "percentunit",
            ((largest("tenant_limit_used_ratio", "tenant, cloud"), "{{tenant}} {{cloud}}"),),
            "Of the last minute; 100 % is what the cloud allows, and we stay at nine tenths.",
        ),
        Panel("Tenants without a token", "short", ((total("tenants_without_token", "actor"), "{{actor}}"),)),
        Panel("Age of the oldest token", "s", ((largest("token_age_seconds", "actor"), "{{actor}}"),)),
        Panel(
            "Used part of a token's life",
            "percentunit",
            ((largest("tenant_token_life_used_ratio", "tenant"), "{{tenant}}"),),
            "Refreshed at 90 %.",
        ),
    ),
)

DELIVERY: Final = Dashboard(
    "trunkline-delivery",
    "Trunkline: delivery",
    (
        Panel("Outcomes of attempts", "reqps", ((rate("attempts", "outcome"), "{{outcome}}"),)),
        Panel("Answers to claims", "reqps", ((rate("claims", "answer"), "{{answer}}"),)),
        Panel(
            "Stages, inbound, p50",
            "s",
            ((quantile(0.5, "stage", "stage", '{direction=~"inbound|any"}'), "{{stage}}"),),
        ),
        Panel(
            "Stages, inbound, p99",
            "s",
            ((quantile(0.99, "stage", "stage", '{direction=~"inbound|any"}'), "{{stage}}"),),
        ),
        Panel(
            "Stages, outbound, p99",
            "s",
            ((quantile(0.99, "stage", "stage", '{direction=~"outbound|any"}'), "{{stage}}"),),
        ),
        Panel("Calls to the clouds", "reqps", ((rate("cloud_calls", "cloud, answer"), "{{cloud}} {{answer}}"),)),
        Panel(
            "How long the clouds take",
            "s",
            (
                (quantile(0.5, "cloud_call", "cloud"), "{{cloud}} p50"),
                (quantile(0.99, "cloud_call", "cloud"), "{{cloud}} p99"),
            ),
        ),
        Panel(
            "Accepted, by where it was stored",
            "reqps",
            ((rate("accepted_messages", "direction, kept"), "{{direction}} {{kept}}"),),
        ),
        Panel(
            "In the spool",
            "short",
            ((largest("spooled_messages", "direction, cause"), "{{direction}} {{cause}}"),),
            "broker_away grows while RabbitMQ takes nothing; parked ones wait, replayed ones are on their way.",
        ),
        Panel("Dead letters kept", "short", ((largest("dead_letters", "reason"), "{{reason}}"),)),
        Panel(
            "Given up",
            "reqps",
            ((rate("dead_letters_made", "direction, reason", "", "5m"), "{{direction}} {{reason}}"),),
        ),
        Panel(
            "Unknown outcomes",
            "reqps",
            ((rate("attempts", "direction", '{outcome=~"unknown|repeated"}', "5m"), "{{direction}}"),),
        ),
    ),
)

POOLS: Final = Dashboard(
    "trunkline-pools",
    "Trunkline: pools and actors",
    (
        Panel("Transformers", "short", ((largest("pool_transformers", "pool, count"), "{{pool}} {{count}}"),)),
        Panel("Lanes", "short", ((largest("lanes", "direction, state"), "{{direction}} {{state}}"),)),
        Panel(
            "Lanes that change their reader", "reqps", ((rate("lane_moves", "pool, change"), "{{pool}} {{change}}"),)
        ),
        Panel("Unacknowledged deliveries", "short", ((largest("unacked_deliveries", "direction"), "{{direction}}"),)),
        Panel("Deliveries in hand", "short", ((largest("unfinished_deliveries", "direction"), "{{direction}}"),)),
        Panel(
            "Memory of actors",
            "bytes",
            ((largest("process_memory_bytes", "actor"), "{{actor}}"), (largest("actor_memory_limit_bytes"), "limit")),
        ),
        Panel(
            "CPU of actors", "percentunit", ((rate("process_cpu_seconds", "actor"), "{{actor}}"),), "100 % is one core."
        ),
        Panel("Actors replaced", "reqps", ((rate("actor_restarts", "kind", "", "5m"), "{{kind}}"),)),
        Panel(
            "What handing over metrics takes",
            "percentunit",
            (
                (
                    "sum(rate(ray_trunkline_metrics_cpu_seconds_total[5m]))"
                    " / sum(rate(ray_trunkline_process_cpu_seconds_total[5m]))",
                    "of our CPU time",
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, TENANTS, DELIVERY, POOLS)
