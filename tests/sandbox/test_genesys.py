"""What the simulated Genesys Cloud accepts and refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.sandbox.world import ACCOUNT, BIRCH, World, fixture, shape, until

RECORDED = fixture("gen_inbound_message_ok")
MESSAGE: dict[str, Any] = RECORDED["request"]["body"]
RECEIPT: dict[str, Any] = fixture("gen_receipt_ok")["request"]["body"]
EVENT: dict[str, Any] = {
    "channel": {"from": {"id": "447700900111", "idType": "Phone"}, "time": "2026-11-23T12:00:00Z"},
    "events": [{"eventType": "Typing"}],
}
ATTACHMENT = {"mediaType": "Image", "url": "https://example.org/a.jpg", "mime": "image/jpeg"}


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The body with one member replaced; None takes it out."""
    made = copy.deepcopy(body)
    *parents, last = path.split(".")
    part = made
    for name in parents:
        part = part[name]
    part[last] = value
    if value is None:
        del part[last]
    return made


async def test_a_token_is_issued_for_the_right_secret(world: World) -> None:
    answer = await world.token()

    expected = fixture("gen_token_ok")["response"]
    assert answer.status == expected["status"]
    assert shape(answer.json) == shape(expected["body"])
    assert answer.json["expires_in"] == 86_399


async def test_an_unknown_client_and_a_wrong_secret_are_told_apart(world: World) -> None:
    unknown = {"genesys": {"clientId": "nobody", "clientSecret": "x"}}

    for answer, name in (
        (await world.token(unknown), "gen_token_bad_client"),
        (await world.token(secret="wrong"), "gen_token_bad_secret"),
    ):
        expected = fixture(name)["response"]
        assert (answer.status, answer.json) == (expected["status"], expected["body"])


async def test_another_grant_is_refused(world: World) -> None:
    answer = await world.token(grant="password")

    assert (answer.status, answer.json["error"]) == (400, "unsupported_grant_type")


async def test_a_message_is_answered_with_the_conversation_that_it_joined(world: World) -> None:
    headers = await world.bearer()
    query = "?prefetchConversationId=true"

    first = await world.inbound(MESSAGE, headers, query=query)
    second = await world.inbound(MESSAGE, headers, query=query)
    other = await world.inbound(changed(MESSAGE, "channel.from.id", "447700900222"), headers, query=query)

    expected = RECORDED["response"]["body"]
    assert first.status == 200
    given = shape(first.json)
    assert given["channel"].pop("metadata")
    assert given == shape(expected)
    assert first.headers["inin-correlation-id"]
    assert first.json["conversationId"] == second.json["conversationId"] != other.json["conversationId"]
    assert first.json["id"] != second.json["id"]


async def test_a_repeated_message_is_shown_twice(world: World) -> None:
    headers = await world.bearer()

    await world.inbound(MESSAGE, headers)
    await world.inbound(MESSAGE, headers)

    shown = (await world.ask("GET", "/sandbox/conversations?tenantId=alder")).json["conversations"][0]["desktop"]
    assert [message["text"] for message in shown] == [MESSAGE["text"]] * 2
    arrived = (await world.ask("GET", f"/sandbox/events?id={MESSAGE['channel']['messageId']}")).json["events"]
    assert len(arrived) == 2


async def test_without_prefetch_the_conversation_is_not_told(world: World) -> None:
    answer = await world.inbound(MESSAGE, await world.bearer())

    assert "conversationId" not in answer.json


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(changed(MESSAGE, "channel.time", "2026-11-23T12:00:00Z"), id="time without milliseconds"),
        pytest.param(changed(MESSAGE, "channel.messageId", None), id="no message id"),
        pytest.param(changed(MESSAGE, "metadata", {"k": "v"}), id="metadata"),
        pytest.param(changed(MESSAGE, "direction", "Inbound"), id="a member of the older model"),
        pytest.param(
            changed(changed(MESSAGE, "text", None), "content", [{"attachment": ATTACHMENT}]), id="attachment alone"
        ),
    ],
)
async def test_a_right_message_is_accepted(world: World, body: dict[str, Any]) -> None:
    assert (await world.inbound(body, await world.bearer())).status == 200


@pytest.mark.parametrize(
    ("what", "body"),
    [
        pytest.param("message", changed(MESSAGE, "text", None), id="neither text nor content"),
        pytest.param("message", changed(MESSAGE, "text", ""), id="empty text"),
        pytest.param("message", changed(MESSAGE, "text", 5), id="text that is no string"),
        pytest.param("message", changed(MESSAGE, "channel", None), id="no channel"),
        pytest.param("message", changed(MESSAGE, "channel.from", None), id="nobody wrote it"),
        pytest.param("message", changed(MESSAGE, "channel.from.id", ""), id="empty from.id"),
        pytest.param("message", changed(MESSAGE, "channel.from.idType", None), id="no idType"),
        pytest.param("message", changed(MESSAGE, "channel.from.idType", "phone"), id="idType in lower case"),
        pytest.param("message", changed(MESSAGE, "channel.from.nickname", 5), id="nickname that is no string"),
        pytest.param("message", changed(MESSAGE, "channel.time", None), id="no time"),
        pytest.param("message", changed(MESSAGE, "channel.time", "1795435200"), id="time as seconds"),
        pytest.param("message", changed(MESSAGE, "channel.time", "2026-11-23T12:00:00+00:00"), id="time with offset"),
        pytest.param("message", changed(MESSAGE, "metadata", {"k": {"nested": "v"}}), id="nested metadata"),
        pytest.param(
            "message",
            changed(MESSAGE, "channel.metadata", {"customAttributes": {"k": 1}}),
            id="custom attribute that is no string",
        ),
        pytest.param(
            "message",
            changed(MESSAGE, "content", [{"attachment": {**ATTACHMENT, "mediaType": "image/jpeg"}}]),
            id="MIME type as media type",
        ),
        pytest.param("message", b"{", id="not JSON"),
        pytest.param("message", [], id="not an object"),
        pytest.param("receipt", changed(RECEIPT, "status", "Read"), id="receipt Read"),
        pytest.param("receipt", changed(RECEIPT, "id", None), id="receipt without id"),
        pytest.param("receipt", changed(RECEIPT, "channel.to", None), id="receipt to nobody"),
        pytest.param("receipt", changed(RECEIPT, "reasons", [{"code": "Broken", "message": "x"}]), id="unknown reason"),
        pytest.param("event", changed(EVENT, "events", []), id="no events"),
        pytest.param("event", changed(EVENT, "events", [{"eventType": "Presence"}]), id="unknown event"),
    ],
)
async def test_a_wrong_body_is_refused_in_genesys_words(world: World, what: str, body: Any) -> None:
    answer = await world.inbound(body, await world.bearer(), what)

    expected = fixture("gen_error_400")["response"]
    assert (answer.status, answer.json["code"]) == (400, expected["body"]["code"])
    assert shape({**answer.json, "details": []}) == shape(expected["body"])
    assert answer.json["message"].startswith("JSON validation failed: ")


async def test_neither_text_nor_content_has_the_message_that_support_knows(world: World) -> None:
    answer = await world.inbound(changed(MESSAGE, "text", None), await world.bearer())

    assert answer.json["message"] == fixture("gen_error_400")["response"]["body"]["message"]


async def test_an_event_is_accepted(world: World) -> None:
    assert (await world.inbound(EVENT, await world.bearer(), "event")).status == 200


async def test_a_receipt_for_an_agents_message_turns_its_tick(world: World) -> None:
    sent = await world.write(**{"as": "agent", "customer": "447700900111", "text": "hello"})

    answer = await world.inbound({**RECEIPT, "id": sent["id"]}, await world.bearer(), "receipt")

    assert shape(answer.json) == shape(fixture("gen_receipt_ok")["response"]["body"])
    assert answer.json["status"] == "Delivered"
    shown = (await world.ask("GET", "/sandbox/conversations?tenantId=alder")).json["conversations"][0]["desktop"]
    assert [(message["id"], message["state"]) for message in shown] == [(sent["id"], "delivered")]


async def test_a_receipt_for_an_invented_id_fails_inside_a_success(world: World) -> None:
    answer = await world.inbound(RECEIPT, await world.bearer(), "receipt")

    assert (answer.status, answer.json["status"]) == (200, "Failed")
    assert answer.json["reasons"][0]["code"] == "UnknownMessage"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({}, "authentication.required", id="no token"),
        pytest.param({"Authorization": "Bearer made-up"}, "bad.credentials", id="unknown token"),
    ],
)
async def test_without_a_live_token_nothing_is_taken(world: World, headers: dict[str, str], code: str) -> None:
    answer = await world.inbound(MESSAGE, headers)

    expected = fixture("gen_error_401")["response"]
    assert (answer.status, answer.json["code"]) == (401, code)
    assert shape(answer.json) == shape(expected["body"])


async def test_a_token_ends_with_its_time(world: World) -> None:
    await world.faults(token_ttl_s=60)
    headers = await world.bearer()
    assert (await world.inbound(MESSAGE, headers)).status == 200

    world.now += 60.0

    assert (await world.inbound(MESSAGE, headers)).status == 401


async def test_revoked_tokens_no_longer_hold(world: World) -> None:
    alder, birch = await world.bearer(), await world.bearer(BIRCH)

    await world.faults(tenantId="alder", revoke_tokens=True)

    assert (await world.inbound(MESSAGE, alder)).status == 401
    assert (await world.inbound(MESSAGE, birch, integration=BIRCH["genesys"]["integrationId"])).status == 200
    assert (await world.inbound(MESSAGE, await world.bearer())).status == 200


@pytest.mark.parametrize(
    "integration",
    [
        pytest.param("00000000-0000-4000-8000-000000000000", id="of nobody"),
        pytest.param(BIRCH["genesys"]["integrationId"], id="of another organisation"),
    ],
)
async def test_an_integration_outside_the_clients_organisation_is_not_found(world: World, integration: str) -> None:
    answer = await world.inbound(MESSAGE, await world.bearer(), integration=integration)

    expected = fixture("gen_error_404")["response"]
    assert answer.status == 404
    assert answer.json | {"contextId": ""} == expected["body"] | {"contextId": ""}


async def test_another_content_type_is_refused(world: World) -> None:
    headers = {**await world.bearer(), "Content-Type": "text/plain"}

    answer = await world.inbound(MESSAGE, headers)

    assert (answer.status, answer.json["code"]) == (415, "unsupported.media.type")


async def test_a_client_is_granted_300_requests_in_any_minute(world: World) -> None:
    headers = await world.bearer()
    granted = [(await world.inbound(MESSAGE, headers)).status for _ in range(300)]
    world.now += 43.0

    refused = await world.inbound(MESSAGE, await world.bearer())

    expected = fixture("gen_error_429")["response"]
    assert set(granted) == {200}
    assert refused.status == 429
    assert refused.headers["retry-after"] == expected["headers"]["Retry-After"]
    assert refused.json | {"contextId": ""} == expected["body"] | {"contextId": ""}
    other = await world.inbound(MESSAGE, await world.bearer(BIRCH), integration=BIRCH["genesys"]["integrationId"])
    assert other.status == 200
    world.now += 17.0
    assert (await world.inbound(MESSAGE, headers)).status == 200


async def test_a_client_may_be_granted_more(world: World) -> None:
    await world.ask("POST", "/sandbox/accounts", {**ACCOUNT, "limits": {"genesysRequestsPerMinute": 301}})
    headers = await world.bearer()

    statuses = [(await world.inbound(MESSAGE, headers)).status for _ in range(302)]

    assert statuses == [200] * 301 + [429]


async def test_published_receipts_are_sent_when_switched_on(world: World) -> None:
    await world.inbound(MESSAGE, await world.bearer())
    assert not world.router.posts
    await world.faults(agent_receipts=True)

    answer = await world.inbound(MESSAGE, await world.bearer())
    await until(lambda: len(world.router.posts) == 1)

    receipt = world.router.bodies[0]
    assert (receipt["type"], receipt["status"], receipt["id"]) == ("Receipt", "Published", answer.json["id"])
    assert receipt["channel"]["messageId"] == MESSAGE["channel"]["messageId"]


async def test_an_unknown_endpoint_is_not_found(world: World) -> None:
    answer = await world.ask("GET", "/genesys/api/api/v2/users/me", headers=await world.bearer())

    assert (answer.status, answer.json["code"]) == (404, "not.found")
