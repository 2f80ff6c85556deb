"""Files on a real disk: whole or not at all, for a while, within their bounds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trunkline.errors import StoreUnavailable
from trunkline.stores.media_files import ABANDONED_AFTER_S, DAY_S, MediaFiles

MB = 2**20


@pytest.fixture
def files(tmp_path: Path) -> MediaFiles:
    return MediaFiles(tmp_path / "media", 10 * MB)


async def keep(files: MediaFiles, tenant_id: str, media_id: str, body: bytes = b"bytes", age_s: float = 0.0) -> None:
    async with files.writing(tenant_id, media_id) as writer:
        await writer.write(body)
    kept = await files.find(tenant_id, media_id)
    assert kept is not None
    os.utime(kept.path, (time.time() - age_s,) * 2)


async def there(files: MediaFiles, tenant_id: str, *media_ids: str) -> list[str]:
    return [media_id for media_id in media_ids if await files.find(tenant_id, media_id)]


async def test_a_file_is_kept_for_its_tenant_and_nobody_else_can_read_it(files: MediaFiles, tmp_path: Path) -> None:
    body = os.urandom(3 * MB)
    async with files.writing("acme", "m1") as writer:
        for start in range(0, len(body), 1000):
            await writer.write(body[start : start + 1000])
    kept = await files.find("acme", "m1")
    assert kept is not None
    assert (kept.size, kept.path.read_bytes()) == (len(body), body)
    assert await files.find("other", "m1") is None
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "media").iterdir()} == {0}


async def test_a_file_that_is_not_finished_is_not_there(files: MediaFiles, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with files.writing("acme", "m1") as writer:
            await writer.write(b"x" * MB)
            assert await files.find("acme", "m1") is None
            raise ZeroDivisionError
    assert await files.find("acme", "m1") is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_spooled_file_is_there_as_long_as_it_is_needed(files: MediaFiles) -> None:
    async with files.spool() as spool:
        await spool.write(b"bytes")
        await spool.flush()
        assert spool.path.read_bytes() == b"bytes"
    assert not spool.path.exists()


@pytest.mark.parametrize("media_id", ["../../escape", "/etc/passwd", "a" * 5000, "ü\0"])
async def test_whatever_an_id_looks_like_its_file_stays_in_the_folder(
    files: MediaFiles, tmp_path: Path, media_id: str
) -> None:
    await keep(files, "acme", media_id)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.parent == tmp_path / "media" / "acme"


async def test_files_are_removed_after_their_tenants_days(files: MediaFiles) -> None:
    for tenant_id in ("acme", "beta"):
        await keep(files, tenant_id, "young", age_s=2 * DAY_S)
        await keep(files, tenant_id, "old", age_s=4 * DAY_S)
    assert await files.sweep({"acme": 3, "beta": 7}.__getitem__) == {"acme": 1}
    assert await there(files, "acme", "young", "old") == ["young"]
    assert await there(files, "beta", "young", "old") == ["young", "old"]


async def test_a_file_is_removed_at_once_when_that_is_asked_for(files: MediaFiles) -> None:
    await keep(files, "acme", "m1")
    await keep(files, "beta", "m1")
    assert await files.remove("acme", "m1")
    assert not await files.remove("acme", "m1")
    assert await there(files, "acme", "m1") == []
    assert await there(files, "beta", "m1") == ["m1"]


async def test_the_oldest_files_go_when_all_are_too_large(files: MediaFiles) -> None:
    for number in range(6):
        await keep(files, "acme", f"m{number}", bytes(3 * MB), age_s=100 - number)
    await files.sweep(lambda tenant_id: 7)
    assert await there(files, "acme", *(f"m{number}" for number in range(6))) == ["m3", "m4", "m5"]


async def test_what_a_dead_process_left_half_written_is_removed(files: MediaFiles, tmp_path: Path) -> None:
    unfinished = tmp_path / "media" / ".unfinished"
    await keep(files, "acme", "m1")
    old, young = unfinished / "old", unfinished / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - ABANDONED_AFTER_S - 1,) * 2)
    await files.sweep(lambda tenant_id: 7)
    assert (old.exists(), young.exists()) == (False, True)


async def test_a_disk_that_takes_nothing_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "media").write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="files cannot be kept"):
        async with MediaFiles(tmp_path / "media", MB).writing("acme", "m1"):
            pass
