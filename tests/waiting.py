"""Waiting for another process, as the fault scenarios do."""

from __future__ import annotations

from scripts.faults.waiting import POLL_S, until

__all__ = ["POLL_S", "until"]
