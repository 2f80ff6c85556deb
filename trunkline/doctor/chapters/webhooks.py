"""Chapter 2, webhook validation: verify tokens, signatures, and the address that the clouds call."""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx

from trunkline.doctor.accepted import LAST_ACCEPTED
from trunkline.doctor.facts import ASK_WITHIN_S, Facts, Look, Unseen
from trunkline.doctor.logbook import HANDSHAKE_ACCEPTED, HANDSHAKE_REFUSED, LOGBOOK, SIGNATURE_REFUSED, clock_of
from trunkline.doctor.opinion import Check, Opinion, doubtful, ill, well, worst
from trunkline.doctor.outside import PUBLIC_URL, PublicAddress
from trunkline.doctor.router import HEALTH, TENANTS
from trunkline.logs import LogLine
from trunkline.tenancy.record import DEFAULT_META_APP

ENDS_SOON = timedelta(days=14)
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def _look_at_own_signature(facts: Facts) -> int:
    """What the router answers to an empty webhook that is signed with this machine's META_APP_SECRET."""
    scene = facts.scene
    scene.require_here()
    secrets = scene.settings.app_secrets
    if not secrets:
        raise Unseen("META_APP_SECRET is not set here: use scripts/trunkline, which knows the running instance's")
    signature = hmac.new(secrets[0].encode(), b"{}", hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
    url = f"{scene.url}/webhook/whatsapp"
    try:
        return httpx.post(url, content=b"{}", headers=headers, timeout=ASK_WITHIN_S, trust_env=False).status_code
    except httpx.HTTPError as error:
        raise Unseen(f"the webhook does not answer: {type(error).__name__}") from None


OWN_SIGNATURE: Look[int] = Look("signature of our own", _look_at_own_signature)


def _verify_token(facts: Facts) -> Opinion:
    book, wanted = facts.of(LOGBOOK), _wanted(facts)
    accepted = {app: lines[-1].at for app, lines in _by(book.of(HANDSHAKE_ACCEPTED), _app).items()}
    bad, healed = [], []
    for app, lines in _by(book.of(HANDSHAKE_REFUSED, wanted), _app).items():
        last = lines[-1].at
        told = f"app {app}: {len(lines)} handshakes refused in the last hour, the last at {clock_of(last)}"
        if app in accepted and accepted[app] > last:
            healed.append(f"{told}; one was accepted at {clock_of(accepted[app])}")
        else:
            bad.append(told)
    if not bad:
        return well(*(healed or ["no handshake was refused in the last hour"]), *book.caveats)
    return ill(
        bad,
        [
            "the verify token on the Meta app's page (WhatsApp > Configuration) and here must be the same",
            "of the default app it is META_VERIFY_TOKEN, in the environment or in .env; then start anew: scripts/run",
            "of a further app: scripts/trunkline apps list, apps delete APP, apps create APP",
            "then press 'Verify and save' there again",
        ],
    )


def _meta_signature(facts: Facts) -> Opinion:
    wanted = _wanted(facts)
    lines = facts.of(LOGBOOK).of(SIGNATURE_REFUSED, lambda line: line.facts.get("cloud") == "meta" and wanted(line))
    accepted = facts.of(LAST_ACCEPTED)
    opinions = [_own_signature(facts)]
    for app, refused in _by(lines, _app).items():
        known = any(line.facts.get("known") for line in refused)
        opinions.append(_of_refusals(f"app {app}", refused, accepted.of_app(app), _meta_remedy(app, known)))
    if not lines:
        opinions.append(well("no signature of Meta was refused in the last hour", *facts.of(LOGBOOK).caveats))
    return worst(*opinions)


def _own_signature(facts: Facts) -> Opinion:
    try:
        status = facts.of(OWN_SIGNATURE)
    except Unseen:
        return well()
    if status != 403:
        return well()
    return ill(
        ["the router refuses what is signed with this machine's META_APP_SECRET: it runs with another one"],
        ["start it anew, so that it reads the settings of now: Ctrl-C, then scripts/run"],
    )


def _meta_remedy(app: str, known: bool) -> list[str]:
    if not known:
        return [
            f"there is no Meta app {app!r} here: scripts/trunkline apps create {app}",
            "or correct the callback URL on the Meta app's page",
        ]
    if app == DEFAULT_META_APP:
        return [
            "compare META_APP_SECRET with App settings > Basic > App secret on the Meta app's page; "
            "two values with a comma between them are both valid, for rotation",
            "then start anew, so that it is read: Ctrl-C, then scripts/run",
        ]
    return [
        f"compare with App settings > Basic > App secret on the page of Meta app {app}",
        f"scripts/trunkline apps delete {app}, then scripts/trunkline apps create {app}; tenants that use it go to "
        "another app meanwhile: scripts/trunkline tenants update ID --app APP",
    ]


def _genesys_signature(facts: Facts) -> Opinion:
    lines = facts.of(LOGBOOK).of(SIGNATURE_REFUSED, lambda line: line.facts.get("cloud") == "genesys")
    if facts.scene.tenant is not None:
        lines = [line for line in lines if line.tenant == facts.scene.tenant]
    accepted = facts.of(LAST_ACCEPTED)
    named = [line for line in lines if line.tenant]
    opinions = [
        _of_refusals(
            f"tenant {tenant}",
            refused,
            accepted.from_genesys(tenant),
            [
                "the webhook signature secret here must be that of the integration in Genesys Cloud (Admin > Message > "
                "Platforms)",
                f"scripts/trunkline tenants update {tenant} --webhook-secret SECRET",
            ],
        )
        for tenant, refused in _by(named, lambda line: line.tenant or "").items()
    ]
    strangers = len(lines) - len(named)
    if strangers:
        opinions.append(
            doubtful(
                [f"{strangers} webhooks in the last hour had no signature, or none that could be one"],
                ["set a webhook signature secret at the integration in Genesys Cloud; scanners are refused rightly"],
            )
        )
    if not opinions:
        return well("no signature of Genesys was refused in the last hour", *facts.of(LOGBOOK).caveats)
    return worst(*opinions)


def _of_refusals(who: str, refused: list[LogLine], accepted_at: datetime | None, remedy: list[str]) -> Opinion:
    first, last = refused[0].at, refused[-1].at
    told = f"{who}: {len(refused)} signatures refused in the last hour, the last at {clock_of(last)}"
    if accepted_at is None or accepted_at < first:
        return ill([f"{told}; nothing was accepted since the first"], remedy)
    if accepted_at > last:
        return well(f"{told}; webhooks are accepted since, the last at {clock_of(accepted_at)}")
    return doubtful(
        [f"{told}; others were accepted in between, so somebody signs with another secret, or is a stranger"], remedy
    )


def _public_url(facts: Facts) -> Opinion:
    # Without a router there is nothing to reach, nor is it known whether the clouds are the real ones.
    facts.of(HEALTH).component("ray")
    found, settings = facts.of(PUBLIC_URL), facts.scene.settings
    real = [url for url in (settings.graph_api_url, settings.genesys_api_url or "https://api") if _is_outside(url)]
    if not real:
        return well(f"{found.url}; the clouds are simulated, nobody outside has to reach it")
    if found.is_private:
        return ill(
            [f"PUBLIC_URL {found.url} cannot be reached from outside, and Genesys Cloud has to fetch files from there"],
            [
                "set PUBLIC_URL=https://your.host to the address that Meta and Genesys call, in the environment or in "
                ".env, have TLS end in front of HOST:PORT, then: scripts/run"
            ],
        )
    if not found.answers:
        return ill(
            [f"{found.url}/health/live: {found.error}"],
            [
                f"curl -v {found.url}/health/live",
                "have the proxy in front pass every path to HOST:PORT; correct what curl names: DNS, TLS, firewall",
            ],
        )
    return _certificate(found, facts.scene.now)


def _certificate(found: PublicAddress, now: datetime) -> Opinion:
    if not found.url.startswith("https://"):
        return doubtful([f"{found.url} is not https: Meta calls https only"], ["have TLS end in front of it"])
    if found.certificate_ends is None:
        return ill([f"{found.url} has no certificate that is valid for its name"], [f"curl -v {found.url}/health/live"])
    seen = f"{found.url} answers; its certificate ends {found.certificate_ends:%Y-%m-%d}"
    return doubtful([seen], ["renew the certificate"]) if found.certificate_ends - now < ENDS_SOON else well(seen)


def _is_outside(url: str) -> bool:
    return urlsplit(url).hostname not in _LOCAL_HOSTS


def _wanted(facts: Facts) -> Callable[[LogLine], bool]:
    """Whether a line is about the examined tenant's Meta app; with no tenant named, every line is wanted."""
    with suppress(Unseen):
        if facts.scene.tenant is not None:
            apps = {row["whatsapp"]["app"] for row in facts.of(TENANTS).rows}
            return lambda line: _app(line) in apps
    return lambda line: True


def _app(line: LogLine) -> str:
    return str(line.facts.get("app") or DEFAULT_META_APP)


def _by(lines: list[LogLine], name: Callable[[LogLine], str]) -> dict[str, list[LogLine]]:
    found: defaultdict[str, list[LogLine]] = defaultdict(list)
    for line in lines:
        found[name(line)].append(line)
    return dict(found)


CHECKS = (
    Check("verify-token", 2, "Meta's handshakes pass", (LOGBOOK, TENANTS), _verify_token),
    Check(
        "meta-signature",
        2,
        "Meta's signatures are valid",
        (LOGBOOK, LAST_ACCEPTED, OWN_SIGNATURE, TENANTS),
        _meta_signature,
    ),
    Check("genesys-signature", 2, "Genesys' signatures are valid", (LOGBOOK, LAST_ACCEPTED), _genesys_signature),
    Check("public-url", 2, "the clouds reach PUBLIC_URL", (PUBLIC_URL, HEALTH), _public_url, also=(4,)),
)
