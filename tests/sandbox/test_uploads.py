"""Multipart bodies, in whatever pieces they arrive."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import uploads
from sandbox.files import Files
from sandbox.uploads import Upload

TYPE = "multipart/form-data; boundary=b"
DATA = b"\r\n--b not a boundary\r\n-\r\n--" * 40 + b"\r\n--"
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="type"\r\n\r\nimage/png\r\n'
    b'--b\r\nContent-Disposition: form-data; filename="n.png"; name="file"\r\nContent-Type: image/png\r\n\r\n'
    + DATA.replace(b"--b", b"--c")
    + b"\r\n--b\r\nContent-Disposition: form-data; name=messaging_product\r\n\r\nwhatsapp\r\n--b--\r\nrest"
)


def fed(folder: Path, body: bytes = BODY, pieces: int = 1, content_type: str = TYPE) -> Upload:
    upload = Upload(content_type, Files(folder))
    for start in range(0, len(body), pieces):
        upload.feed(body[start : start + pieces])
    upload.end()
    return upload


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 64, 10_000])
def test_fields_and_file_are_the_same_in_any_pieces(tmp_path: Path, pieces: int) -> None:
    upload = fed(tmp_path, pieces=pieces)

    assert (upload.problem, upload.field("type"), upload.field("messaging_product")) == ("", "image/png", "whatsapp")
    file = upload.take()
    assert file is not None
    assert b"".join(file.pieces()) == DATA.replace(b"--b", b"--c")


@pytest.mark.parametrize(
    "boundary",
    [
        pytest.param('multipart/form-data; boundary="b"', id="quoted"),
        pytest.param("Multipart/Form-Data; charset=utf-8; boundary=b", id="after another parameter"),
    ],
)
def test_a_boundary_is_found(tmp_path: Path, boundary: str) -> None:
    assert fed(tmp_path, content_type=boundary).problem == ""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(BODY, "application/json", id="another type"),
        pytest.param(BODY, "multipart/form-data", id="no boundary"),
        pytest.param(BODY[:-60], TYPE, id="cut off"),
        pytest.param(b"", TYPE, id="nothing"),
        pytest.param(b"--b\r\n" + b"x" * 20_000, TYPE, id="endless head"),
        pytest.param(b'--b\r\nx: y; name="a"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--", TYPE, id="endless field"),
    ],
)
def test_what_cannot_be_read_is_a_problem(tmp_path: Path, body: bytes, content_type: str) -> None:
    upload = fed(tmp_path, body, 1000, content_type)

    assert upload.problem
    upload.abandon()
    assert not list(tmp_path.iterdir() if tmp_path.exists() else ())


def test_a_file_over_the_limit_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGEST_FILE", 100)

    upload = fed(tmp_path)

    assert upload.too_large
    assert (upload.problem, upload.file, upload.field("messaging_product")) == ("", None, "whatsapp")
    assert not list(tmp_path.iterdir())


def test_what_nobody_takes_is_deleted(tmp_path: Path) -> None:
    upload = fed(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1

    upload.abandon()

    assert not list(tmp_path.iterdir())
