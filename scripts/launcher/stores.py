"""Which PostgreSQL, Redis and RabbitMQ are used. For each, the first hit wins:

1. its URL in the settings: used as it is; unreachable is an error, never a reason to look further
2. with `--use-local`, the server on the standard local port, after a real login
3. a private instance, from programs on this machine
4. the same, after installing them
5. otherwise an error that names what is missing and the commands that install it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scripts.launcher import install, postgres, rabbitmq, redis_server
from scripts.launcher.errors import LauncherError
from scripts.launcher.home import Home
from scripts.launcher.install import Missing
from scripts.launcher.service import Service
from scripts.launcher.supervisor import Supervisor


@dataclass(frozen=True)
class Wish:
    """How the stores are to be chosen and run."""

    use_local: bool = False
    fast: bool = False
    management: bool = False


@dataclass(frozen=True)
class Store:
    """A store that was chosen; `services` are those to start, none if it runs already."""

    name: str
    variable: str
    url: str
    origin: str
    services: Sequence[Service] = ()

    @property
    def where(self) -> str:
        """Host and port, without the password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname or 'local socket'}{f':{parts.port}' if parts.port else ''}"


@dataclass(frozen=True)
class Kind:
    """One of the three, with what is known of it."""

    name: str
    variable: str
    standard_urls: Sequence[str]
    check: Callable[[str], None]
    find: Callable[[Home], Any]
    build: Callable[[Home, Any, Wish], tuple[str, Sequence[Service]]]
    missing: Missing = field(repr=False)
    use_standard: Callable[[str], None] | None = None

    def given(self, url: str) -> Store:
        """Step 1."""
        try:
            self.check(url)
        except LauncherError as error:
            raise LauncherError(
                f"{error}\n  {self.variable} names that server, so no other is tried: "
                f"start it, correct {self.variable}, or unset it to get a private {self.name}"
            ) from error
        return Store(self.name, self.variable, url, f"from {self.variable}")

    def local(self) -> Store | None:
        """Step 2."""
        for url in self.standard_urls:
            try:
                if self.use_standard is not None:
                    self.use_standard(url)
                self.check(url)
            except LauncherError:
                continue
            return Store(self.name, self.variable, url, "the local server")
        return None

    def private(self, home: Home, wish: Wish) -> Store | None:
        """Step 3."""
        programs = self.find(home)
        if programs is None:
            return None
        url, services = self.build(home, programs, wish)
        return Store(self.name, self.variable, url, "private", services)


def _build_postgres(home: Home, programs: Any, wish: Wish) -> tuple[str, Sequence[Service]]:
    server = postgres.PostgresServer(home, programs, wish.fast)
    return server.url, [server]


def _build_redis(home: Home, programs: Any, wish: Wish) -> tuple[str, Sequence[Service]]:
    server = redis_server.RedisServer(home, programs, wish.fast)
    return server.url, [server]


def _build_rabbitmq(home: Home, programs: Any, wish: Wish) -> tuple[str, Sequence[Service]]:
    names = rabbitmq.NameServer(home, programs)
    server = rabbitmq.RabbitServer(home, programs, names, wish.management)
    return server.url, [names, server]


KINDS = (
    Kind(
        name="PostgreSQL",
        variable="DATABASE_URL",
        standard_urls=postgres.STANDARD_URLS,
        check=postgres.check,
        find=postgres.find,
        build=_build_postgres,
        missing=install.POSTGRESQL,
        use_standard=postgres.use_standard,
    ),
    Kind(
        name="Redis",
        variable="REDIS_URL",
        standard_urls=redis_server.STANDARD_URLS,
        check=redis_server.check,
        find=redis_server.find,
        build=_build_redis,
        missing=install.REDIS,
    ),
    Kind(
        name="RabbitMQ",
        variable="RABBITMQ_URL",
        standard_urls=rabbitmq.STANDARD_URLS,
        check=rabbitmq.check,
        find=rabbitmq.find,
        build=_build_rabbitmq,
        missing=install.RABBITMQ,
    ),
)


def choose(
    urls: Mapping[str, str],
    wish: Wish,
    home: Home,
    obtain: Callable[[Sequence[Missing]], None],
    say: Callable[[str], None],
    kinds: Sequence[Kind] = KINDS,
) -> list[Store]:
    """The stores, none started yet. `urls` has DATABASE_URL and so on or nothing; `obtain` installs what is missing."""
    chosen = {kind.name: _choose_one(kind, urls.get(kind.variable, ""), wish, home, say) for kind in kinds}
    lacking = [kind for kind in kinds if chosen[kind.name] is None]
    if lacking:
        obtain([kind.missing for kind in lacking])
        chosen |= {kind.name: kind.private(home, wish) for kind in lacking}
    absent = [kind for kind in lacking if chosen[kind.name] is None]
    if absent:
        raise LauncherError(install.advice([(kind.missing, kind.variable) for kind in absent]))
    return [store for store in chosen.values() if store is not None]


def _choose_one(kind: Kind, url: str, wish: Wish, home: Home, say: Callable[[str], None]) -> Store | None:
    if url:
        return kind.given(url)
    if wish.use_local:
        if store := kind.local():
            return store
        say(f"no login to a {kind.name} on its standard port; taking a private one")
    return kind.private(home, wish)


def start(stores: Iterable[Store], supervisor: Supervisor) -> None:
    """Start the private ones, all at once, and return when each answers."""
    started = [(store, [supervisor.start(service) for service in store.services]) for store in stores]
    for store, children in started:
        supervisor.wait_ready(*children)
        supervisor.console.step(f"{store.name} at {store.where} ({store.origin})")
