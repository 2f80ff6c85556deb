"""Chapter 3, authentication towards Genesys Cloud: credentials, region, rights, clocks, cached tokens."""

from __future__ import annotations

from typing import Any

from trunkline.cli.api import CommandFailed
from trunkline.doctor.cached import TOKENS, of_stale
from trunkline.doctor.facts import Facts, Look, Unseen
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, some, well
from trunkline.doctor.outside import CLOCKS
from trunkline.doctor.router import SUSPECTS, TENANTS
from trunkline.doctor.waiting import Trouble, code_of, in_words, trouble_of

# Tokens live for a day, media links for hours and limits for minutes: all stand a few seconds.
CLOCK_DOUBTFUL_S = 5.0
CLOCK_WRONG_S = 30.0


def _look_at_token(facts: Facts) -> str | None:
    """Why the examined tenant has no Genesys token; None when it has one, or no tenant is examined."""
    if facts.scene.tenant is None:
        return None
    try:
        facts.scene.api.call("GET", "/auth/token", tenant=facts.scene.tenant)
    except CommandFailed as error:
        if error.body is None or error.body.get("code") != "OAUTH_FAILED":
            raise
        return str((error.body.get("details") or {}).get("reason") or error.text)
    return None


TOKEN: Look[str | None] = Look("token", _look_at_token, after=(TOKENS,))  # it replaces a token that is past its time


def _token(facts: Facts) -> Opinion:
    errors = {
        tenant: str(status["tokenError"])
        for tenant, status in facts.of(SUSPECTS).items()
        if status.get("tokenError") and trouble_of(status, "genesys") is Trouble.TOKEN
    }
    if facts.scene.tenant is not None and (tried := _tried(facts)) is not None:
        errors[facts.scene.tenant] = tried
    if not errors:
        return well("no tenant that was active lately lacks a token")
    regions = _regions(facts)
    evidence = [
        f"{tenant} (region {regions.get(tenant, 'unknown')}): Failed to obtain OAuth token: {words}"
        for tenant, words in errors.items()
    ]
    remedy = [line for tenant, words in errors.items() for line in _token_remedy(tenant, words)]
    return ill(some(evidence), list(dict.fromkeys(remedy)))


def _tried(facts: Facts) -> str | None:
    try:
        return facts.of(TOKEN)
    except Unseen:
        return None


def _token_remedy(tenant: str, words: str) -> list[str]:
    update = f"scripts/trunkline tenants update {tenant}"
    again = (
        f"what waits is delivered by itself within 10 s; to see: scripts/trunkline doctor --tenant {tenant} --chapter 3"
    )
    if "client not found" in words:
        return [f"{update} --client-id ID, or --region REGION if the client is of another region", again]
    if "invalid_client" in words or "authentication failed" in words:
        return [f"{update} --client-secret SECRET", again]
    if code_of(words) in ("400", "401", "403"):
        return [f"{update} --client-id ID --client-secret SECRET --region REGION, whichever is wrong", again]
    return [
        f"if the login host cannot be reached from here: curl -v https://login.REGION/ with the region of {tenant}",
        "nothing else to do: it is tried again by itself",
    ]


def _regions(facts: Facts) -> dict[str, str]:
    try:
        return {row["tenantId"]: row["genesys"]["region"] for row in facts.of(TENANTS).rows}
    except Unseen:
        return {}


def _access(facts: Facts) -> Opinion:
    refused = {
        tenant: status
        for tenant, status in facts.of(SUSPECTS).items()
        if trouble_of(status, "genesys") is Trouble.REFUSED
    }
    if not refused:
        return well("Genesys Cloud refuses no tenant's calls")
    remedy = [line for tenant, status in refused.items() for line in _access_remedy(tenant, status)]
    return ill(some([in_words(status, "genesys") for status in refused.values()]), list(dict.fromkeys(remedy)))


def _access_remedy(tenant: str, status: dict[str, Any]) -> list[str]:
    code = code_of(status["circuits"]["genesys"]["reason"])
    if code == "404":
        return [
            f"the integration is not known there: scripts/trunkline tenants update {tenant} --integration-id ID "
            "(or --region REGION)"
        ]
    if code == "403":
        return [f"give the OAuth client of {tenant} a role with conversation:message:create in Genesys Cloud"]
    return [
        f"scripts/trunkline cache clear --tenant {tenant}",
        f"scripts/trunkline tenants update {tenant} --client-secret SECRET",
    ]


def _clock(facts: Facts) -> Opinion:
    clocks = facts.of(CLOCKS)
    told = [f"{name}: {clock.error}" for name, clock in clocks.items() if clock.ahead_s is None]
    known = {name: clock.ahead_s for name, clock in clocks.items() if clock.ahead_s is not None}
    if not known:
        raise Unseen("; ".join(told))
    seen = [f"{name} is {abs(ahead):g} s {'ahead of' if ahead > 0 else 'behind'} this machine"
            for name, ahead in known.items() if abs(ahead) > CLOCK_DOUBTFUL_S]  # fmt: skip
    remedy = ["timedatectl status", "have the clock kept: sudo timedatectl set-ntp true"]
    if any(abs(ahead) > CLOCK_WRONG_S for ahead in known.values()):
        return ill(seen, remedy)
    return doubtful(seen, remedy) if seen else well(f"{', '.join(known)} agree with this machine", *told)


def _cached_tokens(facts: Facts) -> Opinion:
    return of_stale(facts.of(TOKENS), "every cached token is within its time", " --pattern oauth:token")


CHECKS = (
    Check("genesys-token", 3, "Genesys gives every tenant a token", (SUSPECTS, TENANTS, TOKEN), _token),
    Check("genesys-access", 3, "Genesys takes every tenant's token", (SUSPECTS,), _access, also=(4,)),
    Check("clock", 3, "clocks agree", (CLOCKS,), _clock),
    Check("token-cache", 3, "cached tokens are good", (TOKENS,), _cached_tokens, also=(6,)),
)
