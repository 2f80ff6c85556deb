"""The simulated login host of Genesys Cloud: OAuth tokens for client credentials."""

from __future__ import annotations

import base64
import binascii
import secrets
from urllib.parse import parse_qs

from sandbox.accounts import Accounts
from sandbox.calls import Call, Outcome
from sandbox.faults import Faults
from sandbox.genesys_errors import error_response
from sandbox.http import Request, json_response
from sandbox.tokens import Tokens

TOKEN_PATH = "/genesys/login/oauth/token"
TOKEN_TTL_S = 86_399


def issue_token(call: Call, accounts: Accounts, tokens: Tokens, faults: Faults) -> Outcome:
    """The answer to a request for a token."""
    request = call.request
    client, secret = basic_credentials(request)
    form = parse_qs(request.body.decode("utf-8", "replace"))
    account = accounts.by_client.get(client)
    if request.method != "POST":
        return Outcome(error_response(404), "not.found")
    if form.get("grant_type") != ["client_credentials"]:
        return _oauth_refusal(400, "unsupported_grant_type", "grant_type must be client_credentials")
    if account is None:
        return _oauth_refusal(400, "invalid_client", "client not found: invalid client_id")
    if not secrets.compare_digest(secret.encode(), account.genesys.client_secret.encode()):
        return _oauth_refusal(401, "invalid_client", "authentication failed")
    ttl: int = faults.switch("token_ttl_s", "genesys", account.tenant_id, "token") or TOKEN_TTL_S
    token = tokens.issue(client, ttl)
    return Outcome(json_response(200, {"access_token": token, "token_type": "bearer", "expires_in": ttl}))


def basic_credentials(request: Request) -> tuple[str, str]:
    """Client and secret; empty when they are not given as they should be."""
    scheme, _, encoded = request.header(b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret


def _oauth_refusal(status: int, error: str, why: str) -> Outcome:
    return Outcome(json_response(status, {"error": error, "description": why, "error_description": why}), error)
