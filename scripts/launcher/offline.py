"""Verbs that need the database while the instance is stopped: its private PostgreSQL runs for as long as they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from signal import SIGINT

from scripts.launcher import install, stores
from scripts.launcher.console import Console, complain
from scripts.launcher.errors import LauncherError, StopRequestedError
from scripts.launcher.home import Home
from scripts.launcher.service import Task
from scripts.launcher.stores import Wish
from scripts.launcher.supervisor import Supervisor

VERBS = frozenset({"backup", "restore", "migrate"})
HELP = frozenset({"-h", "--help"})
INTERRUPTED = 130
_DATABASE = "DATABASE_URL"


class Verb(Task):
    """The operator's command line, at the terminal."""

    foreground = True
    stop_signal = SIGINT
    stop_within_s = 10.0

    def __init__(self, folder: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__("trunkline", command, environment)
        self.folder = Path(folder)


def needs_database(arguments: Sequence[str]) -> bool:
    """Whether these arguments of `trunkline` do nothing without the instance's database."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    return verb in VERBS and HELP.isdisjoint(arguments)


def run_with_database(home: Home, folder: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command beside the private PostgreSQL of this home, which is stopped again; its exit status."""
    try:
        home.lock()
        home.end_leftovers()
    except LauncherError as error:
        complain(error)
        return 1
    supervisor = Supervisor(home.logs, Console(quiet=True))
    try:
        obtain = partial(install.install, home=home, supervisor=supervisor)
        postgres = [kind for kind in stores.KINDS if kind.variable == _DATABASE]
        (store,) = stores.choose({}, Wish(), home, obtain, supervisor.console.step, postgres)
        stores.start([store], supervisor)
        return supervisor.run_to_end(Verb(folder, command, {**environment, _DATABASE: store.url}))
    except StopRequestedError:
        return INTERRUPTED
    except (LauncherError, OSError) as error:
        complain(error)
        return 1
    finally:
        supervisor.stop()
