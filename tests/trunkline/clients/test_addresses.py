"""Addresses that a link from outside may lead to."""

from __future__ import annotations

import socket

import pytest
from yarl import URL

from trunkline.clients.addresses import AddressRefused, Destinations, authority, is_public, parse_url, public_socket
from trunkline.errors import Rejected


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::808:808", "198.17.255.1", "172.32.0.1"],
)
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001:db8::1", "100::1", "3fff::1",
    ],
)  # fmt: skip
def test_addresses_of_networks_and_of_nobody_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("written", ["", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "8.8.8.8 "])
def test_what_is_no_address_in_its_usual_spelling_is_not_public(written: str) -> None:
    assert not is_public(written)


def test_no_socket_is_made_for_an_address_that_is_not_public() -> None:
    with pytest.raises(AddressRefused):
        public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)))
    with public_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))) as made:
        assert made.family == socket.AF_INET


@pytest.mark.parametrize(
    "url",
    [
        "", "no link at all", "//host/file", "ftp://example.com/file", "file:///etc/passwd", "https:///file",
        "https://user:password@example.com/", "https://user@example.com/",
        "https://example.com:99999/", "https://example.com:0/", "https://[::1/",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_of_a_host_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Rejected) as refused:
        parse_url(url)
    assert refused.value.reason == "media_unavailable"
    assert not url or url not in str(refused.value)


def test_one_place_has_one_spelling() -> None:
    assert authority("HTTPS://API.Example.com/a?b#c") == authority("https://api.example.com:443") != ""
    assert authority("http://api.example.com") != authority("https://api.example.com")
    assert authority("https://api.example.com:8443") != authority("https://api.example.com")
    assert authority("https://api.example.com.") != authority("https://api.example.com")


def test_only_the_clouds_own_places_may_be_reached_without_tls() -> None:
    destinations = Destinations(["http://127.0.0.1:3001/graph/v25.0", ""])
    assert destinations.is_own(URL("http://127.0.0.1:3001/any/path"))
    assert not destinations.is_own(URL("https://127.0.0.1:3001/any/path"))
    for other in ("http://127.0.0.1:3002/", "http://127.0.0.2:3001/", "http://example.com/"):
        with pytest.raises(Rejected, match="https"):
            destinations.is_own(URL(other))
