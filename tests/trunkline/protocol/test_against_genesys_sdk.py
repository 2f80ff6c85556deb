"""Every body for Genesys, read by Genesys' own published SDK: each member has a place there, each value is allowed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import orjson
import pytest

from tests.trunkline.protocol.payloads import at_our_link, load, messages, names, statuses
from trunkline.errors import Rejected
from trunkline.protocol.identity import sender_identity
from trunkline.protocol.inbound import GenesysPost, Prompt, convert_inbound
from trunkline.protocol.media import Unattachable
from trunkline.protocol.receipts import REASON_NAMES, ReceiptDecision, convert_receipt, receipt_for

MODELS = {
    "message": "OpenInboundNormalizedMessage",
    "structured/response": "OpenInboundStructuredResponseMessage",
    "receipt": "OpenInboundNormalizedReceipt",
}
PROMPTS = ("quick_reply", "card", "carousel", "list_picker", "date_picker", "template")
TO = {"id": "447700900111", "idType": "Phone"}
ReRead = Callable[[GenesysPost], dict[str, Any]]


class Response:
    """What the SDK takes for an answer of its HTTP library."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.data = orjson.dumps(body)

    def getheader(self, name: str) -> str:
        return "application/json"


@pytest.fixture(scope="module")
def re_read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReRead]:
    """Deserialises a body with the SDK and writes down what arrived."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # on import it watches everything in there
        api = importlib.import_module("PureCloudPlatformClientV2").ApiClient()
    yield lambda post: as_sent(api.deserialize(Response(post.body), MODELS[post.resource]))


def as_sent(value: Any) -> Any:
    """The JSON of what the SDK understood; a value outside an enum is `outdated_sdk_version`."""
    if isinstance(value, list):
        return [as_sent(element) for element in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if not hasattr(value, "attribute_map"):
        return value
    members = {name: getattr(value, attribute) for attribute, name in value.attribute_map.items()}
    return {name: as_sent(member) for name, member in members.items() if member is not None}


def modelled(post: GenesysPost) -> dict[str, Any]:
    """The body without the two members that Genesys documents elsewhere than in its models."""
    body: dict[str, Any] = orjson.loads(orjson.dumps(post.body))
    body["channel"].get("metadata", {}).pop("customAttributes", None)
    for content in body.get("content", []):
        assert content.pop("contentType") == "Attachment"
    return body


def converted(name: str, file: Unattachable | None, kinds: tuple[str, ...]) -> Iterator[GenesysPost]:
    for message, contact in messages(name):
        identity = sender_identity(message, contact) or TO["id"]
        for prompt in (None, *(Prompt("d50fdfaafa7360821bf7958d3c4614af", kind) for kind in kinds)):
            known = file or at_our_link(message)
            yield from convert_inbound(
                message, contact, "210099887766551", 0, True, identity=identity, file=known, prompt=prompt
            )


@pytest.mark.parametrize("name", [name for name in names("whatsapp") if messages(name)])
def test_genesys_reads_every_message_as_it_was_meant(name: str, re_read: ReRead) -> None:
    try:
        posts = [*converted(name, None, PROMPTS), *converted(name, Unattachable("is larger than 25 MB"), ())]
    except Rejected:
        assert name == "malformed_one_bad_message"
        return
    assert posts or name in {"request_welcome", "text_group"}
    for post in posts:
        assert re_read(post) == modelled(post)


def test_each_kind_of_body_was_among_them() -> None:
    resources = {post.resource for post in converted("button_template_reply", None, PROMPTS)}
    assert resources == {"message", "structured/response"}
    [image] = converted("image_caption", None, ())
    assert image.body["content"]


@pytest.mark.parametrize("name", [name for name in names("whatsapp") if statuses(name)])
def test_genesys_reads_every_receipt_as_it_was_meant(name: str, re_read: ReRead) -> None:
    for status in statuses(name):
        if decision := receipt_for(status):
            post = convert_receipt("d50fdfaafa7360821bf7958d3c4614af", TO, 1795435502.0, decision)
            assert re_read(post) == modelled(post)


@pytest.mark.parametrize("reason", sorted(REASON_NAMES))
def test_genesys_knows_every_reason(reason: str, re_read: ReRead) -> None:
    post = convert_receipt("d50f", TO, 1795435502.0, ReceiptDecision("Failed", reason, "131047 Re-engagement message"))
    assert re_read(post)["reasons"] == post.body["reasons"]


@pytest.mark.parametrize("name", ["gen_inbound_message_ok", "gen_receipt_ok"])
def test_the_recorded_requests_are_what_genesys_reads(name: str, re_read: ReRead) -> None:
    recorded = load(f"api/{name}")["request"]
    post = GenesysPost("receipt" if "receipt" in name else "message", recorded["body"])
    assert re_read(post) == modelled(post)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": "Read"}, id="a status that it does not know"),
        pytest.param({"invented": 1}, id="a member that it does not know"),
        pytest.param({"reasons": [{"code": "Whatever"}]}, id="a reason that it does not know"),
    ],
)
def test_a_body_that_genesys_would_not_understand_is_noticed(change: dict[str, Any], re_read: ReRead) -> None:
    post = convert_receipt("d50f", TO, 1795435502.0, ReceiptDecision("Delivered"))
    wrong = GenesysPost("receipt", {**post.body, **change})
    assert re_read(wrong) != modelled(wrong)
