"""Binds the web edge to Ray Serve: `webhooks` below /webhook, `admin` for the rest."""

from __future__ import annotations

from ray import serve

from actors import directory
from actors.admin import ActorsForAdmin
from actors.edge import Edge
from config.settings import Settings
from config.wiring import AdminParts, WebhookParts

# Serve's default of 5 would make a burst of webhooks wait in the proxy.
CALLS_AT_ONCE = 1000
REPLICA = {"num_cpus": 0}


class SupervisedWebhooks(WebhookParts):
    """Webhooks, on replicas that see that the supervisor runs."""

    async def start(self) -> None:
        """Connect, and have the supervisor started if it is not."""
        await super().start()
        directory.supervisor().ensure_running.remote()


def build_admin_parts(settings: Settings) -> AdminParts:
    """The admin API with the actors behind it."""
    return AdminParts(settings, lambda tenants: ActorsForAdmin(tenants.get, settings.trunkline_cells))


def _deployment(name: str, edge: Edge) -> serve.Deployment:
    """A deployment whose replicas serve `edge`; the proxy passes on what it gets."""

    @serve.ingress(edge)
    class Replica:
        """A replica of the web edge."""

    deploy = serve.deployment(name=name, ray_actor_options=REPLICA, max_ongoing_requests=CALLS_AT_ONCE)
    return deploy(Replica)


intake = _deployment("intake", Edge(SupervisedWebhooks))
webhooks = intake.bind()
app = _deployment("admin", Edge(build_admin_parts)).bind()
