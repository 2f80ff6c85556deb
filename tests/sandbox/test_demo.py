"""The demo account and tenant."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sandbox.accounts import Account
from sandbox.demo import ACCOUNT, TENANT_BODY, Failed, set_up

ROUTER, SANDBOX = "http://router", "http://sandbox"


class Servers:
    """A router and a sandbox that answer as told."""

    def __init__(self, made: int, found: int = 200) -> None:
        self.answers = {
            ("POST", f"{SANDBOX}/sandbox/accounts"): 201,
            ("POST", f"{ROUTER}/tenants"): made,
            ("GET", f"{ROUTER}/tenants/demo"): found,
        }
        self.asked: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, str(request.url), body))
        if request.url.host == "router":
            assert request.headers["X-API-Key"] == "key"
        return httpx.Response(self.answers[request.method, str(request.url)], json={})

    def set_up(self) -> str:
        with httpx.Client(transport=httpx.MockTransport(self)) as client:
            return set_up(client, ROUTER, SANDBOX, "key")


def test_the_demo_tenant_is_made_with_the_sandboxs_credentials() -> None:
    servers = Servers(made=201)

    assert servers.set_up() == "tenant demo made"

    (_, _, account), (_, _, tenant) = servers.asked
    assert account == ACCOUNT
    assert tenant["whatsapp"]["accessToken"] == account["accessToken"]
    assert tenant["genesys"]["integrationId"] == account["genesys"]["integrationId"]


def test_a_demo_tenant_that_is_there_is_left_alone() -> None:
    assert Servers(made=409).set_up() == "tenant demo is there"


@pytest.mark.parametrize(
    "servers",
    [
        pytest.param(Servers(made=401), id="wrong key"),
        pytest.param(Servers(made=409, found=404), id="somebody else has its number"),
    ],
)
def test_a_demo_that_cannot_be_set_up_is_an_error(servers: Servers) -> None:
    with pytest.raises(Failed, match="answered 40"):
        servers.set_up()


def test_both_sides_lift_the_same_limits() -> None:
    limits, settings = Account.model_validate(ACCOUNT).limits, TENANT_BODY["settings"]

    assert limits.genesys_requests_per_minute == settings["genesysRequestsPerMinute"]
    assert limits.whatsapp_messages_per_second == settings["whatsappMessagesPerSecond"]
    assert limits.person_messages_per_minute == settings["whatsappPersonMessagesPerMinute"]
    assert limits.person_burst == settings["whatsappPersonBurst"]
