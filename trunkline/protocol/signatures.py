"""Webhook signatures, bytes in and bool out. Both clouds name the header alike; Meta writes hex, Genesys base64."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

PREFIX = "sha256="
_META = re.compile(r"sha256=[0-9a-f]{64}")
_GENESYS = re.compile(r"sha256=[A-Za-z0-9+/]{43}=")


def sign_meta(body: bytes, secret: str) -> str:
    """The value of `X-Hub-Signature-256` as Meta makes it: lower-case hex."""
    return PREFIX + _digest(body, secret).hex()


def sign_genesys(body: bytes, secret: str) -> str:
    """The value of `X-Hub-Signature-256` as Genesys makes it: standard base64 with padding."""
    return PREFIX + base64.b64encode(_digest(body, secret)).decode()


def meta_signature_is_valid(body: bytes, header: str | None, secrets: Iterable[str]) -> bool:
    """Whether one of the app's secrets signed these very bytes."""
    if header is None or not _META.fullmatch(header):
        return False
    # A list, not a generator: every secret is tried, so that time does not tell which one fitted.
    return any([hmac.compare_digest(sign_meta(body, secret), header) for secret in secrets if secret])


def genesys_signature_is_wellformed(header: str | None) -> bool:
    """Whether the header can be a signature of Genesys at all, whoever made it."""
    return header is not None and _GENESYS.fullmatch(header) is not None


def genesys_signature_is_valid(body: bytes, header: str | None, secret: str) -> bool:
    """Whether the integration's secret signed these very bytes."""
    if header is None or not secret or not genesys_signature_is_wellformed(header):
        return False
    return hmac.compare_digest(sign_genesys(body, secret), header)


def _digest(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode("utf-8", "surrogatepass"), body, hashlib.sha256).digest()
