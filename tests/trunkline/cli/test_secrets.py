"""`trunkline secrets …` against a served admin API."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from tests.trunkline.admin_app import SEALING_KEY
from tests.trunkline.cli.conftest import Run, Served
from tests.trunkline.records import ACCESS_TOKEN, BY, tenant_record
from trunkline.stores.database import connection
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore
from trunkline.tenancy.record import Secret

pytestmark = pytest.mark.services

LOST = Fernet.generate_key().decode()


def test_secrets_are_counted_by_key_and_sealed_anew(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Fernet.generate_key().decode()
    monkeypatch.setattr("trunkline.cli.secrets.PAGE", 2)
    services = served.admin.app.state.services
    sealer = Sealer([SEALING_KEY, old])
    monkeypatch.setattr(services.seals, "_sealer", sealer)
    earlier = TenantStore(served.admin.pool, Sealer([old]))
    records = [tenant_record() for _ in range(5)]
    for record in records:
        served.run(earlier.create(record, BY))

    before = run("secrets", "status", "--json")
    assert before.code == 1
    assert [key["fingerprint"] for key in before.json["keys"]] == list(sealer.fingerprints)
    assert before.json["keys"][1]["secrets"] == 15

    done = run("secrets", "rotate", "--json")
    assert (done.code, done.json["resealed"], done.json["unopened"]) == (0, 15, [])
    assert "15 of 15 secrets" not in run("secrets", "rotate").out
    assert run("secrets", "status").code == 0
    opened = served.run(served.admin.tenants.get(records[0].tenant_id))
    assert opened.whatsapp.access_token == Secret(ACCESS_TOKEN)


def test_a_secret_that_no_key_opens_is_named_and_is_exit_code_1(run: Run, served: Served) -> None:
    record = tenant_record()
    served.run(TenantStore(served.admin.pool, Sealer([LOST])).create(record, BY))
    ran = run("secrets", "rotate")
    assert ran.code == 1
    assert f"access_token of {record.tenant_id} (tenant_credentials)" in ran.out
    assert "CREDENTIALS_KEYS" in ran.err
    assert run("secrets", "status", "--json").code == 1

    async def remove() -> None:
        async with connection(served.admin.pool) as taken:
            await taken.execute("DELETE FROM tenant_credentials WHERE tenant_id = %s", (record.tenant_id,))

    served.run(remove())


def test_only_admins_learn_of_seals(run: Run, served: Served) -> None:
    operator = served.run(served.admin.operator_key())
    for verb in ("status", "rotate"):
        assert run("secrets", verb, key=operator).code == 1
