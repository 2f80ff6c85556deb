"""Who the customer is, on either side."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.trunkline.protocol.payloads import any_json, messages
from trunkline.protocol.identity import (
    addresses,
    alias_change,
    genesys_sender,
    recipient_identity,
    sender_identity,
)

NUMBER, BSUID = "447700900111", "GB.71204433551902288417"
NEW_NUMBER, NEW_BSUID = "447700900333", "MX.0987654321"


@pytest.mark.parametrize(
    ("message", "identity"),
    [
        pytest.param({"from": NUMBER, "from_user_id": BSUID}, NUMBER, id="the number, if shown"),
        pytest.param({"from": int(NUMBER)}, NUMBER, id="a number that is not a string"),
        pytest.param({"from_user_id": BSUID}, BSUID, id="the BSUID, if the number is hidden"),
        pytest.param({"from": BSUID}, BSUID, id="a BSUID in the number's place"),
        pytest.param({"from": "", "from_user_id": BSUID}, BSUID, id="an empty number"),
        pytest.param({"from": "nobody", "from_user_id": BSUID}, BSUID, id="nonsense in the number's place"),
        pytest.param({"recipient_id": NUMBER, "recipient_user_id": BSUID}, NUMBER, id="a status"),
        pytest.param({"recipient_user_id": BSUID}, BSUID, id="a status of a hidden number"),
        pytest.param({}, None, id="nobody"),
        pytest.param({"from": "+447700900111 "}, None, id="not digits only"),
        pytest.param({"from": "٤٤٧"}, None, id="digits of another script"),
        pytest.param({"from": f"{NUMBER}\n"}, None, id="a line end behind the digits"),
        pytest.param({"from": ["1"], "from_user_id": {"a": 1}}, None, id="wrong types"),
    ],
)
def test_the_sender_has_one_identity(message: dict[str, Any], identity: str | None) -> None:
    assert sender_identity(message) == identity


@pytest.mark.parametrize(
    ("contact", "identity"),
    [
        pytest.param({"user_id": BSUID, "wa_id": NUMBER}, NUMBER, id="the same person, number known"),
        pytest.param({"user_id": BSUID}, BSUID, id="the same person, number hidden"),
        pytest.param({"user_id": "GB.1", "wa_id": NUMBER}, BSUID, id="another person"),
    ],
)
def test_a_contact_tells_the_number_that_the_message_hides(contact: dict[str, Any], identity: str) -> None:
    assert sender_identity({"from_user_id": BSUID}, contact) == identity


@pytest.mark.parametrize(
    ("to_id", "identity"),
    [
        (NUMBER, NUMBER),
        ("+44 7700-900 111", NUMBER),
        (BSUID, BSUID),
        ("gb.712", None),
        ("GB.", None),
        ("GB.712\n", None),
        ("", None),
        ("+ -", None),
        ("someone@example.com", None),
        ("447700900111x", None),
        ("\ud800", None),
    ],
)
def test_the_recipient_is_normalised_or_nobody(to_id: str, identity: str | None) -> None:
    assert recipient_identity(to_id) == identity


@pytest.mark.parametrize(
    ("name", "username", "expected"),
    [
        pytest.param(
            "Ines Calder",
            None,
            {"nickname": "Ines Calder", "firstName": "Ines", "lastName": "Calder"},
            id="first and last name",
        ),
        pytest.param("Robin", "robin.w", {"nickname": "Robin", "firstName": "Robin"}, id="one name"),
        pytest.param(
            "Ana de la Cruz",
            None,
            {"nickname": "Ana de la Cruz", "firstName": "Ana", "lastName": "de la Cruz"},
            id="many names",
        ),
        pytest.param(None, "robin.w", {"nickname": "robin.w"}, id="a username only"),
        pytest.param("  ", None, {"nickname": NUMBER}, id="a blank name"),
        pytest.param(None, None, {"nickname": NUMBER}, id="nothing but the id"),
    ],
)
def test_genesys_is_told_the_senders_names(name: str | None, username: str | None, expected: dict[str, str]) -> None:
    assert genesys_sender(NUMBER, name, username, False) == {"id": NUMBER, "idType": "Phone", **expected}


def test_a_plus_goes_before_numbers_only() -> None:
    assert genesys_sender(NUMBER, None, None, True) == {"id": f"+{NUMBER}", "idType": "Phone", "nickname": f"+{NUMBER}"}
    assert genesys_sender(BSUID, None, None, True) == {"id": BSUID, "idType": "Opaque", "nickname": BSUID}


def system(type_: Any = "user_changed_number", **members: Any) -> dict[str, Any]:
    return {"type": type_, **members}


@pytest.mark.parametrize(
    ("message", "contact", "named"),
    [
        pytest.param({"from": NUMBER, "from_user_id": BSUID}, None, (NUMBER, BSUID), id="both"),
        pytest.param({"from": NUMBER}, None, (NUMBER, None), id="an old payload"),
        pytest.param({"from_user_id": BSUID}, None, (None, BSUID), id="a hidden number"),
        pytest.param({"from": BSUID}, None, (None, BSUID), id="a BSUID in the number's place"),
        pytest.param(
            {"from_user_id": BSUID}, {"user_id": BSUID, "wa_id": NUMBER}, (NUMBER, BSUID), id="contact: number"
        ),
        pytest.param({"from": NUMBER}, {"user_id": BSUID, "wa_id": NUMBER}, (NUMBER, BSUID), id="contact: BSUID"),
        pytest.param({"from": NUMBER}, {"user_id": BSUID, "wa_id": "1"}, (NUMBER, None), id="contact: somebody else"),
        pytest.param({"from_user_id": BSUID}, {"user_id": BSUID, "wa_id": BSUID}, (None, BSUID), id="contact: twice"),
        pytest.param(
            {"type": "system", "system": {"user_id": NEW_BSUID, "previous_user_id": BSUID}},
            None,
            (None, BSUID),
            id="news that name the person as known before",
        ),
        pytest.param({"system": {"previous_user_id": BSUID}}, None, (None, None), id="news in no system message"),
        pytest.param({}, None, (None, None), id="nobody"),
        pytest.param([], [], (None, None), id="no objects"),
    ],
)
def test_a_message_names_addresses_of_its_sender(message: Any, contact: Any, named: tuple[Any, Any]) -> None:
    assert addresses(message, contact) == named


@pytest.mark.parametrize(
    ("message", "change"),
    [
        pytest.param({"from": NUMBER, "system": system(wa_id=NEW_NUMBER)}, (NUMBER, NEW_NUMBER), id="a number"),
        pytest.param(
            {"from": BSUID, "system": system("customer_changed_number", customer=NUMBER, new_wa_id=NEW_NUMBER)},
            (NUMBER, NEW_NUMBER),
            id="a number in an old payload",
        ),
        pytest.param(
            {"from": NUMBER, "system": system("customer_changed_number", customer=NUMBER, wa_id=int(NEW_NUMBER))},
            (NUMBER, NEW_NUMBER),
            id="a number that is not a string",
        ),
        pytest.param(
            {"from_user_id": BSUID, "system": system(wa_id=NEW_NUMBER)}, (BSUID, NEW_NUMBER), id="a hidden number"
        ),
        pytest.param(
            {"from": NEW_NUMBER, "from_user_id": BSUID, "system": system(wa_id=NEW_NUMBER)},
            (BSUID, NEW_NUMBER),
            id="news from the new number",
        ),
        pytest.param(
            {"system": system("user_changed_user_id", user_id=NEW_BSUID, previous_user_id=BSUID)},
            (BSUID, NEW_BSUID),
            id="a user id",
        ),
        pytest.param(
            {"from_user_id": BSUID, "system": system("user_changed_user_id", user_id=NEW_BSUID)},
            (BSUID, NEW_BSUID),
            id="a user id, the old one as sender",
        ),
        pytest.param(
            {"from": NUMBER, "from_user_id": NEW_BSUID, "system": system("user_changed_user_id", user_id=NEW_BSUID)},
            (NUMBER, NEW_BSUID),
            id="a user id, the new one as sender",
        ),
        pytest.param({"from": NUMBER, "system": system(wa_id=NUMBER)}, None, id="no change"),
        pytest.param({"system": system(wa_id=NEW_NUMBER)}, None, id="nobody's change"),
        pytest.param({"from": NUMBER, "system": system(wa_id="soon")}, None, id="a change to nonsense"),
        pytest.param({"from": NUMBER, "system": system(user_id=NEW_BSUID)}, None, id="a change to nothing"),
        pytest.param({"from": NUMBER, "system": system("customer_identity_changed")}, None, id="another device"),
        pytest.param({"from": NUMBER, "system": system(["x"], wa_id=NEW_NUMBER)}, None, id="a type of a wrong type"),
        pytest.param({"from": NUMBER, "system": "x"}, None, id="news of a wrong type"),
    ],
)
def test_news_of_an_address_tell_the_old_and_the_new(message: dict[str, Any], change: tuple[str, str] | None) -> None:
    assert alias_change({"type": "system", **message}) == change


def test_the_recorded_number_change_is_one_and_a_text_is_none() -> None:
    [(message, _)] = messages("system_number_change")
    assert alias_change(message) == (NUMBER, NEW_NUMBER)
    assert alias_change({**message, "type": "text"}) is None


@given(any_json, any_json)
def test_any_json_names_addresses_or_none(message: Any, contact: Any) -> None:
    for odd in (message, {"type": "system", "from": NUMBER, "system": message}):
        addresses(odd, contact)
        alias_change(odd)
