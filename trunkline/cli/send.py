"""`trunkline send`: a test message through the sandbox, and its way step by step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from trunkline.cli.api import TIMEOUT_S, CommandFailed, Router, router
from trunkline.cli.attached import from_agent, from_customer
from trunkline.cli.messages import fetch_trace, print_trace
from trunkline.cli.output import Json, print_json

DELIVERED_WITHIN_S = 10.0
TICKS_WITHIN_S = 1.0
# What the sandbox keeps of a text in its log.
LOGGED_TEXT = 64


class Side(StrEnum):
    """Who writes."""

    CUSTOMER = "customer"
    AGENT = "agent"


_ARRIVAL = {
    Side.CUSTOMER: ("genesys_message", "arrived at the agent's desktop"),
    Side.AGENT: ("graph_send", "arrived at the customer's phone"),
}


@dataclass
class Way:
    """What is known of the message's way; times are milliseconds since its webhook left the cloud."""

    id: str
    as_json: bool
    delivered_ms: float | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)
    _told: int = 0

    def step(self, ms: float, what: str) -> None:
        """One step more; `tell` tells of it."""
        self.steps.append({"ms": round(ms, 1), "step": what})

    def tell(self) -> None:
        """Print the steps that were not told yet, in the order of their times."""
        self.steps[self._told :] = sorted(self.steps[self._told :], key=lambda step: step["ms"])
        for step in self.steps[self._told :]:
            if not self.as_json:
                typer.echo(f"{step['ms']:8.1f} ms  {step['step']}")
        self._told = len(self.steps)

    def shown(self) -> dict[str, Any]:
        """The way as JSON."""
        delivered = self.delivered_ms is not None
        return {"id": self.id, "delivered": delivered, "milliseconds": self.delivered_ms, "steps": self.steps}


class Sandbox:
    """The sandbox's control API."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have somebody write; when and how the webhook was answered."""
        return self._call("POST", "/sandbox/send", json=order)

    def wait_for(self, wanted: dict[str, Any], wait_s: float) -> list[dict[str, Any]]:
        """Events like the wanted, as soon as there is one."""
        query = {**wanted, "wait": max(0, int(wait_s * 1000))}
        events: list[dict[str, Any]] = self._call("GET", "/sandbox/events", params=query)["events"]
        return events

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **request)
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise CommandFailed(
                f"the sandbox does not answer at {self._url} ({error}): scripts/run starts it, unless told --no-sandbox"
            ) from None
        if not answer.is_success:
            raise CommandFailed(f"the sandbox refuses: {body.get('error', answer.status_code)}", body)
        found: dict[str, Any] = body
        return found


def send(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What is written.")],
    side: Annotated[Side, typer.Option("--as", help="Who writes it.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="ID", help="A tenant of the sandbox.")] = "demo",
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="NUMBER", help="The customer's number; the sandbox's own.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The customer's name.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file to send along, up to 3 MB; the text is its caption.")
    ] = None,
    sandbox: Annotated[
        str, typer.Option("--sandbox", envvar="SANDBOX_URL", metavar="URL", help="Where the sandbox is.")
    ] = "http://127.0.0.1:3001",
    as_json: Json = False,
) -> None:
    """Send a test message and print its way, until the other side has it; exit code 1 if that takes over 10 s."""
    given = {"customer": customer.removeprefix("+") if customer else None, "name": name}
    order = {"as": side.value, "tenantId": tenant, "text": text, **{key: v for key, v in given.items() if v}}
    if file is not None:
        order |= from_customer(file) if side is Side.CUSTOMER else from_agent(file)
    clouds = Sandbox(sandbox.rstrip("/"))
    context.call_on_close(clouds.close)
    sent = clouds.send(order)
    way = Way(sent["id"], as_json)
    _tell_webhook(way, side, sent)
    arrival = _wait_for_arrival(clouds, side, sent, text, way)
    if arrival is None:
        _tell_whereabouts(router(context), way, tenant)
        raise typer.Exit(1)
    way.tell()
    if side is Side.AGENT:
        _wait_for_ticks(clouds, sent, arrival, way)
        way.tell()
    print_json(way.shown()) if as_json else typer.echo(f"delivered in {way.delivered_ms:.0f} ms")


def _tell_webhook(way: Way, side: Side, sent: dict[str, Any]) -> None:
    cloud = "WhatsApp" if side is Side.CUSTOMER else "Genesys Cloud"
    way.step(0.0, f"{cloud} posts the webhook of {sent['id']}")
    answered = f"answered {sent['status']}" if sent["status"] else "not answered"
    way.step(sent["latencyMs"], f"{answered}{', which will be repeated' if sent['repeating'] else ''}")
    if sent["status"] != 200 and not sent["repeating"]:
        way.tell()
        raise CommandFailed(f"the router did not take the message: its webhook was {answered}", way.shown())


def _wait_for_arrival(clouds: Sandbox, side: Side, sent: dict[str, Any], text: str, way: Way) -> dict[str, Any] | None:
    """The call that brought the message to the other side; failed attempts are told on the way."""
    kind, arrived = _ARRIVAL[side]
    wanted = {"since": sent["since"], **sent["expect"], "kind": kind, "tenantId": sent["tenantId"]}
    deadline = time.monotonic() + DELIVERED_WITHIN_S
    while (left_s := deadline - time.monotonic()) > 0:
        # What has arrived before the webhook was answered is told before the answer.
        events = clouds.wait_for(wanted, 0)
        if not events:
            way.tell()
            events = clouds.wait_for(wanted, left_s)
        for event in events:
            wanted["since"] = event["seq"]
            if side is Side.AGENT and event["text"] != text[:LOGGED_TEXT]:
                continue
            ms = _since(sent, event)
            if event["status"] == 200:
                way.delivered_ms = round(ms, 1)
                way.step(ms, f"{arrived}{', though the answer was lost' if event['lost'] else ''}")
                return event
            way.step(ms, f"refused with {event['status']} {event['code']}".rstrip())
    return None


def _wait_for_ticks(clouds: Sandbox, sent: dict[str, Any], arrival: dict[str, Any], way: Way) -> None:
    """The receipts that reach the agent's desktop, until the one that says Delivered."""
    wanted = {"since": arrival["seq"], "kind": "genesys_receipt", "id": sent["id"]}
    deadline = time.monotonic() + TICKS_WITHIN_S
    while (left_s := deadline - time.monotonic()) > 0:
        for event in clouds.wait_for(wanted, left_s):
            wanted["since"] = event["seq"]
            way.step(_since(sent, event), f"the agent's desktop shows {event['text']}")
            if event["text"] != "Published":
                return


def _tell_whereabouts(api: Router, way: Way, tenant: str) -> None:
    """Where the message is instead."""
    try:
        found: dict[str, Any] | None = fetch_trace(api, way.id, tenant)
    except CommandFailed as error:
        found = None
        typer.echo(f"no trace: {error.text}", err=True)
    if way.as_json:
        print_json({**way.shown(), "trace": found})
        return
    typer.echo(f"not delivered within {DELIVERED_WITHIN_S:.0f} s")
    if found is not None:
        print_trace(found)


def _since(sent: dict[str, Any], event: dict[str, Any]) -> float:
    ms: float = (event["monoNs"] - sent["sentMonoNs"]) / 1e6
    return ms
