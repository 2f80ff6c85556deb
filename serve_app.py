"""Binds the web edge to Ray Serve: `webhooks` below /webhook, `admin` for the rest."""

from __future__ import annotations

import asyncio
import logging

from ray import serve

from actors import directory, processes
from actors.admin import ActorsForAdmin
from actors.edge import Edge
from actors.watch import CROWDED
from config.admin_wiring import AdminParts
from config.settings import Settings
from config.wiring import WebhookParts
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

# Serve's default of 5 would make a burst of webhooks wait in the proxy.
CALLS_AT_ONCE = 1000
LOOK_EVERY_S = 2.0
LOOK_AGAIN_S = 0.5
SILENT_AFTER_S = 3.0
REPLICA = {"num_cpus": 0}


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
        """A supervisor that was killed is started anew by Ray, but supervises only once it is asked to; one that has
        answered before, and twice in a row does not, hangs."""
        process: str | None = None
        silences = 0
        while True:
            wait_s = LOOK_AGAIN_S
            try:
                patience_s = SILENT_AFTER_S * max(1.0, processes.crowd() / CROWDED)
                process = await processes.owner_of(directory.SUPERVISOR, patience_s)
                silences = 0
                await directory.answer(directory.supervisor().ensure_running.remote(), directory.SUPERVISOR)
                wait_s = LOOK_EVERY_S
            except Unavailable as error:
                if not isinstance(error, directory.Silent) and not processes.lives(process):
                    process = None
                silences = silences + 1 if process is not None else 0
            if process is not None and silences > 1:
                log.warning("actor.hangs", extra={"actor": directory.SUPERVISOR, "done": "ended, to start anew"})
                processes.end(directory.SUPERVISOR, process)
                process, silences = None, 0
            await asyncio.sleep(wait_s)


def build_admin_parts(settings: Settings) -> AdminParts:
    """The admin API with the actors behind it."""
    limit_bytes = settings.trunkline_actor_memory_mb * 2**20
    return AdminParts(settings, lambda tenants: ActorsForAdmin(tenants.get, settings.trunkline_cells, limit_bytes))


def _deployment(name: str, edge: Edge, finish_within_s: float) -> serve.Deployment:
    """A deployment whose replicas serve `edge`; one that leaves finishes what it has, for so long."""

    @serve.ingress(edge)
    class Replica:
        """A replica of the web edge."""

    deploy = serve.deployment(
        name=name,
        ray_actor_options=REPLICA,
        max_ongoing_requests=CALLS_AT_ONCE,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=finish_within_s,
        # A new replica serves before the old one leaves, also where there is only one.
        max_surge_percent=100,
    )
    return deploy(Replica)


intake = _deployment("intake", Edge(SupervisedWebhooks), finish_within_s=15)
webhooks = intake.bind()
# Genesys may be loading a file.
app = _deployment("admin", Edge(build_admin_parts), finish_within_s=60).bind()
