"""A bounded load: signed webhooks of many customers, repeated as the clouds would, and what became of them.

The messages of one customer are posted one after the other, the next only when the last was answered 200; customers go
side by side. So whatever is lost, doubled or disordered at the far side was so by the platform.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from tests.platform.platform import TenantUnderTest

AT_ONCE = 16
REPEAT_AFTER_S = 0.25
NO_ANSWER = 0

Direction = Literal["inbound", "outbound"]
ARRIVES_AS = {"inbound": "genesys_message", "outbound": "graph_send"}


@dataclass(frozen=True)
class Verdict:
    """What is wrong with the arrivals; `longest_gap_s` is the longest time without any."""

    lost: list[str]
    doubled: list[str]
    reordered: list[str]
    longest_gap_s: float


class Load:
    """`each` messages of every customer, at most `per_second` in all."""

    def __init__(
        self,
        url: str,
        tenant: TenantUnderTest,
        direction: Direction,
        app_secret: str,
        *,
        customers: int,
        each: int,
        per_second: float = 1_000_000.0,
    ) -> None:
        self.tenant = tenant
        self.direction = direction
        self.customers = customers
        self.each = each
        self.run_id = secrets.token_hex(4)
        self.taken = 0
        self.answers: Counter[int] = Counter()
        self._url = url
        self._app_secret = app_secret
        self._interval_s = 1.0 / per_second
        self._next_at = 0.0

    @property
    def total(self) -> int:
        """How many messages it has."""
        return self.customers * self.each

    @property
    def kind(self) -> str:
        """The kind of the sandbox's records in which they arrive."""
        return ARRIVES_AS[self.direction]

    async def post(self, within_s: float = 60.0) -> None:
        """Post everything; returns when all was answered 200."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.timeout(within_s):
            await asyncio.gather(*(self._post_for(session, range(self.customers)[n::AT_ONCE]) for n in range(AT_ONCE)))

    async def reached(self, share: float, within_s: float = 30.0) -> None:
        """Return when this share of all messages has been answered 200."""
        async with asyncio.timeout(within_s):
            while self.taken < share * self.total:
                await asyncio.sleep(0.01)

    def judge(self, records: Sequence[dict[str, Any]], since_ns: int = 0, without: Collection[str] = ()) -> Verdict:
        """Compare with what arrived; gaps are counted from `since_ns` (monotonic), `without` these customers."""
        mine = [record for record in records if record["status"] == 200 and record["text"].startswith(self.run_id)]
        mine.sort(key=lambda record: int(record["seq"]))
        times: Counter[str] = Counter(record["text"] for record in mine)
        orders: defaultdict[int, list[int]] = defaultdict(list)
        for record in mine:
            _, customer, number = record["text"].split(" ")
            orders[int(customer)].append(int(number))
        patient = {customer for customer in range(self.customers) if _identity(customer) in without}
        moments = [
            since_ns,
            *(
                record["mono_ns"]
                for record in mine
                if record["mono_ns"] > since_ns and int(record["text"].split(" ")[1]) not in patient
            ),
        ]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)] if since_ns else []
        expected = {self._text(customer, number) for customer in range(self.customers) for number in range(self.each)}
        return Verdict(
            lost=sorted(expected - times.keys()),
            doubled=[text for text, count in times.items() for _ in range(count - 1)],
            reordered=[f"{customer}: {order}" for customer, order in orders.items() if order != sorted(order)],
            longest_gap_s=max(gaps, default=0) / 1e9,
        )

    def id_of(self, text: str) -> str:
        """The cloud's id of the message with this text."""
        return f"wamid.{text}".replace(" ", ".") if self.direction == "inbound" else text.replace(" ", ".")

    async def _post_for(self, session: aiohttp.ClientSession, customers: Sequence[int]) -> None:
        for number in range(self.each):
            for customer in customers:
                await self._pace()
                await self._post_until_taken(session, self._text(customer, number), _identity(customer))

    async def _pace(self) -> None:
        slot = max(self._next_at, time.monotonic())
        self._next_at = slot + self._interval_s
        if (wait_s := slot - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)

    async def _post_until_taken(self, session: aiohttp.ClientSession, text: str, customer: str) -> None:
        path, body, signature = self._webhook(text, customer)
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        while (status := await self._post_once(session, path, body, headers)) != 200:
            assert status == NO_ANSWER or status >= 500, f"the webhook was answered {status}"
            await asyncio.sleep(REPEAT_AFTER_S)
        self.taken += 1

    async def _post_once(self, session: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str]) -> int:
        try:
            async with session.post(self._url + path, data=body, headers=headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = NO_ANSWER
        self.answers[status] += 1
        return status

    def _text(self, customer: int, number: int) -> str:
        return f"{self.run_id} {customer} {number}"

    def _webhook(self, text: str, customer: str) -> tuple[str, bytes, str]:
        message_id = self.id_of(text)
        if self.direction == "inbound":
            body = meta_webhook(self.tenant, [(customer, message_id, text)])
            return "/webhook/whatsapp", body, sign_as_meta(self._app_secret, body)
        body = genesys_webhook(self.tenant, customer, message_id, text)
        return "/webhook/genesys", body, sign_as_genesys(self.tenant.webhook_secret, body)


def _identity(customer: int) -> str:
    return f"4477{customer:08d}"


def meta_webhook(tenant: TenantUnderTest, messages: Sequence[tuple[str, str, str]]) -> bytes:
    """A webhook of Meta with texts: customer, wamid and text of each."""
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change(tenant, messages)]}]}
    ).encode()


def change(tenant: TenantUnderTest, messages: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """An element of `changes`: texts for one tenant's number."""
    customers = {customer: None for customer, _, _ in messages}
    return {
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "442079460101", "phone_number_id": tenant.phone_number_id},
            "contacts": [{"profile": {"name": "Ines Calder"}, "wa_id": customer} for customer in customers],
            "messages": [
                {"from": customer, "id": wamid, "timestamp": str(int(time.time())), "type": "text",
                 "text": {"body": text}}
                for customer, wamid, text in messages
            ],
        },
    }  # fmt: skip


def genesys_webhook(tenant: TenantUnderTest, customer: str, message_id: str, text: str) -> bytes:
    """A webhook of Genesys Cloud with an agent's text."""
    return json.dumps(
        {
            "id": message_id,
            "channel": {
                "id": tenant.integration_id,
                "platform": "Open",
                "type": "Private",
                "messageId": message_id,
                "to": {"id": customer, "idType": "Phone"},
                "from": {"nickname": "Support", "id": tenant.integration_id, "idType": "Opaque"},
                "time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            },
            "type": "Text",
            "text": text,
            "content": [],
            "originatingEntity": "Human",
            "direction": "Outbound",
        }
    ).encode()


def sign_as_meta(secret: str, body: bytes) -> str:
    """X-Hub-Signature-256 as Meta writes it: hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_as_genesys(secret: str, body: bytes) -> str:
    """X-Hub-Signature-256 as Genesys Cloud writes it: Base64."""
    return "sha256=" + base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
