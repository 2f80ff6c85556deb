"""`scripts/run`: the whole platform on one machine, from nothing to `ready`, until it is told to stop."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from config.settings import Settings, load_settings
from scripts.launcher import install, offline, ports, rabbitmq, stores
from scripts.launcher.applications import Ray, Sandbox, answers, environment_of, sandbox_defaults
from scripts.launcher.console import Console, complain
from scripts.launcher.errors import LauncherError, StopRequestedError
from scripts.launcher.home import Home
from scripts.launcher.ray_node import RayNode
from scripts.launcher.service import Task, python
from scripts.launcher.stores import Store, Wish
from scripts.launcher.supervisor import Supervisor
from trunkline.cli.local_audit import note_locally
from trunkline.errors import TrunklineError
from trunkline.stores import migrations

DEPLOY_S = 120.0
DRAIN_S = 14.5


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    sandbox: bool = True
    dashboard: bool = True
    use_local: bool = False
    fast: bool = False


def run(options: Options) -> int:
    """Start, stay until SIGINT or SIGTERM, stop; 1 if it could not start."""
    console = Console()
    try:
        settings = load_settings()
        _require_meta(settings, options)
        home = Home(settings.trunkline_home)
        home.lock()
        home.end_leftovers()
        console.keep(home.logs / "launcher.log")
        supervisor = Supervisor(home.logs, console)
    except (LauncherError, TrunklineError, OSError) as error:
        complain(error)
        return 1
    instance = Instance(options, settings, home, supervisor)
    try:
        instance.start()
        return instance.stay()
    except StopRequestedError:
        return 0
    except (LauncherError, TrunklineError, OSError) as error:
        complain(error)
        return 1
    finally:
        instance.stop()


class Instance:
    """The steps of the start, each of which finds done what the ones before it did."""

    def __init__(self, options: Options, settings: Settings, home: Home, supervisor: Supervisor) -> None:
        self._options = options
        self._settings = settings
        self._home = home
        self._supervisor = supervisor
        self._say = supervisor.console.step
        self._ours: dict[str, str] = {}  # what this instance adds to the environment of its programs
        self._environment = dict(os.environ)  # the whole of it; they hold this object, so it is only ever added to
        self._urls: dict[str, str] = {}
        self._stores: list[Store] = []
        self._ray: Ray | None = None
        self._deployed = False

    def start(self) -> None:
        """Everything up to the line `ready`."""
        self._choose_addresses()
        made_keys = self._take_keys()
        self._choose_stores()
        self._supervisor.changed = self._write_down
        self._ray = self._build_ray()
        # Side by side: none of them needs another to come up.
        ray = self._supervisor.start(self._ray, when_back=self._deploy_again)
        self._add(self._ray.node.environment())
        sandbox = self._supervisor.start(self._build_sandbox()) if self._options.sandbox else None
        # It takes seconds to load, and waits for its ground itself.
        deploying = Task("application", python("actors.deploy", "--wait", f"{DEPLOY_S:g}"), self._environment)
        deploying.ready_within_s = DEPLOY_S
        self._application = self._supervisor.start(deploying)
        stores.start(self._stores, self._supervisor)
        self._migrate()
        if sandbox is not None:
            self._supervisor.wait_ready(sandbox)
            self._say(f"sandbox at {self._urls['sandbox']}")
        self._supervisor.wait_ready(ray)
        self._say(f"Ray at {self._ray.node.address}")
        self._deploy()
        if self._options.sandbox:
            self._make_demo_tenant()
        self._write_down()
        self._print_where_to_look(made_keys)
        self._supervisor.console.line(f"ready {self._urls['router']}")

    def stay(self) -> NoReturn:
        """Keep the children alive until a signal comes."""
        while True:
            self._supervisor.pause()

    def stop(self) -> None:
        """Let the applications finish what they hold, then stop everything."""
        if self._deployed and self._supervisor.asked_to_stop is not None:
            self._say("draining")
            try:
                drain = Task("drain", python("actors.drain"), self._environment)
                drain.stop_within_s = 0.5
                drained = self._supervisor.run_to_end(drain, DRAIN_S, tend=False) == 0
                log = self._home.logs / "drain.log"
                self._say("drained" if drained else f"not drained; what was under way is still queued (log: {log})")
            except StopRequestedError:
                self._say("stopping at once")
        started = bool(self._supervisor.children)
        self._supervisor.changed = lambda: None
        self._supervisor.stop()
        self._home.forget_state()
        if started:
            self._say("stopped")

    # --- the steps ---

    def _choose_addresses(self) -> None:
        host, port = self._settings.host, self._settings.port
        ports.require_free(port, host)
        reachable = ports.LOOPBACK if host in ("0.0.0.0", "::") else host
        self._urls["router"] = f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"
        if self._options.sandbox:
            ports.require_free(port + 1)
            self._urls["sandbox"] = f"http://{ports.LOOPBACK}:{port + 1}"

    def _take_keys(self) -> bool:
        keys, made = self._home.keys()
        self._add({**keys, **environment_of(self._settings)})
        if self._options.sandbox:
            self._add({**sandbox_defaults(self._settings, self._urls["sandbox"]), "SANDBOX_URL": self._urls["sandbox"]})
        return made

    def _choose_stores(self) -> None:
        wish = Wish(self._options.use_local, self._options.fast, management=True)
        urls = environment_of(self._settings)
        obtain = partial(install.install, home=self._home, supervisor=self._supervisor)
        self._stores = stores.choose(urls, wish, self._home, obtain, self._say)
        self._add({store.variable: store.url for store in self._stores})

    def _build_ray(self) -> Ray:
        host, port = self._settings.host, self._settings.port
        node = RayNode(self._home.folder("ray"), dashboard=self._options.dashboard, http_host=host, http_port=port)
        return Ray(node, self._environment)

    def _build_sandbox(self) -> Sandbox:
        return Sandbox(self._home, self._settings.port + 1, self._urls["router"], self._environment)

    def _migrate(self) -> None:
        url = self._environment["DATABASE_URL"]
        applied = migrations.migrate_up(url)
        if applied:
            note_locally(url, "migrations.applied", ", ".join(applied))
        self._say(f"database: {len(applied)} migration{'' if len(applied) == 1 else 's'} applied")

    def _deploy(self) -> None:
        self._supervisor.wait_ready(self._application)
        self._deployed = True
        health = f"{self._urls['router']}/health"
        self._supervisor.wait_for(lambda: answers(health), 30.0, f"{health} did not answer 200")
        self._say("application deployed")

    def _deploy_again(self) -> None:
        if self._ray is not None and self._deployed:
            self._add(self._ray.node.environment())
            self._supervisor.restart(self._application)

    def _make_demo_tenant(self) -> None:
        command = python("sandbox.demo", "--router", self._urls["router"], "--sandbox", self._urls["sandbox"])
        if self._supervisor.run_to_end(Task("demo tenant", command, self._environment), 30.0) != 0:
            raise LauncherError(f"the demo tenant could not be made; see {self._home.logs / 'demo-tenant.log'}")
        self._say("demo tenant")

    def _add(self, more: Mapping[str, str]) -> None:
        self._ours.update(more)
        self._environment.update(more)

    def _write_down(self) -> None:
        children = {child.service.name: child.pid for child in self._supervisor.children if child.pid is not None}
        self._home.write_state(self._ours, self._urls, children)

    def _print_where_to_look(self, made_keys: bool) -> None:
        line = self._supervisor.console.line
        line(f"  API             {self._urls['router']}/docs")
        if self._options.sandbox:
            line(f"  sandbox         {self._urls['sandbox']}")
        if self._ray is not None and self._ray.node.dashboard_url:
            line(f"  Ray dashboard   {self._ray.node.dashboard_url}")
        for store in self._stores:
            for text in _ways_into(store):
                line(f"  {text}")
        line(f"  logs            {self._home.logs}")
        if made_keys:
            line(f"  made for you and kept in {self._home.path} (again with: scripts/trunkline keys first):")
            for name in ("ADMIN_API_KEY", "CREDENTIALS_KEYS"):
                line(f"    {name}={self._environment[name]}")


def _require_meta(settings: Settings, options: Options) -> None:
    wanted = {"META_VERIFY_TOKEN": settings.verify_tokens, "META_APP_SECRET": settings.app_secrets}
    missing = [name for name, values in wanted.items() if not values]
    if missing and not options.sandbox:
        raise LauncherError(
            f"without the sandbox {' and '.join(missing)} must be set, in the environment or in .env: "
            "they are on the page of your Meta app, under WhatsApp > Configuration and under App settings > Basic"
        )


def _ways_into(store: Store) -> list[str]:
    if store.variable == "DATABASE_URL":
        return [f"PostgreSQL      psql {shlex.quote(store.url)}"]
    if store.variable == "REDIS_URL":
        return [f"Redis           redis-cli --no-auth-warning -u {shlex.quote(store.url)}"]
    for service in store.services:
        if isinstance(service, rabbitmq.RabbitServer) and service.management_url:
            return [f"RabbitMQ        {service.management_url} (user {rabbitmq.USER}, password {service.password})"]
    return []


def exec_command_line(folder: str, arguments: list[str]) -> int:
    """Become `trunkline`, in the caller's folder and in the environment of the running instance.

    If none runs, verbs that need its database get it, and it alone, for as long as they last.
    """
    try:
        settings = load_settings()
        home = Home(settings.trunkline_home)
        keys, _ = home.keys() if (home.path / "keys.env").exists() else ({}, False)
        is_running = home.is_running()
        running = home.state().get("environment", {}) if is_running else {}
    except (LauncherError, TrunklineError) as error:
        complain(error)
        return 2
    command = [os.path.join(os.path.dirname(sys.executable), "trunkline"), *arguments]
    environment = {**keys, **running, **os.environ}
    if not is_running and not settings.database_url and offline.needs_database(arguments):
        return offline.run_with_database(home, folder, command, environment)
    os.chdir(folder)
    os.execve(command[0], command, environment)
