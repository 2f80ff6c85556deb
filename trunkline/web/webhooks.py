"""The webhooks, raw ASGI: verify the bytes, hand them to intake, answer. Nothing else happens before the answer."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson

from trunkline.delivery.genesys_webhook import integration_id
from trunkline.delivery.intake import Intake
from trunkline.delivery.webhook_json import NotJson, read_json
from trunkline.errors import StoreUnavailable
from trunkline.protocol.signatures import (
    genesys_signature_is_valid,
    genesys_signature_is_wellformed,
    meta_signature_is_valid,
)
from trunkline.tenancy.directory import TenantDirectory
from trunkline.tenancy.record import DEFAULT_META_APP

log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

LONGEST_BODY = 4 * 1024 * 1024
# From the end of the headers on; a cloud sends a webhook in one go, and repeats what was refused.
BODY_WITHIN_S = 10.0
RETRY_AFTER_S = 5
SIGNATURE_HEADER = b"x-hub-signature-256"
# Anything else could be used to make the handshake echo markup.
CHALLENGE = re.compile(r"[A-Za-z0-9._-]{1,256}")
META_PATH = re.compile(r"/webhook/(?:whatsapp|meta)(?:/(?P<app>[a-z0-9][a-z0-9_-]{0,62}))?/?")
GENESYS_PATH = re.compile(r"/webhook/genesys/?")


class Refusal(Exception):
    """An answer other than 200; the connection of a body that was not read to its end is of no further use."""

    def __init__(self, status: int, error: str, code: str) -> None:
        super().__init__(status, error, code)
        self.status = status
        self.error = error
        self.code = code
        self.ends_connection = status in (408, 413)


class Webhooks:
    """The ASGI application below `/webhook`."""

    def __init__(self, directory: TenantDirectory, intake: Intake, body_within_s: float = BODY_WITHIN_S) -> None:
        self._directory = directory
        self._intake = intake
        self._body_within_s = body_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except Refusal as refusal:
            headers = [(b"connection", b"close")] if refusal.ends_connection else []
            await _respond(send, refusal.status, {"error": refusal.error, "code": refusal.code}, headers)
        except StoreUnavailable as error:
            log.warning("webhook.unstored", extra={"path": scope["path"], "error": str(error)})
            body = {"error": "The webhook cannot be stored at the moment; repeat it", "code": "UNAVAILABLE"}
            await _respond(send, 503, body, [(b"retry-after", str(RETRY_AFTER_S).encode())])

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _full_path(scope)
        method = scope["method"]
        if meta := META_PATH.fullmatch(path):
            app = meta["app"] or DEFAULT_META_APP
            if method == "GET":
                await _respond_text(send, self._handshake(app, scope["query_string"]))
            elif method == "POST":
                await self._take_meta(app, _signature(scope), await self._body(scope, receive))
                await _respond(send, 200, {"status": "accepted"})
            else:
                raise Refusal(405, "Method not allowed", "METHOD_NOT_ALLOWED")
        elif GENESYS_PATH.fullmatch(path):
            if method != "POST":
                raise Refusal(405, "Method not allowed", "METHOD_NOT_ALLOWED")
            await self._take_genesys(_signature(scope), await self._body(scope, receive))
            await _respond(send, 200, {"status": "accepted"})
        else:
            raise Refusal(404, "Not found", "NOT_FOUND")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._body_within_s):
                return await _read_body(scope, receive)
        except TimeoutError:
            text = f"The body did not arrive within {self._body_within_s:g} s"
            raise Refusal(408, text, "REQUEST_TIMEOUT") from None

    def _handshake(self, app_name: str, query_string: bytes) -> bytes:
        query = parse_qs(query_string.decode("latin-1"))
        mode, token, challenge = (_first(query, name) for name in ("hub.mode", "hub.verify_token", "hub.challenge"))
        app = self._directory.app(app_name)
        given = token.encode("utf-8", "replace")
        matches = [hmac.compare_digest(given, known.reveal().encode()) for known in (app.verify_tokens if app else ())]
        if mode != "subscribe" or not any(matches) or not CHALLENGE.fullmatch(challenge):
            log.warning("webhook.handshake_refused", extra={"app": app_name, "mode": mode[:32]})
            raise Refusal(403, "Verification failed", "VERIFICATION_FAILED")
        log.info("webhook.handshake_accepted", extra={"app": app_name})
        return challenge.encode()

    async def _take_meta(self, app_name: str, signature: str | None, body: bytes) -> None:
        app = self._directory.app(app_name)
        secrets = [secret.reveal() for secret in app.app_secrets] if app else []
        if not meta_signature_is_valid(body, signature, secrets):
            log.warning("webhook.signature_refused", extra={"cloud": "meta", "app": app_name, "known": app is not None})
            raise Refusal(403, "Invalid Meta signature", "INVALID_SIGNATURE")
        await self._intake.take_meta(app_name, _parse(body))

    async def _take_genesys(self, signature: str | None, body: bytes) -> None:
        if signature is None or not genesys_signature_is_wellformed(signature):
            log.warning("webhook.signature_refused", extra={"cloud": "genesys", "wellformed": False})
            raise Refusal(403, "Invalid Genesys signature", "INVALID_SIGNATURE")
        webhook = _parse(body)
        # Read once, from what is not trusted yet: it chooses the secret, and the same tenant is then written to.
        named = integration_id(webhook)
        record = await self._directory.by_integration(named) if named else None
        if record is None:
            await self._intake.keep_unverified(signature, body)
            return
        if not genesys_signature_is_valid(body, signature, record.genesys.webhook_secret.reveal()):
            log.warning("webhook.signature_refused", extra={"cloud": "genesys", "tenant": record.tenant_id})
            raise Refusal(403, "Invalid Genesys signature", "INVALID_SIGNATURE")
        await self._intake.take_genesys(record, webhook)


def _parse(body: bytes) -> Any:
    try:
        return read_json(body)
    except NotJson:
        raise Refusal(400, "The body is not UTF-8 JSON", "BAD_REQUEST") from None


def _full_path(scope: Scope) -> str:
    """The path as the client wrote it, whether or not a mount point was taken off it."""
    root, path = str(scope.get("root_path", "")), str(scope["path"])
    return path if path.startswith("/webhook") else root + path


def _signature(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == SIGNATURE_HEADER]
    return values[0].decode("latin-1") if len(values) == 1 else None


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body; refuses a longer one before its signature is looked at."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > LONGEST_BODY:
            raise Refusal(413, f"The body is longer than {LONGEST_BODY} bytes", "PAYLOAD_TOO_LARGE")
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "The connection ended before the body did", "BAD_REQUEST")
        chunk = message.get("body", b"")
        length += len(chunk)
        if length > LONGEST_BODY:
            raise Refusal(413, f"The body is longer than {LONGEST_BODY} bytes", "PAYLOAD_TOO_LARGE")
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _respond(
    send: Send, status: int, body: dict[str, Any], more_headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    content = orjson.dumps(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *more_headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _respond_text(send: Send, content: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _first(query: Mapping[str, list[str]], name: str) -> str:
    return (query.get(name) or [""])[0]
