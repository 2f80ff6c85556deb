"""Webhook signatures of both clouds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.protocol.payloads import load
from trunkline.protocol.signatures import (
    genesys_signature_is_valid,
    genesys_signature_is_wellformed,
    meta_signature_is_valid,
    sign_genesys,
    sign_meta,
)

VECTORS = load("signatures")
WEIRD_HEADERS = ["", "sha256=", "sha256=é", "sha256=" + "é" * 64, "sha256=" + "\ud800" * 64, "sha256=" + "٣" * 64, "\0"]


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS])
def test_a_recorded_signature_is_judged_rightly(vector: dict[str, Any]) -> None:
    body = vector["body"].encode()
    if vector["side"] == "whatsapp":
        valid = meta_signature_is_valid(body, vector["header"], ["another-secret", vector["secret"]])
    else:
        valid = genesys_signature_is_valid(body, vector["header"], vector["secret"])
    assert valid is vector["valid"]


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["name"]) for v in VECTORS if v["valid"]])
def test_our_own_signature_equals_the_recorded_one(vector: dict[str, Any]) -> None:
    sign = sign_meta if vector["side"] == "whatsapp" else sign_genesys
    assert sign(vector["body"].encode(), vector["secret"]) == vector["header"]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_any_of_an_apps_secrets_may_have_signed(position: int) -> None:
    secrets = ["one", "two", "three"]
    assert meta_signature_is_valid(b"{}", sign_meta(b"{}", secrets[position]), secrets)
    assert not meta_signature_is_valid(b"{}", sign_meta(b"{}", "four"), secrets)
    assert not meta_signature_is_valid(b"{}", sign_meta(b"{}", "one"), [])


def test_meta_signs_in_lower_case() -> None:
    header = sign_meta(b"{}", "secret")
    assert len(header) == 71
    assert not meta_signature_is_valid(b"{}", "sha256=" + header[7:].upper(), ["secret"])


def test_an_empty_secret_vouches_for_nothing() -> None:
    assert not meta_signature_is_valid(b"{}", sign_meta(b"{}", ""), [""])
    assert not genesys_signature_is_valid(b"{}", sign_genesys(b"{}", ""), "")


@pytest.mark.parametrize("header", [None, *WEIRD_HEADERS, *(f"{sign_meta(b'', 's')}{end}" for end in ("\n", " ", "0"))])
def test_a_weird_header_is_simply_wrong(header: str | None) -> None:
    assert not meta_signature_is_valid(b"", header, ["s"])
    assert not genesys_signature_is_valid(b"", header, "s")
    assert not genesys_signature_is_wellformed(header)


def test_wellformed_is_what_genesys_could_have_written() -> None:
    assert genesys_signature_is_wellformed(sign_genesys(b"anything", "another tenant's secret"))
    assert not genesys_signature_is_wellformed(sign_meta(b"anything", "secret"))
    assert not genesys_signature_is_wellformed(sign_genesys(b"anything", "secret").rstrip("="))
