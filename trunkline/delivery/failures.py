"""The status of a send that we gave up: it takes the way of WhatsApp's own, and becomes a Failed receipt."""

from __future__ import annotations

from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.errors import Rejected


def failed_status(envelope: Envelope, refusal: Rejected) -> Envelope:
    """A `failed` status for the agent's message in `envelope`, in WhatsApp's form."""
    code = refusal.code or refusal.reason
    return Envelope(
        message_id=message_id_for(envelope.tenant_id, Direction.STATUS, envelope.message_id, "given up"),
        tenant_id=envelope.tenant_id,
        direction=Direction.STATUS,
        conversation=envelope.conversation,
        external_id=envelope.message_id,
        kind="failed",
        accepted_at=envelope.accepted_at,
        payload={
            "status": {
                "status": "failed",
                "biz_opaque_callback_data": envelope.message_id,
                "errors": [{"code": code, "title": refusal.detail.removeprefix(f"{code} ")}],
            }
        },
    )
