"""Statuses in any order, with or without what they usually carry."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.world import CUSTOMER, World, fixture, until

TEXT: dict[str, Any] = fixture("wa_send_ok")["request"]["body"]


async def states(world: World, count: int) -> list[str]:
    await until(lambda: len(world.router.meta_values("statuses")) == count)
    return [each["status"] for each in world.router.meta_values("statuses")]


@pytest.mark.parametrize(
    "sequence",
    [
        pytest.param(["read", "delivered", "sent"], id="backwards"),
        pytest.param(["delivered", "delivered", "read", "delivered", "read"], id="repeated"),
        pytest.param(["failed", "delivered"], id="failed and delivered all the same"),
        pytest.param(["deleted"], id="a state of old"),
    ],
)
async def test_statuses_come_in_the_sequence_that_was_switched_on(world: World, sequence: list[str]) -> None:
    await world.faults(status_sequence=sequence)

    await world.send(TEXT)

    assert await states(world, len(sequence)) == sequence


async def test_a_voice_message_is_played_in_the_end(world: World) -> None:
    await world.faults(statuses="played")

    await world.send(TEXT)

    assert await states(world, 4) == ["sent", "delivered", "read", "played"]


async def test_statuses_may_overtake_the_answer_to_the_send(world: World) -> None:
    await world.faults(status_early=True)
    order: list[int] = []
    world.router.on_post = lambda: order.append(len(sent))
    sent: list[Any] = []

    sent.append(await world.send(TEXT))

    assert order == [0, 0]
    assert sent[0].status == 200
    ids = {each["id"] for each in world.router.meta_values("statuses")}
    assert ids == {sent[0].json["messages"][0]["id"]}


async def test_statuses_may_overtake_an_answer_that_is_lost(world: World) -> None:
    await world.faults(status_early=True, lost_answer_rate=1)

    assert (await world.send(TEXT)).dropped
    assert [each["status"] for each in world.router.meta_values("statuses")] == ["sent", "delivered"]


async def test_statuses_may_come_without_callback_data(world: World) -> None:
    await world.faults(status_callback_data=False)

    await world.send(TEXT)
    await states(world, 2)

    assert all("biz_opaque_callback_data" not in each for each in world.router.meta_values("statuses"))


async def report(world: World, **order: Any) -> Any:
    answer = await world.ask("POST", "/sandbox/statuses", {"tenantId": "alder", **order})
    assert answer.status == 200
    return world.router.meta_values("statuses")[-1]


async def test_one_status_of_a_known_message_carries_what_the_send_carried(world: World) -> None:
    await world.faults(statuses="off")
    wamid = (await world.send(TEXT)).json["messages"][0]["id"]

    status = await report(world, id=wamid, status="read")

    assert (status["id"], status["status"], status["recipient_id"]) == (wamid, "read", CUSTOMER)
    assert status["biz_opaque_callback_data"] == TEXT["biz_opaque_callback_data"]
    assert "biz_opaque_callback_data" not in await report(world, id=wamid, status="read", callbackData=None)
    assert (await world.conversation())["phone"][0]["state"] == "read"


async def test_one_status_may_be_of_a_message_that_somebody_else_sent(world: World) -> None:
    status = await report(world, id="wamid.foreign", status="failed", code=131049, customer="447700900222")

    assert (status["id"], status["recipient_id"]) == ("wamid.foreign", "447700900222")
    assert (status["errors"][0]["code"], status["errors"][0]["title"]) == (131049, "Message was not delivered")


async def test_an_unknown_code_may_be_reported(world: World) -> None:
    status = await report(world, id="wamid.x", status="failed", code=999_999, callbackData="ob_1")

    assert (status["errors"][0]["code"], status["biz_opaque_callback_data"]) == (999_999, "ob_1")
