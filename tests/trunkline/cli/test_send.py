"""`trunkline send`, against a sandbox that answers as a test says."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.trunkline.cli.conftest import Run
from trunkline.cli import send

pytestmark = pytest.mark.services

MS = 1_000_000


class FakeSandbox:
    """Answers `send` with `sent`, and each look at events with those that are wanted and newer."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.sent = _sent()
        sandbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sandbox.orders.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status = 200 if "id" in sandbox.sent else 404
                self._answer(status, sandbox.sent)

            def do_GET(self) -> None:
                wanted = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self._answer(200, {"events": sandbox.find(wanted)})

            def _answer(self, status: int, body: Any) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def find(self, wanted: dict[str, str]) -> list[dict[str, Any]]:
        names = ("kind", "id", "conversation")
        return [
            event
            for event in self.events
            if event["seq"] > int(wanted["since"])
            and all(event[name] == wanted[name] for name in names if name in wanted)
        ]


def _sent(**changes: Any) -> dict[str, Any]:
    return {
        "id": "wamid.1",
        "tenantId": "demo",
        "sentMonoNs": 1000 * MS,
        "latencyMs": 4.2,
        "status": 200,
        "repeating": False,
        "since": 7,
        "expect": {"kind": "genesys_message", "id": "wamid.1"},
        **changes,
    }


def _event(seq: int, kind: str, ms: float, **changes: Any) -> dict[str, Any]:
    return {
        "seq": seq, "kind": kind, "id": "wamid.1", "conversation": "c", "monoNs": int((1000 + ms) * MS), "status": 200,
        "code": "", "lost": False, "text": "hello", **changes,
    }  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[FakeSandbox]:
    fake = FakeSandbox()
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()
    thread.join(5)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "DELIVERED_WITHIN_S", 0.3)
    monkeypatch.setattr(send, "TICKS_WITHIN_S", 0.3)


def test_a_customers_message_is_followed_to_the_agent(run: Run, sandbox: FakeSandbox) -> None:
    sandbox.events = [
        _event(3, "genesys_message", -50.0),
        _event(8, "genesys_message", 22.6, id="wamid.another"),
        _event(9, "genesys_message", 23.4),
    ]
    ran = run("send", "--as", "customer", "hello", "--customer", "+447700900111", "--sandbox", sandbox.url)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert "posts the webhook of wamid.1" in lines[0]
    assert lines[1].split() == ["4.2", "ms", "answered", "200"]
    assert lines[2].split()[0] == "23.4" and "agent" in lines[2]
    assert lines[-1] == "delivered in 23 ms"
    assert sandbox.orders == [{"as": "customer", "tenantId": "demo", "text": "hello", "customer": "447700900111"}]


def test_an_agents_message_is_followed_to_the_phone_and_its_ticks_back(run: Run, sandbox: FakeSandbox) -> None:
    sandbox.sent = _sent(id="g1", expect={"kind": "graph_send", "conversation": "c"})
    sandbox.events = [
        _event(8, "graph_send", 10.0, text="an other text"),
        _event(9, "graph_send", 15.0, status=503, code="fault"),
        _event(10, "graph_send", 31.0),
        _event(11, "genesys_receipt", 40.0, id="g1", text="Published"),
        _event(12, "genesys_receipt", 48.0, id="g1", text="Delivered"),
    ]
    ran = run("send", "--as", "agent", "hello", "--sandbox", sandbox.url, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["delivered"] is True and ran.json["milliseconds"] == 31.0
    told = [(step["ms"], step["step"]) for step in ran.json["steps"]]
    assert told[2] == (15.0, "refused with 503 fault")
    assert told[3][0] == 31.0 and "phone" in told[3][1]
    assert [told[4][0], told[5][0]] == [40.0, 48.0] and "Delivered" in told[5][1]


@pytest.mark.parametrize(
    ("side", "name", "members"),
    [
        pytest.param("customer", "a.jpg", {"kind": "image", "content": {"mime": "image/jpeg"}}, id="a picture"),
        pytest.param(
            "customer", "a.pdf", {"kind": "document", "content": {"mime": "application/pdf"}}, id="a document"
        ),
        pytest.param("customer", "a", {"kind": "document", "content": {"mime": "application/octet-stream"}}, id="any"),
        pytest.param("agent", "a.png", {"kind": "attachments", "content": [{"mime": "image/png"}]}, id="of an agent"),
    ],
)
def test_a_file_is_sent_along(
    run: Run, sandbox: FakeSandbox, tmp_path: Path, side: str, name: str, members: dict[str, Any]
) -> None:
    (tmp_path / name).write_bytes(b"bytes")
    run("send", "--as", side, "look", "--file", str(tmp_path / name), "--sandbox", sandbox.url)
    (order,) = sandbox.orders
    file = {"base64": base64.b64encode(b"bytes").decode(), "filename": name}
    content = members["content"]
    wanted = [{**content[0], **file}] if isinstance(content, list) else {**content, **file}
    assert (order["kind"], order["content"], order["text"]) == (members["kind"], wanted, "look")


@pytest.mark.parametrize(
    ("size", "words"), [pytest.param(None, "cannot be read", id="none"), pytest.param(3_000_001, "no more", id="large")]
)
def test_a_file_that_cannot_be_sent_is_named(
    run: Run, sandbox: FakeSandbox, tmp_path: Path, size: int | None, words: str
) -> None:
    path = tmp_path / "a.jpg"
    if size is not None:
        path.write_bytes(bytes(size))
    ran = run("send", "--as", "customer", "look", "--file", str(path), "--sandbox", sandbox.url)
    assert ran.code == 1 and str(path) in ran.err.replace("\n", "") and words in ran.err
    assert sandbox.orders == []


def test_what_arrived_before_the_webhook_was_answered_is_told_first(run: Run, sandbox: FakeSandbox) -> None:
    sandbox.events = [_event(9, "genesys_message", 3.1)]
    ran = run("send", "--as", "customer", "hello", "--sandbox", sandbox.url)
    assert [line.split()[0] for line in ran.out.splitlines()[:3]] == ["0.0", "3.1", "4.2"]


def test_a_message_that_does_not_arrive_is_exit_code_1_and_says_where_it_is(run: Run, sandbox: FakeSandbox) -> None:
    ran = run("send", "--as", "customer", "hello", "--sandbox", sandbox.url)
    assert ran.code == 1
    assert "not delivered within" in ran.out
    assert "no trace" in ran.err
    as_json = run("send", "--as", "customer", "hello", "--sandbox", sandbox.url, "--json")
    assert (as_json.code, as_json.json["delivered"], as_json.json["trace"]) == (1, False, None)


def test_a_webhook_that_is_refused_is_exit_code_1_at_once(run: Run, sandbox: FakeSandbox) -> None:
    sandbox.sent = _sent(status=403)
    ran = run("send", "--as", "customer", "hello", "--sandbox", sandbox.url)
    assert ran.code == 1 and "answered 403" in ran.err


def test_the_sandboxs_own_refusal_is_passed_on(run: Run, sandbox: FakeSandbox) -> None:
    sandbox.sent = {"error": "No account of tenant alder is registered"}
    ran = run("send", "--as", "customer", "hello", "--tenant", "alder", "--sandbox", sandbox.url)
    assert ran.code == 1 and "No account of tenant alder" in ran.err


def test_a_sandbox_that_is_not_there_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_URL", "http://127.0.0.1:1")
    ran = run("send", "--as", "customer", "hello")
    assert ran.code == 1 and "http://127.0.0.1:1" in ran.err
