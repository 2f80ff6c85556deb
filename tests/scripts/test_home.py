"""One instance per home; its secrets are kept and are nobody else's."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from scripts.launcher import processes
from scripts.launcher.errors import LauncherError
from scripts.launcher.home import Home
from scripts.launcher.processes import Account


def test_a_home_is_held_by_one_process_only(tmp_path: Path) -> None:
    first, second = Home(tmp_path), Home(tmp_path)
    first.lock()
    with pytest.raises(LauncherError, match="already running"):
        second.lock()


def test_an_instance_runs_while_the_process_that_wrote_it_down_lives(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert not home.is_running()
    home.write_state({}, {}, {})
    assert home.is_running()
    state = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(state.replace('"began": ', '"began": 1'))
    assert not home.is_running()


def test_keys_are_made_once_and_open_what_they_sealed(tmp_path: Path) -> None:
    made, first_time = Home(tmp_path).keys()
    kept, again = Home(tmp_path).keys()
    assert (first_time, again) == (True, False)
    assert kept == made
    sealed = Fernet(made["CREDENTIALS_KEYS"]).encrypt(b"secret")
    assert Fernet(kept["CREDENTIALS_KEYS"]).decrypt(sealed) == b"secret"


def test_only_the_owner_can_read_what_a_home_keeps(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.keys()
    home.secret("redis")
    home.write_state({"DATABASE_URL": "postgresql://u:p@h/d"}, {}, {})
    files = [path for path in home.path.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"keys.env", "instance.json", "state.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_children_of_a_killed_supervisor_are_waited_for_before_the_next_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        home.write_state({}, {}, {"redis": child.pid})
        assert child.stdin is not None
        child.stdin.close()
        home.end_leftovers()
        assert processes.start_time(child.pid) is None
    assert home.state() == {}


def test_a_process_that_got_the_number_of_an_old_child_is_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_state({}, {}, {"redis": os.getpid()})
    state = (tmp_path / "state.json").read_text()
    began = processes.start_time(os.getpid())
    (tmp_path / "state.json").write_text(state.replace(str(began), str((began or 0) - 1)))
    home.end_leftovers()


def test_a_folder_below_a_closed_one_cannot_be_entered(tmp_path: Path) -> None:
    stranger = Account("stranger", 54_321, 54_321)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not processes.can_enter(closed / "postgres", stranger)
