"""`scripts/prometheus`: starts Prometheus, writes what Grafana and the page are given, draws plots of what there is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from config.settings import load_settings
from scripts.launcher.console import complain
from scripts.launcher.errors import LauncherError
from scripts.observability import pages, prometheus
from trunkline.errors import TrunklineError

PORT = 9090


def main(arguments: list[str]) -> int:
    """Do what was asked for; the exit status."""
    options = _options(arguments)
    try:
        if options.do == "write":
            for path, text in pages.files():
                path.write_text(text)
        elif options.do == "plot":
            _plot(options)
        else:
            print(f"Prometheus http://127.0.0.1:{options.port}", flush=True)
            prometheus.start(options.port, load_settings().trunkline_home)
    except (LauncherError, TrunklineError, OSError) as error:
        complain(error)
        return 1
    return 0


def _plot(options: argparse.Namespace) -> None:
    try:
        from scripts.observability import plots  # draws with a library that nothing else here needs
    except ImportError as error:
        raise LauncherError(f"plots need matplotlib: {sys.executable} -m pip install matplotlib") from error
    for path in plots.draw(options.url, options.into, options.minutes):
        print(path)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/prometheus",
        description="Starts Prometheus on loopback with config/prometheus.yml, until it is told to stop. It is fetched "
        "from Debian's package if the machine has none; its data lies in .trunkline/prometheus.",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"where it listens ({PORT})")
    verbs = parser.add_subparsers(dest="do", metavar="write | plot")
    verbs.add_parser("write", help="write config/grafana and the table in docs/observability.md anew")
    plot = verbs.add_parser("plot", help="draw the dashboards' panels from what a running Prometheus has gathered")
    plot.add_argument("--url", default=f"http://127.0.0.1:{PORT}", help="where it is")
    plot.add_argument("--into", type=Path, default=Path("."), metavar="FOLDER", help="where the PNGs go")
    plot.add_argument("--minutes", type=float, default=15.0, help="how far back (15)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
