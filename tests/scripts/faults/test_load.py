"""The load: whom it writes for, in which order, and that it repeats what was not taken."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

import pytest
from aiohttp import web

from scripts.faults.load import Load
from scripts.faults.platform import unmade_tenant


class Router:
    """Takes webhooks, or refuses the first few."""

    def __init__(self, refusing: int = 0) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.posts = 0
        self._refusing = refusing

    async def take(self, request: web.Request) -> web.Response:
        """Note the texts of a webhook by customer."""
        self.posts += 1
        if self.posts <= self._refusing:
            return web.Response(status=503, headers={"Retry-After": "2"})
        for message in json.loads(await request.read())["entry"][0]["changes"][0]["value"]["messages"]:
            self.taken[message["from"]].append(message["text"]["body"])
        return web.Response()


async def post(router: Router, **size: int | bool) -> Load:
    """Post a load to it."""
    app = web.Application()
    app.router.add_post("/webhook/whatsapp", router.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        load = Load(url, unmade_tenant(), "inbound", "secret", **size)  # type: ignore[arg-type]
        async with asyncio.timeout(20):
            await load.post()
    finally:
        await runner.cleanup()
    return load


@pytest.mark.parametrize(
    ("size", "posts"),
    [
        pytest.param({"customers": 20, "each": 3}, 60, id="one message in a POST"),
        pytest.param({"customers": 2, "each": 6, "in_a_post": 3}, 4, id="several of a customer in a POST"),
        pytest.param({"customers": 32, "each": 2, "crowded": True}, 32, id="those of many customers in a POST"),
    ],
)
async def test_every_message_is_posted_once_in_its_customers_order(size: dict[str, int | bool], posts: int) -> None:
    router = Router()
    load = await post(router, **size)
    assert (router.posts, len(router.taken)) == (posts, size["customers"])
    numbers = [[int(text.split(" ")[2]) for text in texts] for texts in router.taken.values()]
    assert numbers == [list(range(int(size["each"])))] * int(size["customers"])
    assert load.taken.keys() == load.sent == {text for texts in router.taken.values() for text in texts}


async def test_what_is_not_taken_is_posted_again_and_noted() -> None:
    router = Router(refusing=2)
    load = await post(router, customers=1, each=2)
    assert load.answers == {503: 2, 200: 2}
    assert [(each.status, each.retry_after) for each in load.refusals] == [(503, "2"), (503, "2")]
    assert [[text.split(" ")[2] for text in texts] for texts in router.taken.values()] == [["0", "1"]]


async def test_padding_makes_texts_longer_and_leaves_their_names() -> None:
    router = Router()
    load = await post(router, customers=1, each=1, padding=100)
    ((text,),) = router.taken.values()
    record = {"seq": 1, "mono_ns": 1, "text": text[:64], "status": 200}
    assert len(text) > 100
    assert [arrival["text"] for arrival in load.arrivals([record])] == list(load.taken)
