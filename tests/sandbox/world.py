"""A sandbox with one account, a router that only records, and clocks that tests turn."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sandbox.accounts import Account, Accounts
from sandbox.app import Sandbox, build_sandbox
from sandbox.fetches import Fetched
from sandbox.http import Request, Response
from sandbox.meta_app import MetaApp

DATA = Path(__file__).parent.parent / "data"
URL = "http://sandbox.test:3001"
APP_SECRET = "shared-app-secret-for-tests"
CUSTOMER = "447700900111"
TOKEN = "whatsapp-token-of-alder"
ACCOUNT: dict[str, Any] = {
    "tenantId": "alder",
    "phoneNumberId": "210099887766551",
    "wabaId": "104488220011733",
    "displayPhoneNumber": "442079460101",
    "accessToken": TOKEN,
    "genesys": {
        "clientId": "0a6f1d60-1111-4a6e-8f2a-000000000001",
        "clientSecret": "alder-client-secret",
        "integrationId": "3b0e7a52-64a7-4c1e-9a55-0d6f2f6b9c01",
        "webhookSecret": "alder-genesys-secret-0001",
    },
}
BIRCH: dict[str, Any] = {
    "tenantId": "birch",
    "phoneNumberId": "310077665544332",
    "wabaId": "119900887766221",
    "accessToken": "whatsapp-token-of-birch",
    "app": "app_birch",
    "appSecret": "birch-app-secret",
    "verifyToken": "verify-birch",
    "genesys": {
        "clientId": "0a6f1d60-2222-4a6e-8f2a-000000000002",
        "clientSecret": "birch-client-secret",
        "integrationId": "c6a4f0d3-9b1e-4f57-8a36-5be2f7d1aa02",
        "webhookSecret": "birch-genesys-secret-0002",
    },
}


class Router:
    """Where webhooks go: records them and answers what the test wants."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.gets: list[tuple[str, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.always = 200
        self.challenge_is_echoed = True
        self.on_post: Callable[[], None] = lambda: None

    async def post(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.posts.append((path, headers, body))
        self.on_post()
        await asyncio.sleep(0)
        return self.statuses.pop(0) if self.statuses else self.always

    async def get(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        self.gets.append((path, query))
        return (200, query["hub.challenge"]) if self.challenge_is_echoed else (403, "")

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.posts]

    def meta_values(self, key: str) -> list[Any]:
        """All messages, or all statuses, that Meta has posted, in order."""
        values = [body["entry"][0]["changes"][0]["value"] for body in self.bodies if "entry" in body]
        return [each for value in values for each in value.get(key, [])]


class Exchange:
    """A request without a connection."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.response: Response | None = None
        self.dropped = False
        self.has_gone = asyncio.Event()

    def answer(self, response: Response) -> None:
        self.response = response

    def drop(self) -> None:
        self.dropped = True

    async def gone(self) -> None:
        await self.has_gone.wait()


class Answer:
    """What came back; status 0 when the connection was dropped instead."""

    def __init__(self, exchange: Exchange) -> None:
        response = exchange.response
        self.dropped = exchange.dropped
        self.status = response.status if response else 0
        self.raw = response.body if response else b""
        self.headers = {name.decode(): value.decode() for name, value in (response.headers if response else ())}

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class World:
    """The sandbox and everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.router = Router()
        self.now = 1000.0
        self.waits: list[float] = []
        self.fetched: list[str] = []
        self.fetches = Fetched(200, "image/jpeg", 3, 'attachment; filename="a.jpg"', 3, "ab" * 32)
        accounts = Accounts(None)
        accounts.put(Account.model_validate(ACCOUNT), Account.model_validate(BIRCH))
        self.sandbox: Sandbox = build_sandbox(
            accounts,
            MetaApp(APP_SECRET, "verify-shared"),
            self.router.post,
            self.router.get,
            sleep=self._sleep,
            now=lambda: self.now,
            fetch=self._fetch,
            url=URL,
            folder=folder,
        )

    async def _fetch(self, url: str) -> Fetched:
        self.fetched.append(url)
        await asyncio.sleep(0)
        return self.fetches

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def exchange(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Exchange:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json"} | {name.lower(): value for name, value in (headers or {}).items()}
        path, _, query = path.partition("?")
        pairs = [(name.encode(), value.encode()) for name, value in given.items()]
        upload = self.sandbox.upload(method, path, given["content-type"])
        if upload is not None:
            for start in range(0, len(raw), 7):  # bytes may arrive in any pieces
                upload.feed(raw[start : start + 7])
            upload.end()
            raw = b""
        return Exchange(Request(method, path, query, pairs, raw, time.monotonic_ns(), time.time(), upload))

    async def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        exchange = self.exchange(method, path, body, headers)
        rest = self.sandbox.serve(exchange)
        if rest is not None:
            await rest
        answer = Answer(exchange)
        if exchange.response is not None and exchange.response.stream is not None:
            answer.raw = b"".join([piece async for piece in exchange.response.stream.pieces])
        return answer

    async def send(self, body: Any, token: str = TOKEN, number: str = ACCOUNT["phoneNumberId"]) -> Answer:
        """POST to the Send API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.ask("POST", f"/graph/v25.0/{number}/messages", body, headers)

    async def token(
        self, account: dict[str, Any] = ACCOUNT, secret: str = "", grant: str = "client_credentials"
    ) -> Answer:
        """POST to the token endpoint."""
        genesys = account["genesys"]
        basic = base64.b64encode(f"{genesys['clientId']}:{secret or genesys['clientSecret']}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        form = urlencode({"grant_type": grant}).encode()
        return await self.ask("POST", "/genesys/login/oauth/token", form, headers)

    async def bearer(self, account: dict[str, Any] = ACCOUNT) -> dict[str, str]:
        """Headers with a fresh Genesys token."""
        return {"Authorization": f"Bearer {(await self.token(account)).json['access_token']}"}

    async def inbound(
        self,
        body: Any,
        headers: dict[str, str],
        what: str = "message",
        integration: str = ACCOUNT["genesys"]["integrationId"],
        query: str = "",
    ) -> Answer:
        """POST to an Open Messaging endpoint."""
        path = f"/genesys/api/api/v2/conversations/messages/{integration}/inbound/open/{what}{query}"
        return await self.ask("POST", path, body, headers)

    async def faults(self, **switches: Any) -> Answer:
        """POST to the fault switches."""
        return await self.ask("POST", "/sandbox/faults", switches)

    async def write(self, **order: Any) -> Any:
        """POST to /sandbox/send."""
        return (await self.ask("POST", "/sandbox/send", {"tenantId": "alder", **order})).json

    async def customer(self, kind: str = "text", **order: Any) -> Any:
        """Have the customer write; what is told of it."""
        return await self.write(**{"as": "customer", "customer": CUSTOMER, "kind": kind, **order})

    async def agent(self, kind: str = "text", **order: Any) -> Any:
        """Have an agent write; what is told of it."""
        return await self.write(**{"as": "agent", "customer": CUSTOMER, "kind": kind, **order})

    async def graph(self, method: str, path: str, token: str = TOKEN, **headers: str) -> Answer:
        """Ask the Graph API, or follow a link of its."""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.ask(method, path.removeprefix(URL), None, {**bearer, **headers})

    async def upload(
        self,
        data: bytes,
        mime: str = "application/pdf",
        *,
        token: str = TOKEN,
        number: str = ACCOUNT["phoneNumberId"],
        **fields: str,
    ) -> Answer:
        """POST a file to the media endpoint."""
        given = {"messaging_product": "whatsapp", "type": mime, **fields}
        parts = [f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in given.items()]
        head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: x/y\r\n\r\n'
        body = "".join([*parts, head]).encode() + data + b"\r\n--x--\r\n"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=x"}
        return await self.ask("POST", f"/graph/v25.0/{number}/media", body, headers)

    @property
    def files(self) -> int:
        """Number of temporary files."""
        return len(list(self.folder.iterdir())) if self.folder.exists() else 0

    async def conversation(self, customer: str = CUSTOMER) -> Any:
        """What both sides show of a customer's conversation."""
        path = f"/sandbox/conversations?tenantId=alder&customer={customer}"
        return (await self.ask("GET", path)).json["conversations"][0]


def fixture(name: str) -> Any:
    """A recorded answer of one of the clouds."""
    return json.loads((DATA / "api" / f"{name}.json").read_text())


def shape(value: Any) -> Any:
    """Names and types of a JSON value, without its content."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


async def until(condition: Callable[[], bool], within_s: float = 3.0) -> None:
    """Return once the condition holds; fail if it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.002)
