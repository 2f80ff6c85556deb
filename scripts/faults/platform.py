"""The whole platform as `scripts/run` starts it: one subprocess with a home, ports and stores of its own."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from config.settings import Settings
from scripts.faults.waiting import until
from scripts.launcher import ports, processes
from scripts.launcher.guard import descendants
from scripts.launcher.home import Home
from scripts.launcher.postgres import PostgresServer
from scripts.launcher.service import ROOT

READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 30.0

Fault = Callable[..., None]

# So much is granted that no limit is felt: what is tested here is the way, not the pace.
UNLIMITED = {
    "genesysRequestsPerMinute": 1_000_000,
    "whatsappMessagesPerSecond": 1_000_000,
    "whatsappPersonMessagesPerMinute": 1_000_000,
    "whatsappPersonBurst": 1_000_000,
}
GRANTED = {
    "genesysRequestsPerMinute": 1_000_000,
    "whatsappMessagesPerSecond": 1_000_000,
    "personMessagesPerMinute": 1_000_000,
    "personBurst": 1_000_000,
}


@dataclass(frozen=True)
class MetaAppSecrets:
    """A Meta app: its name and what signs its webhooks."""

    app: str
    app_secret: str
    verify_token: str


@dataclass(frozen=True)
class TenantUnderTest:
    """A tenant that both the platform and the simulated clouds know."""

    tenant_id: str
    phone_number_id: str
    integration_id: str
    webhook_secret: str
    account: dict[str, Any] = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    api_key: str = field(default="", repr=False)


class PlatformFailed(AssertionError):
    """The platform, or its sandbox, did not do what is needed to go on."""


class Platform:
    """Starts and stops the platform; between the two, talks to its API, its sandbox, its tables, its processes.

    `settings` are what it is told beside its port and its home; `database_url` is where its tables are looked into, if
    not where it finds them itself.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
        options: Sequence[str] = ("--fast", "--no-dashboard"),
        database_url: str = "",
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="trunkline-platform-"))
        self.home.chmod(0o711)  # as Home does for a folder that it makes itself
        self.port = port or free_pair()
        self.environment: dict[str, str] = {}
        self._settings = dict(settings or {})
        self._options = tuple(options)
        self._database_url = database_url
        self._log = self.home / "launcher.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._family: dict[int, int | None] = {}

    # --- life ---

    def start(self) -> None:
        """Start it; returns when it says `ready`."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        """Begin to start it; from the main thread, with which it ends."""
        # Whatever is set around the tests is not for this platform: it has to find or make everything itself.
        nothing = {name.upper(): "" for name in Settings.model_fields}
        place = {"PORT": str(self.port), "TRUNKLINE_HOME": str(self.home)}
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scripts.launcher", "run", *self._options],
                cwd=ROOT,
                env={**os.environ, **nothing, **place, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=partial(processes.die_with, os.getpid(), signal.SIGTERM),
            )

    def wait_ready(self) -> None:
        """Return when it says `ready`."""
        until(self._has_started, READY_WITHIN_S, "ready")
        self.environment = json.loads((self.home / "state.json").read_text())["environment"]

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self._process is None:
            return
        self._family = {pid: processes.start_time(pid) for pid in (self._process.pid, *self.descendants())}
        self._process.terminate()
        try:
            self._process.wait(timeout=STOPPED_WITHIN_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None
        for client in ("api", "sandbox"):
            if opened := self.__dict__.pop(client, None):
                opened.close()

    def remove(self) -> None:
        """Stop it and remove everything it has written."""
        self.stop()
        shutil.rmtree(PostgresServer.data_folder(Home(self.home)), ignore_errors=True)
        shutil.rmtree(self.home)

    def said(self) -> str:
        """What the launcher has printed."""
        return self._log.read_text() if self._log.exists() else ""

    def _has_started(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise PlatformFailed(f"it could not start:\n{self.said()}")
        return re.search(r"^ready ", self.said(), re.MULTILINE) is not None

    # --- its interfaces ---

    @property
    def url(self) -> str:
        """Where webhooks and the admin API are."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def api(self) -> httpx.Client:
        """The admin API, with the first admin key."""
        headers = {"X-API-Key": self.environment["ADMIN_API_KEY"]}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=15)

    @cached_property
    def sandbox(self) -> httpx.Client:
        """The sandbox's control API."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port + 1}", trust_env=False, timeout=30)

    @property
    def default_app(self) -> MetaAppSecrets:
        """The Meta app whose webhooks have the plain path."""
        return MetaAppSecrets("default", self.environment["META_APP_SECRET"], self.environment["META_VERIFY_TOKEN"])

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """What its database answers."""
        with psycopg.connect(
            self._database_url or self.environment["DATABASE_URL"], row_factory=dict_row
        ) as connection:
            return connection.execute(query, parameters).fetchall()

    # --- tenants ---

    def new_app(self) -> MetaAppSecrets:
        """A further Meta app, known to the platform."""
        app = MetaAppSecrets(f"app-{secrets.token_hex(4)}", secrets.token_hex(16), secrets.token_hex(8))
        body = {"app": app.app, "appSecret": app.app_secret, "verifyToken": app.verify_token}
        answer = self.api.post("/meta-apps", json=body)
        _expect(answer, 201)
        return app

    def new_tenant(
        self, app: MetaAppSecrets | None = None, limits: Mapping[str, float] | None = None, **changes: Any
    ) -> TenantUnderTest:
        """A tenant made through the API, and its accounts in the simulated clouds, which grant it `limits`."""
        tenant = unmade_tenant(app, **changes)
        if limits is not None:
            tenant = replace(tenant, account={**tenant.account, "limits": dict(limits)})
        self.register(tenant)
        answer = self.api.post("/tenants", json=tenant.body)
        _expect(answer, 201)
        return replace(tenant, api_key=answer.json()["apiKey"])

    def register(self, tenant: TenantUnderTest) -> None:
        """Make the tenant's accounts in the simulated clouds."""
        answer = self.sandbox.post("/sandbox/accounts", json=tenant.account)
        _expect(answer, 200, 201)

    # --- what happens in the clouds ---

    def send(
        self, tenant: TenantUnderTest, who: str, customer: str, text: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """Write as `customer` or as `agent` in the sandbox; what it says of the sending."""
        order = {"as": who, "tenantId": tenant.tenant_id, "customer": customer, "text": text, **more}
        answer = self.sandbox.post("/sandbox/send", json=order)
        _expect(answer, 200)
        sent: dict[str, Any] = answer.json()
        return sent

    def fault(self, **switches: Any) -> None:
        """Turn fault switches of the sandbox."""
        answer = self.sandbox.post("/sandbox/faults", json=switches)
        _expect(answer, 200)

    def last_seq(self) -> int:
        """The number of the newest event in the sandbox's log."""
        return int(self.sandbox.get("/sandbox/stats").json()["lastSeq"])

    def records(self, kind: str, since: int = 0, tenant: TenantUnderTest | None = None) -> list[dict[str, Any]]:
        """What arrived at the simulated clouds, oldest first, of one tenant or of all."""
        whose = {"tenantId": tenant.tenant_id} if tenant else {}
        answer = self.sandbox.get("/sandbox/records", params={"since": since, "kind": kind, **whose})
        return [json.loads(line) for line in answer.text.splitlines()]

    def events(self, tenant: TenantUnderTest, kind: str) -> list[dict[str, Any]]:
        """What arrived of one kind for a tenant, with bodies."""
        parameters = {"tenantId": tenant.tenant_id, "kind": kind, "direction": "in", "bodies": "1"}
        events: list[dict[str, Any]] = self.sandbox.get("/sandbox/events", params=parameters).json()["events"]
        return events

    def arrived(self, tenant: TenantUnderTest, kind: str, count: int, within_s: float = 15.0) -> list[dict[str, Any]]:
        """The accepted arrivals of one kind for a tenant, once there are `count`."""

        def accepted() -> list[dict[str, Any]]:
            found = [event for event in self.events(tenant, kind) if event["status"] == 200]
            return found if len(found) >= count else []

        return until(accepted, within_s, f"{count} of {kind} for {tenant.tenant_id}")

    def conversation(self, tenant: TenantUnderTest, customer: str) -> dict[str, Any]:
        """What the customer's phone and the agent's desktop show."""
        asked = {"tenantId": tenant.tenant_id, "customer": customer}
        (found,) = self.sandbox.get("/sandbox/conversations", params=asked).json()["conversations"]
        shown: dict[str, Any] = found
        return shown

    # --- what it says of itself ---

    def trace(self, tenant: TenantUnderTest, message_id: str) -> dict[str, Any]:
        """The way of a message of the tenant, by any of its ids."""
        answer = self.api.get(f"/messages/{message_id}/trace", headers={"X-API-Key": tenant.api_key})
        _expect(answer, 200)
        trace: dict[str, Any] = answer.json()
        return trace

    def status(self, tenant: TenantUnderTest) -> dict[str, Any]:
        """The tenant's status in words and numbers."""
        answer = self.api.get(f"/tenants/{tenant.tenant_id}/status")
        _expect(answer, 200)
        status: dict[str, Any] = answer.json()
        return status

    def change(self, tenant: TenantUnderTest, **changes: Any) -> None:
        """PATCH the tenant."""
        _expect(self.api.patch(f"/tenants/{tenant.tenant_id}", json=changes), 200)

    def resize(self, pool: str, size: int) -> None:
        """PATCH the pool; returns when the change has begun."""
        _expect(self.api.patch(f"/pools/{pool}", json={"size": size}), 200, 202)

    # --- its processes ---

    @property
    def pid(self) -> int:
        """The launcher, of which all its processes descend."""
        assert self._process is not None
        return self._process.pid

    def descendants(self) -> list[int]:
        """Every process that it consists of, the launcher itself apart."""
        assert self._process is not None
        return descendants(self._process.pid)

    def leftovers(self) -> list[str]:
        """What is there of a platform that was stopped: processes, and the folder that it has outside its home."""
        mark = str(self.home).encode()
        alive = {str(pid) for pid, began in self._family.items() if processes.start_time(pid) == began is not None}
        alive |= {entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and _names(entry, mark)}
        short = Path(self.environment["RAY_SERVE_HAPROXY_SOCKET_PATH"]).parent
        return sorted(alive) + [str(short)] * short.exists()

    def workers(self, title: str) -> list[int]:
        """Its own Ray processes whose title begins so, and no other Ray's."""
        return [pid for pid in self.descendants() if _title(pid).startswith(f"ray::{title}")]

    def programs(self, name: str) -> list[int]:
        """Its own processes that run the program of this name."""
        return [pid for pid in self.descendants() if _title(pid).partition(" ")[0].rpartition("/")[2] == name]


def unmade_tenant(app: MetaAppSecrets | None = None, **changes: Any) -> TenantUnderTest:
    """A tenant whose ids nobody else has, not made yet. `changes` are merged into the body that makes it."""
    tenant_id = f"t-{secrets.token_hex(5)}"
    number, integration = str(secrets.randbits(52) + 10**15), secrets.token_hex(16)
    whatsapp = {"phoneNumberId": number, "wabaId": "200000000000009", "accessToken": f"token-{secrets.token_hex(12)}"}
    genesys = {
        "clientId": secrets.token_hex(8),
        "clientSecret": secrets.token_hex(12),
        "integrationId": integration,
        "webhookSecret": secrets.token_hex(16),
    }
    account = {"tenantId": tenant_id, **whatsapp, "genesys": genesys, "limits": GRANTED}
    if app is not None:
        account |= {"app": app.app, "appSecret": app.app_secret, "verifyToken": app.verify_token}
        whatsapp = {**whatsapp, "app": app.app}
    body = {
        "tenantId": tenant_id, "name": "Under test", "whatsapp": whatsapp, "genesys": genesys, "settings": UNLIMITED,
    }  # fmt: skip
    return TenantUnderTest(tenant_id, number, integration, genesys["webhookSecret"], account, {**body, **changes})


def _expect(answer: httpx.Response, *statuses: int) -> None:
    if answer.status_code not in statuses:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise PlatformFailed(f"{asked} was answered {answer.status_code}: {answer.text[:500]}")


def _names(process: Path, mark: bytes) -> bool:
    """Whether the process was started with this in its arguments or its environment."""
    try:
        return any(mark in (process / file).read_bytes() for file in ("cmdline", "environ"))
    except OSError:
        return False  # it has ended, or is another user's


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def free_pair() -> int:
    """A free port with a free one behind it, for the sandbox."""
    while True:
        port = ports.choose()
        if ports.is_free(port + 1):
            return port
