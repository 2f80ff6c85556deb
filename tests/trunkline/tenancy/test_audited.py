"""What the audit log shows of a tenant, an app and a key."""

from __future__ import annotations

import dataclasses

import orjson

from tests.trunkline.records import ACCESS_TOKEN, CLIENT_SECRET, WEBHOOK_SECRET, tenant_record
from trunkline.tenancy.access import Role
from trunkline.tenancy.audited import app_facts, key_facts, tenant_changes, tenant_facts
from trunkline.tenancy.record import MetaApp, Secret, TenantSettings, TenantStatus

SECRETS = (ACCESS_TOKEN, CLIENT_SECRET, WEBHOOK_SECRET)


def test_no_secret_is_shown_but_its_last_four_characters() -> None:
    facts = tenant_facts(tenant_record())
    assert facts["whatsapp"]["accessToken"] == f"****{ACCESS_TOKEN[-4:]}"
    shown = orjson.dumps(facts).decode()
    assert not [secret for secret in SECRETS if secret in shown]


def test_only_what_differs_is_told_as_it_was_and_as_it_is() -> None:
    before = tenant_record(settings=TenantSettings(lanes=1))
    after = dataclasses.replace(
        before, rate_limit=200, status=TenantStatus.SUSPENDED, settings=TenantSettings(lanes=1, phone_with_plus=True)
    )
    was, now = tenant_changes(before, after)
    assert was == {"rateLimit": 100, "status": "active", "settings": {"phoneWithPlus": None}}
    assert now == {"rateLimit": 200, "status": "suspended", "settings": {"phoneWithPlus": True}}
    assert tenant_changes(before, before) == ({}, {})


def test_another_secret_is_told_even_if_its_mask_is_the_same() -> None:
    before = tenant_record()
    other = dataclasses.replace(before.genesys, client_secret=Secret("another-" + CLIENT_SECRET))
    was, now = tenant_changes(before, dataclasses.replace(before, genesys=other))
    assert was == now == {"genesys": {"clientSecret": f"****{CLIENT_SECRET[-4:]}"}}


def test_an_app_shows_the_masks_of_both_values_of_a_rotated_secret() -> None:
    facts = app_facts(MetaApp("shop", (Secret("old-secret-1111"), Secret("new-secret-2222")), (Secret("short"),)))
    assert facts == {"app": "shop", "appSecret": ["****1111", "****2222"], "verifyToken": ["****"]}


def test_a_key_shows_what_it_is_for_and_until_when() -> None:
    assert key_facts(Role.TENANT, "shop", None) == {"role": "tenant", "name": "shop", "expiresAt": None}
