"""What Genesys reports of customers' messages, in Postgres: shown by their traces."""

from __future__ import annotations

from trunkline.envelope import Envelope
from trunkline.protocol.genesys import ReceiptReport
from trunkline.stores.database import Pool, connection
from trunkline.stores.marks import is_row_of
from trunkline.stores.values import as_json, storable

# A repeated receipt says nothing new.
_NOTE = f"""
WITH meant AS (
    SELECT tenant_id, message_id, created_at AS seen_at FROM messages
    WHERE tenant_id = %(tenant)s AND direction = 'inbound' AND (genesys_id = %(genesys)s OR wamid = %(wamid)s)
    ORDER BY created_at DESC LIMIT 1
), changed AS (
    UPDATE messages m SET status = 'failed', updated_at = now() FROM meant
    WHERE %(failed)s AND m.status = 'delivered' AND {is_row_of("m", "meant", "message_id")}
)
INSERT INTO message_events (tenant_id, message_id, event, detail)
SELECT tenant_id, message_id, %(event)s, %(detail)s::jsonb FROM meant
WHERE NOT EXISTS (SELECT FROM message_events e
                  WHERE e.tenant_id = meant.tenant_id AND e.message_id = meant.message_id
                    AND e.event = %(event)s AND e.detail = %(detail)s::jsonb)
"""


class GenesysReports:
    """Genesys' receipts, with the messages that they speak of."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, receipt: Envelope) -> None:
        """Write down a receipt of Genesys; one of a message that nobody knows is dropped. Raises StoreUnavailable."""
        report = ReceiptReport.read(receipt.payload)
        reasons = "; ".join(each.words for each in report.reasons if each.words)
        parameters = {
            "tenant": receipt.tenant_id,
            "genesys": storable(report.id),
            # A part of a long text has a suffix to the wamid.
            "wamid": storable(report.wamid.partition("#")[0]) if report.wamid else None,
            "failed": report.status == "Failed",
            "event": "genesys_failed" if report.status == "Failed" else "genesys_receipt",
            "detail": as_json({"status": report.status, "reasons": reasons or None}),
        }
        async with connection(self._pool) as taken:
            await taken.execute(_NOTE, parameters)
