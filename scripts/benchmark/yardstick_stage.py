"""`python -m scripts.benchmark.yardstick_stage`: the yardstick with the stores and the sandbox that the platform has.

Started and stopped like `scripts/run`: it prints `ready`, writes its state into its home, and ends on SIGTERM.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import orjson

from config.settings import Settings, load_settings
from scripts.benchmark import tenants
from scripts.benchmark.yardstick import ACCOUNTS
from scripts.launcher import install, ports, stores
from scripts.launcher.applications import Sandbox, answers, environment_of, sandbox_defaults
from scripts.launcher.console import Console, complain
from scripts.launcher.errors import LauncherError, StopRequestedError
from scripts.launcher.home import Home
from scripts.launcher.service import ROOT, Service, python
from scripts.launcher.stores import Wish
from scripts.launcher.supervisor import Supervisor


class YardstickService(Service):
    """The yardstick as a child of this stage."""

    name = "yardstick"
    rank = 3
    folder = ROOT

    def __init__(self, accounts: Path, url: str, environment: dict[str, str]) -> None:
        self._accounts = accounts
        self._url = url
        self._environment = environment

    def command(self) -> list[str]:
        return python("scripts.benchmark.yardstick", "--accounts", str(self._accounts))

    def environment(self) -> dict[str, str]:
        return self._environment

    def ready(self) -> bool:
        return answers(self._url)


def main(arguments: list[str]) -> int:
    """Start it, stay until told to stop, stop everything."""
    settings = load_settings()
    home = Home(settings.trunkline_home)
    home.lock()
    supervisor = Supervisor(home.logs, Console())
    try:
        _start(settings, Path(arguments[0]), home, supervisor)
        while True:
            supervisor.pause()
    except StopRequestedError:
        return 0
    except (LauncherError, tenants.SetUpFailed, OSError) as error:
        complain(error)
        return 1
    finally:
        supervisor.stop()
        home.forget_state()


def _start(settings: Settings, accounts_file: Path, home: Home, supervisor: Supervisor) -> None:
    router = f"http://{ports.LOOPBACK}:{settings.port}"
    sandbox_url = f"http://{ports.LOOPBACK}:{settings.port + 1}"
    obtain = partial(install.install, home=home, supervisor=supervisor)
    chosen = stores.choose({}, Wish(management=True), home, obtain, supervisor.console.step)
    ours = {
        **environment_of(settings),
        **sandbox_defaults(settings, sandbox_url),
        **{store.variable: store.url for store in chosen},
    }
    environment = {**os.environ, **ours}
    sandbox = supervisor.start(Sandbox(home, settings.port + 1, router, environment))
    stores.start(chosen, supervisor)
    supervisor.wait_ready(sandbox)
    tenants.register(ACCOUNTS.validate_python(orjson.loads(accounts_file.read_bytes())), sandbox_url)
    supervisor.wait_ready(supervisor.start(YardstickService(accounts_file, router, environment)))
    children = {child.service.name: child.pid for child in supervisor.children if child.pid is not None}
    home.write_state(ours, {"router": router, "sandbox": sandbox_url}, children)
    supervisor.console.line(f"ready {router}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
