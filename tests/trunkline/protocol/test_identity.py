"""Who the customer is, on either side."""

from __future__ import annotations

from typing import Any

import pytest

from trunkline.protocol.identity import genesys_sender, recipient_identity, sender_identity

NUMBER, BSUID = "447700900111", "GB.71204433551902288417"


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
