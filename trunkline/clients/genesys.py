"""Genesys Cloud: the Open Messaging API and the login host."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from urllib.parse import quote

import orjson

from trunkline.clients.http import Posts
from trunkline.errors import OutcomeUnknown, Unavailable
from trunkline.protocol.inbound import GenesysPost
from trunkline.protocol.outcomes import GenesysAccepted, classify_genesys, classify_token
from trunkline.tenancy.record import GenesysAccount, Secret
from trunkline.tenancy.tenant import GenesysAccess
from trunkline.tenancy.tokens import Token

# The login host limits too: when many tokens are lost at once, so many are fetched at a time.
LOGINS_AT_ONCE = 8


class GenesysClient:
    """Posts to integrations. `api_url` replaces the host of every region."""

    def __init__(self, http: Posts, api_url: str) -> None:
        self._http = http
        self._api_url = api_url

    async def post(self, access: GenesysAccess, message: GenesysPost) -> GenesysAccepted:
        """Make one call; raises what the answer means for it."""
        base = self._api_url or f"https://api.{access.region}"
        path = f"/api/v2/conversations/messages/{quote(access.integration_id, safe='')}/inbound/open/{message.resource}"
        query = "?prefetchConversationId=true" if message.resource == "message" else ""
        headers = {"Authorization": f"Bearer {access.access_token}", "Content-Type": "application/json"}
        answer = await self._http.post(f"{base}{path}{query}", headers, orjson.dumps(message.body))
        return classify_genesys(answer.status, answer.headers, answer.body)


class GenesysLogin:
    """Fetches tokens. `login_url` replaces the host of every region."""

    def __init__(self, http: Posts, login_url: str, clock: Callable[[], float] = time.time) -> None:
        self._http = http
        self._login_url = login_url
        self._clock = clock
        self._turns = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def fetch(self, account: GenesysAccount) -> Token:
        """A new token by client credentials; raises CredentialsRefused, Throttled or Unavailable."""
        base = self._login_url or f"https://login.{account.region}"
        pair = f"{account.client_id}:{account.client_secret.reveal()}".encode()
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        async with self._turns:
            asked_at = self._clock()
            try:
                answer = await self._http.post(f"{base}/oauth/token", headers, b"grant_type=client_credentials")
            except OutcomeUnknown as error:
                raise Unavailable(error.detail) from error  # a token that was made in vain harms nobody
        grant = classify_token(answer.status, answer.headers, answer.body)
        return Token(Secret(grant.access_token), asked_at, asked_at + grant.expires_in_s)


class AccountLogin:
    """The login of one account, as its tenant's token keeper needs it."""

    def __init__(self, login: GenesysLogin, account: GenesysAccount) -> None:
        self._login = login
        self._account = account

    async def fetch(self) -> Token:
        """A new token; raises CredentialsRefused, Throttled or Unavailable."""
        return await self._login.fetch(self._account)
