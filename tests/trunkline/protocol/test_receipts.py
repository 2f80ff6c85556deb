"""WhatsApp's statuses become Genesys' receipts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from tests.trunkline.protocol.payloads import any_json, names, statuses
from trunkline.protocol.inbound import GenesysPost
from trunkline.protocol.receipts import REASON_NAMES, ReceiptDecision, convert_receipt, failed_reason, receipt_for

DELIVERED = ReceiptDecision("Delivered")
RECEIPTS: dict[str, list[ReceiptDecision | None]] = {
    "status_sent": [None],
    "status_delivered": [DELIVERED],
    "status_read": [DELIVERED],
    "status_played": [DELIVERED],
    "status_bsuid": [DELIVERED],
    "status_batch": [None, DELIVERED, DELIVERED],
    "status_failed_window": [ReceiptDecision("Failed", "MessageExpired", "131047 Re-engagement message")],
    "status_failed_undeliverable": [ReceiptDecision("Failed", "InvalidDestination", "131026 Message undeliverable")],
}


@pytest.mark.parametrize("name", [name for name in names("whatsapp") if name.startswith("status_")])
def test_a_recorded_status_asks_for_its_receipt(name: str) -> None:
    assert [receipt_for(status) for status in statuses(name)] == RECEIPTS[name]


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        pytest.param({"status": "failed"}, ReceiptDecision("Failed", "GeneralError", "Unknown error"), id="no error"),
        pytest.param(
            {"status": "failed", "errors": [{"code": 4711, "message": "(#4711) New trouble"}]},
            ReceiptDecision("Failed", "GeneralError", "4711 New trouble"),
            id="an unknown code, without title",
        ),
        pytest.param({"status": "deleted"}, None, id="legacy deleted"),
        pytest.param({"status": "warning"}, None, id="unknown"),
        pytest.param({}, None, id="no status"),
    ],
)
def test_an_odd_status_is_told_as_far_as_it_goes(status: dict[str, Any], decision: ReceiptDecision | None) -> None:
    assert receipt_for(status) == decision


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (["131026", "131021", "131030", "131062", "137000"], "InvalidDestination"),
        (["131047"], "MessageExpired"),
        (["4", "613", "80007", "130429", "131056", "131048"], "RateLimited"),
        (["131051"], "UnsupportedMessage"),
        (["131052", "131053"], "MediaTypeNotAllowed"),
        (["131050"], "RecipientOptedOut"),
        (["100", "131008", "131009", "132000", "132001", "132999"], "InvalidMessageStructure"),
        (["368", "131031", "130497", "131049", "130472", "131037", "131042"], "MessageNotAllowed"),
        (["131000", "131016", "1", "2", "500", "503"], "ServerError"),
        ([None, "", "190", "4711", "13", "51"], "GeneralError"),
        (["InvalidDestination"], "InvalidDestination"),
    ],
)
def test_a_code_has_one_reason(codes: list[str | None], reason: str) -> None:
    assert {failed_reason(code) for code in codes} == {reason}
    assert reason in REASON_NAMES


def test_a_delivery_is_told_to_genesys() -> None:
    to = {"id": "447700900111", "idType": "Phone"}
    assert convert_receipt("d50fdfaafa7360821bf7958d3c4614af", to, 1795435502.0, DELIVERED) == GenesysPost(
        "receipt",
        {
            "id": "d50fdfaafa7360821bf7958d3c4614af",
            "channel": {"to": to, "time": "2026-11-23T12:05:02.000Z"},
            "status": "Delivered",
            "isFinalReceipt": True,
            "reasons": [],
        },
    )


def test_a_failure_is_told_with_its_reason() -> None:
    decision = ReceiptDecision("Failed", "MessageExpired", "131047 Re-engagement message")
    post = convert_receipt("d50f", {"id": "447700900111", "idType": None}, 0, decision)
    assert post.body["status"] == "Failed"
    assert post.body["isFinalReceipt"] is True
    assert post.body["channel"]["to"] == {"id": "447700900111"}
    assert post.body["reasons"] == [{"code": "MessageExpired", "message": "131047 Re-engagement message"}]


@given(any_json, any_json)
def test_any_status_can_be_judged_and_told(state: Any, errors: Any) -> None:
    for status in ({"status": state, "errors": errors}, {"status": "failed", "errors": [errors]}, state):
        if decision := receipt_for(status):
            orjson.dumps(convert_receipt("\ud800", {"id": "\0"}, 0, decision).body)
