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
from sandbox.webhooks import Attempt, Item, Webhook, WebhookSender

# when each report is made, in seconds after the send was accepted; further ones follow as closely
AFTER_S = (0.005, 0.03, 0.06)
FURTHER_S = 0.03
SEQUENCES = {
    "on": ("sent", "delivered"),
    "read": ("sent", "delivered", "read"),
    "played": ("sent", "delivered", "read", "played"),
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
        self._closed = False

    def accepted(self, sent: SentMessage) -> None:
        """Report on this message, as the switches say."""
        loop = asyncio.get_running_loop()
        for number, report in enumerate(self._reports(sent)):
            after_s = AFTER_S[number] if number < len(AFTER_S) else AFTER_S[-1] + FURTHER_S * (number - 2)
            loop.call_later(after_s, self._report, report)

    def are_early(self, account: Account) -> bool:
        """True if reports shall reach the router before the send is answered."""
        return bool(self._faults.switch("status_early", "meta", account.tenant_id))

    async def report_now(self, sent: SentMessage) -> None:
        """Report on this message and return once the router has heard it all."""
        for report in self._reports(sent):
            await self._post([report])

    async def report_one(self, sent: SentMessage, state: str, code: int | None) -> Attempt:
        """Report one state of any message, known or not; how the router took it."""
        return await self._post([_Report(sent, state, (code or UNDELIVERABLE) if state == "failed" else None)])

    async def close(self) -> None:
        """Stop reporting."""
        self._closed = True
        for stream in list(self._streams.values()):
            stream.cancel()
        await asyncio.gather(*self._streams.values(), return_exceptions=True)

    def _reports(self, sent: SentMessage) -> list[_Report]:
        tenant = sent.account.tenant_id
        sequence = self._faults.switch("status_sequence", "meta", tenant)
        if sequence is None:
            sequence = SEQUENCES[self._faults.switch("statuses", "meta", tenant) or "on"]
        error = self._faults.switch("status_code", "meta", tenant) or UNDELIVERABLE
        if self._faults.switch("status_order", "meta", tenant) == "reverse":
            sequence = sequence[::-1]
        if self._faults.switch("status_callback_data", "meta", tenant) is False:
            sent.opaque = None
        return [_Report(sent, state, error if state == "failed" else None) for state in sequence]

    def _report(self, report: _Report) -> None:
        if self._closed:
            return
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

    async def _post(self, reports: list[_Report]) -> Attempt:
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
        return await self._sender.send(Webhook("meta", "meta_status", account.tenant_id, path, body, signature, items))


def whatsapp_path(account: Account) -> str:
    """The router's path for webhooks of this account's Meta app."""
    return "/webhook/whatsapp" if account.app == DEFAULT_APP else f"/webhook/whatsapp/{account.app}"


def _status(report: _Report) -> dict[str, Any]:
    error = None if report.error is None else status_error(report.error)
    sent = report.sent
    return status(sent.to, sent.message.id, report.state, sent.opaque, error)
