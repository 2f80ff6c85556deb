"""The accounts that both simulated clouds know: numbers, tokens, clients, integrations and what they are granted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sandbox.private_file import write_json

DEFAULT_APP = "default"


class Taken(Exception):
    """Another account has this number, client or integration."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class GenesysAccount(_Record):
    """An organisation's OAuth client and its Open Messaging integration."""

    client_id: str = Field(min_length=1)
    client_secret: str = Field(min_length=1)
    integration_id: str = Field(min_length=1)
    webhook_secret: str = Field(min_length=1)
    integration_name: str = "Support WhatsApp"


class Limits(_Record):
    """What the clouds grant; the defaults are those that they publish."""

    genesys_requests_per_minute: int = Field(300, ge=1)
    whatsapp_messages_per_second: int = Field(80, ge=1)
    person_messages_per_minute: float = Field(10, gt=0)
    person_burst: int = Field(45, ge=1)


class Account(_Record):
    """One customer of both clouds."""

    tenant_id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")
    phone_number_id: str = Field(min_length=1)
    waba_id: str = Field(min_length=1)
    display_phone_number: str = "442079460101"
    access_token: str = Field(min_length=1)
    app: str = Field(DEFAULT_APP, pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    app_secret: str | None = None
    verify_token: str | None = None
    genesys: GenesysAccount
    limits: Limits = Limits()


class Accounts:
    """All accounts, kept in one file that only its owner may read."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.by_tenant: dict[str, Account] = {}
        self.by_number: dict[str, Account] = {}
        self.by_client: dict[str, Account] = {}
        self.by_integration: dict[str, Account] = {}
        if path is not None and path.exists():
            self._index(Account.model_validate(each) for each in json.loads(path.read_text()))

    def put(self, *accounts: Account) -> int:
        """Add or replace the accounts of these tenants, all or none; how many are new. Raises Taken."""
        together = {**self.by_tenant, **{each.tenant_id: each for each in accounts}}
        for name, keys in (
            ("phoneNumberId", [(each.phone_number_id, each.tenant_id) for each in together.values()]),
            ("clientId", [(each.genesys.client_id, each.tenant_id) for each in together.values()]),
            ("integrationId", [(each.genesys.integration_id, each.tenant_id) for each in together.values()]),
        ):
            owners: dict[str, str] = {}
            for key, tenant in keys:
                if owners.setdefault(key, tenant) != tenant:
                    raise Taken(f"{name} {key} belongs to tenant {owners[key]}")
        new = len(together) - len(self.by_tenant)
        self._index(together.values())
        self._save()
        return new

    def _index(self, accounts: Iterable[Account]) -> None:
        self.by_tenant = {each.tenant_id: each for each in accounts}
        self.by_number = {each.phone_number_id: each for each in self.by_tenant.values()}
        self.by_client = {each.genesys.client_id: each for each in self.by_tenant.values()}
        self.by_integration = {each.genesys.integration_id: each for each in self.by_tenant.values()}

    def _save(self) -> None:
        if self._path is None:
            return
        data = [each.model_dump(by_alias=True) for each in self.by_tenant.values()]
        write_json(self._path, data)
