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
from sandbox.people import Person, person


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


def meta_body(account: Account, value: dict[str, Any], field: str = "messages") -> bytes:
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
                        "field": field,
                    }
                ],
            }
        ],
    }
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()


def contact(customer: str, name: str) -> dict[str, Any]:
    """An element of `contacts`; who is known by BSUID alone has no `wa_id`."""
    return person(customer, name).contact()


def text_message(customer: str, wamid: str, text: str, timestamp: int) -> dict[str, Any]:
    """An element of `messages`."""
    return message(person(customer), wamid, timestamp, {"type": "text", "text": {"body": text}})


def message(sender: Person, wamid: str, timestamp: int, content: dict[str, Any]) -> dict[str, Any]:
    """An element of `messages` with any content."""
    return {**sender.sender(), "id": wamid, "timestamp": str(timestamp), **content}


def status(
    customer: str, wamid: str, state: str, opaque: str | None, error: dict[str, Any] | None = None
) -> dict[str, Any]:
    """An element of `statuses`; a customer known by BSUID alone has no `recipient_id`."""
    shown: dict[str, Any] = {"id": wamid, "status": state, "timestamp": str(int(time.time()))}
    shown |= person(customer).recipient()
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
    to = {"id": customer, "idType": "Phone" if customer.isdigit() else "Opaque"}
    return agent_message(account, to, message_id, {"type": "Text", "text": text, "content": []}, conversation_id)


def agent_message(
    account: Account, to: dict[str, Any], message_id: str, said: dict[str, Any], conversation_id: str
) -> bytes:
    """A webhook POST of Genesys Cloud: anything that an agent or a bot sends."""
    channel = {
        **_channel(account, message_id),
        "to": to,
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
            "originatingEntity": "Human",
            "reasons": [],
            "relatedMessages": [],
            "direction": "Outbound",
            "conversationId": conversation_id,
            **said,
        }
    )


def published_receipt(account: Account, customer: dict[str, Any], genesys_message: str, message_id: str) -> bytes:
    """A webhook POST of Genesys Cloud: an inbound message was accepted into a conversation."""
    return inbound_receipt(account, customer, genesys_message, message_id, "Published", [])


def inbound_receipt(
    account: Account,
    customer: dict[str, Any],
    genesys_message: str,
    message_id: str,
    status: str,
    reasons: list[dict[str, str]],
) -> bytes:
    """A webhook POST of Genesys Cloud: what became of an inbound message."""
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
            "status": status,
            "reasons": reasons,
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
