"""What runs on top of the stores: the sandbox, Ray, and our applications on it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from config.settings import Settings
from scripts.launcher import ports
from scripts.launcher.home import Home
from scripts.launcher.ray_node import RayNode
from scripts.launcher.service import ROOT, Service, python

SANDBOX_META = {"META_VERIFY_TOKEN": "sandbox-verify-token", "META_APP_SECRET": "sandbox-app-secret"}
# Never through a proxy that the environment names: everything asked here is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    """Whether a GET of this URL is answered with 200."""
    try:
        with _OPENER.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables; those that are empty are left out."""
    values = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if text:
            values[name.upper()] = text
    return values


def sandbox_defaults(settings: Settings, sandbox_url: str) -> dict[str, str]:
    """What the sandbox changes: both clouds are its own, unless they were set to something else."""
    defaults = {
        **SANDBOX_META,
        "GRAPH_API_URL": f"{sandbox_url}/graph/v25.0",
        "GENESYS_LOGIN_URL": f"{sandbox_url}/genesys/login",
        "GENESYS_API_URL": f"{sandbox_url}/genesys/api",
    }
    return {name: value for name, value in defaults.items() if name.lower() not in settings.model_fields_set}


class Sandbox(Service):
    """The simulated clouds."""

    name = "sandbox"
    rank = 2
    stop_within_s = 3.0
    folder = ROOT

    def __init__(self, home: Home, port: int, router_url: str, environment: Mapping[str, str]) -> None:
        self.port = port
        self.url = f"http://{ports.LOOPBACK}:{port}"
        self._folder = home.folder("sandbox")
        self._router_url = router_url
        self._environment = environment

    def command(self) -> Sequence[str]:
        where = ["--host", ports.LOOPBACK, "--port", str(self.port), "--home", str(self._folder)]
        return python("sandbox", *where, "--router", self._router_url)

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def prepare(self) -> None:
        ports.require_free(self.port)

    def ready(self) -> bool:
        return answers(f"{self.url}/sandbox/health")


class Ray(Service):
    """Our own Ray node, which no other cluster joins and which joins no other."""

    name = "Ray"
    rank = 2
    ready_within_s = 90.0
    stop_within_s = 6.5
    folder = ROOT

    def __init__(self, node: RayNode, environment: Mapping[str, str]) -> None:
        self.node = node
        self._environment = environment

    def command(self) -> Sequence[str]:
        return self.node.command()

    def environment(self) -> Mapping[str, str]:
        # Its dashboard's processes leave folders in the temporary folder when they are ended.
        return {**self._environment, **self.node.environment(), "TMPDIR": str(self.node.scratch)}

    def prepare(self) -> None:
        self.node.prepare()

    def ready(self) -> bool:
        return self.node.ready()

    def ended(self) -> None:
        self.node.cleanup()
