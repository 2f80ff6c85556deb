"""Stands in front of the haproxy binary of Ray Serve and narrows what its configuration opens.

    haproxy.py --binary HAPROXY --public HOST PORT -- ARGUMENT_OF_HAPROXY...

Serve's template binds its statistics and metrics pages to every interface and lets every user of the machine write to
the admin socket. Here every listener moves to loopback, but for the public port, which gets the host that was asked
for; a listener that would still be open to others ends the start. The process then becomes haproxy.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import signal
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1

_BIND = re.compile(r"^(?P<indent>\s*bind\s+)(?P<host>\S*):(?P<port>\d+)(?P<rest>.*)$")


def main(arguments: list[str]) -> None:
    """Narrow the configuration that haproxy is about to read, then become haproxy."""
    parser = argparse.ArgumentParser(prog="haproxy")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--public", nargs=2, required=True, metavar=("HOST", "PORT"))
    parser.add_argument("haproxy", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    passed_on = options.haproxy[1:]
    host, port = options.public
    _rewrite(Path(passed_on[passed_on.index("-f") + 1]), host, int(port))
    _end_with_parent()
    os.execv(options.binary, [options.binary, *passed_on])


def narrow(configuration: str, host: str, port: int) -> str:
    """The configuration with every listener on loopback, except `port`, which listens on `host`."""
    return "".join(_narrow_line(line, host, port) for line in configuration.splitlines(keepends=True))


def _narrow_line(line: str, host: str, port: int) -> str:
    words = line.split()
    if words[:1] == ["bind"]:
        if not (match := _BIND.match(line)):
            raise SystemExit(f"haproxy: cannot tell where this listens: {line.strip()}")
        where = _for_bind(host) if int(match["port"]) == port else LOOPBACK
        return f"{match['indent']}{where}:{match['port']}{match['rest']}\n"
    if words[:2] == ["stats", "socket"]:
        return line.replace("mode 666", "mode 600")
    if words[:1] == ["log"] and words[-2:] == ["local0", "info"]:
        return ""  # an access log as UDP datagrams to whoever sits on port 514
    return line


def _for_bind(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _rewrite(path: Path, host: str, port: int) -> None:
    narrowed = path.with_name(f"{path.name}.narrowed")
    narrowed.write_text(narrow(path.read_text(), host, port))
    # In place: Serve recognizes its haproxy processes by the path in their arguments.
    narrowed.replace(path)


def _end_with_parent() -> None:
    """Let the kernel stop haproxy when the actor that started it dies.

    Otherwise a killed actor leaves behind a haproxy that shares the port with its successor's by SO_REUSEPORT and goes
    on sending half of the requests to replicas that no longer exist.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)  # soft: open requests are still answered
    if os.getppid() != parent:
        raise SystemExit("haproxy: the actor that started this has ended")


if __name__ == "__main__":
    main(sys.argv[1:])
