"""`python -m sandbox.demo`: the demo account in the sandbox, and the demo tenant in the router that serves it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import httpx

TENANT = "demo"
TIMEOUT_S = 15.0

# known to everybody, of use only in a sandbox on the same machine
ACCOUNT: dict[str, Any] = {
    "tenantId": TENANT,
    "phoneNumberId": "100000000000001",
    "wabaId": "200000000000001",
    "displayPhoneNumber": "442079460100",
    "accessToken": "sandbox-demo-access-token",
    "genesys": {
        "clientId": "5a4d8c1e-0000-4000-8000-000000000001",
        "clientSecret": "sandbox-demo-client-secret",
        "integrationId": "7e3f5b2a-0000-4000-8000-000000000001",
        "webhookSecret": "sandbox-demo-webhook-secret",
        "integrationName": "Demo WhatsApp",
    },
    "limits": {
        "genesysRequestsPerMinute": 1_000_000,
        "whatsappMessagesPerSecond": 1_000,
        "personMessagesPerMinute": 100_000,
        "personBurst": 100_000,
    },
}
TENANT_BODY: dict[str, Any] = {
    "tenantId": TENANT,
    "name": "Demo",
    "whatsapp": {name: ACCOUNT[name] for name in ("phoneNumberId", "wabaId", "displayPhoneNumber", "accessToken")},
    "genesys": {
        name: ACCOUNT["genesys"][name] for name in ("clientId", "clientSecret", "integrationId", "webhookSecret")
    },
    "settings": {
        "genesysRequestsPerMinute": 1_000_000,
        "whatsappMessagesPerSecond": 1_000,
        "whatsappPersonMessagesPerMinute": 100_000,
        "whatsappPersonBurst": 100_000,
    },
}


class Failed(Exception):
    """The demo cannot be set up."""


def main(argv: list[str] | None = None) -> int:
    """Set up the demo; 0 when it stands, however often it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--router", default="http://127.0.0.1:3000")
    parser.add_argument("--sandbox", default="http://127.0.0.1:3001")
    options = parser.parse_args(argv)
    key = os.environ.get("ADMIN_API_KEY", "")
    if not key:
        print("ADMIN_API_KEY must be set: the demo tenant is made through the admin API", file=sys.stderr)
        return 2
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            print(set_up(client, options.router.rstrip("/"), options.sandbox.rstrip("/"), key))
    except (Failed, httpx.HTTPError) as error:
        print(f"The demo tenant could not be set up: {error}", file=sys.stderr)
        return 1
    return 0


def set_up(client: httpx.Client, router: str, sandbox: str, key: str) -> str:
    """Register both sides; one line that says what was done."""
    _expect(client.post(f"{sandbox}/sandbox/accounts", json=ACCOUNT), 200, 201)
    headers = {"X-API-Key": key}
    made = _expect(client.post(f"{router}/tenants", json=TENANT_BODY, headers=headers), 201, 409)
    if made.status_code == 201:
        return f"tenant {TENANT} made"
    _expect(client.get(f"{router}/tenants/{TENANT}", headers=headers), 200)
    return f"tenant {TENANT} is there"


def _expect(answer: httpx.Response, *statuses: int) -> httpx.Response:
    if answer.status_code not in statuses:
        raise Failed(f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text[:300]}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
