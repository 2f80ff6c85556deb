"""Bodies of the webhooks that both clouds send, and their ids and signatures. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from sandbox.accounts import Account


def sign_meta(secret: str, body: bytes) -> str:
    """X-Hub-Signature-256 as Meta writes it: lower-case hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_genesys(secret: str, body: bytes) -> str:
    """X-Hub-Signature-256 as Genesys Cloud writes it: standard Base64 with padding."""
    return "sha256=" + base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def inbound_wamid(customer: str) -> str:
    """Id of a message that a customer writes."""
    return _wamid(customer, b"\x12\x18\x14", 10)


def outbound_wamid(customer: str) -> str:
    """Id of a message that a business sends."""
    return _wamid(customer, b"\x11\x18\x12", 9)


def _wamid(customer: str, kind: bytes, length: int) -> str:
    who = customer.encode()[:40]
    unique = f"{random.getrandbits(8 * length):0{2 * length}X}".encode()
    return (
        "wamid."
        + base64.b64encode(b"\x1c\x18" + bytes([len(who)]) + who + b"\x15\x02\x00" + kind + unique + b"\x00").decode()
    )


def business_scoped_id(customer: str) -> str:
    """The customer's stable BSUID towards every account of the sandbox."""
    return "GB." + str(int.from_bytes(hashlib.sha256(customer.encode()).digest()[:9], "big"))


def meta_body(account: Account, value: dict[str, Any]) -> bytes:
    """A webhook POST of Meta about one number; non-ASCII and slashes are escaped, as Meta sends them."""
    body = {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": account.waba_id,
                "changes": [
                    {
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {
                                "display_phone_number": account.display_phone_number,
                                "phone_number_id": account.phone_number_id,
                            },
                            **value,
                        },
                        "field": "messages",
                    }
                ],
            }
        ],
    }
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()


def contact(customer: str, name: str) -> dict[str, Any]:
    """An element of `contacts`; who is known by BSUID alone has no `wa_id`."""
    profile = {"profile": {"name": name}}
    if not customer.isdigit():
        return {**profile, "user_id": customer}
    return {**profile, "wa_id": customer, "user_id": business_scoped_id(customer)}


def text_message(customer: str, wamid: str, text: str, timestamp: int) -> dict[str, Any]:
    """An element of `messages`."""
    if customer.isdigit():
        sender = {"from": customer, "from_user_id": business_scoped_id(customer)}
    else:
        sender = {"from_user_id": customer}
    return {**sender, "id": wamid, "timestamp": str(timestamp), "type": "text", "text": {"body": text}}


def status(
    customer: str, wamid: str, state: str, opaque: str | None, error: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An element of `statuses`; a customer known by BSUID alone has no `recipient_id`."""
    shown: dict[str, Any] = {"id": wamid, "status": state, "timestamp": str(int(time.time()))}
    if customer.isdigit():
        shown |= {"recipient_id": customer, "recipient_user_id": business_scoped_id(customer)}
    else:
        shown["recipient_user_id"] = customer
    if error is not None:
        shown["errors"] = [error]
    else:
        shown["pricing"] = {
            "billable": False,
            "pricing_model": "PMP",
            "category": "service",
            "type": "free_customer_service",
        }
    if opaque is not None:
        shown["biz_opaque_callback_data"] = opaque
    return shown


def genesys_id() -> str:
    """A message id of Genesys Cloud: 32 hexadecimal digits."""
    return f"{random.getrandbits(128):032x}"


def genesys_time(at: float | None = None) -> str:
    """ISO 8601 with milliseconds, as Genesys Cloud writes it."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def agent_text(account: Account, customer: str, message_id: str, text: str, conversation_id: str) -> bytes:
    """A webhook POST of Genesys Cloud: an agent's text."""
    channel = {
        **_channel(account, message_id),
        "to": {"id": customer, "idType": "Phone" if customer.isdigit() else "Opaque"},
        "from": {
            "nickname": account.genesys.integration_name,
            "id": account.genesys.integration_id,
            "idType": "Opaque",
        },
        "time": genesys_time(),
    }
    return orjson.dumps(
        {
            "id": message_id,
            "channel": channel,
            "type": "Text",
            "text": text,
            "content": [],
            "originatingEntity": "Human",
            "reasons": [],
            "relatedMessages": [],
            "direction": "Outbound",
            "conversationId": conversation_id,
        }
    )


def published_receipt(account: Account, customer: dict[str, Any], genesys_message: str, message_id: str) -> bytes:
    """A webhook POST of Genesys Cloud: an inbound message was accepted into a conversation."""
    channel = {
        **_channel(account, message_id),
        "to": {"id": account.genesys.integration_id},
        "from": {"id": customer.get("id"), "idType": customer.get("idType")},
        "time": genesys_time(),
    }
    return orjson.dumps(
        {
            "id": genesys_message,
            "channel": channel,
            "type": "Receipt",
            "status": "Published",
            "reasons": [],
            "isFinalReceipt": True,
            "direction": "Inbound",
        }
    )


def _channel(account: Account, message_id: str) -> dict[str, Any]:
    return {
        "id": account.genesys.integration_id,
        "platform": "Open",
        "type": "Private",
        "messageId": message_id,
    }


def correlation_id() -> str:
    """A UUID for support."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
