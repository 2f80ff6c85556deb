"""Delivery states: WhatsApp's statuses become Genesys' receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trunkline.protocol.inbound import GenesysPost
from trunkline.protocol.text import clean
from trunkline.protocol.times import iso_milliseconds
from trunkline.protocol.whatsapp import Error, Status

GENERAL_REASON = "GeneralError"
REASON_NAMES = frozenset(
    {
        "MessageExpired",
        "RateLimited",
        "MessageNotAllowed",
        "GeneralError",
        "UnsupportedMessage",
        "UnknownMessage",
        "InvalidMessageStructure",
        "InvalidDestination",
        "ServerError",
        "MediaTypeNotAllowed",
        "InvalidMediaContentLength",
        "RecipientOptedOut",
        "DataFiltered",
    }
)
_CODES_BY_REASON = {
    "InvalidDestination": ("131026", "131021", "131030", "131062", "137000"),
    "MessageExpired": ("131047",),
    "RateLimited": ("4", "613", "80007", "130429", "131056", "131048"),
    "UnsupportedMessage": ("131051",),
    "MediaTypeNotAllowed": ("131052", "131053"),
    "RecipientOptedOut": ("131050",),
    "InvalidMessageStructure": ("100", "131008", "131009"),
    "MessageNotAllowed": ("368", "131031", "130497", "131049", "130472", "131037", "131042"),
    "ServerError": ("131000", "131016", "1", "2"),
}
RECEIPT_REASONS = {code: reason for reason, codes in _CODES_BY_REASON.items() for code in codes}
_TEMPLATE_CODES = "132"  # 132000 to 132999: everything wrong with a template


@dataclass(frozen=True)
class ReceiptDecision:
    """What to tell Genesys about an outbound message; the reason only when it failed."""

    status: Literal["Delivered", "Failed"]
    reason_code: str | None = None
    reason_message: str | None = None


def receipt_for(status: dict[str, Any]) -> ReceiptDecision | None:
    """The receipt that a WhatsApp status asks for; None where there is nothing to tell."""
    state = Status.read(status)
    match state.status:
        case "delivered" | "read" | "played":
            return ReceiptDecision("Delivered")
        case "failed":
            return _failed(state.errors[0] if state.errors else Error())
        case _:
            return None


def failed_reason(code: str | None) -> str:
    """Genesys' reason for Meta's code, for an HTTP status of 5xx, or for a reason that we gave ourselves."""
    if code is None:
        return GENERAL_REASON
    if code in REASON_NAMES:
        return code
    if len(code) == 6 and code.startswith(_TEMPLATE_CODES):
        return "InvalidMessageStructure"
    if len(code) == 3 and code.startswith("5"):
        return "ServerError"
    return RECEIPT_REASONS.get(code, GENERAL_REASON)


def convert_receipt(genesys_message_id: str, to: dict[str, Any], at: float, decision: ReceiptDecision) -> GenesysPost:
    """The receipt for the outbound message of this Genesys id; `to` is the customer as Genesys named them."""
    reasons = []
    if decision.reason_code is not None:
        reasons.append({"code": decision.reason_code, "message": clean(decision.reason_message or "")})
    return GenesysPost(
        "receipt",
        {
            "id": clean(genesys_message_id),
            "channel": {
                "to": {key: clean(value) for key, value in to.items() if isinstance(value, str)},
                "time": iso_milliseconds(at),
            },
            "status": decision.status,
            "isFinalReceipt": True,
            "reasons": reasons,
        },
    )


def _failed(error: Error) -> ReceiptDecision:
    return ReceiptDecision("Failed", failed_reason(error.code), " ".join(filter(None, (error.code, error.name))))
