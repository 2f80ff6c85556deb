"""The control API, and the accounts that it registers."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from sandbox.accounts import Account, Accounts, Taken
from tests.sandbox.world import ACCOUNT, BIRCH, World


def account(**changes: Any) -> Account:
    return Account.model_validate({**ACCOUNT, **changes})


def test_accounts_are_remembered_in_a_file_of_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "accounts.json"
    assert Accounts(path).put(account(), Account.model_validate(BIRCH)) == 2

    again = Accounts(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.by_tenant["alder"] == account()
    assert again.by_integration[BIRCH["genesys"]["integrationId"]].tenant_id == "birch"


def test_a_replaced_account_no_longer_answers_to_its_old_number() -> None:
    accounts = Accounts(None)
    accounts.put(account())

    assert accounts.put(account(phoneNumberId="1")) == 0

    assert set(accounts.by_number) == {"1"}


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param({"phoneNumberId": BIRCH["phoneNumberId"]}, id="number"),
        pytest.param({"genesys": BIRCH["genesys"]}, id="client and integration"),
    ],
)
def test_what_another_account_has_cannot_be_taken(taken: dict[str, Any]) -> None:
    accounts = Accounts(None)
    accounts.put(Account.model_validate(BIRCH))

    with pytest.raises(Taken, match="birch"):
        accounts.put(account(**taken))

    assert set(accounts.by_tenant) == {"birch"}


async def test_registering_twice_changes_nothing(world: World) -> None:
    assert (await world.ask("POST", "/sandbox/accounts", ACCOUNT)).status == 200
    assert (await world.ask("POST", "/sandbox/accounts", {**ACCOUNT, "tenantId": "cedar"})).status == 409


async def test_a_new_account_is_served_at_once(world: World) -> None:
    cedar = {
        **ACCOUNT,
        "tenantId": "cedar",
        "phoneNumberId": "415522119933884",
        "genesys": {**ACCOUNT["genesys"], "clientId": "cedar", "integrationId": "cedar"},
    }

    assert (await world.ask("POST", "/sandbox/accounts", cedar)).status == 201
    assert (await world.token(cedar)).status == 200


async def test_accounts_are_listed_without_their_secrets(world: World) -> None:
    shown = (await world.ask("GET", "/sandbox/accounts")).raw.decode()

    assert BIRCH["genesys"]["integrationId"] in shown
    for secret in (BIRCH["accessToken"], BIRCH["appSecret"], BIRCH["verifyToken"]):
        assert secret not in shown
    for name in ("clientSecret", "webhookSecret"):
        assert BIRCH["genesys"][name] not in shown


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/sandbox/accounts", {"tenantId": "x"}, 400, id="half an account"),
        pytest.param("/sandbox/accounts", b"{", 400, id="not JSON"),
        pytest.param("/sandbox/send", {"as": "customer", "tenantId": "alder"}, 400, id="nothing to say"),
        pytest.param("/sandbox/send", {"as": "bot", "tenantId": "alder", "text": "x"}, 400, id="a bot"),
        pytest.param("/sandbox/send", {"as": "agent", "tenantId": "nobody", "text": "x"}, 404, id="unknown tenant"),
        pytest.param("/sandbox/faults", [], 400, id="faults as a list"),
        pytest.param("/sandbox/nowhere", {}, 404, id="unknown path"),
    ],
)
async def test_a_wrong_control_request_is_refused(world: World, path: str, body: Any, status: int) -> None:
    answer = await world.ask("POST", path, body)

    assert answer.status == status
    assert answer.json["error"]
    assert not world.router.posts


async def test_the_root_says_what_exists(world: World) -> None:
    answer = await world.ask("GET", "/")

    assert answer.status == 200
    assert "POST /sandbox/send" in answer.json["paths"]


async def test_health_is_answered(world: World) -> None:
    assert (await world.ask("GET", "/sandbox/health")).json == {"status": "healthy", "accounts": 2}


@pytest.mark.parametrize(
    ("tenant", "path", "token"),
    [
        pytest.param("alder", "/webhook/whatsapp", "verify-shared", id="default app"),
        pytest.param("birch", "/webhook/whatsapp/app_birch", "verify-birch", id="own app"),
    ],
)
async def test_the_handshake_is_metas(world: World, tenant: str, path: str, token: str) -> None:
    answer = await world.ask("POST", "/sandbox/handshake", {"tenantId": tenant})

    asked, query = world.router.gets[0]
    assert asked == path
    assert (query["hub.mode"], query["hub.verify_token"]) == ("subscribe", token)
    assert answer.json == {"verified": True, "status": 200}


async def test_a_handshake_without_the_challenge_is_not_verified(world: World) -> None:
    world.router.challenge_is_echoed = False

    answer = await world.ask("POST", "/sandbox/handshake", {"tenantId": "alder"})

    assert answer.json == {"verified": False, "status": 403}


async def test_a_conversation_shows_both_sides(world: World) -> None:
    await world.write(**{"as": "customer", "customer": "+44 7700 900111", "name": "Ines", "text": "hello"})
    await world.write(**{"as": "agent", "customer": "447700900111", "text": "hi"})

    shown = (await world.ask("GET", "/sandbox/conversations?tenantId=alder")).json["conversations"]

    assert len(shown) == 1
    assert (shown[0]["customer"], shown[0]["name"]) == ("447700900111", "Ines")
    assert [(each["author"], each["text"], each["state"]) for each in shown[0]["phone"]] == [
        ("customer", "hello", "delivered")
    ]
    assert [(each["author"], each["text"], each["state"]) for each in shown[0]["desktop"]] == [("agent", "hi", "sent")]
