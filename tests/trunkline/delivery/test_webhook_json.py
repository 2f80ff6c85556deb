"""Any JSON that a cloud may sign is read; nothing else is."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from tests.trunkline.protocol.payloads import any_json
from trunkline.delivery.webhook_json import DEEPEST, NotJson, read_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}, id="plain"),
        pytest.param(b'{"a": "D\\u00e9j\\u00e0 \\ud83d\\ude00 \\/"}', {"a": "Déjà 😀 /"}, id="escaped as Meta does"),
        pytest.param(b"7", 7, id="a number"),
        pytest.param(b'"text"', "text", id="a text"),
        pytest.param(b" null ", None, id="null"),
        pytest.param(b'{"a": "\\ud83d"}', {"a": "\ufffd"}, id="half a surrogate pair"),
        pytest.param(b'{"\\udc00": 1}', {"\ufffd": 1}, id="a lone surrogate as a name"),
        pytest.param(b'{"a": "x\\u0000y", "\\u0000": 1}', {"a": "x\ufffdy", "\ufffd": 1}, id="NUL"),
        pytest.param(b'{"a": ["\\ud800", "\\u0000"]}', {"a": ["\ufffd", "\ufffd"]}, id="both"),
        pytest.param(b"123456789012345678901234567890", 1.2345678901234568e29, id="a huge number"),
        pytest.param(b"[1e999, -1e999]", [None, None], id="numbers beyond any float"),
        pytest.param(b"[" + b"9" * 5000 + b"]", [None], id="a number of 5,000 digits"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="a name twice"),
    ],
)
def test_json_is_read(body: bytes, value: Any) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"hello", id="a word"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b'{"a": NaN, "b": "\\ud800"}', id="NaN beside a lone surrogate"),
        pytest.param(b"[Infinity]", id="Infinity"),
        pytest.param(b"[-Infinity]", id="minus Infinity"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": 1,}', id="a comma too many"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b'{"a": "line\nbreak"}', id="a raw line break in a text"),
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(body)


def nested(levels: int, inside: str = "1", *, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + inside + closing * levels).encode()


@pytest.mark.parametrize("levels", [DEEPEST + 1, 254, 255, 500, 1024, 1025, 5_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_of_any_depth_is_read_and_can_be_written_again(levels: int, opening: str, closing: str) -> None:
    value = read_json(nested(levels, opening=opening, closing=closing))
    assert orjson.dumps({"v": 1, "payload": {"message": value}})


def test_what_nests_too_deep_is_left_out_and_its_neighbours_stay() -> None:
    body = b'{"deep": ' + nested(300) + b', "other": {"text": "hello"}}'
    value = read_json(body)
    assert value["other"] == {"text": "hello"}
    assert read_json(nested(DEEPEST)) == json.loads(nested(DEEPEST))


def test_a_large_webhook_that_nests_as_usual_is_left_as_it_is() -> None:
    webhook = {"entry": [{"changes": [{"value": {"messages": [{"text": {"body": str(n)}}]}}]} for n in range(500)]}
    assert read_json(orjson.dumps(webhook)) == webhook


@settings(max_examples=200, deadline=None)
@given(any_json)
def test_whatever_json_is_read_can_be_stored(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        read = read_json(body)
    except NotJson:
        assert any(word in body for word in (b"NaN", b"Infinity"))
        return
    stored = orjson.dumps(read)
    assert b"\\u0000" not in stored
    assert orjson.loads(stored) == read
