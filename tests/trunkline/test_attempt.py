"""Who owns an attempt, whether that process still lives, and what goes along with it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.fakes import until
from trunkline.attempt import Callback, new_attempt_id, owner_is_dead, this_owner

TELL = "from trunkline.attempt import this_owner; print(this_owner(), flush=True); input()"


def test_attempts_have_ids_of_their_own() -> None:
    assert new_attempt_id() != new_attempt_id()


def test_this_process_lives() -> None:
    assert not owner_is_dead(this_owner())


async def test_a_process_is_dead_once_it_has_ended_or_been_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", TELL], stdin=-1, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        owner = child.stdout.readline().strip()
        assert not owner_is_dead(owner)
        child.kill()
        # Not waited for yet: a zombie owns nothing any more.
        await until(lambda: owner_is_dead(owner), "the owner's end")
    assert owner_is_dead(owner)


def test_a_process_with_the_pid_of_another_is_not_that_other() -> None:
    host, pid, started = this_owner().rsplit("/", 2)
    assert owner_is_dead(f"{host}/{pid}/{int(started) - 1}")


def test_nobody_is_declared_dead_from_afar() -> None:
    _, pid, started = this_owner().rsplit("/", 2)
    assert not owner_is_dead(f"another-host/{pid}/{int(started) - 1}")
    assert not owner_is_dead("")
    assert not owner_is_dead("nonsense")
    assert not owner_is_dead("host/not-a-pid/1")


MESSAGE_ID = "0e9e6d6e-6e1d-4a87-9d0c-0f6a2f6b9c01"


@pytest.mark.parametrize(
    ("callback", "text"),
    [
        pytest.param(Callback(MESSAGE_ID), MESSAGE_ID, id="a message that stays whole"),
        pytest.param(Callback(MESSAGE_ID, 2, 3), f"{MESSAGE_ID}#2/3", id="a part"),
    ],
)
def test_what_goes_along_with_a_send_is_understood_when_it_comes_back(callback: Callback, text: str) -> None:
    assert str(callback) == text
    assert Callback.read(text) == callback


@pytest.mark.parametrize(
    "other",
    ["not ours", 7, None, ["x"], "", f"{MESSAGE_ID}#", f"{MESSAGE_ID}#0/3", f"{MESSAGE_ID}#4/3",
     f"{MESSAGE_ID}#1/99999", f" {MESSAGE_ID}", "-" * 36],
)  # fmt: skip
def test_what_others_send_along_is_not_taken_for_ours(other: Any) -> None:
    assert Callback.read(other) is None
