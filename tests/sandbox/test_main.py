"""The sandbox as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from sandbox.__main__ import main
from sandbox.server import listen
from tests.sandbox.world import ACCOUNT

ROOT = Path(__file__).parents[2]
PATIENCE_S = 15


@contextmanager
def running(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", "0", "--home", str(home)],
        cwd=ROOT,
        env=os.environ | {"META_APP_SECRET": "s", "META_VERIFY_TOKEN": "v"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def test_accounts_are_still_known_after_a_restart_and_either_signal_ends_it(tmp_path: Path) -> None:
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
        with running(tmp_path) as (process, address):
            assert client.post(f"{address}/sandbox/accounts", json=ACCOUNT).status_code == 201
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0

        with running(tmp_path) as (process, address):
            accounts = client.get(f"{address}/sandbox/accounts").json()["accounts"]
            assert [each["tenantId"] for each in accounts] == [ACCOUNT["tenantId"]]
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0


def test_files_are_gone_when_it_has_ended(tmp_path: Path) -> None:
    order = {"as": "customer", "tenantId": ACCOUNT["tenantId"], "kind": "image", "content": {"base64": "aGk="}}
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client, running(tmp_path) as (process, address):
        client.post(f"{address}/sandbox/accounts", json=ACCOUNT)
        assert client.post(f"{address}/sandbox/send", json=order).status_code == 200
        assert len(list((tmp_path / "files").iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0

    assert not (tmp_path / "files").exists()


def test_without_its_secrets_it_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("META_APP_SECRET", "s")
    monkeypatch.delenv("META_VERIFY_TOKEN", raising=False)

    assert main(["--home", str(tmp_path)]) == 2
    assert "META_VERIFY_TOKEN must be set" in capsys.readouterr().err


def test_a_port_in_use_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_APP_SECRET", "s")
    monkeypatch.setenv("META_VERIFY_TOKEN", "v")
    taken = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]

    with taken, pytest.raises(SystemExit, match=f"^Port {port} is already in use$"):
        main(["--home", str(tmp_path), "--port", str(port)])
