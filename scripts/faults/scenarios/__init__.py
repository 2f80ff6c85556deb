"""Every scenario, in the order in which they are run."""

from __future__ import annotations

from scripts.faults.scenarios import clouds, isolation, limits, processes, stores, tokens, webhooks
from scripts.faults.trial import Scenario

ALL: tuple[Scenario, ...] = (
    *webhooks.SCENARIOS,
    *limits.SCENARIOS,
    *tokens.SCENARIOS,
    *clouds.SCENARIOS,
    *isolation.SCENARIOS,
    *processes.SCENARIOS,
    *stores.SCENARIOS,
)
BY_NAME = {each.name: each for each in ALL}
