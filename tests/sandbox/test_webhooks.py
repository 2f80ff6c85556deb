"""How webhooks reach the router, and how each cloud repeats them."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.payloads import sign_genesys, sign_meta
from sandbox.webhooks import GENESYS_WAITS_S, META_WAITS_S
from tests.sandbox.world import ACCOUNT, APP_SECRET, World, until

CUSTOMER = {"as": "customer", "customer": "447700900111", "text": "hello"}
AGENT = {"as": "agent", "customer": "447700900111", "text": "hi"}


async def test_a_customers_message_is_posted_signed_with_the_apps_secret(world: World) -> None:
    sent = await world.write(**CUSTOMER)

    path, headers, body = world.router.posts[0]
    assert path == "/webhook/whatsapp"
    assert headers["X-Hub-Signature-256"] == sign_meta(APP_SECRET, body)
    assert world.router.meta_values("messages")[0]["id"] == sent["id"]
    assert sent["status"] == 200
    assert sent["sentAt"] <= sent["answeredAt"]


async def test_a_message_to_a_number_of_another_app_goes_to_that_apps_path(world: World) -> None:
    await world.write(**{**CUSTOMER, "tenantId": "birch"})

    path, headers, body = world.router.posts[0]
    assert path == "/webhook/whatsapp/app_birch"
    assert headers["X-Hub-Signature-256"] == sign_meta("birch-app-secret", body)


async def test_an_agents_message_is_posted_signed_with_the_integrations_secret(world: World) -> None:
    sent = await world.write(**AGENT)

    path, headers, body = world.router.posts[0]
    assert path == "/webhook/genesys"
    assert headers["X-Hub-Signature-256"] == sign_genesys(ACCOUNT["genesys"]["webhookSecret"], body)
    assert world.router.bodies[0]["id"] == sent["id"]
    assert sent["expect"] == {"kind": "graph_send", "conversation": f"{ACCOUNT['phoneNumberId']}|447700900111"}


async def test_many_messages_go_one_by_one_in_order_or_in_one_post(world: World) -> None:
    await world.write(**CUSTOMER, count=3)
    assert len(world.router.posts) == 3

    await world.write(**CUSTOMER, count=20, batch=True)

    assert len(world.router.posts) == 4
    texts = [message["text"]["body"] for message in world.router.meta_values("messages")]
    assert texts == [f"hello {n}" for n in (*range(1, 4), *range(1, 21))]


@pytest.mark.parametrize("status", [201, 202, 302, 400, 403, 500, 503, 0])
async def test_meta_repeats_whatever_is_not_200_ever_less_often(world: World, status: int) -> None:
    world.router.statuses = [status] * 4

    sent = await world.write(**CUSTOMER)
    await until(lambda: len(world.router.posts) == 5)

    assert (sent["status"], sent["repeating"]) == (status, True)
    assert world.waits == list(META_WAITS_S[:4]) == sorted(world.waits)
    assert len({body for _, _, body in world.router.posts}) == 1


async def test_meta_gives_up_in_the_end(world: World) -> None:
    world.router.always = 500

    await world.write(**CUSTOMER)
    await until(lambda: world.sandbox.parts.sender.pending == 0)

    assert len(world.router.posts) == 1 + len(META_WAITS_S)
    assert (await phone(world))[0]["state"] == "failed"


@pytest.mark.parametrize("status", [500, 502, 503, 429, 0])
async def test_genesys_repeats_five_times_five_seconds_apart(world: World, status: int) -> None:
    world.router.always = status

    await world.write(**AGENT)
    await until(lambda: world.sandbox.parts.sender.pending == 0)

    assert len(world.router.posts) == 6
    assert world.waits == list(GENESYS_WAITS_S) == [5] * 5
    assert (await desktop(world))[0]["state"] == "failed"


@pytest.mark.parametrize(("status", "state"), [(400, "failed"), (403, "failed"), (200, "sent"), (202, "sent")])
async def test_genesys_does_not_repeat_after_a_yes_or_a_no(world: World, status: int, state: str) -> None:
    world.router.always = status

    await world.write(**AGENT)

    assert len(world.router.posts) == 1
    assert world.sandbox.parts.sender.pending == 0
    assert (await desktop(world))[0]["state"] == state


async def test_every_try_is_logged_with_its_answer(world: World) -> None:
    world.router.statuses = [503, 200]

    sent = await world.write(**CUSTOMER)
    await until(lambda: world.sandbox.parts.sender.pending == 0)

    events = (await world.ask("GET", f"/sandbox/events?id={sent['id']}")).json["events"]
    assert [(each["direction"], each["kind"], each["attempt"], each["status"]) for each in events] == [
        ("out", "meta_message", 1, 503),
        ("out", "meta_message", 2, 200),
    ]
    assert (await phone(world))[0]["state"] == "delivered"


@pytest.mark.parametrize("order", [CUSTOMER, AGENT])
async def test_duplicate_webhooks_leave_twice_and_alike(world: World, order: dict[str, Any]) -> None:
    await world.faults(duplicate_webhooks=True)

    await world.write(**order)

    assert len(world.router.posts) == 2
    assert world.router.posts[0] == world.router.posts[1]


async def test_disordered_webhooks_wait_at_random(world: World) -> None:
    await world.faults(disordered_webhooks=True)

    await world.write(**CUSTOMER, count=20)

    assert len(world.router.posts) == 20
    assert len(set(world.waits)) > 1


async def test_a_read_mark_turns_the_customers_ticks(world: World) -> None:
    sent = await world.write(**CUSTOMER)

    await world.send({"messaging_product": "whatsapp", "status": "read", "message_id": sent["id"]})

    assert (await phone(world))[0]["state"] == "read"


async def phone(world: World) -> list[dict[str, Any]]:
    return await _shown(world, "phone")


async def desktop(world: World) -> list[dict[str, Any]]:
    return await _shown(world, "desktop")


async def _shown(world: World, side: str) -> list[dict[str, Any]]:
    answer = await world.ask("GET", "/sandbox/conversations?tenantId=alder")
    shown: list[dict[str, Any]] = answer.json["conversations"][0][side]
    return shown
