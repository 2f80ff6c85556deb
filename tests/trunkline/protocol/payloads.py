"""The recorded payloads in tests/data, and any JSON that hypothesis can think of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from trunkline.protocol.media import (
    Attachable,
    UploadedFile,
    agent_files,
    attachment_name,
    customer_file,
    file_name,
    sendable,
)

LINK = "https://trunkline.example.com/media/"
DATA = Path(__file__).parents[2] / "data"

any_text = st.text(st.characters(codec=None), max_size=30)  # lone surrogates and NULs included
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def load(path: str) -> Any:
    """The JSON of `tests/data/<path>.json`."""
    return json.loads((DATA / f"{path}.json").read_bytes())


def names(folder: str) -> list[str]:
    """Every JSON payload of the folder."""
    return sorted(path.stem for path in (DATA / folder).glob("*.json"))


def values(name: str) -> list[dict[str, Any]]:
    """Each `value` of a WhatsApp webhook that has one of the shape we route."""
    entries = load(f"whatsapp/{name}").get("entry")
    entries = entries if isinstance(entries, list) else []
    changes = [change for entry in entries for change in entry.get("changes", []) if change["field"] == "messages"]
    return [change["value"] for change in changes]


def messages(name: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Each message of a WhatsApp webhook with its sender's contact."""
    return [
        (message, _contact(message, value.get("contacts", [])))
        for value in values(name)
        for message in value.get("messages", [])
    ]


def statuses(name: str) -> list[dict[str, Any]]:
    """Each status of a WhatsApp webhook."""
    return [status for value in values(name) for status in value.get("statuses", [])]


def at_our_link(message: dict[str, Any]) -> Attachable | None:
    """The file of a WhatsApp message as if we had fetched it."""
    file = customer_file(message)
    mime = (file.mime if file else None) or "application/octet-stream"
    return Attachable(LINK + file.media_id, mime, attachment_name(file, mime)) if file else None


def uploads(body: Any) -> dict[str, UploadedFile]:
    """Every file of a Genesys webhook as if WhatsApp had it: 9001, 9002, …; pictures of cards are JPEGs."""
    return {
        file.url: UploadedFile(
            f"900{number}",
            sendable(file.mime, None if file.required else "image/jpeg", b"OpusHead", 1).kind,
            file_name(file.filename) or None,
        )
        for number, file in enumerate(agent_files(body), start=1)
    }


def _contact(message: dict[str, Any], contacts: list[dict[str, Any]]) -> dict[str, Any] | None:
    ids = {message.get("from"), message.get("from_user_id")} - {None}
    return next((contact for contact in contacts if {contact.get("wa_id"), contact.get("user_id")} & ids), None)


def mutations(body: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The body with one of its members, at any depth, replaced by any JSON."""

    def replaced(where: tuple[tuple[Any, ...], Any]) -> dict[str, Any]:
        path, junk = where
        copy = json.loads(json.dumps(body))
        target = copy
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = junk
        return copy  # type: ignore[no-any-return]

    return st.tuples(st.sampled_from(_paths(body)), any_json).map(replaced)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [] if not path else [path]
    for key, inner in members:
        found += _paths(inner, (*path, key))
    return found
