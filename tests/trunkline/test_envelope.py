"""Envelopes: the same after a queue, recognised when repeated, refused when they are none."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import envelope
from trunkline.envelope import SCHEMA_VERSION, Direction, Envelope, message_id_for

WIRE = orjson.loads(envelope(1, payload={"text": "Olá 😀"}).to_bytes())


def test_an_envelope_is_the_same_after_its_way_through_a_queue() -> None:
    sent = envelope(1, Direction.STATUS, payload={"status": {"id": "wamid.1"}, "text": "Olá 😀 \u2028"})
    assert Envelope.from_bytes(sent.to_bytes()) == sent


def test_an_envelope_carries_its_place_in_a_trace() -> None:
    sent = replace(envelope(1), traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert Envelope.from_bytes(sent.to_bytes()) == sent


def test_an_envelope_without_a_trace_says_nothing_of_traces() -> None:
    assert sorted(WIRE) == sorted(
        ["v", "messageId", "tenantId", "direction", "conversation", "externalId", "kind", "acceptedAt", "payload"]
    )


def test_a_place_in_a_trace_that_is_no_text_keeps_no_message_from_being_read() -> None:
    assert Envelope.from_bytes(orjson.dumps({**WIRE, "traceparent": 7})).traceparent is None


def test_an_envelope_carries_its_schema_version() -> None:
    assert WIRE["v"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"{", id="not JSON"),
        pytest.param(b"[1, 2]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b"7", id="a number"),
        pytest.param(b"{}", id="an empty object"),
        *(
            pytest.param(orjson.dumps({**WIRE, **change}), id=f"{next(iter(change))} {next(iter(change.values()))}")
            for change in (
                {"v": 2},
                {"direction": "sideways"},
                {"acceptedAt": "noon"},
                {"acceptedAt": None},
                {"messageId": "1"},
                {"messageId": 7},
                {"tenantId": None},
                {"conversation": ["4477"]},
                {"externalId": 7},
                {"kind": None},
                {"payload": "hello"},
                {"payload": None},
            )
        ),
    ],
)
def test_what_is_no_envelope_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        Envelope.from_bytes(body)


@pytest.mark.parametrize("missing", sorted(WIRE))
def test_every_member_is_needed(missing: str) -> None:
    with pytest.raises(ValueError):
        Envelope.from_bytes(orjson.dumps({key: value for key, value in WIRE.items() if key != missing}))


def test_a_message_id_is_a_uuid_that_repeats_with_its_key() -> None:
    first = message_id_for("acme", Direction.INBOUND, "2100", "wamid.1")
    assert str(uuid.UUID(first)) == first
    assert message_id_for("acme", Direction.INBOUND, "2100", "wamid.1") == first


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("beta", Direction.INBOUND, "2100", "wamid.1"), id="another tenant"),
        pytest.param(("acme", Direction.STATUS, "2100", "wamid.1"), id="another direction"),
        pytest.param(("acme", Direction.INBOUND, "2101", "wamid.1"), id="another number"),
        pytest.param(("acme", Direction.INBOUND, "2100", "wamid.2"), id="another wamid"),
        pytest.param(("acme", Direction.INBOUND, "2100w", "amid.1"), id="the same letters, cut elsewhere"),
        pytest.param(("acme", Direction.INBOUND, "2100", "wamid.1", ""), id="one part more"),
    ],
)
def test_message_ids_differ_where_keys_do(other: tuple[Any, ...]) -> None:
    assert message_id_for(*other) != message_id_for("acme", Direction.INBOUND, "2100", "wamid.1")


@given(st.text(st.characters(codec=None)))
def test_any_text_makes_a_message_id(part: str) -> None:
    assert uuid.UUID(message_id_for("acme", Direction.OUTBOUND, part))
