"""The file that `backup` writes and `restore` reads: a tar of a manifest, the database's dump, and the settings."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson

from trunkline.cli.api import CommandFailed
from trunkline.stores.dumps import Contents

FORMAT = 1
MANIFEST, DUMP, SETTINGS, KEYS = "manifest.json", "database.dump", "settings.json", "keys.json"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says of itself; `sha256` by the name of each other member."""

    format: int
    version: str
    made_at: str
    contents: Contents
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was read and found whole; its dump lies in `dump`. `secrets` is empty without `--with-keys`."""

    manifest: Manifest
    dump: Path
    settings: dict[str, str]
    secrets: dict[str, str]


def write(
    path: Path, version: str, settings: dict[str, str], secrets: dict[str, str], dump: Callable[[Path], Contents]
) -> Manifest:
    """Write the archive, readable by its owner only: whole, or not at all. `dump` fills the file that it is given."""
    with _folder_beside(path) as folder:
        contents = dump(folder / DUMP)
        _write_json(folder / SETTINGS, settings)
        members = [SETTINGS, DUMP]
        if secrets:
            _write_json(folder / KEYS, secrets)
            members.append(KEYS)
        sums = {name: _sum(folder / name) for name in members}
        manifest = Manifest(FORMAT, version, datetime.now(UTC).isoformat(timespec="seconds"), contents, sums)
        _write_json(folder / MANIFEST, asdict(manifest))
        with private_file(folder / "archive") as file, tarfile.open(fileobj=file, mode="w") as tar:
            for name in (MANIFEST, *members):
                tar.add(folder / name, name, filter=_nameless)
                (folder / name).unlink()  # the disk need not hold it twice for longer than this
        (folder / "archive").replace(path)
    return manifest


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """The archive, checked against its own sums; raises CommandFailed for one that is broken or of another format."""
    with _folder_for(path) as folder:
        try:
            found = _read(path, folder)
        except (tarfile.TarError, EOFError, KeyError, TypeError, ValueError) as error:
            raise CommandFailed(f"{path} is no backup of Trunkline, or a broken one ({type(error).__name__})") from None
        except OSError as error:
            raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
        yield found


def _read(path: Path, folder: Path) -> Archive:
    with tarfile.open(path, "r:") as tar:
        manifest = _manifest(tar)
        for name, expected in manifest.sha256.items():
            if _extract(tar, name, folder / name) != expected:
                raise CommandFailed(f"{path} is broken: {name} is not what was written; take another backup")
    return Archive(
        manifest,
        folder / DUMP,
        orjson.loads((folder / SETTINGS).read_bytes()),
        orjson.loads((folder / KEYS).read_bytes()) if KEYS in manifest.sha256 else {},
    )


def _manifest(tar: tarfile.TarFile) -> Manifest:
    with _member(tar, MANIFEST) as file:
        told: dict[str, Any] = orjson.loads(file.read())
    if told["format"] != FORMAT:
        raise CommandFailed(
            f"the backup has format {told['format']}, and this version of Trunkline reads {FORMAT}: "
            f"restore it with version {told['version']}"
        )
    sums = told["sha256"]
    if not {DUMP, SETTINGS} <= sums.keys() <= {DUMP, SETTINGS, KEYS}:
        raise ValueError("members are missing")
    found = told["contents"]
    contents = Contents(
        int(found["server_version"]),
        tuple(found["migrations"]),
        {str(table): int(count) for table, count in found["rows"].items()},
        None if found["keys"] is None else tuple(found["keys"]),
    )
    return Manifest(FORMAT, str(told["version"]), str(told["made_at"]), contents, sums)


def _extract(tar: tarfile.TarFile, name: str, target: Path) -> str:
    """Copy a member out; its sum."""
    digest = hashlib.sha256()
    with _member(tar, name) as file, private_file(target) as copy:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            copy.write(piece)
    return digest.hexdigest()


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: Any) -> None:
    with private_file(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def private_file(path: Path) -> IO[bytes]:
    """A new file that nobody else can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A private folder on the disk that the file will be on, so that it can be moved into its place as a whole."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.absolute().parent))
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _folder_for(path: Path) -> Iterator[Path]:
    """A private folder with room for what the archive holds."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
    with tempfile.TemporaryDirectory(prefix="trunkline-") as name:
        if (free := shutil.disk_usage(name).free) < size:
            raise CommandFailed(
                f"{name} has {free} bytes left, and the backup needs {size}: set TMPDIR to another disk"
            )
        yield Path(name)
