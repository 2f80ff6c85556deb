"""A tenant that may claim messages."""

from __future__ import annotations

import pytest

from tests.trunkline.records import BY, tenant_record
from trunkline.stores.activations import ActivationStore
from trunkline.stores.database import Pool
from trunkline.stores.sealing import Sealer
from trunkline.stores.tenants import TenantStore

# Any key will do: nothing is opened here.
KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="


@pytest.fixture
async def tenant_id(pool: Pool) -> str:
    """A tenant with a first activation."""
    record = tenant_record()
    await TenantStore(pool, Sealer([KEY])).create(record, BY)
    assert await ActivationStore(pool).activate(record.tenant_id, "cell:0") == 1
    return record.tenant_id
