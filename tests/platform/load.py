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
    """What is wrong with the arrivals."""

    lost: list[str]
    doubled: list[str]
    reordered: list[str]


class Load:
    """`each` messages of every customer, or as many as there is time for until `enough`."""

    def __init__(
        self,
        url: str,
        tenant: TenantUnderTest,
        direction: Direction,
        app_secret: str,
        *,
        customers: int,
        each: int | None = None,
        per_second: float = 1_000_000.0,
    ) -> None:
        self.tenant = tenant
        self.direction = direction
        self.taken: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.enough = False
        self._run_id = secrets.token_hex(4)
        self._customers = customers
        self._each = each
        self._url = url
        self._app_secret = app_secret
        self._interval_s = 1.0 / per_second
        self._next_at = 0.0

    @property
    def kind(self) -> str:
        """The kind of the sandbox's records in which they arrive."""
        return ARRIVES_AS[self.direction]

    async def post(self) -> None:
        """Post; returns when everything was answered 200."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            lots = (range(self._customers)[first::AT_ONCE] for first in range(AT_ONCE))
            await asyncio.gather(*(self._post_for(session, lot) for lot in lots))

    def judge(self, records: Sequence[dict[str, Any]]) -> Verdict:
        """Compare what was taken with what arrived."""
        arrivals = self._arrivals(records)
        times = Counter(record["text"] for record in arrivals)
        orders: defaultdict[str, list[int]] = defaultdict(list)
        for record in arrivals:
            _, customer, number = record["text"].split(" ")
            orders[customer].append(int(number))
        return Verdict(
            lost=sorted(self.taken - times.keys()),
            doubled=[text for text, count in times.items() for _ in range(count - 1)],
            reordered=[f"{customer}: {order}" for customer, order in orders.items() if order != sorted(order)],
        )

    def longest_gap_s(
        self, records: Sequence[dict[str, Any]], from_ns: int, to_ns: int, without: Collection[str] = ()
    ) -> float:
        """The longest time without an arrival between two moments (monotonic); some customers do not count."""
        moments = [
            int(record["mono_ns"])
            for record in self._arrivals(records)
            if from_ns < record["mono_ns"] < to_ns and _identity(int(record["text"].split(" ")[1])) not in without
        ]
        return max(later - earlier for earlier, later in itertools.pairwise([from_ns, *moments, to_ns])) / 1e9

    def id_of(self, text: str) -> str:
        """The cloud's id of the message with this text."""
        return f"wamid.{text}".replace(" ", ".") if self.direction == "inbound" else text.replace(" ", ".")

    def _arrivals(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        mine = [record for record in records if record["status"] == 200 and record["text"].startswith(self._run_id)]
        return sorted(mine, key=lambda record: int(record["seq"]))

    async def _post_for(self, session: aiohttp.ClientSession, customers: Sequence[int]) -> None:
        for number in itertools.count() if self._each is None else range(self._each):
            for customer in customers:
                await self._pace()
                if self.enough:
                    return
                await self._post_until_taken(session, f"{self._run_id} {customer} {number}", _identity(customer))

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
        self.taken.add(text)

    async def _post_once(self, session: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str]) -> int:
        try:
            async with session.post(self._url + path, data=body, headers=headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = NO_ANSWER
        self.answers[status] += 1
        return status

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
