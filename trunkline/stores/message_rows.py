"""What a message's row takes over from its envelope."""

from __future__ import annotations

from typing import Any

from trunkline.envelope import Direction, Envelope
from trunkline.stores.values import storable


def wamid_of(envelope: Envelope) -> str | None:
    """WhatsApp's id of a message that came from there, or of the one that a status is about."""
    return None if envelope.direction is Direction.OUTBOUND else storable(envelope.external_id)


def genesys_id_of(envelope: Envelope) -> str | None:
    """Genesys' id of an agent's message."""
    return storable(envelope.external_id) if envelope.direction is Direction.OUTBOUND else None


def row_of(envelope: Envelope) -> dict[str, Any]:
    """The columns that every way of making a row needs, for `as_rows`."""
    return {
        "tenant_id": envelope.tenant_id,
        "message_id": envelope.message_id,
        "wa_id": storable(envelope.conversation),
        "direction": envelope.direction.value,
        "kind": storable(envelope.kind),
        "wamid": wamid_of(envelope),
        "genesys_id": genesys_id_of(envelope),
        "accepted": envelope.accepted_at,
    }
