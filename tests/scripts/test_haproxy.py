"""What the HAProxy of Ray Serve opens, after it was narrowed."""

from __future__ import annotations

import pytest

from scripts.launcher.haproxy import harden, narrow

STARTING = """\
global
    log 127.0.0.1:514 local0 info
    stats socket /run/x/admin.sock mode 666 level admin expose-fd listeners
    maxconn 4096
defaults
    mode http
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:3000
listen stats
  bind *:8404
"""
SERVING = STARTING + "backend webhooks\n    server replica 127.0.0.1:30000 check\n"


def _listeners(configuration: str) -> list[str]:
    return [line.split()[1] for line in configuration.splitlines() if line.split()[0] == "bind"]


@pytest.mark.parametrize(
    ("host", "public"),
    [
        pytest.param("127.0.0.1", "127.0.0.1:3000", id="loopback"),
        pytest.param("0.0.0.0", "0.0.0.0:3000", id="every interface, as asked"),
        pytest.param("::1", "[::1]:3000", id="an address with colons"),
    ],
)
def test_only_the_public_port_listens_where_it_was_asked_to(host: str, public: str) -> None:
    assert _listeners(narrow(SERVING, host, 3000)) == ["127.0.0.1:9101", public, "127.0.0.1:8404"]


def test_without_an_application_nothing_listens() -> None:
    assert _listeners(narrow(STARTING, "127.0.0.1", 3000)) == []


def test_options_of_a_listener_are_kept() -> None:
    assert "    bind 127.0.0.1:9000 proto h2\n" in narrow(SERVING + "    bind *:9000 proto h2\n", "127.0.0.1", 3000)


def test_a_listener_that_cannot_be_understood_ends_the_start() -> None:
    with pytest.raises(SystemExit, match="cannot tell where this listens"):
        narrow(SERVING + "    bind fd@4\n", "127.0.0.1", 3000)


def test_the_admin_socket_is_for_its_owner_and_no_log_leaves() -> None:
    narrowed = narrow(SERVING, "127.0.0.1", 3000)

    assert "admin.sock mode 600" in narrowed
    assert "514" not in narrowed


def _section(configuration: str, name: str) -> list[str]:
    found: dict[str, list[str]] = {}
    for line in configuration.splitlines():
        if not line.startswith(" "):
            current = found.setdefault(line, [])
        else:
            current.append(line.strip())
    return found[name]


def test_a_request_must_arrive_in_time_before_it_takes_a_place_of_a_replica() -> None:
    hardened = harden(SERVING, 20_000)

    assert "timeout http-request 10s" in _section(hardened, "defaults")
    assert "option http-buffer-request" in _section(hardened, "frontend http_frontend")
    assert _section(hardened, "frontend prometheus") == ["bind :9101"]


def test_an_answer_names_no_server_and_a_request_says_where_it_came_from() -> None:
    frontend = _section(harden(SERVING, 20_000), "frontend http_frontend")

    assert "http-response del-header Server" in frontend
    assert "option forwardfor except 127.0.0.0/8" in frontend


@pytest.mark.parametrize(
    ("open_files", "connections"),
    [
        pytest.param(1024, 209, id="a small limit"),
        pytest.param(524_288, 10_000, id="more than are wanted"),
        pytest.param(-1, 10_000, id="no limit"),
    ],
)
def test_as_many_connections_are_held_as_files_may_be_open(open_files: int, connections: int) -> None:
    assert _section(harden(SERVING, open_files), "global").count(f"maxconn {connections}") == 1
    assert "maxconn 4096" not in harden(SERVING, open_files)
