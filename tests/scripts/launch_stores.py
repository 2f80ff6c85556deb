"""A supervising process for the tests, to be killed: private stores in the folder that it is given, and nothing else.

Prints one line of JSON when they are ready, then keeps them alive until it is stopped.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from scripts.launcher import stores
from scripts.launcher.console import Console
from scripts.launcher.errors import StopRequestedError
from scripts.launcher.home import Home
from scripts.launcher.stores import Wish
from scripts.launcher.supervisor import Supervisor


def main(folder: Path) -> None:
    """Start, report, tend, stop."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    home = Home(folder)
    home.lock()
    supervisor = Supervisor(home.logs, Console(quiet=True))
    try:
        chosen = stores.choose({}, Wish(), home, lambda missing: None, lambda text: None)
        stores.start(chosen, supervisor)
        pids = {child.service.name: child.pid for child in supervisor.children}
        print(json.dumps({"urls": {store.variable: store.url for store in chosen}, "pids": pids}), flush=True)
        while True:
            supervisor.pause()
    except StopRequestedError:
        pass
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
