"""A Meta webhook taken apart, whatever its parts look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.trunkline.protocol.payloads import any_json, load, mutations, names
from trunkline.delivery.meta_webhook import Element, read_elements, webhook_of


def webhook(*values: Any, field: Any = "messages", product: Any = "whatsapp_business_account") -> dict[str, Any]:
    changes = [{"field": field, "value": value} for value in values]
    return {"object": product, "entry": [{"id": "104488220011733", "changes": changes}]}


def value(*messages: Any, statuses: Any = (), contacts: Any = (), number: Any = "2100") -> dict[str, Any]:
    return {
        "metadata": {"phone_number_id": number},
        "contacts": list(contacts),
        "messages": list(messages),
        "statuses": list(statuses),
    }


def test_messages_and_statuses_of_every_entry_and_change_are_found() -> None:
    both = webhook(value({"id": "m1"}, statuses=[{"id": "s1"}]), value({"id": "m2"}, number="2101"))
    both["entry"].append(webhook(value({"id": "m3"}, number="2102"))["entry"][0])
    found = [(element.kind, element.phone_number_id, element.raw["id"]) for element in read_elements(both)]
    assert found == [
        ("message", "2100", "m1"),
        ("status", "2100", "s1"),
        ("message", "2101", "m2"),
        ("message", "2102", "m3"),
    ]


@pytest.mark.parametrize("name", names("whatsapp"))
def test_recorded_webhooks_are_taken_apart(name: str) -> None:
    body = load(f"whatsapp/{name}")
    kinds = [element.kind for element in read_elements(body)]
    text = repr(body)
    if name.startswith(("field_", "errors_only", "malformed_wrong", "malformed_entry")):
        assert kinds == []
    else:
        assert len(kinds) >= 1
        assert ("status" in kinds) == ("'statuses'" in text)


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="an array"),
        pytest.param("text", id="a text"),
        pytest.param({}, id="an empty object"),
        pytest.param(webhook(value({"id": "m1"}), product="instagram"), id="another product"),
        pytest.param(webhook(value({"id": "m1"}), field="smb_message_echoes"), id="an echo of the business"),
        pytest.param(webhook(value({"id": "m1"}), field=None), id="no field"),
        pytest.param({"object": "whatsapp_business_account", "entry": {"id": 1}}, id="entry is no array"),
        pytest.param({"object": "whatsapp_business_account", "entry": [7, None]}, id="entries are no objects"),
        pytest.param(webhook(None, [], "x", 7), id="values are no objects"),
        pytest.param(webhook({"metadata": {"phone_number_id": "2100"}, "messages": {"id": "m1"}}), id="no array"),
    ],
)
def test_what_has_nothing_for_us_yields_nothing(nothing: Any) -> None:
    assert list(read_elements(nothing)) == []


def test_one_odd_element_leaves_its_neighbours() -> None:
    elements = list(read_elements(webhook(value({"id": "m1"}, "odd", None, 7, {"id": "m2"}))))
    assert [element.raw for element in elements] == [{"id": "m1"}, "odd", None, 7, {"id": "m2"}]


@pytest.mark.parametrize(
    ("number", "read"),
    [("2100", "2100"), (2100, "2100"), (True, None), (None, None), (["2100"], None), ({}, None), (1.5, None)],
)
def test_the_number_may_be_written_as_a_number(number: Any, read: str | None) -> None:
    (element,) = read_elements(webhook(value({"id": "m1"}, number=number)))
    assert element == Element("message", read, {"id": "m1"})


@pytest.mark.parametrize("metadata", [None, "2100", [], {}])
def test_without_metadata_there_is_no_number(metadata: Any) -> None:
    (element,) = read_elements(webhook({"metadata": metadata, "messages": [{"id": "m1"}]}))
    assert element.phone_number_id is None


def test_a_contact_is_found_by_who_it_is_and_never_by_its_place() -> None:
    ines, bo = {"wa_id": "4477", "user_id": "GB.1"}, {"wa_id": "4478", "user_id": "GB.2"}
    messages = [{"from": "4478"}, {"from": "4477"}, {"from_user_id": "GB.2"}, {"from": "GB.1"}, {"from": "4479"}]
    elements = list(read_elements(webhook(value(*messages, contacts=[ines, "odd", bo]))))
    assert [element.contact for element in elements] == [bo, ines, bo, ines, None]


@settings(max_examples=200, deadline=None)
@given(mutations(load("whatsapp/batch_two_tenants")) | any_json)
def test_no_webhook_of_any_shape_fails(body: Any) -> None:
    list(read_elements(body))


@settings(max_examples=200, deadline=None)
@given(mutations(load("whatsapp/batch_two_tenants")) | mutations(load("whatsapp/status_batch")))
def test_an_element_put_into_a_webhook_is_found_there_again(body: Any) -> None:
    for element in read_elements(body):
        assert list(read_elements(webhook_of(element))) == [element]
