"""Binds the web edge to Ray Serve: `webhooks` below /webhook, `admin` for the rest."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ray import serve

from actors import directory
from actors.admin import ActorsForAdmin
from actors.edge import Edge
from config.settings import Settings
from config.wiring import AdminParts, WebhookParts
from trunkline.errors import Unavailable

log = logging.getLogger(__name__)

# Serve's default of 5 would make a burst of webhooks wait in the proxy.
CALLS_AT_ONCE = 1000
REPLICA = {"num_cpus": 0}
# A supervisor that was killed is started anew by Ray, but supervises only once somebody asks it to.
SUPERVISOR_CHECK_S = 2.0


class SupervisedWebhooks(WebhookParts):
    """Webhooks, on replicas that see that the supervisor runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._seeing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and keep the supervisor running from now on."""
        await super().start()
        self._seeing = asyncio.create_task(_keep_supervisor_running())

    async def close(self) -> None:
        """Leave the supervisor to the other replicas, record what was accepted, and disconnect."""
        if self._seeing is not None:
            self._seeing.cancel()
        await super().close()


async def _keep_supervisor_running() -> None:
    supervisor: Any = None
    while True:
        try:
            # Looking it up blocks for as long as Ray's head is away; webhooks must not wait for that.
            supervisor = supervisor or await asyncio.to_thread(directory.supervisor)
            await directory.answer(supervisor.ensure_running.remote(), directory.SUPERVISOR)
        except Unavailable as error:
            log.info("supervisor.unreachable", extra={"error": str(error)})
            supervisor = None
        except Exception:  # whatever it was, to give up would leave the lanes without a reader
            log.exception("supervisor.not_running")
            supervisor = None
        await asyncio.sleep(SUPERVISOR_CHECK_S)


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
