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


@serve.deployment(name="intake", ray_actor_options=REPLICA, max_ongoing_requests=CALLS_AT_ONCE)
@serve.ingress(Edge(SupervisedWebhooks))
class Intake:
    """Replicas that take webhooks."""


@serve.deployment(name="admin", ray_actor_options=REPLICA, max_ongoing_requests=CALLS_AT_ONCE)
@serve.ingress(Edge(build_admin_parts))
class Admin:
    """Replicas of the admin API."""


def build_webhooks(settings: Settings) -> serve.Application:
    """The application to deploy at /webhook."""
    return Intake.options(num_replicas=settings.trunkline_intake_replicas).bind()


app = Admin.bind()
