"""Messages each way through the whole platform, from one simulated cloud to the other."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from scripts.faults.bodies import change, genesys_webhook, meta_webhook, sign_as_genesys, sign_as_meta
from scripts.faults.platform import Fault, MetaAppSecrets, Platform, TenantUnderTest, unmade_tenant
from tests.waiting import until

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"


def post_meta(platform: Platform, body: bytes, app: MetaAppSecrets | None = None) -> int:
    """POST a webhook that Meta's `app` has signed; the status of the answer."""
    signing = app or platform.default_app
    path = "/webhook/whatsapp" + (f"/{app.app}" if app else "")
    headers = {"X-Hub-Signature-256": sign_as_meta(signing.app_secret, body)}
    return platform.api.post(path, content=body, headers=headers).status_code


def post_genesys(platform: Platform, tenant: TenantUnderTest, body: bytes) -> int:
    """POST a webhook that the tenant's integration has signed; the status of the answer."""
    headers = {"X-Hub-Signature-256": sign_as_genesys(tenant.webhook_secret, body)}
    return platform.api.post("/webhook/genesys", content=body, headers=headers).status_code


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["text"] for event in events]


def dead_letters(platform: Platform, **filters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.api.get("/dead-letters", params=filters).json()["deadLetters"]
    return found


def test_a_customers_text_reaches_genesys_as_exactly_the_request_it_asks_for(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    wrote_at = int(time.time()) - 5
    sent = platform.send(tenant, "customer", CUSTOMER, "hello", name="Ines Calder", timestamp=wrote_at)
    (event,) = platform.arrived(tenant, "genesys_message", 1)
    # The sandbox writes down the integration that the path names, and the customer of the body.
    assert event["conversation"] == f"{tenant.integration_id}|{CUSTOMER}"
    assert json.loads(event["body"]) == {
        "channel": {
            "messageId": sent["id"],
            "from": {
                "id": CUSTOMER,
                "idType": "Phone",
                "nickname": "Ines Calder",
                "firstName": "Ines",
                "lastName": "Calder",
            },
            "time": datetime.fromtimestamp(wrote_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "metadata": {"customAttributes": {"wa_phone_number_id": tenant.phone_number_id, "wa_message_type": "text"}},
        },
        "text": "hello",
    }


def test_an_agents_text_reaches_whatsapp_as_exactly_the_request_it_asks_for(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    sent = platform.send(tenant, "agent", CUSTOMER, "hi")
    (event,) = platform.arrived(tenant, "graph_send", 1)
    assert event["conversation"] == f"{tenant.phone_number_id}|{CUSTOMER}"
    trace = platform.api.get(f"/messages/{sent['id']}/trace", headers={"X-Tenant-ID": tenant.tenant_id}).json()
    assert json.loads(event["body"]) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": CUSTOMER,
        "type": "text",
        "text": {"body": "hi", "preview_url": False},
        "biz_opaque_callback_data": trace["messageId"],
    }


def test_genesys_hears_once_that_a_message_was_delivered(platform: Platform, fault: Fault) -> None:
    tenant = platform.new_tenant()
    fault(cloud="meta", tenantId=tenant.tenant_id, statuses="read")  # sent, delivered, read
    sent = platform.send(tenant, "agent", CUSTOMER, "hi")
    (event,) = platform.arrived(tenant, "genesys_receipt", 1)
    receipt = json.loads(event["body"])
    assert (receipt["id"], receipt["status"], receipt["isFinalReceipt"]) == (sent["id"], "Delivered", True)
    assert receipt["channel"]["to"] == {"id": CUSTOMER, "idType": "Phone"}

    # Statuses of a customer keep their order, so once the next message's receipt is there, no other can follow.
    platform.send(tenant, "agent", CUSTOMER, "hi again")
    receipts = platform.arrived(tenant, "genesys_receipt", 2)
    assert [json.loads(each["body"])["id"] for each in receipts].count(sent["id"]) == 1


def test_what_went_through_can_be_looked_up(platform: Platform, tenant: TenantUnderTest) -> None:
    sent = platform.send(tenant, "customer", CUSTOMER, "hello")
    mine = {"X-API-Key": tenant.api_key}

    def found() -> Any:
        answer = platform.api.get("/state/conversation", params={"whatsappNumber": f"+{CUSTOMER}"}, headers=mine)
        return answer.json() if answer.status_code == 200 else None

    conversation = until(found, 1.0, "the conversation")  # promised within 1 s of the webhook's 200
    platform.arrived(tenant, "genesys_message", 1)

    def trace() -> dict[str, Any]:
        answer: dict[str, Any] = platform.api.get(f"/messages/{sent['id']}/trace", headers=mine).json()
        return answer

    until(lambda: trace()["state"] == "delivered", 5.0, "delivered")
    assert trace()["conversationId"] == conversation["conversationId"]
    assert found()["genesysConversationId"]


def test_twenty_messages_of_one_customer_in_one_post_arrive_in_order(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    platform.send(tenant, "customer", CUSTOMER, "line", count=20, batch=True)
    arrived = platform.arrived(tenant, "genesys_message", 20)
    assert texts(arrived) == [f"line {number}" for number in range(1, 21)]


async def test_a_webhook_posted_twice_at_the_same_moment_arrives_once(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    bodies = [
        meta_webhook(tenant, [(f"44770090{number % 10:04d}", f"wamid.{secrets.token_hex(8)}", f"text {number}")])
        for number in range(100)
    ]

    async def post(session: aiohttp.ClientSession, body: bytes) -> int:
        headers = {"X-Hub-Signature-256": sign_as_meta(platform.default_app.app_secret, body)}
        async with session.post(f"{platform.url}/webhook/whatsapp", data=body, headers=headers) as answer:
            return answer.status

    async with aiohttp.ClientSession() as session:
        for start in range(0, 100, 10):
            pairs = [post(session, body) for body in bodies[start : start + 10] for _ in range(2)]
            assert await asyncio.gather(*pairs) == [200] * 20
    # One more of each customer, which comes after whatever is left of the others.
    last = meta_webhook(
        tenant, [(f"44770090{number:04d}", f"wamid.{secrets.token_hex(8)}", f"last {number}") for number in range(10)]
    )
    assert post_meta(platform, last) == 200
    until(
        lambda: sum(text.startswith("last") for text in texts(platform.events(tenant, "genesys_message"))) == 10,
        15.0,
        "the last ones",
    )
    arrived = [text for text in texts(platform.events(tenant, "genesys_message")) if text.startswith("text")]
    assert sorted(arrived) == sorted(f"text {number}" for number in range(100))


def test_tenants_and_meta_apps_stand_side_by_side(platform: Platform) -> None:
    app = platform.new_app()
    first, second = platform.new_tenant(), platform.new_tenant()
    of_app = platform.new_tenant(app)
    for tenant in (first, of_app):
        answer = platform.sandbox.post("/sandbox/handshake", json={"tenantId": tenant.tenant_id}).json()
        assert answer == {"verified": True, "status": 200}

    changes = [
        change(tenant, [(CUSTOMER, f"wamid.{secrets.token_hex(8)}", f"for {tenant.tenant_id}")])
        for tenant in (first, second, of_app)
    ]
    body = json.dumps({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).encode()
    assert post_meta(platform, body) == 200  # of the default app, which does not own the last one's number
    platform.send(of_app, "customer", CUSTOMER, "through my own app")
    for tenant in (first, second, of_app):
        platform.send(tenant, "agent", CUSTOMER, f"from {tenant.tenant_id}")

    for tenant in (first, second):
        assert texts(platform.arrived(tenant, "genesys_message", 1)) == [f"for {tenant.tenant_id}"]
    assert texts(platform.arrived(of_app, "genesys_message", 1)) == ["through my own app"]
    for tenant in (first, second, of_app):
        assert texts(platform.arrived(tenant, "graph_send", 1)) == [f"from {tenant.tenant_id}"]
    unowned = changes[2]["value"]["messages"][0]["id"]
    assert unowned in [letter["wamid"] for letter in dead_letters(platform, reason="unrouted")]


def test_a_tenant_of_its_own_cell_is_served_like_the_others(platform: Platform) -> None:
    tenant = platform.new_tenant(dedicated=True)
    platform.send(tenant, "customer", CUSTOMER, "hello")
    platform.send(tenant, "agent", CUSTOMER, "hi")
    assert texts(platform.arrived(tenant, "genesys_message", 1)) == ["hello"]
    assert texts(platform.arrived(tenant, "graph_send", 1)) == ["hi"]
    assert len(platform.workers("TenantCell")) > 1


def test_a_tenant_is_routed_as_soon_as_it_is_made(platform: Platform) -> None:
    tenant = unmade_tenant()
    platform.register(tenant)
    inbound = meta_webhook(tenant, [(CUSTOMER, f"wamid.{secrets.token_hex(8)}", "first words")])
    outbound = genesys_webhook(tenant, CUSTOMER, secrets.token_hex(16), "first answer")
    assert platform.api.post("/tenants", json=tenant.body).status_code == 201
    assert post_meta(platform, inbound) == 200
    assert post_genesys(platform, tenant, outbound) == 200
    assert texts(platform.arrived(tenant, "genesys_message", 1)) == ["first words"]
    assert texts(platform.arrived(tenant, "graph_send", 1)) == ["first answer"]


def test_a_suspended_tenants_messages_wait_and_leave_in_order_on_activation(platform: Platform) -> None:
    tenant = platform.new_tenant(status="suspended")
    for number in range(5):
        platform.send(tenant, "customer", CUSTOMER, f"question {number}")
        platform.send(tenant, "agent", CUSTOMER, f"answer {number}")

    def held() -> bool:
        lanes = platform.api.get(f"/tenants/{tenant.tenant_id}/status").json()["lanes"]
        return [lane["held"] for lane in lanes.values()] == ["tenant is suspended"] * 2

    until(held, 10.0, "both lanes held")
    assert platform.events(tenant, "genesys_message") == platform.events(tenant, "graph_send") == []

    assert platform.api.patch(f"/tenants/{tenant.tenant_id}", json={"status": "active"}).status_code == 200
    assert texts(platform.arrived(tenant, "genesys_message", 5)) == [f"question {number}" for number in range(5)]
    assert texts(platform.arrived(tenant, "graph_send", 5)) == [f"answer {number}" for number in range(5)]


def test_what_is_for_nobody_is_kept_as_unrouted(platform: Platform) -> None:
    nobody = unmade_tenant()
    wamid = f"wamid.{secrets.token_hex(8)}"
    assert post_meta(platform, meta_webhook(nobody, [(CUSTOMER, wamid, "anybody there?")])) == 200
    body = genesys_webhook(nobody, CUSTOMER, secrets.token_hex(16), "anybody there?")
    before = {letter["id"] for letter in dead_letters(platform, reason="unrouted", direction="outbound")}
    assert post_genesys(platform, nobody, body) == 200

    (letter,) = [each for each in dead_letters(platform, reason="unrouted") if each["wamid"] == wamid]
    assert (letter["direction"], letter["tenantId"]) == ("inbound", None)
    after = {letter["id"] for letter in dead_letters(platform, reason="unrouted", direction="outbound")}
    assert len(after - before) == 1


def test_a_webhook_that_nobody_signed_is_refused_and_leaves_nothing(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    wamid = f"wamid.{secrets.token_hex(8)}"
    body = meta_webhook(tenant, [(CUSTOMER, wamid, "forged")])
    forged = {"X-Hub-Signature-256": sign_as_meta("not the secret", body)}
    answer = platform.api.post("/webhook/whatsapp", content=body, headers=forged)
    assert (answer.status_code, answer.json()) == (
        403,
        {"error": "Invalid Meta signature", "code": "INVALID_SIGNATURE"},
    )
    platform.send(tenant, "customer", CUSTOMER, "honest")
    assert texts(platform.arrived(tenant, "genesys_message", 1)) == ["honest"]
    assert platform.api.get(f"/messages/{wamid}/trace").status_code == 404
