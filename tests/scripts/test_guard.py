"""The guard: whatever it started ends with it, however the end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.launcher import guard
from tests.waiting import until

# A child, a daemon in a session of its own, and one that ignores a polite request.
FAMILY = "sleep 300 & (setsid sleep 300 &); trap '' TERM; echo started; sleep 300"
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"


def _command(folder: Path) -> list[str]:
    options = ["--grace", "0.5", "--lock", str(folder / "lock"), "--remove", str(folder / "removed")]
    return [sys.executable, "-I", guard.__file__, *options, "--", "sh", "-c", FAMILY]


def _started(process: subprocess.Popen[bytes]) -> list[int]:
    """Everything below the process, once all of it has started."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    until(lambda: sum(b"sleep" in _command_line(pid) for pid in guard.descendants(process.pid)) >= 3, 10)
    return guard.descendants(process.pid)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0]
    except OSError:
        return b""


def _gone(family: list[int]) -> bool:
    return not any(map(guard.parent_of, family))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_guard_told_to_stop_ends_all_it_started(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "removed").mkdir()
    with subprocess.Popen(_command(tmp_path), stdout=subprocess.PIPE) as process:
        family = _started(process)
        process.send_signal(number)
        process.wait(10)

    assert _gone(family)
    assert not (tmp_path / "removed").exists()


def test_a_guard_whose_parent_was_killed_ends_all_it_started(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, *_command(tmp_path)], stdout=subprocess.PIPE) as parent:
        family = _started(parent)
        parent.kill()

    until(lambda: _gone(family), 10)


def test_when_the_command_ends_so_does_what_it_left_behind(tmp_path: Path) -> None:
    with subprocess.Popen(_command(tmp_path), stdout=subprocess.PIPE) as process:
        family = _started(process)
        shell = next(pid for pid in family if _command_line(pid) == b"sh")
        os.kill(shell, signal.SIGKILL)
        status = process.wait(10)

    assert _gone(family)
    assert status == 128 + signal.SIGKILL


def test_the_lock_is_held_until_everything_has_ended(tmp_path: Path) -> None:
    with subprocess.Popen(_command(tmp_path), stdout=subprocess.PIPE) as process:
        family = _started(process)
        with pytest.raises(TimeoutError):
            guard.hold(tmp_path / "lock", 0)
        process.terminate()
        guard.hold(tmp_path / "lock", 10).close()

        assert _gone(family)
