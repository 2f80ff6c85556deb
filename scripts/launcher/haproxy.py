"""Stands in front of the haproxy binary of Ray Serve and narrows what its configuration opens.

    haproxy.py --binary HAPROXY --public HOST PORT -- ARGUMENT_OF_HAPROXY...

Serve's template binds its statistics and metrics pages to every interface and lets every user of the machine write to
the admin socket. Here every listener moves to loopback, but for the public port, which gets the host that was asked
for; a listener that cannot be understood ends the start. The process then becomes haproxy.

It is made to stand slow and idle clients: a request has 10 s to arrive, headers and the beginning of its body, and
takes no place of a replica until then. As many connections are held as the system's limit of open files allows, where
Serve's fixed number would have haproxy refuse to start.

It also closes a gap. When the actor that keeps haproxy is killed, Serve starts another one, whose first configuration
has no applications: every request would be answered 404. So a haproxy without applications listens nowhere, the one
of the killed actor lives on and serves, and the first one with applications takes its listening sockets over, with
whoever waits in them: a port given up and bound again would refuse connections for a moment.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import socket
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
ORPHANS_SOCKET = "orphans.sock"

MOST_CONNECTIONS = 10_000
# Each connection has another one to a replica, every fourth a pipe with two ends; haproxy needs some for itself.
_FILES_PER_CONNECTION = 2.5
_OWN_FILES = 500

_SECTION = re.compile(r"^(global|defaults|frontend|backend|listen)\b")
_ADDED = {
    "defaults": ("timeout http-request 10s",),
    "frontend http_frontend": (
        "option http-buffer-request",
        # Whoever calls, for the audit log. A proxy on this machine has said so itself.
        "option forwardfor except 127.0.0.0/8",
        "http-response del-header Server",
        # Replicas read a request whole before they answer; else Serve spends a task on each to watch for its end.
        "http-request set-header x-request-disconnect-disabled ?1",
    ),
}
_BIND = re.compile(r"^(?P<indent>\s*bind\s+)(?P<host>\S*):(?P<port>\d+)(?P<rest>\s.*)?$")


def main(arguments: list[str]) -> None:
    """Narrow the configuration that haproxy is about to read, then become haproxy."""
    parser = argparse.ArgumentParser(prog="haproxy")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--public", nargs=2, required=True, metavar=("HOST", "PORT"))
    parser.add_argument("haproxy", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    passed_on = options.haproxy[1:]
    path = passed_on[passed_on.index("-f") + 1]
    host, port = options.public
    configuration = Path(path).read_text()
    _, open_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    _replace(Path(path), harden(narrow(configuration, host, int(port)), open_files))
    if orphans := _orphans(path):
        passed_on += _take_over(orphans, admin_socket(configuration), has_applications(configuration))
    os.setsid()  # Ray kills the process group of an actor that has died
    os.execv(options.binary, [options.binary, *passed_on])


def narrow(configuration: str, host: str, port: int) -> str:
    """The configuration with every listener on loopback, but for `port`, on `host`; with none before applications."""
    listens = has_applications(configuration)
    lines = configuration.splitlines(keepends=True)
    return "".join(_narrow_line(line, host, port) for line in lines if listens or not _is_bind(line))


def harden(configuration: str, open_files: int) -> str:
    """The configuration with limits on what clients may take: time, places of replicas, `open_files`."""
    lines = configuration.splitlines(keepends=True)
    return "".join(_harden_line(line, open_files) for line in lines)


def has_applications(configuration: str) -> bool:
    """Whether there is any server to send requests to."""
    return any(line.split()[:1] == ["server"] for line in configuration.splitlines())


def admin_socket(configuration: str) -> Path:
    """Where a haproxy with this configuration takes orders, and gives its listening sockets away."""
    found = re.search(r"^\s*stats\s+socket\s+(\S+)", configuration, re.MULTILINE)
    if found is None:
        raise SystemExit("haproxy: no admin socket in the configuration")
    return Path(found[1])


def _take_over(orphans: list[str], admin: Path, listens: bool) -> list[str]:
    """Arguments by which the new haproxy follows those of a killed actor, once it listens."""
    kept = admin.with_name(ORPHANS_SOCKET)
    if listens:
        # They give their sockets away and finish what they have. The last -x counts: Serve's own has nothing to give.
        return ["-sf", *orphans, *(["-x", str(kept)] if kept.exists() else [])]
    if not _answers(kept):
        # The new haproxy makes its admin socket under the same name: the old one moves out of its way.
        with contextlib.suppress(FileNotFoundError):
            admin.replace(kept)
    return []


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return False
    return True


def _is_bind(line: str) -> bool:
    return line.split()[:1] == ["bind"]


def _narrow_line(line: str, host: str, port: int) -> str:
    if _is_bind(line):
        return _narrow_bind(line.rstrip("\n"), host, port)
    words = line.split()
    if words[:2] == ["stats", "socket"]:
        return line.replace("mode 666", "mode 600")
    if words[:1] == ["log"] and words[-2:] == ["local0", "info"]:
        return ""  # an access log as UDP datagrams to whoever sits on port 514
    return line


def _harden_line(line: str, open_files: int) -> str:
    if _SECTION.match(line):
        added = _ADDED.get(" ".join(line.split()), ())
        return line + "".join(f"    {each}\n" for each in added)
    if line.split()[:1] == ["maxconn"]:
        return f"    maxconn {_connections(open_files)}\n"
    return line


def _connections(open_files: int) -> int:
    if open_files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(1, min(MOST_CONNECTIONS, int((open_files - _OWN_FILES) / _FILES_PER_CONNECTION)))


def _narrow_bind(line: str, host: str, port: int) -> str:
    if not (match := _BIND.match(line)):
        raise SystemExit(f"haproxy: cannot tell where this listens: {line.strip()}")
    where = host if int(match["port"]) == port else LOOPBACK
    shown = f"[{where}]" if ":" in where else where
    return f"{match['indent']}{shown}:{match['port']}{match['rest'] or ''}\n"


def _replace(path: Path, text: str) -> None:
    """In place: Serve recognizes its haproxy processes by the path in their arguments."""
    narrowed = path.with_name(f"{path.name}.narrowed")
    narrowed.write_text(text)
    narrowed.replace(path)


def _orphans(path: str) -> list[str]:
    """Processes of haproxy with this configuration that the actor which started us does not keep."""
    return [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _is_orphan(entry, path)
    ]


def _is_orphan(process: Path, path: str) -> bool:
    try:
        arguments = (process / "cmdline").read_text().split("\0")
        parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, UnicodeDecodeError):
        return False
    return path in arguments and "-db" in arguments and parent != os.getppid()


if __name__ == "__main__":
    main(sys.argv[1:])
