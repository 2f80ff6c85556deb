"""A server on loopback that has files, redirects and trouble, and tells who asked with which token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FileServer:
    """Answers `paths`; remembers every request with its token."""

    def __init__(self) -> None:
        self.paths: dict[str, Handler] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def answer(self, path: str, status: int = 200, body: Any = b"", **headers: str) -> None:
        """Answer `path` so: with bytes, or an object as JSON."""

        async def handle(request: web.Request) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, bytes):
                return web.Response(status=status, body=body, headers=named)
            return web.json_response(body, status=status, headers=named)

        self.paths[path] = handle

    def redirect(self, path: str, target: str) -> None:
        """Send whoever asks for `path` elsewhere."""
        self.answer(path, 302, b"", Location=target)

    def guard(self, path: str, token: str, status: int, body: bytes) -> None:
        """Answer `path` with bytes for who has the token, with `status` for others."""

        async def handle(request: web.Request) -> web.StreamResponse:
            knows = request.headers.get("Authorization") == f"Bearer {token}"
            return web.Response(body=body) if knows else web.Response(status=status)

        self.paths[path] = handle

    def stream(self, path: str, size: int, breaks_at: int | None = None, kind: str = "application/pdf") -> None:
        """Answer `path` with so many bytes; the connection breaks after `breaks_at` of them."""

        async def handle(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": kind, "Content-Length": str(size)})
            await response.prepare(request)
            piece = bytes(range(256)) * 256
            for start in range(0, breaks_at or size, len(piece)):
                await response.write(piece[: size - start])
            if breaks_at is not None and request.transport is not None:
                request.transport.abort()
            return response

        self.paths[path] = handle

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        self.asked.append((request.path, token or None if scheme == "Bearer" else None))
        handler = self.paths.get(request.path)
        return await handler(request) if handler else web.Response(status=404)


@asynccontextmanager
async def serving(host: str = "127.0.0.1") -> AsyncIterator[FileServer]:
    """A file server for as long as this lasts."""
    server = FileServer()
    application = web.Application(client_max_size=200 * 2**20)
    application.router.add_route("*", "/{path:.*}", server._handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
