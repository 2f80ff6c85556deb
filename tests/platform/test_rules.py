"""Rules that a tenant's people feel, through the whole platform: the window, replays, queues broken from outside."""

from __future__ import annotations

import json
import time
from typing import Any

import pika
import pytest

from scripts.faults.platform import Fault, Platform, TenantUnderTest
from tests.waiting import until

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"
DAY_S = 86_400


def receipts(platform: Platform, tenant: TenantUnderTest, message_id: str) -> list[dict[str, Any]]:
    bodies = [json.loads(event["body"]) for event in platform.events(tenant, "genesys_receipt")]
    return [body for body in bodies if body["id"] == message_id]


def test_outside_the_window_a_free_form_message_is_refused_and_a_template_passes(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    platform.send(tenant, "customer", CUSTOMER, "long ago", timestamp=int(time.time()) - 25 * 3600)
    platform.arrived(tenant, "genesys_message", 1)
    sent = platform.send(tenant, "agent", CUSTOMER, "too late")
    (receipt,) = until(lambda: receipts(platform, tenant, sent["id"]), 10, "the receipt")
    assert receipt["status"] == "Failed"
    assert receipt["reasons"][0]["code"] == "MessageExpired"
    assert "24" in receipt["reasons"][0]["message"]
    assert platform.events(tenant, "graph_send") == []
    assert platform.trace(tenant, sent["id"])["state"] == "dead"
    platform.send(tenant, "agent", CUSTOMER, kind="notification")
    (event,) = platform.arrived(tenant, "graph_send", 1)
    assert json.loads(event["body"])["type"] == "template"


def test_a_customer_who_writes_again_opens_the_window(platform: Platform, tenant: TenantUnderTest) -> None:
    platform.send(tenant, "customer", CUSTOMER, "long ago", timestamp=int(time.time()) - 2 * DAY_S)
    platform.arrived(tenant, "genesys_message", 1)
    platform.send(tenant, "customer", CUSTOMER, "now")
    platform.arrived(tenant, "genesys_message", 2)
    platform.send(tenant, "agent", CUSTOMER, "welcome back")
    (event,) = platform.arrived(tenant, "graph_send", 1)
    assert event["text"] == "welcome back"


def test_a_customer_never_seen_is_tried(platform: Platform, tenant: TenantUnderTest) -> None:
    platform.send(tenant, "agent", CUSTOMER, "hello?")
    until(lambda: platform.events(tenant, "graph_send"), 10, "the try")


def test_replayed_letters_come_in_their_order_behind_what_was_sent_meanwhile(
    platform: Platform, tenant: TenantUnderTest, fault: Fault
) -> None:
    fault(cloud="genesys", tenantId=tenant.tenant_id, kind="genesys_message", fail_status=400)
    for text in ("first", "second"):
        platform.send(tenant, "customer", CUSTOMER, text)
    headers = {"X-Tenant-ID": tenant.tenant_id}

    def letters() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = platform.api.get("/dead-letters", headers=headers).json()["deadLetters"]
        return found if len(found) == 2 else []

    (newer, older) = until(letters, 15, "both dead letters")
    assert (newer["reason"], older["reason"]) == ("rejected", "rejected")
    fault(clear=True)
    platform.send(tenant, "customer", CUSTOMER, "meanwhile")
    platform.arrived(tenant, "genesys_message", 1)
    order = {"reason": "rejected", "dryRun": True}
    planned = platform.api.post("/dead-letters/replay", json=order, headers=headers).json()
    assert planned == {"replayed": 2, "dryRun": True, "ids": [older["id"], newer["id"]]}
    done = platform.api.post("/dead-letters/replay", json={"reason": "rejected"}, headers=headers).json()
    assert (done["replayed"], done["dryRun"]) == (2, False)
    texts = [event["text"] for event in platform.arrived(tenant, "genesys_message", 3)]
    assert texts == ["meanwhile", "first", "second"]
    assert platform.api.get("/dead-letters", headers=headers).json()["deadLetters"] == []


@pytest.mark.parametrize("harm", ["purged", "deleted", "redeclared"])
def test_a_queue_that_is_harmed_from_outside_is_used_again_and_no_other_is_touched(
    platform: Platform, tenant: TenantUnderTest, harm: str
) -> None:
    other = platform.new_tenant()
    for each in (tenant, other):
        platform.send(each, "customer", CUSTOMER, "before")
        platform.arrived(each, "genesys_message", 1)
    queue = f"inbound-whatsapp-messages.{tenant.tenant_id}"
    with pika.BlockingConnection(pika.URLParameters(platform.environment["RABBITMQ_URL"])) as connection:
        channel = connection.channel()
        if harm == "purged":
            channel.queue_purge(queue)
        else:
            channel.queue_delete(queue)
        if harm == "redeclared":  # and bound to nothing
            arguments = {"x-queue-type": "classic", "x-single-active-consumer": True}
            channel.queue_declare(queue, durable=True, arguments=arguments)
    for each in (tenant, other):
        platform.send(each, "customer", CUSTOMER, "after")
        texts = [event["text"] for event in platform.arrived(each, "genesys_message", 2)]
        assert texts == ["before", "after"]
