"""A restart goes step by step, stops at the first that fails, and is not forgotten by its own last step."""

from __future__ import annotations

import pytest

from tests.fakes import Clock
from trunkline.delivery.rolling import Restart, run_steps
from trunkline.errors import Unavailable


class Steps:
    """Steps of two seconds each, and what was kept meanwhile."""

    def __init__(self, fails: str | None = None) -> None:
        self.clock = Clock()
        self.restart = Restart()
        self.kept: list[list[str]] = []
        self.last = b""
        self._fails = fails

    async def run(self) -> None:
        work = [(name, lambda name=name: self._take(name)) for name in ("a", "b", "c")]
        await run_steps(self.restart, work, self._keep, self.clock)

    async def _take(self, name: str) -> None:
        self.clock.advance(2)
        if name == self._fails:
            raise Unavailable("it did not come back")

    def _keep(self, restart: Restart) -> None:
        self.kept.append([restart.state, *(step.state for step in restart.steps)])
        self.last = restart.to_bytes()


async def test_steps_are_taken_one_after_the_other() -> None:
    steps = Steps()
    await steps.run()
    assert steps.kept == [
        ["running", "running", "waiting", "waiting"],
        ["running", "done", "waiting", "waiting"],
        ["running", "done", "running", "waiting"],
        ["running", "done", "done", "waiting"],
        ["running", "done", "done", "running"],
        ["running", "done", "done", "done"],
        ["done", "done", "done", "done"],
    ]
    assert steps.restart.shown() == {
        "state": "done",
        "steps": [{"name": name, "state": "done", "seconds": 2.0} for name in ("a", "b", "c")],
        "error": None,
    }


async def test_the_first_step_that_fails_ends_it_and_says_why() -> None:
    steps = Steps(fails="b")
    with pytest.raises(Unavailable):
        await steps.run()
    assert steps.kept[-1] == ["failed", "done", "failed", "waiting"]
    assert steps.restart.error == "b: it did not come back"


async def test_what_was_kept_is_found_again() -> None:
    steps = Steps()
    await steps.run()
    assert Restart.from_bytes(steps.last) == steps.restart
    for other in (b"", b"[]", b"{}", b"no json"):
        with pytest.raises(ValueError):
            Restart.from_bytes(other)


@pytest.mark.parametrize(
    ("at", "state", "steps"),
    [
        pytest.param(0, "failed", ["failed", "waiting", "waiting"], id="in the middle"),
        pytest.param(1, "failed", ["done", "waiting", "waiting"], id="between two steps"),
        pytest.param(4, "done", ["done", "done", "done"], id="as the last step"),
        pytest.param(6, "done", ["done", "done", "done"], id="when it was over"),
    ],
)
async def test_whoever_drives_it_may_be_started_anew_as_the_last_step_only(
    at: int, state: str, steps: list[str]
) -> None:
    taken = Steps()
    kept: list[bytes] = []
    taken._keep = lambda restart: kept.append(restart.to_bytes())  # type: ignore[method-assign]
    await taken.run()
    found = Restart.from_bytes(kept[at])
    found.resumed(taken.clock() + 5)
    assert (found.state, [step.state for step in found.steps]) == (state, steps)
    assert (found.error is not None) == (state == "failed")
