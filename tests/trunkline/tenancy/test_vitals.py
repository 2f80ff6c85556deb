"""What is measured of a cell's tenants."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes import Measured
from tests.trunkline.tenancy.test_tenant import INBOUND, Setting
from trunkline import metrics
from trunkline.errors import CredentialsRefused
from trunkline.measuring import Recorder
from trunkline.tenancy.tenant import Cloud
from trunkline.tenancy.vitals import AT_A_TIME, Vitals, VitalSigns


async def measured_of(*tenants: Any) -> Measured:
    recorder = Recorder()
    await VitalSigns("cell:0", lambda: tenants, recorder).look()
    return Measured(recorder)


async def test_a_tenant_tells_its_token_its_limits_and_its_circuits() -> None:
    setting = Setting(genesys_requests_per_minute=300)
    await setting.tenant.standing(Cloud.GENESYS)
    await setting.tenant.admit([INBOUND] * 3)
    setting.clock.advance(8640)
    await setting.tenant.admit([INBOUND] * 3)
    setting.tenant.throttled(Cloud.WHATSAPP, "too fast", 30.0)
    measured = await measured_of(setting.tenant)
    assert measured(metrics.ACTIVE_TENANTS, "cell:0") == 1
    assert measured(metrics.TOKEN_AGE, "cell:0") == 8640
    assert measured(metrics.TOKEN_LIFE, "acme") == pytest.approx(0.1)
    assert measured(metrics.LIMIT_USED, "acme", "genesys") == pytest.approx(3 / 300)
    assert measured(metrics.LIMIT_USED, "acme", "whatsapp") is None, "nothing was used"
    assert measured(metrics.CIRCUITS, "cell:0", "genesys", "closed") == 1
    assert measured(metrics.CIRCUITS, "cell:0", "whatsapp", "open") == 1
    assert measured(metrics.TENANT_CIRCUIT, "acme", "whatsapp") == 1
    assert measured(metrics.WITHOUT_TOKEN, "cell:0") == 0


async def test_a_tenant_whose_token_cannot_be_had_is_counted() -> None:
    setting = Setting()
    setting.host.error = CredentialsRefused("invalid_client")
    await setting.tenant.standing(Cloud.GENESYS)
    measured = await measured_of(setting.tenant)
    assert measured(metrics.WITHOUT_TOKEN, "cell:0") == 1
    assert measured(metrics.TOKEN_AGE, "cell:0") == 0


async def test_a_circuit_that_closes_and_a_tenant_that_leaves_are_shown_no_more() -> None:
    setting = Setting()
    setting.tenant.failing(Cloud.GENESYS, "500")
    tenants = [setting.tenant]
    recorder = Recorder()
    signs = VitalSigns("cell:0", lambda: tenants, recorder)
    measured = Measured(recorder)
    await signs.look()
    assert measured(metrics.TENANT_CIRCUIT, "acme", "genesys") == 1
    tenants.clear()
    await signs.look()
    assert measured(metrics.TENANT_CIRCUIT, "acme", "genesys") == 0
    assert measured(metrics.CIRCUITS, "cell:0", "genesys", "half_open") in (None, 0)
    assert measured(metrics.ACTIVE_TENANTS, "cell:0") == 0


async def test_others_have_their_turn_while_many_tenants_are_looked_through() -> None:
    class Tenant:
        def vitals(self) -> Vitals:
            return Vitals("t", {}, {}, None, None, False)

    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await measured_of(*[Tenant()] * (4 * AT_A_TIME))
    task.cancel()
    assert turns >= 4
