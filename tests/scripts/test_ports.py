"""Ports are looked at before a start, chosen once and kept."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.launcher import ports
from scripts.launcher.errors import PortTakenError
from scripts.launcher.home import Home


@pytest.fixture
def stranger() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_stranger_on_it_is_refused_by_its_number(stranger: int) -> None:
    with pytest.raises(PortTakenError, match=f"^Port {stranger} is already in use$"):
        ports.require_free(stranger)


def test_a_stranger_on_every_interface_is_noticed_on_loopback() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_is_free_again_as_soon_as_its_listener_is_gone() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((ports.LOOPBACK, port)), server.accept()[0]:
            pass  # the server closes first, so its end stays in TIME_WAIT
    assert ports.is_free(port)


def test_the_next_free_port_is_taken_where_people_look_for_a_page(stranger: int) -> None:
    assert ports.next_free(stranger) > stranger


def test_a_chosen_port_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    chosen = Home(tmp_path).port("redis")
    assert Home(tmp_path).port("redis") == chosen


def test_no_two_servers_get_one_port(tmp_path: Path) -> None:
    home = Home(tmp_path)
    chosen = [home.port(str(number)) for number in range(30)]
    assert len(set(chosen)) == len(chosen)


def test_a_port_that_a_stranger_has_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path)
    before = home.port("redis")
    with socket.create_server((ports.LOOPBACK, before)):
        after = home.port("redis")
    assert after != before
    assert home.port("redis") == after
