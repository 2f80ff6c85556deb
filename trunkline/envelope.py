"""Envelope: one message, agent's message or status as it travels a lane. Bytes in, bytes out."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from trunkline.trace_context import TRACEPARENT

SCHEMA_VERSION = 1


class Direction(StrEnum):
    """Which way an envelope goes; each direction has lanes of its own."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message in transit.

    `message_id` derives from tenant, direction and dedupe key, so a repeated webhook has the same one.
    `conversation` is the customer's identity (WhatsApp digits, or a business-scoped user id): envelopes of one
    conversation and direction keep their order. `accepted_at` is Unix seconds. `traceparent` is its place in a trace of
    OpenTelemetry, if it has one.
    """

    message_id: str
    tenant_id: str
    direction: Direction
    conversation: str
    external_id: str
    kind: str
    accepted_at: float
    payload: dict[str, Any]
    traceparent: str | None = None

    def to_bytes(self) -> bytes:
        """The envelope as it is stored in a queue."""
        fields = {
            "v": SCHEMA_VERSION,
            "messageId": self.message_id,
            "tenantId": self.tenant_id,
            "direction": self.direction.value,
            "conversation": self.conversation,
            "externalId": self.external_id,
            "kind": self.kind,
            "acceptedAt": self.accepted_at,
            "payload": self.payload,
        }
        if self.traceparent is not None:
            fields[TRACEPARENT] = self.traceparent
        return orjson.dumps(fields)

    @classmethod
    def from_bytes(cls, body: bytes) -> Envelope:
        """Read an envelope from a queue; raises ValueError when it is not one of ours."""
        try:
            raw = orjson.loads(body)
            if raw["v"] != SCHEMA_VERSION:
                raise ValueError(f"schema version {raw['v']!r} is not {SCHEMA_VERSION}")
            payload = raw["payload"]
            if not isinstance(payload, dict):
                raise TypeError("the payload is not an object")
            return cls(
                message_id=str(uuid.UUID(raw["messageId"])),
                tenant_id=_text(raw["tenantId"]),
                direction=Direction(raw["direction"]),
                conversation=_text(raw["conversation"]),
                external_id=_text(raw["externalId"]),
                kind=_text(raw["kind"]),
                accepted_at=float(raw["acceptedAt"]),
                payload=payload,
                traceparent=place if isinstance(place := raw.get(TRACEPARENT), str) else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an envelope: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text belongs")
    return value


def message_id_for(tenant_id: str, direction: Direction, *dedupe_key: str) -> str:
    """The id that every repetition of one webhook element shares."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (tenant_id, direction.value, *dedupe_key):
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part.encode("utf-8", "surrogatepass"))
    return str(uuid.UUID(bytes=digest.digest()))
