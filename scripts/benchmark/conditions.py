"""What a row asks of its surroundings: how slow the clouds are, whether the pools are held, how many transformers run.

The pools are held by suspending the tenants, which the platform itself offers: their webhooks are accepted and stored
as ever, their lanes are not read, and activating them lets everything go in its order. So nothing is measured that an
operator could not do, no process is stopped that the supervisor would miss and start anew, and what was accepted is
delivered and counted after all. The yardstick returns what it has read and reads no more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from sandbox.accounts import Account
from scripts.benchmark.rows import Row
from scripts.benchmark.stage import Stage, StageFailed
from scripts.benchmark.tenants import SetUpFailed

TIMEOUT_S = 30.0
# A change of a tenant is in force within 1 s; what was under way then is settled.
HELD_AFTER_S = 2.0
SCALED_WITHIN_S = 120.0
POLL_S = 0.2


class Conditions:
    """Those of either stage: the simulated clouds. Subclasses hold the pools, and size them if they can be sized."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @contextlib.contextmanager
    def sized(self, row: Row, accounts: Sequence[Account]) -> Iterator[None]:
        """As many transformers and lanes as the row asks for, until the end."""
        yield

    @contextlib.contextmanager
    def of(self, row: Row, accounts: Sequence[Account]) -> Iterator[Callable[[], None]]:
        """The row's other conditions until the end; what lets the held pools go comes with them."""
        if row.latency_ms:
            self._fault(latency_ms=row.latency_ms)
        if row.statuses:
            self._fault(cloud="meta", statuses="on")
        try:
            if not row.held:
                yield _nothing
                return
            self.hold(accounts)
            time.sleep(HELD_AFTER_S)
            try:
                yield lambda: self.release(accounts)
            except BaseException:
                self.release(accounts)
                raise
        finally:
            if row.latency_ms:
                self._fault(latency_ms=None)
            if row.statuses:
                self._fault(cloud="meta", statuses="off")

    def hold(self, accounts: Sequence[Account]) -> None:
        """Deliver nothing of these tenants from now on."""
        raise NotImplementedError

    def release(self, accounts: Sequence[Account]) -> None:
        """Deliver again."""
        raise NotImplementedError

    def _fault(self, **switches: Any) -> None:
        with _client(self._stage.urls["sandbox"]) as sandbox:
            _expect(sandbox.post("/sandbox/faults", json=switches))


class YardstickConditions(Conditions):
    """Held by what the yardstick itself is told."""

    def hold(self, accounts: Sequence[Account]) -> None:
        self._tell("/hold")

    def release(self, accounts: Sequence[Account]) -> None:
        self._tell("/release")

    def _tell(self, path: str) -> None:
        with _client(self._stage.urls["router"]) as yardstick:
            _expect(yardstick.post(path))


class PlatformConditions(Conditions):
    """Held by suspending the tenants; pool and lanes have the sizes that the row asks for."""

    @contextlib.contextmanager
    def sized(self, row: Row, accounts: Sequence[Account]) -> Iterator[None]:
        try:
            # In this order: lanes that are new go to whoever has the fewest.
            if row.transformers > 1:
                self._scale(row.transformers)
            if row.lanes > 1:
                self._change(accounts, {"settings": {"lanes": row.lanes}})
            yield
        finally:
            if row.lanes > 1:
                self._change(accounts, {"settings": {"lanes": None}})
            if row.transformers > 1:
                self._scale(1)

    def hold(self, accounts: Sequence[Account]) -> None:
        self._change(accounts, {"status": "suspended"})

    def release(self, accounts: Sequence[Account]) -> None:
        self._change(accounts, {"status": "active"})

    def _change(self, accounts: Sequence[Account], change: dict[str, Any]) -> None:
        with self._api() as api:
            for account in accounts:
                _expect(api.patch(f"/tenants/{account.tenant_id}", json=change))

    def _scale(self, size: int) -> None:
        """Have so many inbound transformers; returns once they run."""
        with self._api() as api:
            _expect(api.patch("/pools/inbound", json={"size": size}))
            deadline = time.monotonic() + SCALED_WITHIN_S
            while True:
                pool = api.get("/pools").json()["inbound"]
                if pool["running"] == size and not pool["changing"]:
                    return
                if time.monotonic() > deadline:
                    raise StageFailed(f"the pool has not {size} transformers within {SCALED_WITHIN_S:g} s: {pool}")
                time.sleep(POLL_S)

    def _api(self) -> httpx.Client:
        client = _client(self._stage.urls["router"])
        client.headers["X-API-Key"] = self._stage.environment["ADMIN_API_KEY"]
        return client


def _nothing() -> None:
    """Nothing is held, so nothing is let go."""


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False)


def _expect(answer: httpx.Response) -> None:
    if not answer.is_success:
        request = answer.request
        raise SetUpFailed(f"{request.method} {request.url} answered {answer.status_code}: {answer.text[:300]}")
