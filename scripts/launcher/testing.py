"""`scripts/test`: pytest beside real stores that live only as long as it does."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from signal import SIGINT

from cryptography.fernet import Fernet

from scripts.launcher import install, stores
from scripts.launcher.console import Console, complain
from scripts.launcher.errors import LauncherError, StopRequestedError
from scripts.launcher.home import Home
from scripts.launcher.postgres import PostgresServer
from scripts.launcher.service import Task, python
from scripts.launcher.stores import Store, Wish
from scripts.launcher.supervisor import Supervisor

HELP = """usage: scripts/test [argument of pytest ...]

Runs the tests beside real stores: private ones, made for this run in a temporary folder and removed after it,
or those that DATABASE_URL, REDIS_URL and RABBITMQ_URL name in the environment (.env is not read).
Installs what is missing. The exit code is pytest's: 0 only if all passed.

  scripts/test                          every test, those without Ray beside those with it
  scripts/test tests/scripts -k ports   some
  scripts/test -m 'not ray'             without those that start Ray
"""
INTERRUPTED = 130
# Tests that start Ray wait most of their time: the others run beside them.
TWO_WORKERS = ["-n", "2"]


class Pytest(Task):
    """The test runner, at the terminal."""

    foreground = True
    stop_signal = SIGINT
    stop_within_s = 20.0  # it stops what the tests started

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        super().__init__("pytest", python("pytest", *arguments), environment)


def test(arguments: list[str]) -> int:
    """Start the stores, run pytest, stop the stores; pytest's exit status."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(HELP, end="")
        return 0
    home = Home(Path(tempfile.mkdtemp(prefix="trunkline-test-")))
    home.path.chmod(0o711)  # as Home does for a folder that it makes itself
    supervisor = Supervisor(home.logs, Console())
    try:
        obtain = partial(install.install, home=home, supervisor=supervisor)
        chosen = stores.choose(os.environ, Wish(fast=True), home, obtain, supervisor.console.step)
        stores.start(chosen, supervisor)
        return _run_pytest(arguments, chosen, home, supervisor)
    except StopRequestedError:
        return INTERRUPTED
    except (LauncherError, OSError) as error:
        complain(error)
        return 1
    finally:
        supervisor.stop()
        shutil.rmtree(PostgresServer.data_folder(home), ignore_errors=True)
        shutil.rmtree(home.path, ignore_errors=True)


def _run_pytest(arguments: list[str], chosen: list[Store], home: Home, supervisor: Supervisor) -> int:
    environment = {
        "ADMIN_API_KEY": "admin-key-of-the-tests",
        "CREDENTIALS_KEYS": Fernet.generate_key().decode(),
        "META_VERIFY_TOKEN": "verify-token-of-the-tests",
        "META_APP_SECRET": "app-secret-of-the-tests",
        **os.environ,
        **{store.variable: store.url for store in chosen},
        "TRUNKLINE_HOME": str(home.path),
    }
    return supervisor.run_to_end(Pytest(arguments or TWO_WORKERS, environment))
