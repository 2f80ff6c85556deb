"""The parts of the sandbox that the control API observes and turns."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.accounts import Account, Accounts
from sandbox.attachments import Attachments
from sandbox.conversations import Conversations
from sandbox.events import EventLog
from sandbox.faults import Faults
from sandbox.files import Files
from sandbox.genesys import GenesysCloud
from sandbox.graph import GraphApi
from sandbox.limits import Limiters
from sandbox.media import MediaLibrary
from sandbox.meta_app import MetaApp
from sandbox.senders import Senders
from sandbox.statuses import StatusFeed
from sandbox.templates import Templates
from sandbox.webhooks import Get, WebhookSender


class NoSuchTenant(Exception):
    """No account of this tenant is registered."""


@dataclass(slots=True)
class InFlight:
    """Calls of the router under way."""

    now: int = 0
    most: int = 0

    def begin(self) -> None:
        """A call has come."""
        self.now += 1
        self.most = max(self.most, self.now)

    def end(self) -> None:
        """A call was answered."""
        self.now -= 1


@dataclass(frozen=True, slots=True)
class Parts:
    """What the control API observes and turns."""

    accounts: Accounts
    conversations: Conversations
    limiters: Limiters
    faults: Faults
    log: EventLog
    graph: GraphApi
    genesys: GenesysCloud
    sender: WebhookSender
    senders: Senders
    meta_app: MetaApp
    get: Get
    in_flight: InFlight
    statuses: StatusFeed
    files: Files
    library: MediaLibrary
    attachments: Attachments
    templates: Templates

    def account(self, tenant_id: str) -> Account:
        """The tenant's account; raises NoSuchTenant."""
        account = self.accounts.by_tenant.get(tenant_id)
        if account is None:
            raise NoSuchTenant(tenant_id)
        return account
