"""Clouds that fail or refuse: what waits, waits in order; what is given up does not stop the rest."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from scripts.faults.bodies import genesys_webhook, sign_as_genesys
from scripts.faults.load import Load
from scripts.faults.platform import Fault, Platform, TenantUnderTest, unmade_tenant
from tests.platform.verdicts import all_arrived
from tests.waiting import until

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["text"] for event in events]


def send_in_order(platform: Platform, tenant: TenantUnderTest, words: list[str]) -> list[str]:
    """Ids of a customer's messages, sent one after the other."""
    return [platform.send(tenant, "customer", CUSTOMER, word)["id"] for word in words]


def test_wrong_credentials_hold_the_queue_which_resumes_by_itself_once_they_are_right(platform: Platform) -> None:
    tenant = unmade_tenant()
    platform.register(tenant)
    right = tenant.body["genesys"]
    wrong = {**tenant.body, "genesys": {**right, "clientSecret": "not-the-secret"}}
    assert platform.api.post("/tenants", json=wrong).status_code == 201
    sent = send_in_order(platform, tenant, [f"question {number}" for number in range(3)])

    def held() -> bool:
        lanes = platform.api.get(f"/tenants/{tenant.tenant_id}/status").json()["lanes"]
        return any("refuses the credentials" in (lane["held"] or "") for lane in lanes.values())

    until(held, 10.0, "the lane held")

    def says_why() -> bool:
        # Between two tries there is a time of the next one; while one is under way there is none.
        trace = platform.api.get(f"/messages/{sent[-1]}/trace").json()
        return "credentials that Genesys Cloud accepts; it says: " in trace["waitingFor"] and bool(
            trace["waitingUntil"]
        )

    until(says_why, 10.0, "the last message's trace naming the credentials, and the next try")
    answer = platform.api.get("/auth/token", headers={"X-Tenant-ID": tenant.tenant_id})
    assert (answer.status_code, answer.json()["error"]) == (502, "Failed to obtain OAuth token")
    assert "authentication failed" in answer.text  # the cloud's own words
    assert platform.events(tenant, "genesys_message") == []

    assert platform.api.put(f"/tenants/{tenant.tenant_id}/credentials/genesys", json=right).status_code == 200
    arrived = platform.arrived(tenant, "genesys_message", 3, within_s=10.0)
    assert texts(arrived) == [f"question {number}" for number in range(3)]


async def test_messages_outlast_a_cloud_that_answers_500_and_keep_their_order(platform: Platform, fault: Fault) -> None:
    tenant = platform.new_tenant()
    load = Load(platform.url, tenant, "inbound", platform.default_app.app_secret, customers=10, each=4)
    since = platform.last_seq()
    fault(cloud="genesys", tenantId=tenant.tenant_id, kind="genesys_message", fail_status=500, fail_for_s=2)
    await load.post()
    await all_arrived(platform, load, since)
    verdict = load.judge(platform.records(load.kind, since))
    assert (verdict.doubled, verdict.reordered) == ([], [])
    refused = [each for each in platform.records(load.kind, since) if each["status"] == 500]
    assert refused  # else nothing was tested


def test_a_message_that_genesys_rejects_becomes_a_dead_letter_and_the_next_ones_go_on(
    platform: Platform, fault: Fault
) -> None:
    tenant = platform.new_tenant()
    fault(cloud="genesys", tenantId=tenant.tenant_id, kind="genesys_message", fail_status=400, fail_count=1)
    bad = send_in_order(platform, tenant, ["bad", "good", "better"])[0]
    assert texts(platform.arrived(tenant, "genesys_message", 2)) == ["good", "better"]
    mine = {"X-API-Key": tenant.api_key}
    (letter,) = platform.api.get("/dead-letters", headers=mine).json()["deadLetters"]
    assert (letter["wamid"], letter["reason"], letter["direction"]) == (bad, "rejected", "inbound")
    assert "400" in letter["answer"]


def test_an_agents_message_that_cannot_be_shown_fails_in_words_and_the_next_one_goes_on(platform: Platform) -> None:
    tenant = platform.new_tenant()
    message_id = secrets.token_hex(16)
    body = json.loads(genesys_webhook(tenant, CUSTOMER, message_id, ""))
    body |= {"type": "Structured", "content": [{"contentType": "Form", "form": {}}]}
    raw = json.dumps(body).encode()
    headers = {"X-Hub-Signature-256": sign_as_genesys(tenant.webhook_secret, raw)}
    assert platform.api.post("/webhook/genesys", content=raw, headers=headers).status_code == 200
    platform.send(tenant, "agent", CUSTOMER, "in plain words")

    assert texts(platform.arrived(tenant, "graph_send", 1)) == ["in plain words"]
    receipts = [json.loads(event["body"]) for event in platform.arrived(tenant, "genesys_receipt", 2)]
    (failed,) = [receipt for receipt in receipts if receipt["id"] == message_id]
    assert (failed["status"], failed["reasons"][0]["code"]) == ("Failed", "UnsupportedMessage")
    (letter,) = platform.api.get("/dead-letters", headers={"X-API-Key": tenant.api_key}).json()["deadLetters"]
    assert (letter["genesysId"], letter["reason"]) == (message_id, "unsupported")


def test_a_message_that_whatsapp_rejects_fails_in_words_and_the_next_one_goes_on(
    platform: Platform, fault: Fault
) -> None:
    tenant = platform.new_tenant()
    fault(cloud="meta", tenantId=tenant.tenant_id, kind="graph_send", fail_status=400, fail_code=131026, fail_count=1)
    bad = platform.send(tenant, "agent", CUSTOMER, "bad")["id"]
    platform.send(tenant, "agent", CUSTOMER, "good")
    assert texts(platform.arrived(tenant, "graph_send", 1)) == ["good"]
    receipts = [json.loads(event["body"]) for event in platform.arrived(tenant, "genesys_receipt", 2)]
    (failed,) = [receipt for receipt in receipts if receipt["id"] == bad]
    assert (failed["status"], failed["reasons"][0]["code"]) == ("Failed", "InvalidDestination")
    (letter,) = platform.api.get("/dead-letters", headers={"X-API-Key": tenant.api_key}).json()["deadLetters"]
    assert (letter["genesysId"], letter["reason"]) == (bad, "rejected")
