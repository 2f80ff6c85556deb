"""What a broken connection means, over the real transport and a server that misbehaves."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trunkline.clients.http import Answer, CloudHttp, open_http
from trunkline.errors import OutcomeUnknown, TrunklineError, Unavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
TIMEOUT_S = 0.3

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Server:
    """A server on loopback that reads each request whole and then does what `behave` says."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.behave: Callable[[Writer], Awaitable[None]] = self.answer
        self.server: asyncio.Server | None = None
        self._writers: list[Writer] = []

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/path"

    async def start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self._writers:
            writer.close()
        await self.server.wait_closed()

    async def answer(self, writer: Writer) -> None:
        writer.write(OK)
        await writer.drain()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self.behave(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def http() -> AsyncIterator[CloudHttp]:
    opened = open_http(TIMEOUT_S)
    yield opened
    await opened.close()


async def post(http: CloudHttp, url: str) -> Answer:
    return await http.post(url, {"Authorization": "Bearer token-1", "Content-Type": "application/json"}, b'{"a":1}')


async def test_an_answer_comes_back_whatever_its_status(http: CloudHttp, server: Server) -> None:
    async def refuse(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 429 Too Many\r\nRetry-After: 17\r\nContent-Length: 4\r\n\r\nwait")

    server.behave = refuse
    answer = await post(http, server.url)
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "17", b"wait")
    (request,) = server.requests
    assert request.startswith(b"POST /path HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"a":1}')
    assert b"Authorization: Bearer token-1\r\n" in request.replace(b"authorization", b"Authorization")


async def test_connections_are_used_again(http: CloudHttp, server: Server) -> None:
    for _ in range(5):
        await post(http, server.url)
    assert server.connections == 1


async def test_a_redirect_takes_no_token_along(http: CloudHttp, server: Server) -> None:
    async def redirect(writer: Writer) -> None:
        writer.write(f"HTTP/1.1 307 Elsewhere\r\nLocation: {server.url}\r\nContent-Length: 0\r\n\r\n".encode())

    server.behave = redirect
    assert (await post(http, server.url)).status == 307
    assert len(server.requests) == 1


async def _hang_up(writer: Writer) -> None:
    writer.close()


async def _reset(writer: Writer) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _say_nothing(writer: Writer) -> None:
    await asyncio.sleep(0)


async def _stop_in_the_middle(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{")
    await writer.drain()
    writer.close()


async def _talk_nonsense(writer: Writer) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()


async def _drip(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(TIMEOUT_S / 10)


@pytest.mark.parametrize("behaviour", [_hang_up, _reset, _say_nothing, _stop_in_the_middle, _talk_nonsense, _drip])
async def test_a_request_that_left_and_got_no_whole_answer_has_an_unknown_outcome(
    http: CloudHttp, server: Server, behaviour: Callable[[Writer], Awaitable[None]]
) -> None:
    server.behave = behaviour
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown) as unknown:
        await post(http, server.url)
    assert len(server.requests) == 1, "it must not be sent again by itself"
    assert time.monotonic() - began < TIMEOUT_S * 5
    assert "token-1" not in str(unknown.value)


async def test_a_reused_connection_that_the_server_has_closed_does_not_repeat_the_request(
    http: CloudHttp, server: Server
) -> None:
    await post(http, server.url)
    server.behave = _hang_up
    with pytest.raises(OutcomeUnknown):
        await post(http, server.url)
    assert len(server.requests) == 2


async def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_a_refused_connection_left_nothing(http: CloudHttp) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        await post(http, f"http://127.0.0.1:{await _free_port()}/")


async def test_a_name_that_does_not_resolve_left_nothing(http: CloudHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
    with pytest.raises(Unavailable, match="no connection"):
        await post(http, "http://api.mypurecloud.invalid/")


async def test_a_failed_tls_handshake_left_nothing(http: CloudHttp, server: Server) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        await post(http, server.url.replace("http://", "https://"))
    assert server.requests == []


async def test_a_server_that_never_accepts_left_nothing(http: CloudHttp) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        # The queue of connections that nobody accepts is full after these.
        waiting = [socket.socket() for _ in range(8)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            with pytest.raises(Unavailable, match="no connection"):
                await post(http, f"http://127.0.0.1:{address[1]}/")
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize("url", ["", "no-scheme/path", "ftp://files.example/", "http://", "http://[::1", "http://a:b/"])
async def test_a_url_that_is_none_left_nothing(http: CloudHttp, url: str) -> None:
    with pytest.raises(Unavailable):
        await post(http, url)


async def test_many_calls_at_once_do_not_disturb_each_other(http: CloudHttp, server: Server) -> None:
    async def one(number: int) -> Answer | TrunklineError:
        try:
            return await post(http, server.url if number % 2 else f"http://127.0.0.1:{refused}/")
        except TrunklineError as error:
            return error

    refused = await _free_port()
    answers = await asyncio.gather(*(one(number) for number in range(40)))
    assert [isinstance(answer, Answer) for answer in answers] == [bool(number % 2) for number in range(40)]


async def test_a_certificate_that_nobody_vouches_for_gets_no_token(
    http: CloudHttp, server: Server, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    tls = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    with pytest.raises(Unavailable, match="no connection"):
        await post(http, f"https://127.0.0.1:{tls.sockets[0].getsockname()[1]}/")
    assert server.requests == []
    tls.close()
    await tls.wait_closed()


def _self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file
