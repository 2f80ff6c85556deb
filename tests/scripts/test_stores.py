"""Each store is taken from the first place that has it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.launcher import install, stores
from scripts.launcher.errors import LauncherError
from scripts.launcher.home import Home
from scripts.launcher.install import Missing
from scripts.launcher.stores import KINDS, Kind, Store, Wish

STANDARD = "redis://standard"


@dataclass
class Machine:
    """What there is on a machine, and what was asked of it."""

    answering: set[str] = field(default_factory=set)
    installed: bool = False
    installable: bool = False
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def check(self, url: str) -> None:
        self.asked.append(url)
        if url not in self.answering:
            raise LauncherError("Cannot connect to Redis")

    def find(self, home: Home) -> str | None:
        self.asked.append("programs")
        return "programs" if self.installed else None

    def obtain(self, missing: Sequence[Missing]) -> None:
        self.asked.append("install")
        self.installed = self.installable

    def build(self, home: Home, programs: Any, wish: Wish) -> tuple[str, Sequence[Any]]:
        return "redis://private", []

    def choose(self, home: Home, url: str = "", use_local: bool = False) -> Store:
        kind = Kind("Redis", "REDIS_URL", (STANDARD,), self.check, self.find, self.build, install.REDIS)
        wish = Wish(use_local=use_local)
        return stores.choose({"REDIS_URL": url}, wish, home, self.obtain, self.said.append, [kind])[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_url_is_used_as_it_is(home: Home) -> None:
    machine = Machine(answering={"redis://given", STANDARD}, installed=True)
    assert machine.choose(home, "redis://given", use_local=True).url == "redis://given"


def test_an_unreachable_url_is_an_error_and_nothing_else_is_tried(home: Home) -> None:
    machine = Machine(answering={STANDARD}, installed=True, installable=True)
    with pytest.raises(LauncherError, match=r"Cannot connect to Redis\n.*REDIS_URL"):
        machine.choose(home, "redis://away", use_local=True)
    assert machine.asked == ["redis://away"]


@pytest.mark.parametrize(
    ("use_local", "url"),
    [
        pytest.param(True, STANDARD, id="asked for"),
        pytest.param(False, "redis://private", id="not asked for: whatever answers there may be anybody's"),
    ],
)
def test_a_server_on_the_standard_port_is_used_only_if_asked_for(home: Home, use_local: bool, url: str) -> None:
    machine = Machine(answering={STANDARD}, installed=True)
    assert machine.choose(home, use_local=use_local).url == url


def test_without_a_login_to_the_local_server_a_private_one_is_taken_and_it_is_said(home: Home) -> None:
    machine = Machine(installed=True)
    assert machine.choose(home, use_local=True).url == "redis://private"
    assert any("no login" in line for line in machine.said)


def test_what_is_missing_is_installed_and_then_used(home: Home) -> None:
    machine = Machine(installable=True)
    assert machine.choose(home).origin == "private"
    assert machine.asked == ["programs", "install", "programs"]


def test_what_cannot_be_installed_is_named_with_every_remedy(home: Home) -> None:
    with pytest.raises(LauncherError) as caught:
        Machine().choose(home)
    for remedy in ("apt-get install", "redis-server", "dnf install", "brew install redis", "REDIS_URL"):
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "url", "text"),
    [
        pytest.param("DATABASE_URL", "postgresql://127.0.0.1:1/x", "Cannot connect to PostgreSQL", id="PostgreSQL"),
        pytest.param("REDIS_URL", "redis://127.0.0.1:1/0", "Cannot connect to Redis", id="Redis"),
        pytest.param("RABBITMQ_URL", "amqp://127.0.0.1:1/", "connect ECONNREFUSED 127.0.0.1:1", id="RabbitMQ"),
        pytest.param("DATABASE_URL", "nonsense", "Cannot connect to PostgreSQL", id="no URL of PostgreSQL"),
        pytest.param("REDIS_URL", "nonsense", "Cannot connect to Redis", id="no URL of Redis"),
        pytest.param("RABBITMQ_URL", "amqp://127.0.0.1:port/", "Cannot connect to RabbitMQ", id="no URL of RabbitMQ"),
    ],
)
def test_the_real_checks_say_what_operators_know(variable: str, url: str, text: str) -> None:
    kind = next(kind for kind in KINDS if kind.variable == variable)
    with pytest.raises(LauncherError, match=text):
        kind.given(url)
