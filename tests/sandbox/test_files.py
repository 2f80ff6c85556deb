"""Contents of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sandbox.files import BEGINNINGS, PIECE, Files, make_up


@pytest.mark.parametrize("size", [0, 1, 20, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
async def test_a_made_up_file_has_its_size_and_hash_and_is_the_same_again(size: int) -> None:
    made = await make_up(size, 7, "image/png")

    data = b"".join(made.pieces())

    assert len(data) == made.size == size
    assert hashlib.sha256(data).hexdigest() == made.sha256
    assert data.startswith(BEGINNINGS["image/png"][:size])
    assert await make_up(size, 7, "image/png") == made
    assert size == 0 or (await make_up(size + 1, 7, "image/png")).sha256 != made.sha256


async def test_no_two_pieces_and_no_two_seeds_are_alike() -> None:
    one, other = await make_up(5 * PIECE, 1, "x/y"), await make_up(5 * PIECE, 2, "x/y")

    assert len(set(one.pieces()) | set(other.pieces())) == 10


def test_the_folder_is_emptied_of_what_a_killed_process_left_and_gone_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    Files(folder).keep(b"left over")

    files = Files(folder)
    assert not folder.exists()
    kept = files.keep(b"hello")
    assert list(folder.iterdir()) == [kept.path]
    files.close()

    assert not folder.exists()
