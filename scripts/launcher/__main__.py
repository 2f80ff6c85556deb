"""The verbs behind `scripts/`: run, test, trunkline."""

from __future__ import annotations

import argparse
import logging
import sys

from scripts.launcher import testing

RUN_EPILOG = """\
Stores are taken from DATABASE_URL, REDIS_URL and RABBITMQ_URL if these are set (in the environment or in .env), else
private ones are started, with their data in .trunkline/ (or TRUNKLINE_HOME), where they stay for the next run.
Every setting is listed in config/.env.example. Ctrl-C stops everything that was started here.
"""


def main(arguments: list[str]) -> int:
    """Do what the verb, the first argument, says; the exit status."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each refusal of a broker that is still starting
    verb, rest = arguments[0], arguments[1:]
    if verb == "test":
        return testing.test(rest)
    # Only now: what `run` needs takes a second to import.
    from scripts.launcher import instance

    if verb == "trunkline":
        return instance.exec_command_line(rest[0], rest[1:])
    options = _parse_run(rest)
    return instance.run(
        instance.Options(
            sandbox=not options.no_sandbox,
            dashboard=not options.no_dashboard,
            use_local=options.use_local,
            fast=options.fast,
        )
    )


def _parse_run(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Starts Trunkline with everything it needs, and stops it on Ctrl-C.",
        epilog=RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--no-sandbox",
        action="store_true",
        help="without the simulated clouds and their demo tenant: the real ones, or whatever "
        "GRAPH_API_URL, GENESYS_API_URL and GENESYS_LOGIN_URL name",
    )
    parser.add_argument(
        "--use-local",
        action="store_true",
        help="use the stores that run on this machine's standard ports, if they let us log in",
    )
    parser.add_argument("--no-dashboard", action="store_true", help="without Ray's dashboard, which saves memory")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="private stores that do not wait for the disk: for measurements, loses data when the power fails",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
