"""`scripts/run` that cannot start says why in words and exits with 1, having started nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.launcher import ports
from scripts.launcher.home import Home
from scripts.launcher.service import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An instance of its own, with nothing set but where it is."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("META_", "TRUNKLINE_"))}
    return {**inherited, "TRUNKLINE_HOME": str(tmp_path / "home"), "PORT": str(ports.choose())}


def launch(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.launcher", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_wrong_setting_is_named_at_once(environment: dict[str, str]) -> None:
    wrong = {"PORT": "0", "LOG_LEVEL": "LOUD", "TRUNKLINE_UNKNOWN": "1"}
    ended = launch({**environment, **wrong}, "run")
    assert ended.returncode == 1
    for name in wrong:
        assert name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_the_sandbox_both_missing_meta_settings_are_named(environment: dict[str, str]) -> None:
    ended = launch(environment, "run", "--no-sandbox")
    assert ended.returncode == 1
    assert "META_VERIFY_TOKEN and META_APP_SECRET must be set" in ended.stderr


def test_a_taken_port_is_named(environment: dict[str, str]) -> None:
    with socket.create_server((ports.LOOPBACK, int(environment["PORT"]))):
        ended = launch(environment, "run")
    assert ended.returncode == 1
    assert f"Port {environment['PORT']} is already in use" in ended.stderr
    assert ended.stdout == ""


def test_a_second_run_beside_a_running_one_is_refused(environment: dict[str, str]) -> None:
    home = Home(Path(environment["TRUNKLINE_HOME"]))
    home.lock()
    home.write_state({}, {"router": "http://127.0.0.1:3000"}, {})
    ended = launch(environment, "run")
    assert ended.returncode == 1
    assert f"already running from {home.path} (pid {os.getpid()}, http://127.0.0.1:3000)" in ended.stderr


def test_an_unreachable_store_is_an_error_and_no_other_is_started(environment: dict[str, str]) -> None:
    urls = {"DATABASE_URL": "", "REDIS_URL": "", "RABBITMQ_URL": "amqp://127.0.0.1:1/"}
    ended = launch({**environment, **urls}, "run", "--no-dashboard")
    assert ended.returncode == 1
    assert "connect ECONNREFUSED 127.0.0.1:1" in ended.stderr
    assert not list(Path(environment["TRUNKLINE_HOME"]).glob("logs/*.log"))


@pytest.mark.parametrize("verb", ["run", "test"])
def test_help_is_one_word_away(environment: dict[str, str], verb: str) -> None:
    ended = launch(environment, verb, "--help")
    assert ended.returncode == 0
    assert f"usage: scripts/{verb}" in ended.stdout
