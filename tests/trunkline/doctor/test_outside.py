"""What the doctor sees of the machine and of what lies outside: ports, disks, clocks, certificates."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config.settings import Settings
from tests.trunkline.doctor.systems import scene
from trunkline.cli.api import Router
from trunkline.doctor.facts import Look, Scene, Unseen, gather
from trunkline.doctor.machine import DISKS, INSTANCE, MEDIA, PORTS, STRAIN, Instance
from trunkline.doctor.outside import CLOCKS, PUBLIC_URL
from trunkline.doctor.router import HEALTH
from trunkline.doctor.stores import POSTGRES, RABBITMQ, REDIS, StoreAnswer


def here(**settings: Any) -> Scene:
    """A router on this machine with these settings."""
    return scene(settings=Settings(**settings))


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def served(
    answer: dict[str, Any], *, ahead: timedelta = timedelta(), tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """The port of a server that answers everything so, with a clock that is ahead."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(answer).encode()
            self.send_response_only(200)
            self.send_header("Date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.mark.parametrize(
    ("look", "name", "url", "words"),
    [
        pytest.param(POSTGRES, "database_url", "postgresql://u:{secret}@127.0.0.1:{port}/x",
                     "Postgres cannot be reached", id="Postgres"),
        pytest.param(REDIS, "redis_url", "redis://:{secret}@127.0.0.1:{port}/0", "Cannot connect to Redis", id="Redis"),
        pytest.param(RABBITMQ, "rabbitmq_url", "amqp://u:{secret}@127.0.0.1:{port}/%2F",
                     "Cannot connect to RabbitMQ: connect ECONNREFUSED 127.0.0.1:{port}", id="RabbitMQ"),
    ],
)  # fmt: skip
def test_a_store_where_nobody_listens_is_told_in_the_words_that_operators_know(
    look: Look[StoreAnswer], name: str, url: str, words: str, closed_port: int
) -> None:
    given = here(**{name: url.format(port=closed_port, secret="the-password")})
    answer = gather([look], given).of(look)
    assert answer.where == f"127.0.0.1:{closed_port}"
    assert answer.error is not None
    assert words.format(port=closed_port) in answer.error
    assert "the-password" not in repr(answer)


@pytest.mark.parametrize("look", [POSTGRES, REDIS, RABBITMQ], ids=lambda look: str(look.name))
def test_a_store_without_an_address_is_not_looked_for(look: Look[StoreAnswer]) -> None:
    with pytest.raises(Unseen, match="is not set and no instance runs here"):
        gather([look], here()).of(look)


@pytest.mark.parametrize(
    "look", [POSTGRES, REDIS, RABBITMQ, PORTS, DISKS, STRAIN, CLOCKS], ids=lambda look: str(look.name)
)
def test_with_a_router_elsewhere_this_machine_is_left_alone(look: Look[Any]) -> None:
    with pytest.raises(Unseen, match="needs the machine that Trunkline runs on"):
        gather([look], scene(is_here=False)).of(look)


def test_who_listens_on_our_port_is_named(closed_port: int) -> None:
    assert gather([PORTS], here(port=closed_port)).of(PORTS)[closed_port] is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        listener = gather([PORTS], here(port=port)).of(PORTS)[port]
    assert listener is not None
    assert (listener.port, listener.pid) == (port, os.getpid())
    assert listener.program == Path("/proc/self/comm").read_text().strip()


def test_what_answers_and_is_not_trunkline_is_not_taken_for_it() -> None:
    with served({"hello": "world"}) as port:
        url = f"http://127.0.0.1:{port}"
        answering = gather([HEALTH], scene(api=Router(url, "key"), url=url)).of(HEALTH)
    assert answering.health is None
    assert answering.error == f"what answers at {url} is not Trunkline"


def test_an_instance_that_was_killed_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"pid": os.getpid(), "children": {"Redis": [2**22 + 1, 1]}}))
    assert gather([INSTANCE], here(trunkline_home=tmp_path)).of(INSTANCE) == Instance(os.getpid(), ("Redis",))
    (tmp_path / "state.json").write_text(json.dumps({"pid": 2**22 + 1, "children": {}}))
    assert gather([INSTANCE], here(trunkline_home=tmp_path)).of(INSTANCE) == Instance(None, ())


def test_disks_and_kept_files_are_measured(tmp_path: Path) -> None:
    (tmp_path / "media" / "acme").mkdir(parents=True)
    (tmp_path / "media" / "acme" / "file").write_bytes(b"x" * 5000)
    facts = gather([DISKS, MEDIA, STRAIN], here(trunkline_home=tmp_path))
    (disk,) = facts.of(DISKS)
    assert 0 < disk.free < disk.total
    assert facts.of(MEDIA) == 5000
    assert facts.of(STRAIN).cores == os.cpu_count()


def test_a_cloud_whose_clock_differs_is_found_by_its_date() -> None:
    with served({}, ahead=timedelta(seconds=90)) as port, served({}) as other:
        urls = {"genesys_login_url": f"http://127.0.0.1:{port}", "graph_api_url": f"http://127.0.0.1:{other}"}
        clocks = gather([CLOCKS], here(**urls)).of(CLOCKS)
    assert clocks["Genesys Cloud"].ahead_s == pytest.approx(90, abs=2)
    assert clocks["WhatsApp"].ahead_s == pytest.approx(0, abs=2)
    assert clocks["Redis"].error is not None


def test_a_public_address_is_asked_and_its_certificate_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = (datetime.now(UTC) + timedelta(days=9)).replace(microsecond=0)
    path = tmp_path / "certificate.pem"
    path.write_bytes(_certificate(ends))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    with served({"status": "alive"}, tls=tls) as port:
        found = gather([PUBLIC_URL], here(public_url=f"https://localhost:{port}")).of(PUBLIC_URL)
    assert (found.answers, found.error, found.is_private) == (True, None, True)
    assert found.certificate_ends == ends


def test_a_public_address_that_leads_elsewhere_or_nowhere_is_found(closed_port: int) -> None:
    with served({"status": "somebody else"}) as port:
        found = gather([PUBLIC_URL], here(public_url=f"http://127.0.0.1:{port}")).of(PUBLIC_URL)
    assert (found.answers, found.error) == (False, "it answers 200, and not as Trunkline does")
    found = gather([PUBLIC_URL], here(public_url=f"http://127.0.0.1:{closed_port}")).of(PUBLIC_URL)
    assert not found.answers


def _certificate(ends: datetime) -> bytes:
    """A certificate of localhost that is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=30))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + made.public_bytes(serialization.Encoding.PEM)
