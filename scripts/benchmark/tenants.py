"""The tenants of a run: accounts in the simulated clouds and, on the platform, tenants whose limits are lifted."""

from __future__ import annotations

import random
from collections.abc import Sequence

import httpx

from sandbox.accounts import Account, GenesysAccount, Limits

# The same accounts in every run, so that the same webhooks are sent and tenants lie in the same cells.
SEED = 20_231
REGISTERED_AT_ONCE = 200
GRANTED = 1_000_000
TIMEOUT_S = 15.0


class SetUpFailed(Exception):
    """A tenant could not be made."""


def new_accounts(number: int, seed: int | None = None) -> tuple[Account, ...]:
    """Accounts that nobody else has; with a seed the same ones each time, of no use beyond one run."""
    draw = random.Random(seed)
    return tuple(_new_account(f"bench-{position}-{draw.getrandbits(24):06x}", draw) for position in range(number))


def register(accounts: Sequence[Account], sandbox_url: str) -> None:
    """Make the accounts in the simulated clouds, which report no statuses: only messages are measured."""
    with httpx.Client(base_url=sandbox_url, timeout=TIMEOUT_S, trust_env=False) as sandbox:
        for first in range(0, len(accounts), REGISTERED_AT_ONCE):
            some = accounts[first : first + REGISTERED_AT_ONCE]
            _expect(sandbox.post("/sandbox/accounts", json=[each.model_dump(by_alias=True) for each in some]))
        _expect(sandbox.post("/sandbox/faults", json={"cloud": "meta", "statuses": "off"}))


def create(accounts: Sequence[Account], router_url: str, admin_key: str) -> None:
    """Make a tenant of the platform for each account."""
    headers = {"X-API-Key": admin_key}
    with httpx.Client(base_url=router_url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as api:
        for account in accounts:
            _expect(api.post("/tenants", json=_tenant(account)), 201)


def _new_account(tenant_id: str, draw: random.Random) -> Account:
    return Account(
        tenant_id=tenant_id,
        phone_number_id=str(draw.getrandbits(50) + 10**15),
        waba_id=str(draw.getrandbits(50) + 10**15),
        access_token=_drawn(draw),
        genesys=GenesysAccount(
            client_id=_drawn(draw), client_secret=_drawn(draw), integration_id=_drawn(draw), webhook_secret=_drawn(draw)
        ),
        limits=Limits(
            genesys_requests_per_minute=GRANTED,
            whatsapp_messages_per_second=GRANTED,
            person_messages_per_minute=GRANTED,
            person_burst=GRANTED,
        ),
    )


def _drawn(draw: random.Random) -> str:
    return f"{draw.getrandbits(128):032x}"


def _tenant(account: Account) -> dict[str, object]:
    shown = account.model_dump(by_alias=True)
    whatsapp = ("phoneNumberId", "wabaId", "displayPhoneNumber", "accessToken")
    genesys = ("clientId", "clientSecret", "integrationId", "webhookSecret")
    return {
        "tenantId": account.tenant_id,
        "name": account.tenant_id,
        "whatsapp": {name: shown[name] for name in whatsapp},
        "genesys": {name: shown["genesys"][name] for name in genesys},
        "settings": {
            "genesysRequestsPerMinute": GRANTED,
            "whatsappMessagesPerSecond": GRANTED,
            "whatsappPersonMessagesPerMinute": GRANTED,
            "whatsappPersonBurst": GRANTED,
        },
    }


def _expect(answer: httpx.Response, *statuses: int) -> None:
    if answer.status_code not in (statuses or (200, 201)):
        request = answer.request
        raise SetUpFailed(f"{request.method} {request.url} answered {answer.status_code}: {answer.text[:300]}")
