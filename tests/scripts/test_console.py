"""What the launcher tells a person it also writes down, for `trunkline logs`."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scripts.launcher.console import Console
from trunkline.logs import read_logs


def test_steps_are_in_the_instances_log_and_plain_lines_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    console = Console()
    console.step("before there is a home")
    console.keep(tmp_path / "logs" / "launcher.log")
    console.step("Ray was ended by SIGKILL; starting it again in 0.25 s")
    console.line("    ADMIN_API_KEY=tk_secret")
    (line,) = read_logs(tmp_path)
    assert (line.source, line.event) == ("launcher", "launcher.stepped")
    assert line.facts["step"].startswith("Ray was ended")
    assert "tk_secret" in capsys.readouterr().out
    assert stat.S_IMODE((tmp_path / "logs" / "launcher.log").stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.keep(tmp_path / "none" / "launcher.log")
    console.step("Redis is ready again")
    assert "Redis is ready again" in capsys.readouterr().out
