"""The webhooks of a load, signed and framed as HTTP before the clock starts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.accounts import Account
from sandbox.payloads import agent_text, contact, genesys_id, meta_body, sign_genesys, sign_meta, text_message
from scripts.benchmark.plan import Direction, Plan

FILLER = "The delivery has come, but one part is missing. What now?"


@dataclass(slots=True)
class Shot:
    """One webhook with one message. `from_ns` is when its latency begins, `answered_ns` when it was answered."""

    customer: int
    number: int
    request: bytes = field(repr=False)
    from_ns: int = 0
    answered_ns: int = 0
    status: int = 0
    tries: int = 0


def prepare(plan: Plan) -> list[Shot]:
    """Every webhook of the plan, in the order in which they are due."""
    return list(_shots(plan))


def text_of(run: str, customer: int, number: int) -> str:
    """A message's text, by which its arrival is recognised."""
    return f"{run} {customer} {number} {FILLER}"


def _shots(plan: Plan) -> Iterator[Shot]:
    now = int(time.time())
    for position in range(plan.count):
        number, customer = divmod(position, plan.customers)
        account = plan.accounts[customer % len(plan.accounts)]
        text = text_of(plan.run, customer, number)
        message_id = f"{plan.run}.{customer}.{number}"
        phone = f"4477{customer:08d}"
        if plan.direction is Direction.INBOUND:
            message = text_message(phone, f"wamid.{message_id}", text, now)
            body = meta_body(account, {"contacts": [contact(phone, f"Customer {customer}")], "messages": [message]})
            path, signature = "/webhook/whatsapp", sign_meta(plan.app_secret, body)
        else:
            body = agent_text(account, phone, message_id, text, genesys_id())
            path, signature = "/webhook/genesys", sign_genesys(_secret(account), body)
        yield Shot(customer, number, _request(plan, path, signature, body))


def _secret(account: Account) -> str:
    return account.genesys.webhook_secret


def _request(plan: Plan, path: str, signature: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
