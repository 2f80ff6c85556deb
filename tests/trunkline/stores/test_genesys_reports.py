"""What Genesys reports of customers' messages, on a real Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.stores.attempts import ask, claim, envelope, events, outcome, row, rows, settle
from trunkline.envelope import Direction, Envelope
from trunkline.stores.database import Pool
from trunkline.stores.genesys_reports import GenesysReports
from trunkline.stores.messages import MessageStore

pytestmark = pytest.mark.services


def receipt(tenant_id: str, **members: Any) -> Envelope:
    return envelope(tenant_id, Direction.OUTBOUND, kind="receipt", payload={"type": "Receipt", **members})


async def delivered(pool: Pool, tenant_id: str, genesys_id: str | None = None) -> Envelope:
    attempt = claim(envelope(tenant_id))
    await ask(MessageStore(pool), attempt)
    await settle(MessageStore(pool), outcome(attempt, "delivered", genesys_id=genesys_id))
    return attempt.envelope


async def test_a_failure_is_shown_with_the_message_and_its_reasons(pool: Pool, tenant_id: str) -> None:
    message = await delivered(pool, tenant_id, genesys_id="g-1")
    report = receipt(
        tenant_id,
        id="g-1",
        status="Failed",
        reasons=[{"code": "MediaTypeNotAllowed", "message": "not in the profile"}, {"code": "GeneralError"}],
    )
    for _ in range(2):  # repeated
        await GenesysReports(pool).note(report)
    (event,) = await rows(pool, "SELECT * FROM message_events WHERE message_id = %s::uuid", message.message_id)
    assert event["event"] == "genesys_failed"
    assert event["detail"] == {
        "status": "Failed",
        "reasons": "MediaTypeNotAllowed: not in the profile; GeneralError",
    }
    assert (await row(pool, message))["status"] == "failed"


@pytest.mark.parametrize("suffix", ["", "#2"])
async def test_a_message_is_also_known_by_the_id_that_we_gave_it(pool: Pool, tenant_id: str, suffix: str) -> None:
    message = await delivered(pool, tenant_id)
    channel = {"messageId": f"{message.external_id}{suffix}"}
    await GenesysReports(pool).note(receipt(tenant_id, id="g-x", status="Published", channel=channel))
    assert await events(pool, message) == ["genesys_receipt"]
    assert (await row(pool, message))["status"] == "delivered"


@pytest.mark.parametrize(
    "members", [{}, {"id": "g-2", "status": "Failed"}, {"id": None, "channel": "odd", "reasons": "odd"}]
)
async def test_a_report_about_nothing_that_we_know_changes_nothing(
    pool: Pool, tenant_id: str, members: dict[str, Any]
) -> None:
    message = await delivered(pool, tenant_id, genesys_id="g-1")
    await GenesysReports(pool).note(receipt(tenant_id, **members))
    assert await events(pool, message) == []
    assert (await row(pool, message))["status"] == "delivered"
