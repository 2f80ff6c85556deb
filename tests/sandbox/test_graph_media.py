"""Files at the simulated Graph API: look-up, download, upload, and what they may be sent as."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from sandbox.files import BEGINNINGS
from sandbox.media_rules import MB
from tests.sandbox.world import ACCOUNT, BIRCH, CUSTOMER, TOKEN, URL, World, fixture, shape

NUMBER = ACCOUNT["phoneNumberId"]
SMALL = b"%PDF-1.7 hello"


def message(kind: str, content: Any) -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "to": CUSTOMER, "type": kind, kind: content}


async def media_of_a_customer(world: World, kind: str = "image", **content: Any) -> dict[str, Any]:
    file: dict[str, Any] = (await world.customer(kind, content=content))["files"][0]
    return file


async def link_to(world: World, id: str) -> str:
    link: str = (await world.graph("GET", f"/graph/v25.0/{id}?phone_number_id={NUMBER}")).json["url"]
    return link


async def test_a_media_id_is_looked_up_and_its_link_gives_the_bytes(world: World) -> None:
    data = bytes(range(256)) * 300
    file = await media_of_a_customer(world, base64=base64.b64encode(data).decode(), mime="image/png")

    facts = await world.graph("GET", f"/graph/v25.0/{file['mediaId']}?phone_number_id={NUMBER}")
    download = await world.graph("GET", facts.json["url"])

    assert shape(facts.json) == shape(fixture("wa_media_lookup")["response"]["body"])
    assert facts.json["sha256"] == file["sha256"] == hashlib.sha256(data).hexdigest()
    assert (facts.json["mime_type"], facts.json["file_size"]) == ("image/png", str(len(data)))
    assert (download.status, download.raw) == (200, data)


async def test_the_link_lies_where_the_caller_found_the_api(world: World) -> None:
    file = await media_of_a_customer(world)
    path = f"/graph/v25.0/{file['mediaId']}"

    assert (await world.graph("GET", path)).json["url"].startswith(f"{URL}/graph-media/")
    assert (await world.graph("GET", path, host="proxy:99")).json["url"].startswith("http://proxy:99/graph-media/")


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param("", 401, id="no token"),
        pytest.param("made-up", 401, id="unknown token"),
        pytest.param(BIRCH["accessToken"], 401, id="another business's token"),
        pytest.param(TOKEN, 200, id="its own token"),
    ],
)
async def test_a_link_needs_the_bearer_of_its_number(world: World, token: str, status: int) -> None:
    link = await link_to(world, (await media_of_a_customer(world))["mediaId"])

    assert (await world.graph("GET", link, token)).status == status


async def test_a_link_ends_after_five_minutes_and_a_new_one_is_given(world: World) -> None:
    id = (await media_of_a_customer(world))["mediaId"]
    link = await link_to(world, id)

    world.now += 299.0
    assert (await world.graph("GET", link)).status == 200
    world.now += 1.0
    assert (await world.graph("GET", link)).status == 404
    assert (await world.graph("GET", await link_to(world, id))).status == 200


async def test_links_are_ended_on_demand_and_may_be_given_less_time(world: World) -> None:
    id = (await media_of_a_customer(world))["mediaId"]
    link = await link_to(world, id)

    ended = (await world.ask("POST", "/sandbox/media", {"tenantId": "alder", "expire": "links"})).json
    assert ended == {"ended": 1, "linkLifetimeS": 300.0}
    assert (await world.graph("GET", link)).status == 404

    await world.ask("POST", "/sandbox/media", {"linkLifetimeS": 2})
    link = await link_to(world, id)
    world.now += 2.0
    assert (await world.graph("GET", link)).status == 404


async def test_a_customers_media_end_after_seven_days_or_on_demand(world: World) -> None:
    first, second = await media_of_a_customer(world), await media_of_a_customer(world)

    await world.ask("POST", "/sandbox/media", {"mediaId": first["mediaId"], "expire": "media"})
    assert (await world.graph("GET", f"/graph/v25.0/{first['mediaId']}")).json["error"]["error_subcode"] == 33
    world.now += 7 * 86_400 - 1
    assert (await world.graph("GET", f"/graph/v25.0/{second['mediaId']}")).status == 200
    world.now += 1
    assert (await world.graph("GET", f"/graph/v25.0/{second['mediaId']}")).status == 400


@pytest.mark.parametrize(
    ("query", "token"),
    [
        pytest.param("?phone_number_id=" + BIRCH["phoneNumberId"], TOKEN, id="wrong number"),
        pytest.param("", BIRCH["accessToken"], id="another business"),
    ],
)
async def test_media_of_somebody_else_do_not_exist(world: World, query: str, token: str) -> None:
    file = await media_of_a_customer(world)

    answer = await world.graph("GET", f"/graph/v25.0/{file['mediaId']}{query}", token)

    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["error_subcode"]) == (400, 100, 33)


async def test_an_upload_gets_an_id_under_which_it_is_sent_and_seen_on_the_phone(world: World) -> None:
    uploaded = await world.upload(SMALL)
    assert shape(uploaded.json) == shape(fixture("wa_media_upload")["response"]["body"])

    content = {"id": uploaded.json["id"], "filename": "a.pdf", "caption": "c"}
    assert (await world.send(message("document", content))).status == 200

    shown = (await world.conversation())["phone"][0]
    assert (shown["kind"], shown["body"]["document"]) == ("document", content)
    assert shown["files"] == [
        {
            "kind": "document",
            "caption": "c",
            "filename": "a.pdf",
            "mediaId": uploaded.json["id"],
            "mime": "application/pdf",
            "size": len(SMALL),
            "sha256": hashlib.sha256(SMALL).hexdigest(),
        }
    ]


async def test_an_upload_is_logged_with_its_hash_and_no_bytes(world: World) -> None:
    id = (await world.upload(SMALL)).json["id"]

    event = (await world.ask("GET", f"/sandbox/events?id={id}&bodies=1")).json["events"][0]

    assert (event["kind"], event["tenantId"], event["status"]) == ("graph_upload", "alder", 200)
    assert (event["ref"], event["text"]) == (hashlib.sha256(SMALL).hexdigest(), f"application/pdf {len(SMALL)}")
    assert event["body"] == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"mime": "pdf"}, 100, id="no MIME type"),
        pytest.param({"mime": ""}, 100, id="no type"),
        pytest.param({"messaging_product": "x"}, 100, id="another product"),
        pytest.param({"data": b""}, 131053, id="empty"),
        pytest.param({"token": "made-up"}, 190, id="unknown token"),
        pytest.param({"token": BIRCH["accessToken"]}, 10, id="another business"),
        pytest.param({"number": "999"}, 100, id="unknown number"),
    ],
)
async def test_a_wrong_upload_is_refused_and_leaves_no_file(world: World, change: dict[str, Any], code: int) -> None:
    answer = await world.upload(**{"data": SMALL, **change})

    assert answer.json["error"]["code"] == code
    assert world.files == 0


async def test_a_body_that_is_not_multipart_is_refused(world: World) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}

    answer = await world.ask("POST", f"/graph/v25.0/{NUMBER}/media", {"type": "image/png"}, headers)

    assert answer.json["error"]["code"] == 100


async def test_a_deleted_upload_is_gone(world: World) -> None:
    id = (await world.upload(SMALL)).json["id"]

    assert (await world.graph("DELETE", f"/graph/v25.0/{id}")).json == {"success": True}

    assert (await world.graph("GET", f"/graph/v25.0/{id}")).status == 400
    assert (await world.send(message("document", {"id": id}))).json["error"]["code"] == 131009
    assert world.files == 0


async def made_up(world: World, mime: str, size: int) -> str:
    """The id of a file that was uploaded."""
    beginning = BEGINNINGS.get(mime, b"")
    id: str = (await world.upload(beginning + bytes(size - len(beginning)), mime)).json["id"]
    return id


@pytest.mark.parametrize(
    ("kind", "mime", "size", "more", "code"),
    [
        pytest.param("image", "image/png", 1000, {}, None, id="png"),
        pytest.param("image", "image/webp", 1000, {}, 131053, id="webp is no image"),
        pytest.param("sticker", "image/webp", 1000, {}, None, id="webp is a sticker"),
        pytest.param("document", "image/webp", 1000, {}, None, id="anything is a document"),
        pytest.param("image", "image/jpeg", 1000, {}, None, id="jpeg"),
        pytest.param("video", "video/3gpp", 1000, {}, None, id="3gpp"),
        pytest.param("video", "video/quicktime", 1000, {}, 131053, id="quicktime"),
        pytest.param("audio", "audio/amr", 1000, {}, None, id="amr"),
        pytest.param("audio", "audio/ogg", 1000, {"voice": True}, None, id="voice"),
        pytest.param("audio", "audio/mpeg", 1000, {"voice": True}, 131053, id="voice that is not Opus"),
        pytest.param("audio", "audio/wav", 1000, {}, 131053, id="wav"),
        pytest.param("sticker", "image/webp", 500 * 1024 + 1, {}, 131053, id="sticker too large"),
    ],
)
async def test_a_file_may_be_sent_as_what_it_is(
    world: World, kind: str, mime: str, size: int, more: dict[str, Any], code: int | None
) -> None:
    answer = await world.send(message(kind, {"id": await made_up(world, mime, size), **more}))

    assert answer.json.get("error", {}).get("code") == code


@pytest.mark.parametrize(("size", "code"), [(5 * MB, None), (5 * MB + 1, 131053)])
async def test_an_image_has_at_most_five_megabytes(world: World, size: int, code: int | None) -> None:
    file = await media_of_a_customer(world, size=size, mime="image/jpeg")

    answer = await world.send(message("image", {"id": file["mediaId"]}))

    assert answer.json.get("error", {}).get("code") == code


async def test_ogg_without_opus_is_no_audio(world: World) -> None:
    id = (await world.upload(b"OggS" + bytes(100) + b"vorbis", "audio/ogg")).json["id"]

    assert (await world.send(message("audio", {"id": id}))).json["error"]["code"] == 131053


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            message(
                "interactive",
                {
                    "type": "button",
                    "header": {"type": "image", "image": {"id": "404"}},
                    "body": {"text": "b"},
                    "action": {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "A"}}]},
                },
            ),
            id="header",
        ),
        pytest.param(
            message(
                "template",
                {
                    "name": "offer",
                    "language": {"code": "en"},
                    "components": [{"type": "header", "parameters": [{"type": "image", "image": {"id": "404"}}]}],
                },
            ),
            id="template",
        ),
    ],
)
async def test_files_inside_other_messages_must_exist_too(world: World, body: dict[str, Any]) -> None:
    assert (await world.send(body)).json["error"]["code"] == 131009


async def test_media_of_another_number_cannot_be_sent(world: World) -> None:
    id = (await world.upload(SMALL, token=BIRCH["accessToken"], number=BIRCH["phoneNumberId"])).json["id"]

    assert (await world.send(message("document", {"id": id}))).json["error"]["code"] == 131009


@pytest.mark.parametrize("kind", ["graph_media", "graph_download", "graph_upload"])
async def test_media_calls_fail_by_switch(world: World, kind: str) -> None:
    id = (await media_of_a_customer(world))["mediaId"]
    link = await link_to(world, id)
    await world.faults(kind=kind, fail_status=503)

    answers = {
        "graph_media": await world.graph("GET", f"/graph/v25.0/{id}"),
        "graph_download": await world.graph("GET", link),
        "graph_upload": await world.upload(SMALL),
    }

    assert {name for name, answer in answers.items() if answer.status == 503} == {kind}
