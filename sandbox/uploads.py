"""Multipart uploads as they arrive: small fields in memory, the file on disk."""

from __future__ import annotations

import re
from typing import Literal

from sandbox.files import DiskFile, Files, Writing

LARGEST_FILE = 100 * 1024 * 1024
HEAD_LIMIT = 16_384
FIELDS_LIMIT = 65_536
_BOUNDARY = re.compile(r'^multipart/form-data\b.*;\s*boundary="?([^";]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(r'[;\s]name="?([^";\r\n]*)"?', re.IGNORECASE)
_FILENAME = re.compile(r"[;\s]filename\*?=", re.IGNORECASE)

_State = Literal["content", "boundary", "head", "end"]


class Upload:
    """One upload; `problem` says in words why it cannot be taken."""

    def __init__(self, content_type: str, files: Files) -> None:
        found = _BOUNDARY.match(content_type)
        self._files = files
        self._delimiter = b"\r\n--" + found[1].encode("latin-1") if found else b""
        self._buffer = bytearray(b"\r\n")  # the first boundary has no line before it
        self._state: _State = "content"
        self._field: str | None = None
        self._fields: dict[str, bytearray] = {}
        self._fields_size = 0
        self._writing: Writing | None = None
        self._file: DiskFile | None = None
        self.problem = "" if found else "The body is not multipart/form-data"
        self.too_large = False

    @property
    def file(self) -> DiskFile | None:
        """The file, if one came whole."""
        return self._file

    def field(self, name: str) -> str:
        """A field's text; empty when absent."""
        return self._fields.get(name, b"").decode("utf-8", "replace")

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body; what comes after a problem is passed over."""
        if self.problem:
            return
        self._buffer += data
        while not self.problem and self._step():
            pass

    def end(self) -> None:
        """The body has come to its end."""
        if self._state != "end" and not self.problem:
            self.problem = "The multipart body is cut off"

    def take(self) -> DiskFile | None:
        """The file, which from now on is the caller's."""
        file, self._file = self._file, None
        return file

    def abandon(self) -> None:
        """Delete what nobody took."""
        if self._writing is not None:
            self._writing.abandon()
            self._writing = None
        if self._file is not None:
            self._file.remove()
            self._file = None

    def _step(self) -> bool:
        match self._state:
            case "content":
                return self._read_content()
            case "boundary":
                return self._read_boundary()
            case "head":
                return self._read_head()
            case "end":
                self._buffer.clear()
                return False

    def _read_content(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            safe = len(self._buffer) - len(self._delimiter) + 1  # the rest may be the beginning of a boundary
            if safe > 0:
                self._keep(self._buffer[:safe])
                del self._buffer[:safe]
            return False
        self._keep(self._buffer[:at])
        del self._buffer[: at + len(self._delimiter)]
        self._finish_part()
        self._state = "boundary"
        return True

    def _read_boundary(self) -> bool:
        if len(self._buffer) < 2:
            return False
        self._state = "end" if self._buffer.startswith(b"--") else "head"
        return True

    def _read_head(self) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0:
            if len(self._buffer) > HEAD_LIMIT:
                self.problem = "The head of a part is too large"
            return False
        head = self._buffer[:at].decode("utf-8", "replace")
        del self._buffer[: at + 4]
        name = _NAME.search(head)
        self._field = name[1] if name else ""
        if self._field == "file" or _FILENAME.search(head):
            self._field = None
            self.abandon()  # of several files the last one counts
            self._writing = self._files.write()
        self._state = "content"
        return True

    def _keep(self, data: bytearray) -> None:
        if self._writing is not None:
            if self._writing.size + len(data) > LARGEST_FILE:
                self.too_large = True
                self.abandon()
            else:
                self._writing.write(data)
        elif self._field is not None:
            self._fields_size += len(data)
            if self._fields_size > FIELDS_LIMIT:
                self.problem = "The fields are too large"
            else:
                self._fields.setdefault(self._field, bytearray()).extend(data)

    def _finish_part(self) -> None:
        if self._writing is not None:
            self._file = self._writing.finish()
            self._writing = None
        self._field = None
