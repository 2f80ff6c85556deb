"""What Meta reports about messages that it accepted: sent, delivered, read or failed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.accounts import DEFAULT_APP, Account
from sandbox.conversations import Message
from sandbox.faults import Faults
from sandbox.graph_errors import status_error
from sandbox.payloads import contact, meta_body, sign_meta, status
from sandbox.webhooks import Item, Webhook, WebhookSender

# when each report is made, in seconds after the send was accepted
AFTER_S = (0.005, 0.03, 0.06)
SEQUENCES = {
    "on": ("sent", "delivered"),
    "read": ("sent", "delivered", "read"),
    "failed": ("sent", "failed"),
    "off": (),
}
UNDELIVERABLE = 131026
LARGEST_BATCH = 100


@dataclass(slots=True, eq=False)
class SentMessage:
    """A message that Meta took from a business."""

    account: Account
    to: str
    name: str
    message: Message
    opaque: str | None


@dataclass(slots=True, eq=False)
class _Report:
    sent: SentMessage
    state: str
    error: int | None


class StatusFeed:
    """One stream of status webhooks per tenant; what gathers while one is under way goes with the next."""

    def __init__(self, sender: WebhookSender, faults: Faults, secret_of: Callable[[Account], str]) -> None:
        self._sender = sender
        self._faults = faults
        self._secret_of = secret_of
        self._waiting: dict[str, list[_Report]] = defaultdict(list)
        self._streams: dict[str, asyncio.Task[None]] = {}

    def accepted(self, sent: SentMessage) -> None:
        """Report on this message, as the switches say."""
        tenant = sent.account.tenant_id
        sequence = SEQUENCES[self._faults.switch("statuses", "meta", tenant) or "on"]
        error = self._faults.switch("status_code", "meta", tenant) or UNDELIVERABLE
        if self._faults.switch("status_order", "meta", tenant) == "reverse":
            sequence = sequence[::-1]
        loop = asyncio.get_running_loop()
        for after_s, state in zip(AFTER_S, sequence, strict=False):
            loop.call_later(after_s, self._report, _Report(sent, state, error if state == "failed" else None))

    async def close(self) -> None:
        """Stop reporting."""
        for stream in list(self._streams.values()):
            stream.cancel()
        await asyncio.gather(*self._streams.values(), return_exceptions=True)

    def _report(self, report: _Report) -> None:
        tenant = report.sent.account.tenant_id
        self._waiting[tenant].append(report)
        if tenant not in self._streams:
            self._streams[tenant] = asyncio.ensure_future(self._stream(tenant))

    async def _stream(self, tenant: str) -> None:
        try:
            while waiting := self._waiting.pop(tenant, None):
                for start in range(0, len(waiting), LARGEST_BATCH):
                    await self._post(waiting[start : start + LARGEST_BATCH])
        finally:
            del self._streams[tenant]

    async def _post(self, reports: list[_Report]) -> None:
        account = reports[0].sent.account
        people = {report.sent.to: report.sent.name for report in reports if report.error is None}
        value: dict[str, Any] = {}
        if people:
            value["contacts"] = [contact(to, name) for to, name in people.items()]
        value["statuses"] = [_status(report) for report in reports]
        body = meta_body(account, value)
        items = tuple(
            Item(report.sent.message.id, f"{account.phone_number_id}|{report.sent.to}", report.state)
            for report in reports
        )
        for report in reports:
            report.sent.message.state = report.state
        signature = sign_meta(self._secret_of(account), body)
        path = whatsapp_path(account)
        await self._sender.send(Webhook("meta", "meta_status", account.tenant_id, path, body, signature, items))


def whatsapp_path(account: Account) -> str:
    """The router's path for webhooks of this account's Meta app."""
    return "/webhook/whatsapp" if account.app == DEFAULT_APP else f"/webhook/whatsapp/{account.app}"


def _status(report: _Report) -> dict[str, Any]:
    error = None if report.error is None else status_error(report.error)
    sent = report.sent
    return status(sent.to, sent.message.id, report.state, sent.opaque, error)
