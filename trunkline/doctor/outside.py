"""What lies outside: the clouds' hosts and clocks, the stores' clocks, and our own public address."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx

from trunkline.doctor.facts import ASK_WITHIN_S, Facts, Look, Scene, Unseen, at_once
from trunkline.doctor.stores import postgres, redis_client
from trunkline.errors import TrunklineError


@dataclass(frozen=True, slots=True)
class Clock:
    """Somebody's clock: seconds that it is ahead of this machine's, or why it could not be read."""

    ahead_s: float | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """PUBLIC_URL as seen from here: whose host it is, whether it leads to this router, and until when TLS holds."""

    url: str
    is_private: bool
    answers: bool
    error: str | None
    certificate_ends: datetime | None


def _look_at_clocks(facts: Facts) -> dict[str, Clock]:
    scene = facts.scene
    scene.require_here()
    settings = scene.settings
    asked: dict[str, Callable[[], float]] = {
        "Postgres": lambda: _postgres_time(scene),
        "Redis": lambda: _redis_time(scene),
        "Genesys Cloud": lambda: _web_time(settings.genesys_login_url or f"https://login.{settings.genesys_region}"),
        "WhatsApp": lambda: _web_time(settings.graph_api_url),
    }
    found = at_once({name: partial(_compare, ask) for name, ask in asked.items()}, ASK_WITHIN_S + 0.5)
    return {name: found.get(name, Clock(None, "no answer in time")) for name in asked}


def _compare(ask: Callable[[], float]) -> Clock:
    began = time.time()
    try:
        told = ask()
    except (TrunklineError, Unseen) as error:
        return Clock(None, str(error))
    except Exception as error:
        return Clock(None, f"no answer ({type(error).__name__})")
    return Clock(round(told - (began + time.time()) / 2, 1))


def _postgres_time(scene: Scene) -> float:
    with postgres(scene) as connection:
        row = connection.execute("SELECT EXTRACT(epoch FROM clock_timestamp())::float8 AS now").fetchone()
    assert row is not None, "a SELECT without FROM answers a row"
    return float(row["now"])


def _redis_time(scene: Scene) -> float:
    with redis_client(scene) as client:
        told: Any = client.time()
    return float(told[0]) + float(told[1]) / 1_000_000


def _web_time(url: str) -> float:
    """By the Date header, which any answer has; it tells whole seconds."""
    answer = httpx.get(url, timeout=ASK_WITHIN_S, trust_env=False)
    if "date" not in answer.headers:
        raise Unseen("its answer tells no time")
    return parsedate_to_datetime(answer.headers["date"]).timestamp() + 0.5


def _look_at_public_url(facts: Facts) -> PublicAddress:
    scene = facts.scene
    scene.require_here()
    url = scene.settings.public_url
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    error = None
    try:
        # The machine's own authorities, as its other programs have them.
        trust = ssl.create_default_context()
        answer = httpx.get(f"{url}/health/live", timeout=ASK_WITHIN_S, trust_env=False, verify=trust)
        answers = answer.status_code == 200 and answer.json() == {"status": "alive"}
        error = None if answers else f"it answers {answer.status_code}, and not as Trunkline does"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
        answers, error = False, str(failure) or type(failure).__name__
    ends = _certificate_ends(host, port) if parts.scheme == "https" else None
    return PublicAddress(url, _is_private(host), answers, error, ends)


def _certificate_ends(host: str, port: int) -> datetime | None:
    """Until when the certificate holds; None when there is none that is valid for this host."""
    with suppress(OSError, ValueError):  # ssl.SSLError is an OSError; the look itself tells what is wrong
        context = ssl.create_default_context()
        with (
            socket.create_connection((host, port), timeout=ASK_WITHIN_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert()
            if certificate and isinstance(ends := certificate.get("notAfter"), str):
                return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)
    return None


def _is_private(host: str) -> bool:
    """Whether nobody outside can reach it: loopback, or an address of a private network."""
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(not ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found)


CLOCKS: Look[dict[str, Clock]] = Look("clocks", _look_at_clocks)
PUBLIC_URL: Look[PublicAddress] = Look("public address", _look_at_public_url)
