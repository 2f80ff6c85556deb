"""A person erased while messages of theirs wait in queues: none is delivered or written down, others' all are."""

from __future__ import annotations

import secrets

import pytest

from scripts.faults.bodies import meta_webhook, sign_as_meta
from scripts.faults.platform import Platform, TenantUnderTest
from tests.waiting import until
from trunkline.envelope import Direction, message_id_for

pytestmark = pytest.mark.ray

ERASED, OTHER = "447700900611", "447700900622"
WORDS = "words-that-nobody-may-read-any-more"
TABLES = (
    "messages", "message_events", "message_parts", "conversation_mappings", "aliases", "dead_letters", "intake_spool",
    "parked_statuses", "media_fetches", "customer_files",
)  # fmt: skip


def post(platform: Platform, body: bytes) -> None:
    headers = {"X-Hub-Signature-256": sign_as_meta(platform.default_app.app_secret, body)}
    assert platform.api.post("/webhook/whatsapp", content=body, headers=headers).status_code == 200


def held_in_tables(platform: Platform, tenant: TenantUnderTest, word: str) -> list[str]:
    """The tables that hold the word, in a text or in bytes, in a row of the tenant."""
    query = "SELECT count(*) AS found FROM {} t WHERE tenant_id = %s AND (t::text LIKE %s OR t::text LIKE %s)"
    patterns = (tenant.tenant_id, f"%{word}%", f"%{word.encode().hex()}%")
    return [table for table in TABLES if platform.rows(query.format(table), *patterns)[0]["found"]]


def test_nothing_of_a_person_erased_while_it_waited_is_delivered_and_others_are(platform: Platform) -> None:
    tenant = platform.new_tenant(status="suspended")
    wamids = [f"wamid.{secrets.token_hex(8)}" for _ in range(3)]
    webhooks = [meta_webhook(tenant, [(ERASED, wamid, f"{WORDS} {wamid}")]) for wamid in wamids]
    for number, webhook in enumerate(webhooks):
        post(platform, webhook)
        platform.send(tenant, "customer", OTHER, f"question {number}")
        platform.send(tenant, "agent", ERASED, WORDS)
        platform.send(tenant, "agent", OTHER, f"answer {number}")
    until(
        lambda: len(platform.rows("SELECT FROM messages WHERE tenant_id = %s", tenant.tenant_id)) == 12, 10, "records"
    )

    answer = platform.api.post(f"/tenants/{tenant.tenant_id}/people/erase", json={"whatsappNumber": f"+{ERASED}"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["removed"]["purged"] == 6
    assert held_in_tables(platform, tenant, ERASED) == held_in_tables(platform, tenant, WORDS) == []

    platform.change(tenant, status="active")
    questions = [event["text"] for event in platform.arrived(tenant, "genesys_message", 3)]
    answers = [event["text"] for event in platform.arrived(tenant, "graph_send", 3)]
    assert questions == [f"question {number}" for number in range(3)]
    assert answers == [f"answer {number}" for number in range(3)]

    # Behind what the same person is sent, and sends, afterwards nothing can be left in the queues.
    for webhook in webhooks:
        post(platform, webhook)
    platform.send(tenant, "customer", ERASED, "hello again")
    platform.send(tenant, "agent", ERASED, "welcome back")
    assert [event["text"] for event in platform.arrived(tenant, "genesys_message", 4)][3:] == ["hello again"]
    assert [event["text"] for event in platform.arrived(tenant, "graph_send", 4)][3:] == ["welcome back"]
    for wamid in wamids:
        message_id = message_id_for(tenant.tenant_id, Direction.INBOUND, tenant.phone_number_id, wamid)
        trace = platform.trace(tenant, message_id)
        assert trace["state"] == "purged"
        assert "erased" in [step["step"] for step in trace["steps"]]
    until(lambda: not platform.rows("SELECT FROM unfinished_erasures"), 20, "the second look")
    assert held_in_tables(platform, tenant, WORDS) == []
