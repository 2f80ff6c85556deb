"""Verbs on a stopped instance: its database runs for as long as they do, and no longer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from scripts.launcher import offline
from scripts.launcher.home import Home
from scripts.launcher.ports import is_free
from scripts.launcher.postgres import PostgresServer
from scripts.launcher.service import ROOT


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["migrate", "up"], True),
        (["restore", "b.tar", "--yes"], True),
        (["backup", "--help"], False),
        (["tenants", "list"], False),
        ([], False),
    ],
)
def test_only_some_verbs_need_the_database(arguments: list[str], needed: bool) -> None:
    assert offline.needs_database(arguments) is needed


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="trunkline-offline-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(PostgresServer.data_folder(Home(path)), ignore_errors=True)
    shutil.rmtree(path)


@pytest.mark.services
def test_a_stopped_instance_is_migrated_backed_up_and_restored(home: Path, tmp_path: Path) -> None:
    def trunkline(*arguments: str) -> subprocess.CompletedProcess[str]:
        nothing = {name.upper(): "" for name in Settings.model_fields}
        return subprocess.run(
            [sys.executable, "-m", "scripts.launcher", "trunkline", str(tmp_path), *arguments],
            cwd=ROOT,
            env={**os.environ, **nothing, "TRUNKLINE_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    migrated = trunkline("migrate", "up", "--json")
    assert migrated.returncode == 0, migrated.stderr
    assert json.loads(migrated.stdout)["applied"][0] == "0001-tenants"
    backed_up = trunkline("backup", "b.tar", "--json")
    assert backed_up.returncode == 0, backed_up.stderr
    assert (tmp_path / "b.tar").exists()
    restored = trunkline("restore", "b.tar", "--yes", "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["rows"] == json.loads(backed_up.stdout)["rows"]
    port = json.loads((home / "instance.json").read_text())["ports"]["postgres"]
    assert is_free(port)
