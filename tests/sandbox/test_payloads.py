"""Bodies and signatures of both clouds' webhooks."""

from __future__ import annotations

import base64
import json
import re

import pytest

from sandbox.accounts import Account
from sandbox.payloads import (
    agent_text,
    contact,
    inbound_wamid,
    meta_body,
    outbound_wamid,
    published_receipt,
    sign_genesys,
    sign_meta,
    text_message,
)
from tests.sandbox.world import ACCOUNT, DATA, shape

ALDER = Account.model_validate(ACCOUNT)
VECTORS = [each for each in json.loads((DATA / "signatures.json").read_text()) if each["valid"]]


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in VECTORS])
def test_a_signature_is_the_one_that_the_real_cloud_makes(vector: dict[str, str]) -> None:
    sign = sign_meta if vector["side"] == "whatsapp" else sign_genesys

    assert sign(vector["secret"], vector["body"].encode()) == vector["header"]


def test_a_customers_text_has_the_shape_of_a_recorded_one() -> None:
    value = {
        "contacts": [contact("447700900111", "Ines Calder")],
        "messages": [text_message("447700900111", inbound_wamid("447700900111"), "Déjà vu 😀 / ok", 1795435200)],
    }

    body = meta_body(ALDER, value)

    recorded = json.loads((DATA / "whatsapp" / "text_basic.json").read_text())
    assert shape(json.loads(body)) == shape(recorded)
    assert rb"D\u00e9j\u00e0 vu \ud83d\ude00 \/ ok" in body


def test_a_customer_with_a_hidden_number_has_neither_from_nor_wa_id() -> None:
    message = text_message("GB.55021188437766120934", "wamid.x", "hi", 1)

    assert "from" not in message
    assert message["from_user_id"] == "GB.55021188437766120934"
    assert "wa_id" not in contact("GB.55021188437766120934", "Robin")


def test_an_agents_text_has_the_shape_of_a_recorded_one() -> None:
    body = agent_text(ALDER, "447700900111", "d50fdfaafa7360821bf7958d3c4614af", "Déjà vu", "c")

    recorded = json.loads((DATA / "genesys" / "text_agent.json").read_text())
    assert shape(json.loads(body)) == shape(recorded)
    assert "Déjà".encode() in body


def test_a_published_receipt_has_the_shape_of_a_recorded_one() -> None:
    body = published_receipt(ALDER, {"id": "447700900111", "idType": "Phone"}, "g", "wamid.x")

    recorded = json.loads((DATA / "genesys" / "receipt_published.json").read_text())
    assert shape(json.loads(body)) == shape(recorded)


@pytest.mark.parametrize("make", [inbound_wamid, outbound_wamid])
def test_a_wamid_is_unique_and_names_the_customer(make: object) -> None:
    assert callable(make)
    made = {make("447700900111") for _ in range(1000)}

    assert len(made) == 1000
    for wamid in made:
        assert re.match(r"^wamid\.[A-Za-z0-9+/]+=*$", wamid)
        assert len(wamid) <= 128
        assert b"447700900111" in base64.b64decode(wamid.removeprefix("wamid."))
