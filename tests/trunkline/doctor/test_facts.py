"""Looking: all at once, each once, never for long, and whatever happens."""

from __future__ import annotations

import threading

import pytest

from tests.trunkline.doctor.systems import scene
from trunkline.cli.api import CommandFailed
from trunkline.doctor import facts
from trunkline.doctor.facts import Facts, Look, Unseen, gather
from trunkline.errors import StoreUnavailable

SECRET = "a password that a library quotes"


def look(name: str, error: Exception) -> Look[str]:
    def take(_: Facts) -> str:
        raise error

    return Look(name, take)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(Unseen("no address"), "no address", id="a look that cannot look"),
        pytest.param(CommandFailed("refused"), facts.NO_ROUTER, id="no router"),
        pytest.param(CommandFailed("no right", {"code": "FORBIDDEN"}), "no right", id="a router that refuses"),
        pytest.param(StoreUnavailable("Connection pool timeout"), "Connection pool timeout", id="a store away"),
        pytest.param(ValueError(SECRET), "ValueError while looking at it", id="anything else, without its text"),
    ],
)
def test_what_cannot_be_seen_says_why(error: Exception, reason: str) -> None:
    broken = look("it", error)
    with pytest.raises(Unseen) as unseen:
        gather([broken], scene()).of(broken)
    assert unseen.value.reason == reason


def test_looks_are_taken_at_the_same_time_and_each_once() -> None:
    both = threading.Barrier(2, timeout=2)
    taken: list[str] = []

    def take(name: str) -> Look[str]:
        def wait(_: Facts) -> str:
            both.wait()
            taken.append(name)
            return name

        return Look(name, wait)

    one, two = take("one"), take("two")
    seen = gather([one, two, one], scene())
    assert (seen.of(one), seen.of(two)) == ("one", "two")
    assert sorted(taken) == ["one", "two"]


def test_a_look_that_hangs_is_given_up_and_the_others_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "LOOK_WITHIN_S", 0.2)
    never = threading.Event()
    hangs: Look[bool] = Look("hangs", lambda _: never.wait())
    answers: Look[int] = Look("answers", lambda _: 1)
    seen = gather([hangs, answers], scene())
    assert seen.of(answers) == 1
    with pytest.raises(Unseen, match="no answer within"):
        seen.of(hangs)
    never.set()


def test_a_look_that_builds_upon_others_finds_them_taken() -> None:
    first: Look[int] = Look("first", lambda _: 20)
    broken = look("broken", Unseen("gone"))

    def build(seen: Facts) -> str:
        with pytest.raises(Unseen):
            seen.of(broken)
        return f"{seen.of(first)} and more"

    second: Look[str] = Look("second", build, after=(first, broken))
    assert gather([second], scene()).of(second) == "20 and more"


def test_a_router_elsewhere_is_asked_for_nothing_of_this_machine() -> None:
    with pytest.raises(
        Unseen, match=r"needs the machine that Trunkline runs on, and https://router.example is another"
    ):
        scene(is_here=False).require_here()
