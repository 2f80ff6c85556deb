"""`python -m scripts.benchmark.yardstick`: the way of an inbound message in one plain asyncio process, without Ray.

What the platform is measured against, and no more than that: webhook, signature, confirmed publish, durable queue,
conversion, POST, grouped insert, acknowledgement; each customer's messages in their order. It has no tenants' limits; a
tenant's token is fetched once, at its first message, when its lane begins to be read; a message that cannot be
delivered stops it. The POST is made by aiohttp itself, the fastest client there is, so that the yardstick stays the
same whatever the platform uses.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvicorn
import uvloop
from pydantic import TypeAdapter

from config.settings import Settings, load_settings
from sandbox.accounts import Account
from scripts.launcher.ports import LOOPBACK
from trunkline.delivery.meta_webhook import read_elements
from trunkline.delivery.webhook_json import read_json
from trunkline.envelope import Direction, Envelope, message_id_for
from trunkline.grouping import Grouped
from trunkline.lanes.consumer import Delivery, LaneConsumer, Subscription
from trunkline.lanes.publisher import LanePublisher
from trunkline.lanes.topology import Lane
from trunkline.protocol.inbound import convert_inbound
from trunkline.protocol.signatures import meta_signature_is_valid
from trunkline.stores.database import open_pool

ROWS_AT_ONCE = 500
ACCOUNTS = TypeAdapter(tuple[Account, ...])

_TABLE = """
CREATE TABLE IF NOT EXISTS yardstick_messages (
    tenant_id text NOT NULL, message_id uuid NOT NULL, wa_id text NOT NULL, wamid text NOT NULL, text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, message_id))
"""
_INSERT = """
INSERT INTO yardstick_messages (tenant_id, message_id, wa_id, wamid, text)
SELECT * FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""

log = logging.getLogger(__name__)

Row = tuple[str, str, str, str, str]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Yardstick:
    """The whole pipeline: an ASGI application in front, one consumer for each tenant behind."""

    def __init__(self, settings: Settings, accounts: Sequence[Account]) -> None:
        self._settings = settings
        self._by_number = {account.phone_number_id: account for account in accounts}
        self._by_tenant = {account.tenant_id: account for account in accounts}
        self._tokens: dict[str, str] = {}
        self._publisher = LanePublisher(settings.rabbitmq_url, "yardstick", settings.trunkline_queue_type)
        self._consumer = LaneConsumer(settings.rabbitmq_url, "yardstick", settings.trunkline_queue_type)
        self._pool = open_pool(settings.database_url, min_size=1, max_size=2)
        self._insert: Grouped[Row, None] = Grouped(self._insert_group, ROWS_AT_ONCE)
        self._waiting: dict[str, deque[tuple[Envelope, Delivery]]] = {}
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(settings.trunkline_calls_in_flight)
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: dict[str, Subscription] = {}
        self._subscribing = asyncio.Lock()
        self._held = False

    async def run(self) -> None:
        """Connect, serve until told to stop, disconnect."""
        await self._pool.open()
        async with self._pool.connection() as connection:
            await connection.execute(_TABLE)
        self._publisher.start()
        self._consumer.start()
        await self._publisher.wait_ready()
        connector = aiohttp.TCPConnector(limit=1000)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as self._http:
            await self._consumer.wait_ready()
            port = self._settings.port
            config = uvicorn.Config(self, LOOPBACK, port, loop="none", access_log=False, log_level="warning")
            await uvicorn.Server(config).serve()
        await self._consumer.close()
        await self._publisher.close()
        await self._pool.close()

    # the webhook

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        """Store every message of a signed webhook, then answer 200; a GET asks whether it runs.

        POST /hold has it read no lane, POST /release all of them again.
        """
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            await _answer(send, 200)
            return
        if scope["path"] in ("/hold", "/release"):
            await self._hold(scope["path"] == "/hold")
            await _answer(send, 200)
            return
        chunks = []
        while True:
            message = await receive()
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        body = b"".join(chunks)
        signature = next((value for name, value in scope["headers"] if name == b"x-hub-signature-256"), b"")
        if not meta_signature_is_valid(body, signature.decode("latin-1"), self._settings.app_secrets):
            await _answer(send, 403)
            return
        for element in read_elements(read_json(body)):
            account = self._by_number[element.phone_number_id or ""]
            if account.tenant_id not in self._tokens:
                await self._activate(account)
            await self._publisher.publish(_envelope(account, element.raw, element.contact))
        await _answer(send, 200)

    # the lanes

    async def _activate(self, account: Account) -> None:
        """A tenant's first message: fetch its token and read its lane."""
        async with self._subscribing:
            if account.tenant_id in self._tokens:
                return
            token = await self._fetch_token(account)
            if not self._held:
                await self._subscribe(account.tenant_id)
            self._tokens[account.tenant_id] = token

    async def _subscribe(self, tenant: str) -> None:
        self._subscriptions[tenant] = await self._consumer.subscribe(
            Lane(tenant, Direction.INBOUND), self._settings.trunkline_prefetch, self._receive, self._lost
        )

    async def _hold(self, held: bool) -> None:
        """Return what is not acknowledged and read no lane, or read them all again."""
        async with self._subscribing:
            self._held = held
            if held:
                subscriptions, self._subscriptions = self._subscriptions, {}
                while self._waiting:
                    await asyncio.sleep(0.01)
                await self._insert.idle()
                for subscription in subscriptions.values():
                    await subscription.close()
            else:
                for tenant in self._tokens:
                    await self._subscribe(tenant)

    def _receive(self, delivery: Delivery) -> None:
        envelope = Envelope.from_bytes(delivery.body)
        key = f"{envelope.tenant_id}/{envelope.conversation}"
        if (queue := self._waiting.get(key)) is not None:
            queue.append((envelope, delivery))
            return
        self._waiting[key] = deque([(envelope, delivery)])
        task = asyncio.create_task(self._serve(key))
        self._tasks.add(task)
        task.add_done_callback(self._served)

    async def _serve(self, key: str) -> None:
        """Deliver what waits in one conversation, one after the other."""
        queue = self._waiting[key]
        while queue:
            envelope, delivery = queue[0]
            row = await self._deliver(envelope)
            queue.popleft()
            self._insert.submit(row).add_done_callback(partial(_ack, delivery))
        del self._waiting[key]

    async def _deliver(self, envelope: Envelope) -> Row:
        payload = envelope.payload
        [post] = convert_inbound(
            payload["message"],
            payload["contact"],
            payload["phoneNumberId"],
            envelope.accepted_at,
            False,
            identity=envelope.conversation,
        )
        tenant = envelope.tenant_id
        integration = self._by_tenant[tenant].genesys.integration_id
        url = f"{self._settings.genesys_api_url}/api/v2/conversations/messages/{integration}/inbound/open/message"
        headers = {"Authorization": f"Bearer {self._tokens[tenant]}", "Content-Type": "application/json"}
        parameters = {"prefetchConversationId": "true"}
        async with (
            self._slots[tenant],
            self._http.post(url, params=parameters, headers=headers, data=orjson.dumps(post.body)) as answer,
        ):
            answer.raise_for_status()
            orjson.loads(await answer.read())
        return tenant, envelope.message_id, envelope.conversation, envelope.external_id, str(post.body.get("text"))

    async def _insert_group(self, rows: Sequence[Row]) -> Sequence[None]:
        async with self._pool.connection() as connection:
            await connection.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
        return [None] * len(rows)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("not delivered", exc_info=error)
            os._exit(1)  # figures of a yardstick that has lost something are worth nothing

    def _lost(self) -> None:
        log.error("a lane was lost")
        os._exit(1)

    async def _fetch_token(self, account: Account) -> str:
        client = aiohttp.BasicAuth(account.genesys.client_id, account.genesys.client_secret)
        form = {"grant_type": "client_credentials"}
        url = f"{self._settings.genesys_login_url}/oauth/token"
        async with self._http.post(url, data=form, auth=client) as got:
            got.raise_for_status()
            return str((await got.json())["access_token"])


def _envelope(account: Account, message: Any, contact: dict[str, Any] | None) -> Envelope:
    number, wamid = account.phone_number_id, message["id"]
    return Envelope(
        message_id=message_id_for(account.tenant_id, Direction.INBOUND, number, wamid),
        tenant_id=account.tenant_id,
        direction=Direction.INBOUND,
        conversation=message["from"],
        external_id=wamid,
        kind=message["type"],
        accepted_at=time.time(),
        payload={"phoneNumberId": number, "message": message, "contact": contact},
    )


def _ack(delivery: Delivery, stored: asyncio.Future[None]) -> None:
    if not stored.cancelled() and stored.exception() is None:
        delivery.ack()


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def main(arguments: list[str]) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmark.yardstick")
    parser.add_argument("--accounts", type=Path, required=True, help="JSON file with the accounts to serve")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    accounts = ACCOUNTS.validate_json(options.accounts.read_bytes())

    async def serve() -> None:
        # Built here, since its connections belong to this loop.
        await Yardstick(load_settings(), accounts).run()

    uvloop.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
