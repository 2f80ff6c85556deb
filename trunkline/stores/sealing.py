"""Sealing of secrets at rest: Fernet under the first of CREDENTIALS_KEYS, opened with any of them."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from trunkline.errors import ConfigurationError, Sealed
from trunkline.tenancy.record import Secret


class Sealer:
    """Seals secrets under the first key and opens what any of the keys has sealed."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (ValueError, TypeError):
            # The library's own text may quote the key.
            raise ConfigurationError(
                "CREDENTIALS_KEYS must hold at least one key of 32 url-safe base64 bytes, separated by commas"
            ) from None

    def seal(self, secret: Secret) -> bytes:
        """The secret as it may be stored."""
        return self._fernet.encrypt(secret.reveal().encode())

    def open(self, sealed: bytes) -> Secret:
        """The secret again; raises Sealed when none of the keys opens it."""
        try:
            return Secret(self._fernet.decrypt(bytes(sealed)).decode())
        except (InvalidToken, UnicodeDecodeError):
            raise Sealed(
                "a stored secret opens with none of CREDENTIALS_KEYS: put the key that sealed it back into the list"
            ) from None
