"""What the HAProxy of Ray Serve opens, after it was narrowed."""

from __future__ import annotations

import pytest

from scripts.launcher.haproxy import narrow

STARTING = """\
global
    log 127.0.0.1:514 local0 info
    stats socket /run/x/admin.sock mode 666 level admin expose-fd listeners
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
