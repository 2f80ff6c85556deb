"""What staff is shown of a tenant's secrets and of what people wrote is noted in the audit log."""

from __future__ import annotations

from trunkline.tenancy.access import Role
from trunkline.tenancy.audit import Actor, AuditRecord
from trunkline.web.admin_ports import AdminServices


async def note_reveal(
    services: AdminServices, actor: Actor, action: str, tenant_id: str, subject: str | None = None
) -> None:
    """Note that an admin or operator is shown this; a tenant that looks at its own is nobody else's business."""
    if actor.role != Role.TENANT:
        await services.audit.record(AuditRecord(actor, action, tenant_id, subject))
