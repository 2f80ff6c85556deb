"""Sealing of secrets at rest: Fernet under the first of CREDENTIALS_KEYS, opened with any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from trunkline.errors import ConfigurationError, Sealed
from trunkline.tenancy.record import Secret

_UNOPENED = "a stored secret opens with none of CREDENTIALS_KEYS: put the key that sealed it back into the list"


class Sealer:
    """Seals secrets under the first key and opens what any of the keys has sealed."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._keys = [Fernet(key) for key in keys]
            self._fernet = MultiFernet(self._keys)
        except (ValueError, TypeError):
            # The library's own text may quote the key.
            raise ConfigurationError(
                "CREDENTIALS_KEYS must hold at least one key of 32 url-safe base64 bytes, separated by commas"
            ) from None
        self.fingerprints = tuple(fingerprint(key) for key in keys)

    def seal(self, secret: Secret) -> bytes:
        """The secret as it may be stored."""
        return self._fernet.encrypt(secret.reveal().encode())

    def open(self, sealed: bytes) -> Secret:
        """The secret again; raises Sealed when none of the keys opens it."""
        try:
            return Secret(self._fernet.decrypt(bytes(sealed)).decode())
        except (InvalidToken, UnicodeDecodeError):
            raise Sealed(_UNOPENED) from None

    def key_of(self, sealed: bytes) -> int:
        """The number of the key that sealed it, from 0; raises Sealed when it was none of them."""
        for number, key in enumerate(self._keys):
            try:
                key.decrypt(bytes(sealed))
                return number
            except InvalidToken:
                continue
        raise Sealed(_UNOPENED)

    def reseal(self, sealed: bytes) -> bytes:
        """The same secret under the first key; raises Sealed."""
        try:
            return self._fernet.rotate(bytes(sealed))
        except InvalidToken:
            raise Sealed(_UNOPENED) from None


def fingerprint(key: str) -> str:
    """By which a key is told from others without being shown."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
