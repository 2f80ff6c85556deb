"""Drains Trunkline before its Ray is stopped: what is under way is finished and stored. `python -m actors.drain`."""

from __future__ import annotations

import asyncio
import sys

from actors import directory
from actors.deploy import connect
from trunkline.errors import TrunklineError

DRAIN_TIMEOUT_S = 14.0


def main() -> int:
    """Drain; 0 when every transformer has finished."""
    try:
        connect()
        asyncio.run(directory.answer(directory.supervisor().drain.remote(), directory.SUPERVISOR, DRAIN_TIMEOUT_S))
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
