"""What agents can send, and how Genesys Cloud gives out their files."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from sandbox.agent_kinds import BUILDERS
from sandbox.files import make_up
from tests.sandbox.world import ACCOUNT, BIRCH, CUSTOMER, DATA, URL, World, fixture, shape

MESSAGE: dict[str, Any] = fixture("gen_inbound_message_ok")["request"]["body"]
ENVELOPE = ("reasons", "relatedMessages", "originatingEntity")


def recorded(name: str) -> Any:
    return json.loads((DATA / "genesys" / f"{name}.json").read_text())


def without_envelope(body: dict[str, Any]) -> Any:
    return shape({name: value for name, value in body.items() if name not in ENVELOPE})


@pytest.mark.parametrize(
    ("kind", "order", "name"),
    [
        ("attachments", {"text": "t", "content": [{"mime": "image/png", "filename": "map.png"}]}, "text_with_image"),
        ("attachments", {"content": [{"filename": "invoice.pdf"}]}, "attachment_document_no_text"),
        ("attachments", {"content": [{"mime": "audio/mpeg", "filename": "note.mp3"}]}, "attachment_audio"),
        (
            "attachments",
            {"text": "", "content": [{"mediaType": "Video", "filename": "demo.mp4", "text": "c"}]},
            "attachment_video_caption",
        ),
        ("quick_replies", {}, "structured_quick_replies"),
        ("list_picker", {"text": "Pick"}, "structured_list_picker"),
        ("canned_response", {"text": "Hi"}, "structured_notification_no_id"),
        ("typing", {}, "event_typing_on"),
        ("raw", {}, "malformed_content_unknown"),
    ],
)
async def test_each_kind_has_the_shape_of_a_recorded_one(
    world: World, kind: str, order: dict[str, Any], name: str
) -> None:
    await world.agent(kind, **order)

    assert without_envelope(world.router.bodies[0]) == without_envelope(trimmed(kind, recorded(name)))


def trimmed(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The recorded body with as many list items as the example has."""
    if kind == "list_picker":
        del body["content"][0]["listPicker"]["sections"][0]["items"][2:]
    return body


@pytest.mark.parametrize("kind", ["attachments", *BUILDERS])
async def test_a_kind_alone_is_enough(world: World, kind: str) -> None:
    sent = await world.agent(kind)

    assert sent["status"] == 200
    assert world.router.bodies[0]["id"] == sent["id"]
    shown = [each["kind"] for each in (await world.conversation())["desktop"]]
    assert shown == ([] if kind == "typing" else [kind])


@pytest.mark.parametrize(
    ("kind", "content_type", "member"),
    [
        ("quick_replies_v2", "QuickReplyV2", "quickReplyV2"),
        ("card", "Card", "card"),
        ("carousel", "Carousel", "carousel"),
        ("date_picker", "DatePicker", "datePicker"),
        ("notification", "Notification", "template"),
        ("location", "Location", "location"),
    ],
)
async def test_structured_content_is_genesys_own_object(
    world: World, kind: str, content_type: str, member: str
) -> None:
    await world.agent(kind, content={"x": 1}, text="t")

    body = world.router.bodies[0]
    assert (body["type"], body["text"]) == ("Structured", "t")
    assert body["content"] == [{"contentType": content_type, member: {"x": 1}}]


async def test_what_no_agent_can_send_is_refused_in_words(world: World) -> None:
    answer = await world.ask("POST", "/sandbox/send", {"as": "agent", "tenantId": "alder", "kind": "order"})

    assert (answer.status, "cannot send 'order'" in answer.json["error"]) == (400, True)


@pytest.mark.parametrize("id", ["+447700900111", "447700900111"])
async def test_the_customer_is_named_exactly_as_the_router_did(world: World, id: str) -> None:
    message = {**MESSAGE, "channel": {**MESSAGE["channel"], "from": {"id": id, "idType": "Phone"}}}
    await world.inbound(message, await world.bearer())

    await world.agent(text="hi")

    assert world.router.bodies[-1]["channel"]["to"] == {"id": id, "idType": "Phone"}


async def attached(world: World, **file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An attachment as the webhook names it, and what the control API tells of it."""
    sent = await world.agent("attachments", content=[file])
    return world.router.bodies[-1]["content"][0]["attachment"], sent["files"][0]


async def test_an_open_file_is_given_to_anybody_with_its_type_and_name(world: World) -> None:
    data = b"\x89PNG\r\n\x1a\n and more"
    attachment, told = await attached(
        world, base64=base64.b64encode(data).decode(), mime="image/png", filename="ö map.png"
    )

    answer = await world.graph("GET", attachment["url"], token="")

    assert attachment["url"].startswith(f"{URL}/genesys/downloads/")
    assert (answer.status, answer.raw) == (200, data)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%B6%20map.png"
    assert (told["sha256"], told["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (attachment["mediaType"], attachment["contentSizeBytes"]) == ("Image", len(data))


async def test_a_file_may_need_the_bearer_of_its_organisation(world: World) -> None:
    attachment, _ = await attached(world, access="bearer")
    path = attachment["url"].removeprefix(URL)

    statuses = [
        (await world.ask("GET", path, None, headers)).status
        for headers in ({}, await world.bearer(BIRCH), await world.bearer())
    ]

    assert statuses == [401, 401, 200]
    events = (await world.ask("GET", "/sandbox/events?kind=genesys_download")).json["events"]
    assert [each["text"] for each in events] == ["without bearer", "with bearer", "with bearer"]


async def test_a_file_may_lie_behind_a_redirect_that_needs_the_bearer(world: World) -> None:
    attachment, told = await attached(world, access="redirect", size=500)
    path = attachment["url"].removeprefix(URL)

    assert (await world.ask("GET", path)).status == 401
    redirect = await world.ask("GET", path, None, await world.bearer())
    answer = await world.graph("GET", redirect.headers["location"], token="")

    assert redirect.status == 302
    assert (answer.status, hashlib.sha256(answer.raw).hexdigest()) == (200, told["sha256"])


async def test_a_file_may_be_missing(world: World) -> None:
    attachment, _ = await attached(world, access="missing")

    assert (await world.graph("GET", attachment["url"], token="")).status == 404
    assert (await world.graph("GET", f"{URL}/genesys/downloads/made-up", token="")).status == 404


async def test_members_of_an_attachment_may_be_left_out_or_wrong(world: World) -> None:
    attachment, _ = await attached(world, mime=None, filename=None, contentSizeBytes=None, mediaType="Video")
    assert set(attachment) == {"id", "mediaType", "url"}

    attachment, told = await attached(world, mediaType="Link", link="http://10.0.0.1/x", contentSizeBytes=5)
    assert (attachment["url"], attachment["contentSizeBytes"], told["url"]) == (
        "http://10.0.0.1/x",
        5,
        attachment["url"],
    )


async def test_several_files_go_in_one_message(world: World) -> None:
    sent = await world.agent("attachments", text="all", content=[{"seed": 1}, {"seed": 2}])

    content = world.router.bodies[0]["content"]
    assert [each["attachment"]["url"] for each in content] == [each["url"] for each in sent["files"]]
    assert len({each["sha256"] for each in sent["files"]}) == 2


async def test_a_file_can_be_put_where_any_message_may_point(world: World) -> None:
    answer = await world.ask(
        "POST", "/sandbox/files", {"tenantId": "alder", "size": 77, "seed": 5, "mime": "image/png"}
    )

    assert answer.status == 201
    assert answer.json["sha256"] == (await make_up(77, 5, "image/png")).sha256
    assert len((await world.graph("GET", answer.json["url"], token="")).raw) == 77


async def test_receipts_are_kept_on_the_message_in_order(world: World) -> None:
    sent = await world.agent("card")
    receipt = {**fixture("gen_receipt_ok")["request"]["body"], "id": sent["id"]}
    reasons = [{"code": "MessageExpired", "message": "131047 Re-engagement message"}]

    await world.inbound(receipt, await world.bearer(), "receipt")
    await world.inbound({**receipt, "status": "Failed", "reasons": reasons}, await world.bearer(), "receipt")

    (shown,) = (await world.conversation(CUSTOMER))["desktop"]
    assert [each["status"] for each in shown["receipts"]] == ["Delivered", "Failed"]
    assert shown["receipts"][1]["reasons"] == reasons
    assert shown["body"]["channel"]["id"] == ACCOUNT["genesys"]["integrationId"]
