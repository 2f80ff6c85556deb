"""The tokens that the simulated login host has issued. They outlive a restart of the sandbox, as real ones would."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sandbox.private_file import write_json

# Long-lived tokens pile up only where somebody asks for them in a loop: ended ones are dropped in bulk.
PRUNE_AT = 1000


class Tokens:
    """Live tokens by their text; `now` is any clock in seconds, the file keeps Unix time."""

    def __init__(self, path: Path | None, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._tokens: dict[str, tuple[str, float]] = {}  # token: client and the moment it ends
        self._prune_at = PRUNE_AT
        if path is not None and path.exists():
            offset = now() - time.time()
            self._tokens = {token: (client, ends + offset) for token, client, ends in json.loads(path.read_text())}

    @property
    def live(self) -> int:
        """Number of tokens that still hold."""
        now = self._now()
        return sum(ends > now for _, ends in self._tokens.values())

    def issue(self, client: str, ttl_s: float) -> str:
        """A new token of a client."""
        now = self._now()
        if len(self._tokens) >= self._prune_at:
            self._tokens = {token: kept for token, kept in self._tokens.items() if kept[1] > now}
            self._prune_at = max(PRUNE_AT, 2 * len(self._tokens))
        token = secrets.token_urlsafe(48)
        self._tokens[token] = (client, now + ttl_s)
        self._save()
        return token

    def client_of(self, token: str) -> str | None:
        """Whose token it is, if it holds."""
        client, ends = self._tokens.get(token, (None, 0.0))
        return client if ends > self._now() else None

    def revoke(self, client: str | None) -> None:
        """End the tokens of one client, or of all."""
        self._tokens = {token: kept for token, kept in self._tokens.items() if client is not None and kept[0] != client}
        self._save()

    def _save(self) -> None:
        if self._path is not None:
            offset = time.time() - self._now()
            write_json(self._path, [[token, client, ends + offset] for token, (client, ends) in self._tokens.items()])
