"""What wraps the parts that a message passes, so that traces tell of them; with traces off, nothing is wrapped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from trunkline.envelope import Direction, Envelope

if TYPE_CHECKING:  # each process loads what it needs of these, for they take long
    from trunkline.clients.http import Posts
    from trunkline.delivery.intake import Lanes
    from trunkline.delivery.routes import Route
    from trunkline.delivery.sender import Attempts
    from trunkline.delivery.transform import Tenants
    from trunkline.delivery.turn import Done, Turn

    Deliver = Callable[[Envelope, Turn], Awaitable[Done]]


class Untraced:
    """Every part stays what it is: with traces off, a message meets nothing of them on its way."""

    def webhooks(self, application: Any) -> Any:
        """The ASGI application below /webhook."""
        return application

    def lanes(self, lanes: Lanes) -> Lanes:
        """Where envelopes are stored."""
        return lanes

    def delivery(self, deliver: Deliver) -> Deliver:
        """What brings an envelope to its end."""
        return deliver

    def tenants(self, tenants: Tenants) -> Tenants:
        """The tenants' cells."""
        return tenants

    def attempts(self, attempts: Attempts) -> Attempts:
        """The ledger."""
        return attempts

    def routes(self, routes: Mapping[Direction, Route]) -> dict[Direction, Route]:
        """What each direction makes of an envelope."""
        return dict(routes)

    def http(self, http: Posts) -> Posts:
        """Calls to the clouds."""
        return http

    async def flush(self) -> None:
        """Hand over what has ended, within seconds."""


def build_tracing(settings: Settings, process: str) -> Untraced:
    """The traces of one process, sent to the collector that the settings name; OpenTelemetry is not loaded without."""
    if not settings.trunkline_traces_endpoint:
        return Untraced()
    from config.traced import open_tracing

    return open_tracing(settings, process)
