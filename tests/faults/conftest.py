"""One platform, with stores that can be taken from it, for all tests of this package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.faults.stage import Stage


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    """The platform and its stores, started once; each scenario has tenants of its own."""
    made = Stage(short=True)
    made.start()
    try:
        yield made
    finally:
        made.remove()
