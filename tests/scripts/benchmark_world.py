"""A router with its clouds and its admin API, in one small server: what a load and its conditions need of them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KINDS = {"/webhook/whatsapp": "genesys_message", "/webhook/genesys": "graph_send"}


class World:
    """Answers every webhook 200 and delivers its messages, unless their tenants are suspended.

    `deliver` changes what arrives of a message: a list of texts. Looks like a stage of the benchmark.
    """

    name = "platform"

    def __init__(self) -> None:
        self.environment = {"META_APP_SECRET": "secret", "ADMIN_API_KEY": "key"}
        self.pid = os.getpid()
        self.deliver: Callable[[str], list[str]] = lambda text: [text]
        # What was asked for beside webhooks, in its order.
        self.asked: list[tuple[str, Any]] = []
        self.suspended: set[str] = set()
        # A router that does not keep to a suspension.
        self.leaks = False
        self.webhooks = 0
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, str]] = []
        self._events: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._size = 1

    @property
    def urls(self) -> dict[str, str]:
        """One address is everything."""
        url = f"http://127.0.0.1:{self.port}"
        return {"sandbox": url, "router": url}

    def require_running(self) -> None:
        """It does."""

    @contextlib.contextmanager
    def running(self) -> Iterator[World]:
        """Serve until the end."""
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                answered = world.answer(self.command, self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answered)))
                self.end_headers()
                self.wfile.write(answered)

            do_GET = do_POST = do_PATCH = _answer

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, method: str, target: str, body: Any) -> bytes:
        """What a request is answered with."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        with self._lock:
            if path in KINDS:
                self.webhooks += 1
                self._take(KINDS[path], body)
            elif path == "/sandbox/stats":
                return _json({"lastSeq": len(self._events), "counts": self._counts, "webhooksPending": 0})
            elif path == "/sandbox/records":
                wanted = self._events[int(query["since"][0]) :]
                return b"\n".join(_json(event) for event in wanted if event["kind"] == query["kind"][0])
            elif path == "/pools":
                return _json({"inbound": {"running": self._size, "changing": False}})
            else:
                self.asked.append((f"{method} {path}", body))
                self._change(path, body or {})
        return b"{}"

    def _take(self, kind: str, body: Any) -> None:
        if kind == "graph_send":
            return self._arrive(kind, body["text"])
        value = body["entry"][0]["changes"][0]["value"]
        for message in value["messages"]:
            if self.suspended and not self.leaks:
                self._waiting.append((kind, message["text"]["body"]))
            else:
                self._arrive(kind, message["text"]["body"])
        return None

    def _arrive(self, kind: str, text: str) -> None:
        for each in self.deliver(text):
            self._events.append(
                {"kind": kind, "text": each, "status": 200, "lost": False, "mono_ns": time.monotonic_ns()}
            )
            self._counts[f"{kind}:200"] += 1

    def _change(self, path: str, body: dict[str, Any]) -> None:
        if path.startswith("/tenants/") and "status" in body:
            held = {path.split("/")[2]}
            self.suspended = self.suspended | held if body["status"] == "suspended" else self.suspended - held
            if not self.suspended:
                waiting, self._waiting = self._waiting, []
                for kind, text in waiting:
                    self._arrive(kind, text)
        self._size = body.get("size", self._size)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
