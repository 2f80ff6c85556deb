"""The Meta apps that sign webhooks: the default one, and those that accounts bring along."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.accounts import Account


@dataclass(frozen=True, slots=True)
class MetaApp:
    """Secret and verify token of the default app."""

    secret: str
    verify_token: str

    def secret_of(self, account: Account) -> str:
        """The secret that signs webhooks about this account."""
        return account.app_secret or self.secret

    def verify_token_of(self, account: Account) -> str:
        """The verify token of this account's app."""
        return account.verify_token or self.verify_token
