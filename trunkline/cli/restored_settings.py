"""The settings of a backup on the machine where it is restored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.settings import Settings
from trunkline.cli.api import CommandFailed, first_keys, keys_file
from trunkline.cli.archive import Archive, private_file
from trunkline.stores.sealing import fingerprint

KEYS_OF_THE_FIRST_RUN = ("ADMIN_API_KEY", "CREDENTIALS_KEYS")


def missing_keys(found: Archive, settings: Settings) -> list[str]:
    """Fingerprints of the keys that the backup's secrets need, and that neither it nor this machine has."""
    at_hand = {fingerprint(key) for key in (*_keys_here(settings), *_keys_in(found))}
    return [key for key in found.manifest.contents.keys or () if key not in at_hand]


def restore_settings(found: Archive, settings: Settings, env_file: Path, now: Mapping[str, str]) -> dict[str, Any]:
    """Bring back what is not here: `written` names it, `differing` what is otherwise here (now, then). Never a secret's
    value."""
    written: list[str] = []
    others = {name: value for name, value in found.secrets.items() if name not in KEYS_OF_THE_FIRST_RUN}
    differing = {name: (now.get(name, ""), then) for name, then in found.settings.items() if now.get(name, "") != then}
    if not env_file.exists() and (found.settings or others):
        _write(env_file, {**found.settings, **others})
        written += [*found.settings, *others]
        differing = {}
    return {"written": [*written, *_restore_keys(found, settings)], "differing": differing}


def _restore_keys(found: Archive, settings: Settings) -> list[str]:
    """Add the backup's keys behind those of this machine, which go on sealing."""
    here = _keys_here(settings)
    lacking = [key for key in _keys_in(found) if key not in here]
    if not lacking:
        return []
    made = first_keys(settings)
    given = settings.credentials_keys.get_secret_value()
    if given and given != made.get("CREDENTIALS_KEYS"):
        marks = ", ".join(map(fingerprint, lacking))
        raise CommandFailed(
            "the database is restored, but CREDENTIALS_KEYS comes from the environment or .env and lacks keys of the "
            f"backup ({marks}): add them there behind a comma; `tar -xOf FILE keys.json` shows them"
        )
    first = {name: value for name, value in found.secrets.items() if name in KEYS_OF_THE_FIRST_RUN}
    _write(keys_file(settings), {**first, **made, "CREDENTIALS_KEYS": ",".join([*here, *lacking])})
    return ["CREDENTIALS_KEYS"]


def _keys_here(settings: Settings) -> list[str]:
    given = settings.credentials_keys.get_secret_value() or first_keys(settings).get("CREDENTIALS_KEYS", "")
    return _parts(given)


def _keys_in(found: Archive) -> list[str]:
    return _parts(found.secrets.get("CREDENTIALS_KEYS", ""))


def _parts(keys: str) -> list[str]:
    return [part.strip() for part in keys.split(",") if part.strip()]


def _write(path: Path, values: Mapping[str, str]) -> None:
    """Replace the file as a whole; nobody else can read it at any moment."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with private_file(draft) as file:
        file.writelines(f"{name}={_quoted(value)}\n".encode() for name, value in values.items())
    draft.replace(path)


def _quoted(value: str) -> str:
    plain = all(letter.isalnum() or letter in "_-./:,=+@" for letter in value)
    return value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
