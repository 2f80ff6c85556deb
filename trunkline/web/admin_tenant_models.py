"""Tenants as JSON: what is asked for, what is shown, and how one becomes the other. Pure."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StringConstraints, ValidationError

from trunkline.tenancy.record import (
    DEFAULT_META_APP,
    META_APP_PATTERN,
    TENANT_ID_PATTERN,
    GenesysAccount,
    Secret,
    TenantId,
    TenantRecord,
    TenantSettings,
    TenantStatus,
    WhatsAppAccount,
)
from trunkline.web.admin_models import Answer, Asked, Changes, ClientId, CloudId, Name, SecretText, Time, is_mask
from trunkline.web.errors import bad_request, details_of

DEFAULT_RATE_LIMIT = 100

Status = Literal["active", "suspended"]
RateLimit = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
AppName = Annotated[str, StringConstraints(pattern=META_APP_PATTERN)]
PhoneNumber = Annotated[str, StringConstraints(pattern=r"^\+?[0-9 ().-]{3,40}$")]
Region = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"), AfterValidator(str.lower)
]


class WhatsAppAsked(Asked):
    """The WhatsApp side of a tenant. In a PUT, a masked access token means the one that is stored."""

    phone_number_id: CloudId
    waba_id: CloudId
    display_phone_number: PhoneNumber | None = None
    access_token: SecretText
    app: AppName | None = None


class GenesysAsked(Asked):
    """The Genesys side of a tenant. In a PUT, a masked secret means the one that is stored."""

    region: Region | None = None
    client_id: ClientId
    client_secret: SecretText
    integration_id: CloudId
    webhook_secret: SecretText


class NewTenant(Asked):
    """A tenant to be made."""

    tenant_id: Annotated[str, StringConstraints(pattern=TENANT_ID_PATTERN)] | None = None
    name: Name
    status: Status | None = None
    rate_limit: RateLimit | None = None
    dedicated: StrictBool | None = None
    whatsapp: WhatsAppAsked
    genesys: GenesysAsked
    settings: TenantSettings | None = None


class WhatsAppChanges(Changes):
    """A subset of the WhatsApp side."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"display_phone_number", "app"})

    phone_number_id: CloudId | None = None
    waba_id: CloudId | None = None
    display_phone_number: PhoneNumber | None = None
    access_token: SecretText | None = None
    app: AppName | None = None


class GenesysChanges(Changes):
    """A subset of the Genesys side."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"region"})

    region: Region | None = None
    client_id: ClientId | None = None
    client_secret: SecretText | None = None
    integration_id: CloudId | None = None
    webhook_secret: SecretText | None = None


class RetentionChanges(Asked):
    """Days by class of data; null restores a default."""

    content: StrictInt | None = None
    metadata: StrictInt | None = None
    media: StrictInt | None = None
    audit: StrictInt | None = None


class SettingsChanges(Asked):
    """Settings by name; null restores a default."""

    genesys_requests_per_minute: StrictInt | None = None
    whatsapp_messages_per_second: StrictInt | None = None
    whatsapp_person_messages_per_minute: StrictInt | None = None
    whatsapp_person_burst: StrictInt | None = None
    lanes: StrictInt | None = None
    conversation_window_hours: StrictInt | None = None
    phone_with_plus: StrictBool | None = None
    retention_days: RetentionChanges | None = None


class TenantChanges(Changes):
    """Any subset of a tenant."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"rate_limit"})

    name: Name | None = None
    status: Status | None = None
    rate_limit: RateLimit | None = None
    dedicated: StrictBool | None = None
    whatsapp: WhatsAppChanges | None = None
    genesys: GenesysChanges | None = None
    settings: SettingsChanges | None = None


class WhatsAppShown(Answer):
    """The WhatsApp side without its secret."""

    phone_number_id: str
    waba_id: str
    display_phone_number: str | None
    app: str


class GenesysShown(Answer):
    """The Genesys side without its secrets."""

    region: str
    client_id: str
    integration_id: str


class TenantShown(Answer):
    """A tenant without its secrets; `id` and `tenantId` are the same."""

    tenant_id: str
    id: str
    name: str
    status: str
    rate_limit: int
    dedicated: bool
    created_at: Time
    updated_at: Time
    whatsapp: WhatsAppShown
    genesys: GenesysShown
    settings: TenantSettings


class TenantMade(TenantShown):
    """A tenant just made, with its first key: the only time that it is shown."""

    api_key: str
    key_id: str


class TenantPage(Answer):
    """A page of tenants."""

    tenants: list[TenantShown]
    next_cursor: str | None


class WhatsAppCredentials(WhatsAppShown):
    """The WhatsApp side, its access token masked."""

    access_token: str = Field(examples=["****cdef"])


class GenesysCredentials(GenesysShown):
    """The Genesys side, its secrets masked."""

    client_secret: str = Field(examples=["****cdef"])
    webhook_secret: str = Field(examples=["****cdef"])


def record_of(new: NewTenant, generated_id: str, default_region: str, now: datetime) -> TenantRecord:
    """The record of a new tenant; raises ApiError 400 for a mask, since nothing is stored that it could stand for."""
    return TenantRecord(
        tenant_id=TenantId(new.tenant_id or generated_id),
        name=new.name,
        status=TenantStatus(new.status or "active"),
        rate_limit=new.rate_limit or DEFAULT_RATE_LIMIT,
        dedicated=bool(new.dedicated),
        whatsapp=whatsapp_of(new.whatsapp, None, "whatsapp."),
        genesys=genesys_of(new.genesys, None, default_region, "genesys."),
        settings=new.settings or TenantSettings(),
        created_at=now,
        updated_at=now,
    )


def whatsapp_of(asked: WhatsAppAsked, stored: WhatsAppAccount | None, place: str = "") -> WhatsAppAccount:
    """The whole WhatsApp side as asked for; a mask keeps the stored secret."""
    return WhatsAppAccount(
        phone_number_id=asked.phone_number_id,
        waba_id=asked.waba_id,
        access_token=_secret(asked.access_token, stored.access_token if stored else None, f"{place}accessToken"),
        display_phone_number=asked.display_phone_number,
        app=asked.app or DEFAULT_META_APP,
    )


def genesys_of(
    asked: GenesysAsked, stored: GenesysAccount | None, default_region: str, place: str = ""
) -> GenesysAccount:
    """The whole Genesys side as asked for; a mask keeps the stored secret."""
    return GenesysAccount(
        region=asked.region or default_region,
        client_id=asked.client_id,
        client_secret=_secret(asked.client_secret, stored.client_secret if stored else None, f"{place}clientSecret"),
        integration_id=asked.integration_id,
        webhook_secret=_secret(
            asked.webhook_secret, stored.webhook_secret if stored else None, f"{place}webhookSecret"
        ),
    )


def changed(record: TenantRecord, changes: TenantChanges, default_region: str) -> TenantRecord:
    """The record with the changes made; raises ApiError 400 when the settings are out of range."""
    given = changes.model_fields_set
    plain: dict[str, Any] = {}
    if changes.name is not None:
        plain["name"] = changes.name
    if changes.status is not None:
        plain["status"] = TenantStatus(changes.status)
    if "rate_limit" in given:
        plain["rate_limit"] = changes.rate_limit or DEFAULT_RATE_LIMIT
    if changes.dedicated is not None:
        plain["dedicated"] = changes.dedicated
    if changes.whatsapp is not None:
        plain["whatsapp"] = _whatsapp_changed(record.whatsapp, changes.whatsapp)
    if changes.genesys is not None:
        plain["genesys"] = _genesys_changed(record.genesys, changes.genesys, default_region)
    if changes.settings is not None:
        plain["settings"] = merged_settings(record.settings, changes.settings)
    return dataclasses.replace(record, **plain)


def merged_settings(settings: TenantSettings, changes: SettingsChanges) -> TenantSettings:
    """Settings merged by name, null restoring a default; raises ApiError 400 when one is out of range."""
    merged = _merge(
        settings.model_dump(by_alias=True, exclude_unset=True), changes.model_dump(by_alias=True, exclude_unset=True)
    )
    try:
        return TenantSettings.model_validate(merged)
    except ValidationError as error:
        raise bad_request(details_of(error, "settings")) from None


def shown(record: TenantRecord) -> TenantShown:
    """A tenant as it is shown."""
    return TenantShown(**_fields(record))


def shown_made(record: TenantRecord, key_id: str, api_key: str) -> TenantMade:
    """A tenant just made, with its first key."""
    return TenantMade(**_fields(record), key_id=key_id, api_key=api_key)


def shown_whatsapp(account: WhatsAppAccount) -> WhatsAppCredentials:
    """The WhatsApp side with its secret masked."""
    return WhatsAppCredentials(**_whatsapp_fields(account), access_token=account.access_token.masked())


def shown_genesys(account: GenesysAccount) -> GenesysCredentials:
    """The Genesys side with its secrets masked."""
    return GenesysCredentials(
        **_genesys_fields(account),
        client_secret=account.client_secret.masked(),
        webhook_secret=account.webhook_secret.masked(),
    )


def _fields(record: TenantRecord) -> dict[str, Any]:
    return {
        "tenant_id": record.tenant_id,
        "id": record.tenant_id,
        "name": record.name,
        "status": record.status.value,
        "rate_limit": record.rate_limit,
        "dedicated": record.dedicated,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "whatsapp": WhatsAppShown(**_whatsapp_fields(record.whatsapp)),
        "genesys": GenesysShown(**_genesys_fields(record.genesys)),
        "settings": record.settings,
    }


def _whatsapp_fields(account: WhatsAppAccount) -> dict[str, Any]:
    return {
        "phone_number_id": account.phone_number_id,
        "waba_id": account.waba_id,
        "display_phone_number": account.display_phone_number,
        "app": account.app,
    }


def _genesys_fields(account: GenesysAccount) -> dict[str, Any]:
    return {"region": account.region, "client_id": account.client_id, "integration_id": account.integration_id}


def _whatsapp_changed(account: WhatsAppAccount, changes: WhatsAppChanges) -> WhatsAppAccount:
    given = _given(changes, secrets={"access_token"})
    if "app" in given:
        given["app"] = given["app"] or DEFAULT_META_APP
    return dataclasses.replace(account, **given)


def _genesys_changed(account: GenesysAccount, changes: GenesysChanges, default_region: str) -> GenesysAccount:
    given = _given(changes, secrets={"client_secret", "webhook_secret"})
    if "region" in given:
        given["region"] = given["region"] or default_region
    return dataclasses.replace(account, **given)


def _given(changes: Changes, secrets: set[str]) -> dict[str, Any]:
    given = changes.model_dump(exclude_unset=True)
    for name in secrets & given.keys():
        value = given.pop(name)
        if not is_mask(value):
            given[name] = Secret(value)
    return given


def _secret(value: str, stored: Secret | None, place: str) -> Secret:
    if not is_mask(value):
        return Secret(value)
    if stored is None:
        raise bad_request({place: "this is a mask, not a secret"})
    return stored


def _merge(stored: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(stored)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merge(merged.get(name, {}), value)
        else:
            merged[name] = value
    return merged
