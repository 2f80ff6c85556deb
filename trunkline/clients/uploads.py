"""Streaming uploads of files, as multipart forms."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp

from trunkline.clients.http import CONNECT_TIMEOUT_S, KEEPALIVE_S, OWN_HEADERS, Answer
from trunkline.errors import Unavailable

CHUNK_BYTES = 256 * 1024
LONGEST_S = 300.0
# The far side looks at the whole file before it answers.
ANSWER_WITHIN_S = 60.0
CONNECTIONS_LIMIT = 100
_NOT_IN_HEADERS = re.compile(r'[\x00-\x1f\x7f"\\]')


@dataclass(frozen=True, slots=True)
class FileForm:
    """A form with one file, its last member."""

    fields: Mapping[str, str]
    path: Path
    mime: str
    filename: str


class Uploads:
    """POSTs of files for one process and event loop; to be built inside it. `timeout_s` is the longest standstill."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.under_way = 0
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_LIMIT, keepalive_timeout=KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=LONGEST_S, sock_connect=min(timeout_s / 2, CONNECT_TIMEOUT_S)),
            headers=OWN_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def post(self, url: str, bearer: str, form: FileForm) -> Answer:
        """The answer to the form, whatever its status.

        Raises Unavailable when none comes: a file that was uploaded in vain harms nobody.
        """
        before, after, boundary = _frame(form)
        self.under_way += 1
        try:
            with await asyncio.to_thread(form.path.open, "rb") as file:
                size = len(before) + os.fstat(file.fileno()).st_size + len(after)
                headers = {
                    "Authorization": f"Bearer {bearer}",
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(size),
                }
                async with asyncio.timeout(self._timeout_s) as patience:
                    body = self._body(before, file, after, patience)
                    async with self._session.post(url, headers=headers, data=body, allow_redirects=False) as response:
                        return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the file was not uploaded: {type(error).__name__}") from None
        finally:
            self.under_way -= 1

    async def _body(
        self, before: bytes, file: BinaryIO, after: bytes, patience: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        """The form's bytes; each piece that leaves gains time for the next, the last one for the answer."""
        loop = asyncio.get_running_loop()
        yield before
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            patience.reschedule(loop.time() + self._timeout_s)
            yield chunk
        patience.reschedule(loop.time() + max(self._timeout_s, ANSWER_WITHIN_S))
        yield after

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


def _frame(form: FileForm) -> tuple[bytes, bytes, str]:
    """What stands before and after the file, and the boundary between the parts."""
    boundary = f"trunkline-{secrets.token_hex(16)}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.fields.items()
    ]
    filename = _NOT_IN_HEADERS.sub("_", form.filename)
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {form.mime}\r\n\r\n"
    )
    return "".join(parts).encode(errors="replace"), f"\r\n--{boundary}--\r\n".encode(), boundary
