"""The webhooks of a load, signed and framed as HTTP before the clock starts."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.accounts import Account
from sandbox.payloads import agent_text, contact, genesys_id, meta_body, sign_genesys, sign_meta, text_message
from scripts.benchmark.plan import Direction, Plan

FILLER = "The delivery has come, but one part is missing. What now?"


@dataclass(slots=True)
class Shot:
    """One webhook. `from_ns` is when its latency begins, `answered_ns` when it was answered.

    It holds the messages with this `number` of the customers from `customer` on, as many as its plan puts in a webhook.
    """

    customer: int
    number: int
    request: bytes = field(repr=False)
    from_ns: int = 0
    answered_ns: int = 0
    status: int = 0
    tries: int = 0


def prepare(plan: Plan) -> list[Shot]:
    """Every webhook of the plan, in the order in which they are due."""
    random.seed(plan.run)  # the ids that the sandbox's payloads draw
    return list(_shots(plan))


def text_of(run: str, customer: int, number: int) -> str:
    """A message's text, by which its arrival is recognised."""
    return f"{run} {customer} {number} {FILLER}"


def _shots(plan: Plan) -> Iterator[Shot]:
    now = int(time.time())
    for position in range(0, plan.count, plan.in_a_webhook):
        number, customer = divmod(position, plan.customers)
        writers = range(plan.first_customer + customer, plan.first_customer + customer + plan.in_a_webhook)
        account = plan.account_of(customer)
        if plan.direction is Direction.INBOUND:
            body = meta_body(
                account,
                {
                    "contacts": [contact(_phone(writer), f"Customer {writer}") for writer in writers],
                    "messages": [
                        text_message(
                            _phone(writer), f"wamid.{_id(plan, writer, number)}", text_of(plan.run, writer, number), now
                        )
                        for writer in writers
                    ],
                },
            )
            path, signature = "/webhook/whatsapp", sign_meta(plan.app_secret, body)
        else:
            (writer,) = writers  # Genesys Cloud never puts two into a webhook
            text = text_of(plan.run, writer, number)
            body = agent_text(account, _phone(writer), _id(plan, writer, number), text, genesys_id())
            path, signature = "/webhook/genesys", sign_genesys(_secret(account), body)
        yield Shot(writers[0], number, _request(plan, path, signature, body))


def _phone(customer: int) -> str:
    return f"4477{customer:08d}"


def _id(plan: Plan, customer: int, number: int) -> str:
    return f"{plan.run}.{customer}.{number}"


def _secret(account: Account) -> str:
    return account.genesys.webhook_secret


def _request(plan: Plan, path: str, signature: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
