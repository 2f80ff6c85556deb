"""Deploys Trunkline on the Ray that RAY_ADDRESS names: actors first, then the web edge. `python -m actors.deploy`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence

import ray
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.schema import LoggingConfig

import serve_app
from actors import directory
from actors.loopback import replica_host
from config.settings import Settings, load_settings
from trunkline.errors import ConfigurationError, TrunklineError
from trunkline.stores.migrations import require_current

APPLICATIONS = ("webhooks", "admin")
START_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.2
# A log line per webhook costs as much as a third of the webhook.
QUIET = LoggingConfig(enable_access_log=False, log_level="WARNING")


def connect() -> None:
    """Join exactly the Ray that RAY_ADDRESS names; raises ConfigurationError when it names none."""
    address = os.environ.get("RAY_ADDRESS", "")
    if not address or address in ("auto", "local"):
        raise ConfigurationError("RAY_ADDRESS must name the address of Trunkline's own Ray, such as 127.0.0.1:6379")
    ray.init(address=address, namespace=directory.NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)


def wait_for_ground(settings: Settings, within_s: float) -> None:
    """Return when the database is migrated and Ray listens; raises what is in the way once `within_s` have passed."""
    deadline = time.monotonic() + within_s
    host, _, port = os.environ.get("RAY_ADDRESS", "").rpartition(":")
    while True:
        try:
            require_current(settings.database_url)
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except (TrunklineError, OSError, ValueError):
            if time.monotonic() >= deadline:
                raise
        time.sleep(LOOK_EVERY_S)


def deploy(settings: Settings, only: Sequence[str] = APPLICATIONS) -> None:
    """Start what is not running and replace what is; returns when everything answers."""
    connect()
    # Actors first: they start while Serve does.
    supervising = directory.supervisor().ensure_running.remote()
    serve.start(
        proxy_location=ProxyLocation.EveryNode,
        http_options=HTTPOptions(host=replica_host(), port=settings.port),
        logging_config=QUIET,
    )
    webhooks = serve_app.intake.options(num_replicas=settings.trunkline_intake_replicas).bind()
    targets = [
        serve.RunTarget(webhooks, name="webhooks", route_prefix="/webhook", logging_config=QUIET),
        serve.RunTarget(serve_app.app, name="admin", route_prefix="/", logging_config=QUIET),
    ]
    serve.run_many([target for target in targets if target.name in only])
    asyncio.run(directory.answer(supervising, directory.SUPERVISOR, START_TIMEOUT_S))


def main() -> int:
    """Deploy; 0 when everything answers."""
    parser = argparse.ArgumentParser(prog="python -m actors.deploy", description=__doc__)
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="how long to wait for the database and Ray (0)"
    )
    parser.add_argument(
        "--only", choices=APPLICATIONS, action="append", help="replace this part of the web edge, not all of it"
    )
    options = parser.parse_args()
    try:
        settings = load_settings()
        wait_for_ground(settings, options.wait)
        deploy(settings, options.only or APPLICATIONS)
    except (TrunklineError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # What was deployed is detached; taking leave of Ray politely takes a second that everybody waits for.
    os._exit(status)
