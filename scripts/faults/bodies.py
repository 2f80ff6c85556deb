"""Webhooks as the clouds write and sign them, with nothing but texts in them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

from scripts.faults.platform import TenantUnderTest


def meta_webhook(tenant: TenantUnderTest, messages: Sequence[tuple[str, str, str]]) -> bytes:
    """A webhook of Meta with texts: customer, wamid and text of each."""
    return json.dumps(
        {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change(tenant, messages)]}]}
    ).encode()


def change(tenant: TenantUnderTest, messages: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """An element of `changes`: texts for one tenant's number."""
    customers = {customer: None for customer, _, _ in messages}
    return {
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "442079460101", "phone_number_id": tenant.phone_number_id},
            "contacts": [{"profile": {"name": "Ines Calder"}, "wa_id": customer} for customer in customers],
            "messages": [
                {"from": customer, "id": wamid, "timestamp": str(int(time.time())), "type": "text",
                 "text": {"body": text}}
                for customer, wamid, text in messages
            ],
        },
    }  # fmt: skip


def genesys_webhook(tenant: TenantUnderTest, customer: str, message_id: str, text: str) -> bytes:
    """A webhook of Genesys Cloud with an agent's text."""
    return json.dumps(
        {
            "id": message_id,
            "channel": {
                "id": tenant.integration_id,
                "platform": "Open",
                "type": "Private",
                "messageId": message_id,
                "to": {"id": customer, "idType": "Phone"},
                "from": {"nickname": "Support", "id": tenant.integration_id, "idType": "Opaque"},
                "time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            },
            "type": "Text",
            "text": text,
            "content": [],
            "originatingEntity": "Human",
            "direction": "Outbound",
        }
    ).encode()


def sign_as_meta(secret: str, body: bytes) -> str:
    """X-Hub-Signature-256 as Meta writes it: hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_as_genesys(secret: str, body: bytes) -> str:
    """X-Hub-Signature-256 as Genesys Cloud writes it: Base64."""
    return "sha256=" + base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
