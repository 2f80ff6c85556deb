"""Clients that are slow, idle or send too much: they get nowhere, and nobody else is kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from scripts.faults.load import Load
from scripts.faults.platform import Fault, Platform, TenantUnderTest
from scripts.faults.waiting import POLL_S
from tests.platform.crowd import Crowd
from tests.platform.verdicts import all_arrived
from trunkline.web import bodies
from trunkline.web.webhooks import LONGEST_BODY

pytestmark = pytest.mark.ray

GONE_WITHIN_S = 40.0
SENT = 100


async def test_a_thousand_idle_and_hundreds_of_slow_connections_do_not_stop_webhooks(
    platform: Platform, tenant: TenantUnderTest, fault: Fault
) -> None:
    fault(cloud="meta", tenantId=tenant.tenant_id, statuses="off")
    load = Load(platform.url, tenant, "inbound", platform.default_app.app_secret, customers=20, each=SENT // 20)
    since = platform.last_seq()
    async with Crowd(
        platform.port,
        idle=1000,
        slow_headers=200,
        slow_body=200,
        slow_large_body=100,
        slow_request_of_the_admin_api=100,
    ) as crowd:
        await load.post()
        assert load.answers == {200: SENT}
        await all_arrived(platform, load, since)
        async with httpx.AsyncClient(base_url=platform.url, trust_env=False) as api:
            assert (await api.get("/health/live")).status_code == 200
        # They get no place for longer than a request may take.
        async with asyncio.timeout(GONE_WITHIN_S):
            while crowd.there:
                await asyncio.sleep(POLL_S)
    told = {kind for (kind, status), _ in crowd.ended.items() if status == b"408"}
    assert {"idle", "slow headers", "slow body", "slow large body"} <= told


@pytest.mark.parametrize(
    ("path", "largest"),
    [("/webhook/whatsapp", LONGEST_BODY), ("/webhook/genesys", LONGEST_BODY), ("/tenants", bodies.LARGEST)],
)
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in pieces"])
def test_too_large_a_body_is_refused_in_one_shape(platform: Platform, path: str, largest: int, announced: bool) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(largest // 65_536):
            yield b" " * 65_536
        yield b" "

    answer = platform.api.post(path, content=b" " * (largest + 1) if announced else pieces())
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_no_answer_names_the_server(platform: Platform) -> None:
    for path in ("/health/live", "/webhook/whatsapp", "/nothing"):
        assert "server" not in platform.api.get(path).headers, path


def test_the_log_of_changes_says_where_a_request_came_from(platform: Platform, tenant: TenantUnderTest) -> None:
    platform.change(tenant, name="Another name")
    entry = platform.api.get("/audit", params={"tenant": tenant.tenant_id}).json()["entries"][0]
    assert (entry["action"], entry["actor"]["address"]) == ("tenant.updated", "127.0.0.1")
    # A proxy on this machine is believed; it says who called it.
    platform.api.patch(
        f"/tenants/{tenant.tenant_id}", json={"name": "A third"}, headers={"X-Forwarded-For": "203.0.113.7"}
    )
    entry = platform.api.get("/audit", params={"tenant": tenant.tenant_id}).json()["entries"][0]
    assert entry["actor"]["address"] == "203.0.113.7"


def test_the_page_of_the_api_is_served(platform: Platform) -> None:
    with httpx.Client(base_url=platform.url, trust_env=False) as stranger:
        assert "swagger-ui" in stranger.get("/docs").text
        assert stranger.get("/docs/swagger-ui-bundle.js").status_code == 200
