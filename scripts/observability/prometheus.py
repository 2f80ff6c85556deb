"""Prometheus' programs: found on the machine, or fetched with Debian's package into the checkout, not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.launcher.errors import LauncherError
from scripts.launcher.service import ROOT

TOOLS = ROOT / ".tools"
CONFIG = ROOT / "config" / "prometheus.yml"
ALERTS = ROOT / "config" / "prometheus-alerts.yml"
USUAL_HOME = ROOT / ".trunkline"
FETCHED_WITHIN_S = 300
KEPT = "7d"
# What its pages are made of lies in packages of their own.
PAGES = (
    "fonts-glyphicons-halflings",
    "libjs-bootstrap4",
    "libjs-d3",
    "libjs-eonasdan-bootstrap-datetimepicker",
    "libjs-jquery",
    "libjs-jquery-hotkeys",
    "libjs-moment",
    "libjs-moment-timezone",
    "libjs-mustache",
    "libjs-popper.js",
    "libjs-rickshaw",
)
ADVICE = """Prometheus is not on this machine. One of these helps:
  sudo apt-get install -y prometheus
  sudo dnf install -y golang-github-prometheus
  brew install prometheus"""


def find(program: str) -> Path | None:
    """`prometheus` or `promtool`, as far as it is here."""
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    fetched = TOOLS / "prometheus" / "usr" / "bin" / program
    return fetched if fetched.exists() else None


def obtain(program: str) -> Path:
    """The program, fetched if need be; raises LauncherError, saying how to get it by hand."""
    found = find(program) or (_fetch() and find(program))
    if not found:
        raise LauncherError(ADVICE)
    return found


def start(port: int, home: Path) -> None:
    """Become Prometheus, on loopback, for the instance of this home, with its data below it."""
    program = obtain("prometheus")
    data = home / "prometheus"
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    sys.stdout.flush()
    os.execv(program, [str(program), *options(program, configured(home, data), data, port)])


def configured(home: Path, folder: Path) -> Path:
    """The configuration for the instance of this home; one for another than the usual home is written to `folder`."""
    if home.absolute() == USUAL_HOME:
        return CONFIG
    text = CONFIG.read_text().replace(f"../{USUAL_HOME.name}/", f"{home.absolute()}/")
    path = folder / CONFIG.name
    path.write_text(text.replace(ALERTS.name, str(ALERTS)))
    return path


def options(program: Path, config: Path, data: Path, port: int) -> list[str]:
    """How it is started; Debian's has its pages beside it, and looks for them where they are when it is installed."""
    pages = program.parent.parent / "share" / "prometheus" / "web"
    return [
        *([f"--web.local-assets={pages}/"] if TOOLS in program.parents and pages.exists() else []),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={KEPT}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


def _fetch() -> bool:
    """Whether Debian's package could be fetched and unpacked; nothing of the machine is changed."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return False
    with tempfile.TemporaryDirectory() as folder:
        if not _download_once_listed(Path(folder)):
            return False
        _download(Path(folder), *PAGES)  # without them it works too, and looks bare
        TOOLS.mkdir(exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(dir=TOOLS))
        for package in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, unpacked], check=True, timeout=FETCHED_WITHIN_S)
        target = TOOLS / "prometheus"
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)
    return True


def _download_once_listed(folder: Path) -> bool:
    """Fetch Prometheus; if the lists of packages do not have it they are renewed, where that is allowed."""
    if _download(folder, "prometheus"):
        return True
    if os.geteuid() != 0:
        return False
    subprocess.run(["apt-get", "update", "-q"], capture_output=True, timeout=FETCHED_WITHIN_S, check=False)
    return _download(folder, "prometheus")


def _download(folder: Path, *packages: str) -> bool:
    options = ["-q", "-o", "APT::Sandbox::User=root"]
    command = ["apt-get", "download", *options, *packages]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=FETCHED_WITHIN_S, check=False)
    return done.returncode == 0
