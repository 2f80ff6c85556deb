"""Tenants, Meta apps and keys as the audit log shows them: by the admin API's names, secrets masked. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from trunkline.tenancy.access import Role
from trunkline.tenancy.record import MetaApp, Secret, TenantRecord

Facts = dict[str, Any]


def tenant_facts(record: TenantRecord) -> Facts:
    """All of a tenant that an operator can set."""
    return _masked_all(_tenant(record))


def tenant_changes(before: TenantRecord, after: TenantRecord) -> tuple[Facts, Facts]:
    """What of a tenant differs, as it was and as it is. Of a secret that differs both masks, even if they are equal."""
    return _differing(_tenant(before), _tenant(after))


def app_facts(app: MetaApp) -> Facts:
    """A Meta app."""
    return _masked_all({"app": app.app, "appSecret": list(app.app_secrets), "verifyToken": list(app.verify_tokens)})


def key_facts(role: Role, name: str, expires_at: datetime | None) -> Facts:
    """A key without what opens."""
    return {"role": role.value, "name": name, "expiresAt": expires_at.isoformat() if expires_at else None}


def _tenant(record: TenantRecord) -> Facts:
    whatsapp, genesys = record.whatsapp, record.genesys
    return {
        "name": record.name,
        "status": record.status.value,
        "rateLimit": record.rate_limit,
        "dedicated": record.dedicated,
        "whatsapp": {
            "phoneNumberId": whatsapp.phone_number_id,
            "wabaId": whatsapp.waba_id,
            "displayPhoneNumber": whatsapp.display_phone_number,
            "accessToken": whatsapp.access_token,
            "app": whatsapp.app,
        },
        "genesys": {
            "region": genesys.region,
            "clientId": genesys.client_id,
            "clientSecret": genesys.client_secret,
            "integrationId": genesys.integration_id,
            "webhookSecret": genesys.webhook_secret,
        },
        "settings": record.settings.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }


def _differing(before: Facts, after: Facts) -> tuple[Facts, Facts]:
    was: Facts = {}
    now: Facts = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            was[name], now[name] = _differing(old, new)
        else:
            was[name], now[name] = _masked(old), _masked(new)
    return was, now


def _masked_all(facts: Facts) -> Facts:
    return {name: _masked(value) for name, value in facts.items()}


def _masked(value: Any) -> Any:
    match value:
        case Secret():
            return value.masked()
        case dict():
            return _masked_all(value)
        case list():
            return [_masked(inner) for inner in value]
    return value
