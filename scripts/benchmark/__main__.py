"""`scripts/bench`: from the command line to the measurement that was asked for."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from scripts.benchmark import admin_run, profile_run, rows_run, tenants
from scripts.benchmark.load import LoadFailed
from scripts.benchmark.options import Options, parse
from scripts.benchmark.stage import STOP_SIGNALS, StageFailed
from scripts.launcher.console import Console, complain

INTERRUPTED = 130

# Each run measures, saying how far it is, then prints and keeps its result and answers the exit status.
Measure = Callable[[Options, Path, Callable[[str], None]], dict[str, Any]]
Publish = Callable[[dict[str, Any], Options], int]


def main(arguments: list[str]) -> int:
    """Measure, print, write; the exit status."""
    options = parse(arguments)
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    folder.chmod(0o711)  # the user that Postgres runs as must be able to walk through
    measure, publish = _what_to_do(options)
    try:
        result = measure(options, folder, Console().step)
    except KeyboardInterrupt:
        complain("interrupted; everything is stopped")
        return INTERRUPTED
    except (StageFailed, LoadFailed, tenants.SetUpFailed) as error:
        complain(error)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return publish(result, options)


def _what_to_do(options: Options) -> tuple[Measure, Publish]:
    if options.admin:
        return admin_run.measure, admin_run.publish
    if options.profile:
        return profile_run.measure, profile_run.publish
    return rows_run.measure, rows_run.publish


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Go to the end; what is stopped on the way there must not be broken off by a second signal."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
