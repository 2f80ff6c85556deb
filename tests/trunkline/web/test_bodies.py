"""Bodies of the admin API, as they may come in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from trunkline.web.bodies import LARGEST, read_body
from trunkline.web.errors import ApiError

JSON = "application/json"


def _scope(method: str = "POST", **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": "/tenants", "headers": named}


def _coming(*chunks: bytes, ends: bool = True) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"})

    async def receive() -> Message:
        return messages.pop(0)

    return receive


async def _refused(*chunks: bytes, ends: bool = True, **headers: str) -> ApiError:
    with pytest.raises(ApiError) as refused:
        await read_body(_scope(**{"content_type": JSON, **headers}), _coming(*chunks, ends=ends))
    return refused.value


async def test_a_body_in_pieces_is_received_again_as_one() -> None:
    receive = await read_body(_scope(content_type=JSON), _coming(b'{"name": ', b'"Alder"}'))
    assert await receive() == {"type": "http.request", "body": b'{"name": "Alder"}', "more_body": False}


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_json_may_be_announced_in_any_case_and_with_parameters(kind: str) -> None:
    await read_body(_scope(content_type=kind), _coming(b"{}"))


async def test_no_body_needs_no_type() -> None:
    receive = await read_body(_scope(), _coming())
    assert (await receive())["body"] == b""


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded"])
async def test_json_typed_by_hand_is_taken_for_what_it_is(kind: str) -> None:
    scope = _scope(content_type=kind)
    await read_body(scope, _coming(b'{"rateLimit": 200}'))
    assert Headers(scope=scope).getlist("Content-Type") == [JSON]


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/jsonp"])
async def test_what_is_said_to_be_something_else_than_json_is_refused_and_told_how(kind: str) -> None:
    refused = await _refused(b"{}", content_type=kind)
    assert (refused.status, refused.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert refused.details == {"Content-Type": "must be application/json"}


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        pytest.param(b'{"rateLimit": 1,}', "body", "line 1, column 17", id="not JSON"),
        pytest.param(b'{"name": "\xff"}', "body", "UTF-8 at byte 10", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "body", "nests too deep", id="too deep"),
        pytest.param(b'{"rateLimit": ' + b"9" * 5000 + b"}", "body", "number too long", id="a huge number"),
        pytest.param(b'{"rateLimit": NaN}', "body", "NaN", id="not a number"),
        pytest.param(b'{"rateLimit": -Infinity}', "body", "Infinity", id="without end"),
        pytest.param(b'{"a": {"rateLimit": 1, "x": 2, "rateLimit": 3}}', "rateLimit", "more than once", id="twice"),
    ],
)
async def test_what_is_not_json_of_one_meaning_is_refused_by_field(body: bytes, field: str, says: str) -> None:
    refused = await _refused(body)
    assert (refused.status, refused.code) == (400, "BAD_REQUEST")
    assert list(refused.details) == [field] and says in refused.details[field]


async def test_a_wrong_body_is_not_repeated() -> None:
    refused = await _refused(b'{"accessToken": "EAAG-secret", oops}')
    assert "EAAG" not in str(refused.details)


async def test_a_body_that_breaks_off_is_not_taken_for_an_empty_one() -> None:
    assert (await _refused(ends=False)).status == 400
    assert (await _refused(b"{}", ends=False)).status == 400


@pytest.mark.parametrize("chunks", [(b" " * (LARGEST + 1),), (b" " * LARGEST, b"1")], ids=["at once", "in pieces"])
async def test_a_body_that_is_too_large_is_refused_and_its_connection_ended(chunks: tuple[bytes, ...]) -> None:
    refused = await _refused(*chunks)
    assert (refused.status, refused.code) == (413, "PAYLOAD_TOO_LARGE")
    assert refused.headers == {"Connection": "close"}


async def test_a_body_that_announces_too_much_is_not_read() -> None:
    async def receive() -> Message:
        raise AssertionError("read")

    with pytest.raises(ApiError) as refused:
        await read_body(_scope(content_length=str(LARGEST + 1)), receive)
    assert refused.value.status == 413


async def test_a_body_of_the_largest_size_is_taken() -> None:
    receive = await read_body(_scope(content_type=JSON), _coming(b'"', b" " * (LARGEST - 2), b'"'))
    assert len((await receive())["body"]) == LARGEST == 1_048_576


async def test_a_body_that_does_not_arrive_in_time_is_refused_and_its_connection_ended() -> None:
    async def nothing_comes() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("something came")

    with pytest.raises(ApiError) as refused:
        await read_body(_scope(content_type=JSON), nothing_comes, within_s=0.01)
    assert (refused.value.status, refused.value.code) == (408, "REQUEST_TIMEOUT")
    assert refused.value.headers == {"Connection": "close"}


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
async def test_a_method_without_a_body_reads_none(method: str) -> None:
    receive = _coming(b"{not json")
    assert await read_body(_scope(method), receive) is receive
