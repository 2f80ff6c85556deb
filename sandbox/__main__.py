"""`python -m sandbox`: both simulated clouds in one process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from pathlib import Path

import uvloop

from sandbox.accounts import Accounts
from sandbox.app import build_sandbox
from sandbox.fetches import HttpFetch
from sandbox.meta_app import MetaApp
from sandbox.server import Server, listen
from sandbox.webhooks import HttpPost

ACCOUNTS_FILE = "accounts.json"
TOKENS_FILE = "tokens.json"
FILES_FOLDER = "files"


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; 1 if the port is in use, 2 if a secret is missing."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--home", type=Path, required=True, help="where the accounts are kept")
    parser.add_argument("--url", help="where others find it; from host and port if left out")
    parser.add_argument("--router", default="http://127.0.0.1:3000", help="where webhooks are sent")
    options = parser.parse_args(argv)
    missing = [name for name in ("META_APP_SECRET", "META_VERIFY_TOKEN") if not os.environ.get(name)]
    if missing:
        print(f"{' and '.join(missing)} must be set: the sandbox signs Meta's webhooks with them", file=sys.stderr)
        return 2
    uvloop.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    try:
        listening = listen(options.host, options.port)
    except OSError:
        sys.exit(f"Port {options.port} is already in use")
    gc.set_threshold(50_000, 20, 100)  # the log keeps much and makes no cycles: looking for them often is for nothing
    address = f"http://{options.host}:{listening.getsockname()[1]}"
    http, fetch = HttpPost(options.router), HttpFetch()
    sandbox = build_sandbox(
        Accounts(options.home / ACCOUNTS_FILE),
        _meta_app(),
        http,
        http.get,
        fetch=fetch,
        url=(options.url or address).rstrip("/"),
        tokens_path=options.home / TOKENS_FILE,
        folder=options.home / FILES_FOLDER,
    )
    server = Server(sandbox)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start(listening)
    print(f"sandbox {address}", flush=True)
    await stop.wait()
    await server.close()
    await sandbox.close()
    await http.close()
    await fetch.close()


def _meta_app() -> MetaApp:
    """Of two values, both valid while a secret is rotated, the first signs."""
    secret, token = (os.environ[name].split(",")[0].strip() for name in ("META_APP_SECRET", "META_VERIFY_TOKEN"))
    return MetaApp(secret, token)


if __name__ == "__main__":
    sys.exit(main())
