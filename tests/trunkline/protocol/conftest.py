"""Property tests here judge results, not the speed of the machine that runs them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("protocol", deadline=None)
settings.load_profile("protocol")
