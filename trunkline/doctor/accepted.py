"""When webhooks were last accepted, by Meta app and by tenant: what refusals are held against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from trunkline.doctor.facts import Facts, Look
from trunkline.doctor.logbook import LOGBOOK, SIGNATURE_REFUSED, SINCE
from trunkline.doctor.stores import postgres

_BY_APP = """
SELECT c.meta_app AS name, max(m.accepted_at) AS at
FROM tenant_credentials c JOIN messages m USING (tenant_id)
WHERE c.in_use AND c.meta_app = ANY(%(names)s) AND m.direction = 'inbound' AND m.created_at > now() - %(since)s
GROUP BY 1
"""

_BY_TENANT = """
SELECT m.tenant_id AS name, max(m.accepted_at) AS at FROM messages m
WHERE m.tenant_id = ANY(%(names)s) AND m.direction = 'outbound' AND m.created_at > now() - %(since)s
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class LastAccepted:
    """Times of the latest messages, within the last hour."""

    by_app: dict[str, datetime]
    by_tenant: dict[str, datetime]

    def of_app(self, app: str) -> datetime | None:
        """The latest customer's message through this Meta app."""
        return self.by_app.get(app)

    def from_genesys(self, tenant_id: str) -> datetime | None:
        """The latest agent's message of this tenant."""
        return self.by_tenant.get(tenant_id)


def _look(facts: Facts) -> LastAccepted:
    refused = facts.of(LOGBOOK).of(SIGNATURE_REFUSED)
    apps = {str(line.facts["app"]) for line in refused if line.facts.get("app")}
    tenants = {line.tenant for line in refused if line.tenant}
    if not apps and not tenants:
        return LastAccepted({}, {})
    with postgres(facts.scene) as connection:
        by_app = connection.execute(_BY_APP, {"names": list(apps), "since": SINCE}).fetchall()
        by_tenant = connection.execute(_BY_TENANT, {"names": list(tenants), "since": SINCE}).fetchall()
    return LastAccepted({row["name"]: row["at"] for row in by_app}, {row["name"]: row["at"] for row in by_tenant})


LAST_ACCEPTED: Look[LastAccepted] = Look("last accepted webhooks", _look, after=(LOGBOOK,))
