"""Binds the web edge to Ray Serve: `webhooks` below /webhook, `admin` for the rest."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ray import serve

from actors import directory
from actors.admin import ActorsForAdmin
from actors.edge import Edge
from config.admin_wiring import AdminParts
from config.settings import Settings
from config.wiring import WebhookParts
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

# Serve's default of 5 would make a burst of webhooks wait in the proxy.
CALLS_AT_ONCE = 1000
LOOK_EVERY_S = 2.0
REPLICA = {"num_cpus": 0}
# A supervisor that was killed is started anew by Ray, but supervises only once somebody asks it to.


class SupervisedWebhooks(WebhookParts):
    """Webhooks, on replicas that see that the supervisor runs: a restarted one supervises only when called."""

    async def start(self) -> None:
        """Connect, and begin to look after the supervisor."""
        await super().start()
        self._looking = asyncio.create_task(self._look_after_supervisor())

    async def close(self) -> None:
        """Look after nothing any more, and disconnect."""
        self._looking.cancel()
        await super().close()

    async def _look_after_supervisor(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                calling = directory.supervisor().ensure_running.remote()
                await directory.answer(calling, directory.SUPERVISOR)
            await asyncio.sleep(LOOK_EVERY_S)


def build_admin_parts(settings: Settings) -> AdminParts:
    """The admin API with the actors behind it."""
    return AdminParts(settings, lambda tenants: ActorsForAdmin(tenants.get, settings.trunkline_cells))


def _deployment(name: str, edge: Edge) -> serve.Deployment:
    """A deployment whose replicas serve `edge`; the proxy passes on what it gets."""

    @serve.ingress(edge)
    class Replica:
        """A replica of the web edge."""

    deploy = serve.deployment(
        name=name,
        ray_actor_options=REPLICA,
        max_ongoing_requests=CALLS_AT_ONCE,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=5,
    )
    return deploy(Replica)


intake = _deployment("intake", Edge(SupervisedWebhooks))
webhooks = intake.bind()
app = _deployment("admin", Edge(build_admin_parts)).bind()
