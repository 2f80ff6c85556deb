"""The admin API as the command line calls it, and where it finds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from dotenv import dotenv_values

from config.settings import Settings, load_settings

TIMEOUT_S = 30.0
LARGEST_PAGE = 200
KEYS_FILE = "keys.env"

Tenant = Annotated[str | None, typer.Option("--tenant", "-t", metavar="ID", help="The tenant that is meant.")]


class CommandFailed(Exception):
    """What the verb asked for does not hold, in words for the operator; `body` is the API's own, if it answered."""

    def __init__(self, text: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(text, body)
        self.text = text
        self.body = body


@dataclass
class Place:
    """Where the router is and with which key; what was not said comes from the settings."""

    url: str | None = None
    key: str | None = None


class Router:
    """The admin API; every answer but a good one raises CommandFailed."""

    def __init__(self, url: str, key: str | None, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._client = httpx.Client(
            base_url=url, timeout=timeout_s, trust_env=False, headers={"X-API-Key": key} if key else {}
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        tenant: str | None = None,
        query: dict[str, Any] | None = None,
        body: Any = None,
        also: tuple[int, ...] = (),
    ) -> Any:
        """The answer's JSON; `also` are statuses beyond 2xx that are answers too."""
        headers = {"X-Tenant-ID": tenant} if tenant else {}
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._client.request(method, path, headers=headers, params=given, json=body)
        except httpx.InvalidURL as error:
            raise CommandFailed(f"{self._url} is not a URL: {error}") from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise CommandFailed(f"Trunkline does not answer at {self._url} ({reason}): is it running?") from None
        if answer.is_success or answer.status_code in also:
            return answer.json() if answer.content else None
        raise _failure(answer, tenant)

    def pages(
        self, path: str, field: str, limit: int, *, tenant: str | None = None, query: dict[str, Any] | None = None
    ) -> list[Any]:
        """Up to `limit` rows of a list, however many pages they are on."""
        rows: list[Any] = []
        cursor: str | None = None
        while len(rows) < limit:
            page_size = min(LARGEST_PAGE, limit - len(rows))
            page = self.call("GET", path, tenant=tenant, query={**(query or {}), "limit": page_size, "cursor": cursor})
            rows += page[field]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        return rows


def router(context: typer.Context, timeout_s: float = TIMEOUT_S) -> Router:
    """The router that the options or the settings name, for as long as the verb runs."""
    api = _find_router(context.ensure_object(Place), timeout_s)
    context.call_on_close(api.close)
    return api


def _find_router(place: Place, timeout_s: float) -> Router:
    if place.url and place.key:
        return Router(place.url, place.key, timeout_s)
    settings = load_settings()
    key = place.key or settings.admin_api_key.get_secret_value() or first_keys(settings).get("ADMIN_API_KEY")
    return Router(place.url or settings.public_url, key, timeout_s)


def first_keys(settings: Settings) -> dict[str, str]:
    """The keys that the first run made; empty when there was none."""
    path = keys_file(settings)
    try:
        return {name: value for name, value in dotenv_values(path).items() if value} if path.exists() else {}
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None


def keys_file(settings: Settings) -> Path:
    """Where the first run keeps its keys."""
    return settings.trunkline_home / KEYS_FILE


def _failure(answer: httpx.Response, tenant: str | None) -> CommandFailed:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "error" not in body:
        return CommandFailed(f"{answer.request.url} answered {answer.status_code} {answer.reason_phrase}")
    text = str(body["error"])
    match body.get("code"):
        case "UNAUTHORIZED":
            text = "the key is missing or unknown: give --key, or set ADMIN_API_KEY"
        case "TENANT_REQUIRED":
            text = "say which tenant is meant: --tenant ID"
        case "NOT_FOUND" if tenant is not None and text == "Tenant not found":
            text = f"there is no tenant {tenant!r}"
    details = body.get("details")
    if isinstance(details, dict) and body.get("code") != "TENANT_REQUIRED":
        text += "".join(f"\n  {field}: {reason}" for field, reason in details.items())
    return CommandFailed(text, body)
