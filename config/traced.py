"""The parts that a message passes where traces are on. Loaded only then, for it loads OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from config.settings import Settings
from config.tracing import Untraced
from trunkline.clients.collector import open_collector
from trunkline.clients.traced_http import TracedHttp
from trunkline.delivery.traced import TracedAttempts, TracedDelivery, TracedLanes, TracedRoute, TracedTenants
from trunkline.envelope import Direction
from trunkline.tracing import Tracing
from trunkline.web.traced_webhooks import TracedWebhooks

if TYPE_CHECKING:
    from config.tracing import Deliver
    from trunkline.clients.http import Posts
    from trunkline.delivery.intake import Lanes
    from trunkline.delivery.routes import Route
    from trunkline.delivery.sender import Attempts
    from trunkline.delivery.transform import Tenants


class Traced(Untraced):
    """Each part is wrapped."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def webhooks(self, application: Any) -> Any:
        """The ASGI application below /webhook."""
        return TracedWebhooks(application)

    def lanes(self, lanes: Lanes) -> Lanes:
        """Where envelopes are stored."""
        return TracedLanes(lanes, self._tracing)

    def delivery(self, deliver: Deliver) -> Deliver:
        """What brings an envelope to its end."""
        return TracedDelivery(deliver, self._tracing)

    def tenants(self, tenants: Tenants) -> Tenants:
        """The tenants' cells."""
        return cast("Tenants", TracedTenants(tenants, self._tracing))

    def attempts(self, attempts: Attempts) -> Attempts:
        """The ledger."""
        return TracedAttempts(attempts, self._tracing)

    def routes(self, routes: Mapping[Direction, Route]) -> dict[Direction, Route]:
        """What each direction makes of an envelope."""
        return {direction: TracedRoute(route, self._tracing) for direction, route in routes.items()}

    def http(self, http: Posts) -> Posts:
        """Calls to the clouds."""
        return TracedHttp(http)

    async def flush(self) -> None:
        """Hand over what has ended, within seconds."""
        await self._tracing.flush()


def open_tracing(settings: Settings, process: str) -> Traced:
    """The traces of one process, sent to the collector that the settings name; starts a thread."""
    collector = open_collector(settings.traces_url, settings.traces_headers)
    secret = settings.sealing_keys[0] if settings.sealing_keys else ""
    return Traced(Tracing(collector, process, settings.trunkline_traces_ratio, secret.encode()))
