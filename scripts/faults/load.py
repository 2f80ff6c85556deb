"""A bounded load: signed webhooks of many customers, repeated as the clouds would, and what became of them.

The messages of one customer are posted one after the other, the next only when the last was answered 200; customers go
side by side. So whatever is lost, doubled or disordered at the far side was so by the platform.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from scripts.faults.bodies import genesys_webhook, meta_webhook, sign_as_genesys, sign_as_meta
from scripts.faults.platform import TenantUnderTest

AT_ONCE = 16
REPEAT_AFTER_S = 0.25
ANSWERED_WITHIN_S = 10.0
NO_ANSWER = 0
ACCEPTED = 200

Direction = Literal["inbound", "outbound"]
CLOUD_OF = {"inbound": "genesys", "outbound": "meta"}
ARRIVES_AS = {"inbound": "genesys_message", "outbound": "graph_send"}
# Customer and number of a message.
Key = tuple[int, int]
# Path, body and signature.
Signed = tuple[str, bytes, str]


@dataclass(frozen=True)
class Verdict:
    """What is wrong with the arrivals."""

    lost: list[str]
    doubled: list[str]
    reordered: list[str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A webhook that was not answered 200: when (monotonic), how, and for how many seconds it was sent away."""

    at_ns: int
    status: int
    retry_after: str | None


class Load:
    """`each` messages of every customer, or as many as there is time for until `enough`.

    `in_a_post`: so many messages of a customer go in one POST, `crowded`: with those of many customers. `padding` makes
    each text so much longer.
    """

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
        in_a_post: int = 1,
        crowded: bool = False,
        padding: int = 0,
    ) -> None:
        self.tenant = tenant
        self.direction = direction
        self.sent: set[str] = set()
        self.taken: dict[str, int] = {}  # when (monotonic) each was answered 200
        self.answers: Counter[int] = Counter()
        self.refusals: list[Refusal] = []
        self.enough = False
        self._run_id = secrets.token_hex(4)
        self._customers = customers
        self._each = each
        self._url = url
        self._app_secret = app_secret
        self._interval_s = 1.0 / per_second
        self._in_a_post = in_a_post
        self._crowded = crowded
        self._padding = " " + "x" * padding if padding else ""
        self._next_at = 0.0

    @property
    def kind(self) -> str:
        """The kind of the sandbox's records in which they arrive."""
        return ARRIVES_AS[self.direction]

    async def post(self) -> None:
        """Post; returns when everything was answered 200."""
        timeout = aiohttp.ClientTimeout(total=ANSWERED_WITHIN_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            lots = [range(self._customers)[first::AT_ONCE] for first in range(min(AT_ONCE, self._customers))]
            await asyncio.gather(*(self._post_for(session, lot) for lot in lots))

    def first_webhooks(self) -> list[Signed]:
        """Each customer's first webhook, for somebody else to post, who must see them taken."""
        texts = [self.text_of((customer, 0)) for customer in range(self._customers)]
        self.sent.update(texts)
        self.taken.update(dict.fromkeys(texts, time.monotonic_ns()))
        return [self._webhook([((customer, 0), text)]) for customer, text in enumerate(texts)]

    def judge(self, records: Sequence[dict[str, Any]]) -> Verdict:
        """Compare what was taken with what arrived."""
        arrivals = self.arrivals(records)
        times = Counter(record["text"] for record in arrivals)
        orders: defaultdict[str, list[int]] = defaultdict(list)
        for record in arrivals:
            _, customer, number = record["text"].split(" ")
            orders[customer].append(int(number))
        return Verdict(
            lost=sorted(self.taken.keys() - times.keys()),
            doubled=[text for text, count in times.items() for _ in range(count - 1)],
            reordered=[f"{customer}: {order}" for customer, order in orders.items() if order != sorted(order)],
        )

    def longest_gap_s(
        self, records: Sequence[dict[str, Any]], from_ns: int, to_ns: int, without: Collection[str] = ()
    ) -> float:
        """The longest time without an arrival between two moments (monotonic); some customers do not count."""
        moments = [
            int(record["mono_ns"])
            for record in self.arrivals(records)
            if from_ns < record["mono_ns"] < to_ns and _identity(int(record["text"].split(" ")[1])) not in without
        ]
        return max(later - earlier for earlier, later in itertools.pairwise([from_ns, *moments, to_ns])) / 1e9

    def text_of(self, message: Key) -> str:
        """The text of a message, by which it is recognised."""
        customer, number = message
        return f"{self._run_id} {customer} {number}"

    def id_of(self, text: str) -> str:
        """The cloud's id of the message with this text."""
        return f"wamid.{text}".replace(" ", ".") if self.direction == "inbound" else text.replace(" ", ".")

    def arrivals(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Its messages that the cloud accepted, in the order of its log; their texts without padding."""
        mine = [
            record for record in records if record["status"] == ACCEPTED and record["text"].startswith(self._run_id)
        ]
        mine = [{**record, "text": " ".join(record["text"].split(" ")[:3])} for record in mine]
        return sorted(mine, key=lambda record: int(record["seq"]))

    async def _post_for(self, session: aiohttp.ClientSession, customers: Sequence[int]) -> None:
        step = self._in_a_post
        for first in itertools.count(step=step) if self._each is None else range(0, self._each, step):
            numbers = range(first, first + step)
            for group in [customers] if self._crowded else [[customer] for customer in customers]:
                await self._pace(len(group) * len(numbers))
                if self.enough:
                    return
                await self._post_until_taken(session, [(customer, number) for number in numbers for customer in group])

    async def _pace(self, messages: int) -> None:
        slot = max(self._next_at, time.monotonic())
        self._next_at = slot + self._interval_s * messages
        if (wait_s := slot - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)

    async def _post_until_taken(self, session: aiohttp.ClientSession, messages: Sequence[Key]) -> None:
        texts = [self.text_of(message) for message in messages]
        self.sent.update(texts)
        path, body, signature = self._webhook(zip(messages, texts, strict=True))
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature}
        while (status := await self._post_once(session, path, body, headers)) != ACCEPTED:
            assert status == NO_ANSWER or status >= 500, f"the webhook was answered {status}"
            await asyncio.sleep(REPEAT_AFTER_S)
        self.taken.update(dict.fromkeys(texts, time.monotonic_ns()))

    async def _post_once(self, session: aiohttp.ClientSession, path: str, body: bytes, headers: dict[str, str]) -> int:
        retry_after = None
        try:
            async with session.post(self._url + path, data=body, headers=headers) as answer:
                await answer.read()
                status, retry_after = answer.status, answer.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError):
            status = NO_ANSWER
        self.answers[status] += 1
        if status != ACCEPTED:
            self.refusals.append(Refusal(time.monotonic_ns(), status, retry_after))
        return status

    def _webhook(self, messages: Iterable[tuple[Key, str]]) -> Signed:
        told = [(_identity(customer), self.id_of(text), text + self._padding) for (customer, _), text in messages]
        if self.direction == "inbound":
            body = meta_webhook(self.tenant, told)
            return "/webhook/whatsapp", body, sign_as_meta(self._app_secret, body)
        ((customer, message_id, text),) = told
        body = genesys_webhook(self.tenant, customer, message_id, text)
        return "/webhook/genesys", body, sign_as_genesys(self.tenant.webhook_secret, body)


def _identity(customer: int) -> str:
    return f"4477{customer:08d}"
