"""What the clouds' answers mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trunkline.protocol.payloads import any_json, load, names
from trunkline.errors import CredentialsRefused, OutcomeUnknown, Rejected, Throttled, TrunklineError, Unavailable
from trunkline.protocol.outcomes import (
    GENESYS_THROTTLE_S,
    GenesysAccepted,
    TokenGrant,
    classify_genesys,
    classify_token,
    classify_whatsapp,
)

WAMID = "wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQUJCMjVBM0M3NjhDQUYwRTUwAA=="
CORRELATION = "(correlation dfccaaa3-8dcb-54f2-9629-ba4b7801a43a)"
Answer = tuple[int, dict[str, str], bytes]


def recorded(name: str) -> Answer:
    response = load(f"api/{name}")["response"]
    body = response["body"]
    return response["status"], response["headers"], body.encode() if isinstance(body, str) else orjson.dumps(body)


def told(error: TrunklineError) -> tuple[object, ...]:
    """The error's class and everything it carries."""
    return (type(error), *error.args)


ANSWERS = {
    "wa_send_ok": WAMID,
    "wa_send_ok_bsuid": "wamid.HBgGaGlkZGVuFQIAERgSNzgyQTI5Q0U5OUNBRTk0QThGAA==",
    "wa_send_template_held": "wamid.HBgMNDQ3NzAwOTAwMTExFQIAERgSQUJFNEE0NjlBQjY2QThFQ0U1AA==",
    "wa_mark_read_ok": OutcomeUnknown("200 without a message id"),
    "wa_media_lookup": OutcomeUnknown("200 without a message id"),
    "wa_media_upload": OutcomeUnknown("200 without a message id"),
    "wa_error_131047": Rejected(
        "window_closed",
        "131047 Re-engagement message: Message failed to send because more than 24 hours have passed since the "
        "customer last replied to this number.",
        "131047",
    ),
    "wa_error_130429": Throttled(
        2.0, "130429 Rate limit hit: Cloud API message throughput has been reached.", "130429"
    ),
    "wa_error_131056": Throttled(
        6.0,
        "131056 (Business Account, Consumer Account) pair rate limit hit: Too many messages to the same number in a "
        "short period.",
        "131056",
    ),
    "wa_error_190": CredentialsRefused("190 Error validating access token: Session has expired", "190"),
    "wa_error_100": Rejected("rejected", "100 Invalid parameter: Parameter value is not valid", "100"),
    "wa_error_error_data_string": Rejected(
        "rejected", "131009 Parameter value is not valid: list rows exceed 10", "131009"
    ),
    "wa_error_not_json": OutcomeUnknown("502 that is not JSON"),
    "gen_inbound_message_ok": GenesysAccepted(
        "54ac855053c626dabf6b559ede6a76b3", "244c5b54-43df-50fa-887d-42881cf047ef"
    ),
    "gen_receipt_ok": GenesysAccepted("d50fdfaafa7360821bf7958d3c4614af", None),
    "gen_error_400": Rejected(
        "rejected",
        "400 bad.request: JSON validation failed: body should have required property 'content', body should have "
        f"required property '.text', body should match some schema in anyOf {CORRELATION}",
        "400",
    ),
    "gen_error_401": CredentialsRefused(f"401 bad.credentials: Invalid login credentials. {CORRELATION}", "401"),
    "gen_error_403": CredentialsRefused(
        "403 missing.permissions: Unable to perform the requested action. You are missing the following permission(s): "
        f"conversation:message:receive {CORRELATION}",
        "403",
    ),
    "gen_error_404": CredentialsRefused(f"404 not.found: The requested resource was not found. {CORRELATION}", "404"),
    "gen_error_429": Throttled(
        17.0,
        f"429 too.many.requests: Rate limit exceeded the maximum. Retry the request in [17] seconds {CORRELATION}",
        "429",
    ),
    "gen_error_503": Unavailable(f"503 service.unavailable: Service Unavailable {CORRELATION}", "503"),
    "gen_token_ok": TokenGrant("test-token-alder", 86399.0),
    "gen_token_bad_client": CredentialsRefused("invalid_client: client not found: invalid client_id", "400"),
    "gen_token_bad_secret": CredentialsRefused("invalid_client: authentication failed", "401"),
}


def classify(name: str) -> object:
    if name.startswith("wa_"):
        return classify_whatsapp(*recorded(name))
    return classify_token(*recorded(name)) if name.startswith("gen_token") else classify_genesys(*recorded(name))


@pytest.mark.parametrize("name", names("api"))
def test_a_recorded_answer_means_one_thing(name: str) -> None:
    expected = ANSWERS[name]
    if not isinstance(expected, TrunklineError):
        assert classify(name) == expected
        return
    with pytest.raises(type(expected)) as caught:
        classify(name)
    assert told(caught.value) == told(expected)


def graph_error(code: object, **more: object) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": f"(#{code}) Said no", **more}})


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
@pytest.mark.parametrize(
    ("codes", "fate"),
    [
        pytest.param([4, 613, 80007, 130429, 131056, 133016, 131048], Throttled, id="throttle"),
        pytest.param([1, 2, 131000, 131016, 131057, 135000], Unavailable, id="transient"),
        pytest.param([131052, 131053], Unavailable, id="media"),
        pytest.param([0, 190, 3, 10, 200, 299, 131005], CredentialsRefused, id="credentials"),
        pytest.param([368, 131031, 131042, 131044, 131045, 131037, 133010], CredentialsRefused, id="account blocked"),
        pytest.param([131026, 131021, 131030, 131050, 131062, 137000], Rejected, id="recipient"),
        pytest.param([130472, 131049, 130497], Rejected, id="policy"),
        pytest.param([33, 100, 131008, 131009, 131051, 132000, 132001, 132069], Rejected, id="our request"),
    ],
)
def test_metas_code_decides_whatever_the_status(codes: list[int], fate: type[TrunklineError], status: int) -> None:
    for code in codes:
        with pytest.raises(fate) as caught:
            classify_whatsapp(status, {}, graph_error(code))
        assert getattr(caught.value, "code", None) == str(code)
        assert f"{code} Said no" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "fate"),
    [
        pytest.param(429, b"slow down", Throttled, id="429 without JSON"),
        pytest.param(429, graph_error(999), Throttled, id="429 with another code"),
        pytest.param(500, b"{}", Unavailable, id="5xx with any JSON"),
        pytest.param(503, graph_error(999), Unavailable, id="5xx with another code"),
        pytest.param(400, graph_error(999, is_transient=True), Unavailable, id="said to be transient"),
        pytest.param(503, b"<html>", OutcomeUnknown, id="5xx without JSON"),
        pytest.param(200, b"", OutcomeUnknown, id="200 without a body"),
        pytest.param(200, b'{"messages": [{}]}', OutcomeUnknown, id="200 without an id"),
        pytest.param(200, b'{"messages": "wamid.1"}', OutcomeUnknown, id="200 of another shape"),
        pytest.param(401, b"", CredentialsRefused, id="401 without JSON"),
        pytest.param(404, b"", Rejected, id="another 4xx"),
        pytest.param(400, graph_error(999), Rejected, id="4xx with another code"),
        pytest.param(408, b"", Unavailable, id="408, the request did not arrive"),
        pytest.param(302, b"", Unavailable, id="a redirect"),
    ],
)
def test_an_answer_of_meta_without_a_known_code_is_judged_by_its_status(
    status: int, body: bytes, fate: type[TrunklineError]
) -> None:
    with pytest.raises(fate):
        classify_whatsapp(status, {}, body)


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, Rejected),
        (413, Rejected),
        (415, Rejected),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (404, CredentialsRefused),
        (408, OutcomeUnknown),
        (504, OutcomeUnknown),
        (409, Unavailable),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (302, Unavailable),
        (429, Throttled),
    ],
)
def test_a_genesys_error_is_judged_by_its_status(status: int, fate: type[TrunklineError]) -> None:
    with pytest.raises(fate) as caught:
        classify_genesys(status, {}, b"<html>")
    assert str(status) in str(caught.value)
    assert getattr(caught.value, "code", str(status)) == str(status)


@pytest.mark.parametrize(("status", "body"), [(200, b""), (202, b"null"), (204, b"<html>"), (200, b'{"id": null}')])
def test_any_2xx_of_genesys_is_accepted(status: int, body: bytes) -> None:
    assert classify_genesys(status, {}, body) == GenesysAccepted(None, None)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        pytest.param({"Retry-After": "17"}, 17.0, id="seconds"),
        pytest.param({"retry-after": "17"}, 17.0, id="in lower case"),
        pytest.param({"Retry-After": "0"}, 1.0, id="at once, which would be a hot loop"),
        pytest.param({"Retry-After": "1e12"}, 86400.0, id="for ever"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, GENESYS_THROTTLE_S, id="a date"),
        pytest.param({"Retry-After": "-5"}, GENESYS_THROTTLE_S, id="in the past"),
        pytest.param({"Retry-After": "nan"}, GENESYS_THROTTLE_S, id="not a number"),
        pytest.param({}, GENESYS_THROTTLE_S, id="unsaid"),
    ],
)
def test_a_throttle_lasts_as_long_as_it_says(headers: dict[str, str], wait_s: float) -> None:
    for classify_answer in (classify_genesys, classify_token):
        with pytest.raises(Throttled) as caught:
            classify_answer(429, headers, b"")
        assert caught.value.retry_after_s == wait_s


def test_metas_throttle_obeys_retry_after_too() -> None:
    with pytest.raises(Throttled) as caught:
        classify_whatsapp(400, {"Retry-After": "3"}, graph_error(131056))
    assert caught.value.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("status", "body", "fate"),
    [
        (403, b"", CredentialsRefused),
        (404, b"", Unavailable),
        (500, b"", Unavailable),
        (200, b"<html>", Unavailable),
        (200, b'{"access_token": "", "expires_in": 60}', Unavailable),
        (200, b'{"access_token": "t", "expires_in": 0}', Unavailable),
        (200, b'{"access_token": "t", "expires_in": true}', Unavailable),
        (200, b'{"access_token": "t"}', Unavailable),
    ],
)
def test_no_token_is_an_error(status: int, body: bytes, fate: type[TrunklineError]) -> None:
    with pytest.raises(fate):
        classify_token(status, {}, body)


def test_a_token_does_not_show_itself() -> None:
    grant = classify_token(200, {}, b'{"access_token": "t0ps3cret", "expires_in": "60", "error": null}')
    assert grant == TokenGrant("t0ps3cret", 60.0)
    assert "t0ps3cret" not in repr(grant)


@pytest.mark.parametrize(
    "words",
    ["Malformed access token EAAGm0PX4ZCpsBAKZD", "Malformed access token 0123456789abcdefXYZ", "EAAGm0PX4ZCps"],
)
def test_a_token_that_meta_quotes_is_not_repeated(words: str) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        classify_whatsapp(401, {}, orjson.dumps({"error": {"code": 190, "message": words}}))
    assert words.split()[-1] not in str(caught.value)
    assert str(caught.value).endswith("****")


@given(
    st.sampled_from([100, 200, 202, 302, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 599]),
    st.binary(max_size=40)
    | any_json.map(lambda value: orjson.dumps(value, default=str) if _serialisable(value) else b"")
    | st.fixed_dictionaries(
        {}, optional={"error": any_json, "messages": any_json, "message": any_json, "code": any_json}
    )
    .filter(lambda value: _serialisable(value))
    .map(orjson.dumps),
)
def test_any_answer_is_a_success_or_one_of_our_errors(status: int, body: bytes) -> None:
    for classify_answer in (classify_whatsapp, classify_genesys, classify_token):
        try:
            classify_answer(status, {"Retry-After": "x"}, body)
        except TrunklineError as error:
            str(error).encode()


def _serialisable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
