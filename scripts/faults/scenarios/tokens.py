"""Tokens and secrets that end, while messages go to Genesys."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from scripts.faults.platform import TenantUnderTest
from scripts.faults.trial import IN_FLIGHT, Scenario, Trial
from scripts.faults.waiting import eventually

SOME = 20
# So slow that calls queue up behind those in flight, each with the token in hand.
LATENCY_MS = 300
# After the first call that is refused; who arrives later has left after its answer was read.
READ_WITHIN_NS = (LATENCY_MS + 100) * 1_000_000
CALLS_WITH_A_BAD_TOKEN = 2
RESUMES_WITHIN_S = 10.0
LIFETIME_S = 300
SHORT_LIFETIME_S = 30
REFRESHED_AT = 0.9


async def revoked(trial: Trial) -> None:
    """The token stops to hold: hardly a call with it after the first 401, and one other token is fetched."""
    tenant = trial.tenant()
    trial.fault(tenant, cloud="genesys", latency_ms=LATENCY_MS)
    load = trial.load(tenant, "inbound", customers=60, per_second=100)
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(load):
        await trial.delivered([load], SOME)
        fetched = len(_tokens(trial, tenant))
        trial.fault(tenant, cloud="genesys", revoke_tokens=True)
        trial.fault_ended()
        await trial.delivered([load], 3 * SOME)
        refused = [record for record in trial.records(load) if record["status"] == 401]
        trial.calls = len(refused)
        if refused:
            late = [r for r in refused if r["mono_ns"] > refused[0]["mono_ns"] + READ_WITHIN_NS]
            trial.expect(len(late) <= CALLS_WITH_A_BAD_TOKEN, f"{len(late)} calls with the token after it was refused")
        trial.expect(0 < len(refused) <= IN_FLIGHT + CALLS_WITH_A_BAD_TOKEN, f"{len(refused)} calls were answered 401")
        trial.expect(
            len(_tokens(trial, tenant)) == fetched + 1, f"{len(_tokens(trial, tenant)) - fetched} tokens fetched"
        )


async def short_lived(trial: Trial) -> None:
    """A token that lives 300 s: its successor is there before it ends, and no call is refused."""
    tenant = trial.tenant()
    lifetime_s = trial.pick(LIFETIME_S, SHORT_LIFETIME_S)
    trial.fault(tenant, cloud="genesys", token_ttl_s=lifetime_s)
    load = trial.load(tenant, "inbound", customers=5, per_second=5)
    async with trial.posting(load):
        await eventually(lambda: len(_tokens(trial, tenant)) > 1, lifetime_s * 1.1, "a second token")
        first, second = _tokens(trial, tenant)[:2]
        age_s = (second["mono_ns"] - first["mono_ns"]) / 1e9
        trial.notes.append(f"refreshed after {age_s:.0f} of {lifetime_s} s")
        trial.expect(age_s < lifetime_s, f"fetched after {age_s:.0f} s, when it had ended")
        left_s = lifetime_s * (1 - REFRESHED_AT) + 2
        await asyncio.sleep(left_s)
        await trial.delivered([load], 5)
    refused = sum(record["status"] == 401 for record in trial.records(load))
    trial.calls = refused
    trial.expect(refused == 0, f"{refused} calls were answered 401")


async def secret_rotated(trial: Trial) -> None:
    """The client's secret is changed at Genesys: the tenant waits, says so in words, and resumes once it is told."""
    tenant = trial.tenant()
    load = trial.load(tenant, "inbound", customers=20, per_second=20)
    trial.resumes_within_s = RESUMES_WITHIN_S
    async with trial.posting(load):
        await trial.delivered([load], SOME)
        genesys = {**tenant.account["genesys"], "clientSecret": "another-secret-than-before"}
        changed = {**tenant.account, "genesys": genesys}
        answer = await asyncio.to_thread(trial.platform.sandbox.post, "/sandbox/accounts", json=changed)
        trial.expect(answer.status_code == 200, f"the sandbox answered {answer.status_code}")
        trial.fault(tenant, cloud="genesys", revoke_tokens=True)
        await eventually(lambda: _words(trial, tenant), 20.0, "the tenant says that its credentials are refused")
        before = len(_tokens(trial, tenant))
        watched_s = trial.pick(10.0, 3.0)
        began = time.monotonic()
        await asyncio.sleep(watched_s)
        asked = len(_tokens(trial, tenant)) - before
        trial.calls = asked
        trial.expect(asked <= watched_s, f"{asked} requests for a token in {watched_s:g} s with a wrong secret")
        path = f"/tenants/{tenant.tenant_id}/credentials/genesys"
        body = {**tenant.body["genesys"], "clientSecret": genesys["clientSecret"]}
        answer = await asyncio.to_thread(trial.platform.api.put, path, json=body)
        trial.expect(answer.status_code == 200, f"PUT of the credentials was answered {answer.status_code}")
        trial.fault_ended()
        trial.notes.append(f"waited {time.monotonic() - began:.0f} s")
        await trial.delivered([load], SOME)


def _tokens(trial: Trial, tenant: TenantUnderTest) -> list[dict[str, Any]]:
    return trial.records_of(tenant, "token")


def _words(trial: Trial, tenant: TenantUnderTest) -> str:
    """The tenant's status where it says that its credentials are refused."""
    text = str(trial.platform.status(tenant))
    return text if "credentials" in text and "refuse" in text else ""


SCENARIOS = (
    Scenario("token-revoked", "the Genesys token revoked under load", revoked),
    Scenario("secret-rotated", "the client secret changed at Genesys, then in Trunkline", secret_rotated),
    Scenario("token-lifetime", "tokens that live 300 s", short_lived, within_s=480, beside=True),
)
