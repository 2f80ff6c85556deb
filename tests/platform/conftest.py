"""One running platform for all tests of this package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.faults.platform import Fault, Platform, TenantUnderTest


@pytest.fixture(scope="package")
def platform() -> Iterator[Platform]:
    """The platform, started once; tests keep apart from each other by tenants of their own."""
    made = Platform()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def tenant(platform: Platform) -> TenantUnderTest:
    """A tenant that no other test uses."""
    return platform.new_tenant()


@pytest.fixture
def fault(platform: Platform) -> Iterator[Fault]:
    """Turns fault switches of the sandbox, which are taken back afterwards."""
    yield platform.fault
    platform.fault(clear=True)
