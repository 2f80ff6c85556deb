"""One message of each kind through the whole platform, both ways, its file compared byte by byte."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from scripts.faults.platform import Fault, Platform, TenantUnderTest
from tests.waiting import until

pytestmark = pytest.mark.ray

WITHIN_S = 15.0
MB = 2**20


@dataclass
class Person:
    """A customer whom nobody else writes to, and what their phone and the agent's desktop show."""

    platform: Platform
    tenant: TenantUnderTest
    number: str

    def write(self, kind: str = "text", text: str | None = None, **more: Any) -> dict[str, Any]:
        """The customer writes; what the sandbox says of it."""
        return self.platform.send(self.tenant, "customer", self.number, text, kind=kind, **more)

    def answer(self, kind: str = "text", text: str | None = None, **more: Any) -> dict[str, Any]:
        """The agent writes; what the sandbox says of it."""
        return self.platform.send(self.tenant, "agent", self.number, text, kind=kind, **more)

    def events(self, kind: str, **filters: str) -> list[dict[str, Any]]:
        """Accepted calls of this kind that are about this customer."""
        found = self.platform.events(self.tenant, kind)
        mine = [each for each in found if each["status"] == 200 and self.number in (each.get("body") or "")]
        return [each for each in mine if all(each[name] == value for name, value in filters.items())]

    def bodies(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """What was sent in the accepted calls of this kind, once there are so many."""
        events = until(lambda: found if len(found := self.events(kind)) >= count else [], WITHIN_S, f"{count} {kind}")
        return [json.loads(event["body"]) for event in events]

    def screen(self, side: str, count: int = 1) -> list[dict[str, Any]]:
        """What one side shows, once the other side's messages are there."""
        author = "customer" if side == "desktop" else "agent"

        def shown() -> list[dict[str, Any]]:
            messages: list[dict[str, Any]] = self.platform.conversation(self.tenant, self.number)[side]
            found = [each for each in messages if each["author"] == author]
            return found if len(found) >= count else []

        return until(shown, WITHIN_S, f"{count} messages on the {side}")

    def trace(self, id: str) -> dict[str, Any]:
        """The trace of a message."""
        headers = {"X-Tenant-ID": self.tenant.tenant_id}
        trace: dict[str, Any] = self.platform.api.get(f"/messages/{id}/trace", headers=headers).json()
        return trace


@pytest.fixture(scope="module")
def shared_tenant(platform: Platform) -> TenantUnderTest:
    return platform.new_tenant()


@pytest.fixture(scope="module")
def numbers() -> Iterator[str]:
    return (f"4477{secrets.randbelow(10**4):04d}{number:04d}" for number in itertools.count())


@pytest.fixture
def person(platform: Platform, shared_tenant: TenantUnderTest, numbers: Iterator[str]) -> Person:
    return Person(platform, shared_tenant, next(numbers))


# --- customers ---


@pytest.mark.parametrize(
    ("kind", "order", "told"),
    [
        pytest.param("text", {"text": "hello"}, "hello", id="text"),
        pytest.param("location", {}, "51.5007,-0.1246", id="location"),
        pytest.param("contacts", {}, "+44 7700 900222", id="contacts"),
        pytest.param("button_reply", {}, "Yes", id="button_reply"),
        pytest.param("list_reply", {}, "Refund", id="list_reply"),
        pytest.param("button", {}, "Confirm", id="button"),
        pytest.param("nfm_reply", {}, "09:00", id="nfm_reply"),
        pytest.param("call_permission_reply", {}, "accepted", id="call_permission_reply"),
        pytest.param("reaction", {}, "Reacted 👍", id="reaction"),
        pytest.param("reaction_removal", {}, "Removed reaction", id="reaction_removal"),
        pytest.param("order", {}, "MUG-07", id="order"),
        pytest.param("identity_change", {}, "security code", id="identity_change"),
        pytest.param("edit", {}, "Edited: Edited words", id="edit"),
        pytest.param("revoke", {}, "Deleted a message", id="revoke"),
        pytest.param("unsupported", {}, "poll_creation", id="unsupported"),
        pytest.param("unknown_type", {}, "hologram", id="unknown_type"),
    ],
)
def test_what_a_customer_says_reaches_the_agent(person: Person, kind: str, order: dict[str, Any], told: str) -> None:
    sent = person.write(kind, **order)
    (body,) = person.bodies("genesys_message")
    assert body["channel"]["messageId"] == sent["id"]
    assert told in body["text"]


@pytest.mark.parametrize(
    ("kind", "media_type", "given"),
    [
        pytest.param("image", "Image", {"mime": "image/jpeg", "caption": "look"}, id="image"),
        pytest.param("video", "Video", {"mime": "video/mp4"}, id="video"),
        pytest.param("voice", "Audio", {"mime": "audio/ogg; codecs=opus"}, id="voice"),
        pytest.param("audio", "Audio", {"mime": "audio/mpeg"}, id="audio"),
        pytest.param("sticker", "Image", {"mime": "image/webp"}, id="sticker"),
        pytest.param(
            "document", "File",
            {"mime": "application/pdf", "filename": "../Ängebot \"1\".pdf", "caption": "the offer", "size": 3 * MB},
            id="document",
        ),
    ],
)  # fmt: skip
def test_a_customers_file_is_what_genesys_fetches(
    person: Person, kind: str, media_type: str, given: dict[str, Any]
) -> None:
    sent = person.write(kind, content={"size": 200_000, **given})
    (body,) = person.bodies("genesys_message")
    (element,) = body["content"]
    assert element["attachment"]["mediaType"] == media_type
    assert body.get("text") == given.get("caption")

    def fetched() -> dict[str, Any]:
        (shown,) = person.screen("desktop")
        found: dict[str, Any] = shown["files"][0].get("fetched") or {}
        return found

    file = until(fetched, WITHIN_S, "Genesys' fetch")
    assert file["problem"] == ""
    assert file["sha256"] == sent["messages"][0]["files"][0]["sha256"]
    assert file["contentType"].partition(";")[0] == given["mime"].partition(";")[0]
    assert file["contentLength"] == file["size"]
    assert file["disposition"].startswith("attachment")


def test_a_document_that_is_too_large_for_genesys_is_a_text_with_a_link(person: Person) -> None:
    person.write("document", content={"size": 30 * MB, "filename": "plan.pdf", "caption": "the plan"})
    (body,) = person.bodies("genesys_message")
    assert "content" not in body
    assert all(words in body["text"] for words in ("plan.pdf", "25 MB", "the plan", "/media/"))
    url = next(word for word in body["text"].split() if "/media/" in word).strip("[]().,")
    with httpx.stream("GET", url, trust_env=False) as answer:
        assert (answer.status_code, sum(len(chunk) for chunk in answer.iter_bytes())) == (200, 30 * MB)


def test_a_file_that_whatsapp_has_lost_is_a_text_and_a_dead_letter(person: Person, fault: Fault) -> None:
    fault(cloud="meta", tenantId=person.tenant.tenant_id, kind="graph_media", fail_status=404)
    sent = person.write("image", content={"caption": "look"})
    (body,) = until(lambda: [json.loads(e["body"]) for e in person.events("genesys_message")], 40, "the text")
    assert "could not be loaded" in body["text"]
    assert "look" in body["text"]

    def letters() -> list[dict[str, Any]]:
        answer = person.platform.api.get("/dead-letters", params={"reason": "media_unavailable"})
        return [each for each in answer.json()["deadLetters"] if each["wamid"] == sent["id"]]

    until(letters, WITHIN_S, "the dead letter")
    assert person.trace(sent["id"])["state"] == "delivered"


@pytest.mark.parametrize("kind", ["request_welcome"])
def test_what_says_nothing_is_not_bridged(person: Person, kind: str) -> None:
    person.write(kind)
    person.write(text="and now words")
    (body,) = person.bodies("genesys_message")
    assert body["text"] == "and now words"


@pytest.mark.parametrize(
    ("kind", "content", "next_message"),
    [
        pytest.param("number_change", {"wa_id": "447700900999"}, {"customer": "447700900999"}, id="number_change"),
        pytest.param("user_id_change", {"user_id": "GB.424242"}, {"identity": "hidden", "userId": "GB.424242"},
                     id="user_id_change"),
        pytest.param(None, {}, {"identity": "hidden"}, id="a number that is hidden"),
    ],
)  # fmt: skip
def test_a_person_stays_the_same_person(
    platform: Platform, numbers: Iterator[str], kind: str | None, content: dict[str, Any], next_message: dict[str, Any]
) -> None:
    tenant, number = platform.new_tenant(), next(numbers)
    platform.send(tenant, "customer", number, "before")
    platform.arrived(tenant, "genesys_message", 1)
    count = 1
    if kind is not None:
        platform.send(tenant, "customer", number, kind=kind, content=content)
        count = 2
        platform.arrived(tenant, "genesys_message", count)
    platform.send(tenant, "customer", next_message.get("customer", number), "after",
                  **{name: value for name, value in next_message.items() if name != "customer"})  # fmt: skip
    senders = [
        json.loads(event["body"])["channel"]["from"]["id"]
        for event in platform.arrived(tenant, "genesys_message", count + 1)
    ]
    assert senders == [number] * (count + 1)
    if kind == "number_change":
        platform.send(tenant, "agent", number, "to the new number")
        (event,) = platform.arrived(tenant, "graph_send", 1)
        assert json.loads(event["body"])["to"] == "447700900999"


def test_a_tap_is_the_answer_to_its_question(person: Person) -> None:
    asked = person.answer("quick_replies", "Shall we?", content=["Yes", "No"])
    (question,) = person.screen("phone")
    tapped = person.write("button_reply", content={"id": "Yes", "title": "Yes"}, context={"id": question["id"]})
    (body,) = person.bodies("genesys_response")
    assert body["originatingMessageId"] == asked["id"]
    assert (body["buttonResponse"]["text"], body["channel"]["messageId"]) == ("Yes", tapped["id"])


# --- agents ---


@pytest.mark.parametrize(
    ("kind", "order", "type_", "told"),
    [
        pytest.param("text", {"text": "hi"}, "text", "hi", id="text"),
        pytest.param("quick_replies", {}, "interactive", '"button"', id="quick_replies"),
        pytest.param("quick_replies_v2", {}, "interactive", "Do you want to proceed?", id="quick_replies_v2"),
        pytest.param("card", {}, "interactive", "Winter set", id="card"),
        pytest.param("list_picker", {}, "interactive", "Slots", id="list_picker"),
        pytest.param("date_picker", {}, "interactive", "2026-12-01", id="date_picker"),
        pytest.param("notification", {}, "template", "order_update", id="notification"),
        pytest.param("canned_response", {}, "text", "How can I help?", id="canned_response"),
        pytest.param("location", {}, "location", "51.5007", id="location"),
    ],
)
def test_what_an_agent_says_reaches_the_customer(
    person: Person, kind: str, order: dict[str, Any], type_: str, told: str
) -> None:
    sent = person.answer(kind, **order)
    (body,) = person.bodies("graph_send")
    assert body["type"] == type_
    assert told in json.dumps(body[type_], separators=(",", ":"))
    assert body["biz_opaque_callback_data"] == person.trace(sent["id"])["messageId"]


def test_a_carousel_is_a_message_for_each_card_and_one_receipt(person: Person, fault: Fault) -> None:
    fault(cloud="meta", tenantId=person.tenant.tenant_id, statuses="read")
    sent = person.answer("carousel")
    first, second = person.bodies("graph_send", 2)
    assert ("Winter set" in json.dumps(first), "Room B" in json.dumps(second)) == (True, True)
    receipts = until(
        lambda: [b for b in person.bodies("genesys_receipt") if b["id"] == sent["id"]], WITHIN_S, "the receipt"
    )
    assert [receipt["status"] for receipt in receipts] == ["Delivered"]


@pytest.mark.parametrize(
    ("given", "type_"),
    [
        pytest.param({"mediaType": "Image", "mime": "image/png"}, "image", id="image"),
        pytest.param({"mediaType": "Video", "mime": "video/mp4"}, "video", id="video"),
        pytest.param({"mediaType": "Audio", "mime": "audio/mpeg"}, "audio", id="audio"),
        pytest.param(
            {"mediaType": "File", "mime": "application/pdf", "filename": "Ängebot.pdf", "access": "bearer"}, "document",
            id="document",
        ),
    ],
)  # fmt: skip
def test_an_agents_file_is_what_the_phone_gets(person: Person, given: dict[str, Any], type_: str) -> None:
    sent = person.answer("attachments", "here", content=[{"size": 200_000, **given}])
    # Audio has no caption: its text comes before it.
    bodies = person.bodies("graph_send", 2 if type_ == "audio" else 1)
    assert bodies[-1]["type"] == type_
    if type_ == "document":
        assert bodies[-1]["document"]["filename"] == "Ängebot.pdf"
    shown = person.screen("phone", len(bodies))[-1]
    assert shown["files"][0]["sha256"] == sent["messages"][0]["files"][0]["sha256"]


def test_several_files_arrive_in_their_order(person: Person) -> None:
    files = [
        {"mediaType": "Image", "mime": "image/png", "seed": 1},
        {"mediaType": "File", "mime": "application/pdf", "seed": 2},
    ]
    sent = person.answer("attachments", "both", content=files)
    first, second = person.bodies("graph_send", 2)
    assert (first["type"], second["type"], first["image"]["caption"]) == ("image", "document", "both")
    shown = person.screen("phone", 2)
    assert [each["files"][0]["sha256"] for each in shown] == [
        each["sha256"] for each in sent["messages"][0]["files"]
    ]  # fmt: skip


def a_file(**given: Any) -> dict[str, Any]:
    """What an agent attaches."""
    return {"kind": "attachments", "content": [given]}


@pytest.mark.parametrize(
    ("order", "code"),
    [
        pytest.param({"kind": "raw"}, "UnsupportedMessage", id="raw"),
        pytest.param(a_file(access="missing"), "GeneralError", id="a file that Genesys has lost"),
        pytest.param(a_file(link="https://127.0.0.1:1/x"), "GeneralError", id="a file somewhere inside"),
        pytest.param(a_file(link="http://169.254.169.254/x"), "GeneralError", id="a file at an address of the host"),
    ],
)
def test_what_cannot_be_sent_is_a_failed_receipt_and_a_dead_letter(
    person: Person, order: dict[str, Any], code: str
) -> None:
    sent = person.answer(**order)
    (receipt,) = person.bodies("genesys_receipt")
    assert (receipt["id"], receipt["status"], receipt["reasons"][0]["code"]) == (sent["id"], "Failed", code)
    until(lambda: person.trace(sent["id"])["state"] == "dead", WITHIN_S, "the dead letter")
    assert person.events("graph_send") == []


def test_typing_is_shown_with_one_read_mark(person: Person) -> None:
    wrote = person.write(text="hello")
    person.bodies("genesys_message")
    until(lambda: person.trace(wrote["id"])["state"] == "delivered", WITHIN_S, "delivered")
    person.answer("typing")
    person.answer(text="hi")
    person.bodies("graph_send")
    (mine,) = [each for each in person.platform.conversation(person.tenant, person.number)["phone"]
               if each["author"] == "customer"]  # fmt: skip
    assert (mine["readMarks"], mine["typingMarks"]) == (1, 1)


# --- statuses ---


@pytest.mark.parametrize(
    ("switches", "receipts"),
    [
        pytest.param({"statuses": "read"}, ["Delivered"], id="in order"),
        pytest.param({"statuses": "read", "status_order": "reverse"}, ["Delivered"], id="backwards"),
        pytest.param({"statuses": "failed"}, ["Failed"], id="failed"),
    ],
)
def test_statuses_become_one_receipt(
    platform: Platform, fault: Fault, numbers: Iterator[str], switches: dict[str, Any], receipts: list[str]
) -> None:
    tenant = platform.new_tenant()
    person = Person(platform, tenant, next(numbers))
    fault(cloud="meta", tenantId=tenant.tenant_id, **switches)
    sent = person.answer(text="hi")
    person.bodies("genesys_receipt")
    fault(clear=True)
    person.answer(text="and again")
    all_told = person.bodies("genesys_receipt", 2)
    assert [each["status"] for each in all_told if each["id"] == sent["id"]] == receipts


def test_a_status_that_comes_before_its_message_is_known_is_told_later(person: Person) -> None:
    early: Callable[..., httpx.Response] = person.platform.sandbox.post
    wamid = f"wamid.{secrets.token_hex(8)}"
    order = {"tenantId": person.tenant.tenant_id, "id": wamid, "status": "delivered", "customer": person.number}
    assert early("/sandbox/statuses", json={**order, "callbackData": "of somebody else"}).status_code == 200
    query = "SELECT message_id FROM parked_statuses WHERE wamid = %s"
    until(lambda: person.platform.rows(query, wamid), WITHIN_S, "parked")
    sent = person.answer(text="hi")
    person.bodies("graph_send")
    mine = person.trace(sent["id"])["messageId"]
    person.platform.rows("UPDATE parked_statuses SET wamid = wamid WHERE wamid = %s RETURNING wamid", wamid)
    person.platform.rows("UPDATE messages SET wamid = %s WHERE message_id = %s::uuid RETURNING wamid", wamid, mine)
    receipts = person.bodies("genesys_receipt")
    assert {each["id"] for each in receipts} == {sent["id"]}
    until(lambda: not person.platform.rows(query, wamid), WITHIN_S, "no longer parked")
