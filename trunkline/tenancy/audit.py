"""The audit log's records: who did what, from where, with what was there before and after; and the chain. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

# What the first entry follows.
GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the id and role of the key, and the address that the request came from, None where there is none."""

    key_id: str
    role: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What is to be noted. `before` and `after` hold secrets masked, and never a message's text.

    `action` is `noun.verb` in the past, e.g. `key.revoked`; `subject` says which key, queue or person.
    """

    actor: Actor
    action: str
    tenant_id: str | None
    subject: str | None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A record as it was noted: its number, its time, and its link of the chain."""

    id: int
    at: datetime
    record: AuditRecord
    hash: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the chain: an entry's number and hash."""

    id: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Breach:
    """The first entry that does not fit, and in words why."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds: `reached` is its last good place, `breach` where it breaks, None as far as it holds.

    `is_done` when there is nothing left to look at. Of the `checked` entries `removed` were removed by retention. The
    chain goes from `start`, before which all have been removed, to the newest entry, `head`.
    """

    start: Place
    head: Place
    reached: Place
    checked: int
    removed: int
    breach: Breach | None
    is_done: bool


@dataclass(frozen=True, slots=True)
class ChainLink:
    """An entry as the chain sees it; of one that retention removed, its number and the hash of its content only.

    `content` is the hash that was stored, `actual` what its content gives now.
    """

    id: int
    content: bytes
    actual: bytes | None = None
    previous: bytes | None = None
    hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChainPage:
    """Where a part of the chain lies: behind `start`, of a chain that begins behind `anchor` and ends with `head`."""

    anchor: Place
    start: Place
    head: Place
    is_last: bool


def content_hash(id: int, at: datetime, record: AuditRecord, before: str | None, after: str | None) -> bytes:
    """SHA-256 of an entry's content; `before` and `after` are their JSON as the store writes it."""
    actor = record.actor
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    content = [id, moment, actor.key_id, actor.role, actor.address, record.action, record.tenant_id, record.subject]
    return hashlib.sha256(orjson.dumps([*content, before, after])).digest()


def link(previous: bytes, content: bytes) -> bytes:
    """The hash of an entry: its content's, chained to that of the entry before it."""
    return hashlib.sha256(previous + content).digest()


def follow(page: ChainPage, links: Sequence[ChainLink]) -> Verified:
    """Follow a part of the chain, as far as it holds."""
    reached = page.start
    removed = 0
    breach: Breach | None = None
    for each in links:
        breach = _breach(reached, each, page.head)
        if breach is not None:
            break
        reached = Place(each.id, link(reached.hash, each.content))
        removed += each.actual is None
    if breach is None and page.is_last:
        breach = _breach_of_head(reached, page.head)
    checked = reached.id - page.start.id
    is_done = page.is_last or breach is not None
    return Verified(page.anchor, page.head, reached, checked, removed, breach, is_done)


def _breach(reached: Place, next: ChainLink, head: Place) -> Breach | None:
    id = reached.id + 1
    if next.id > head.id:
        return Breach(next.id, "it was inserted behind the newest entry that the head knows")
    if next.id != id:
        return Breach(id, "it is missing") if next.id > id else Breach(next.id, "it is there twice")
    if next.actual is None:
        return None
    if next.actual != next.content:
        return Breach(id, "its content was changed")
    if next.previous != reached.hash or next.hash != link(reached.hash, next.content):
        return Breach(id, "it does not follow the entry before it: one of the two was changed, or is another's")
    return None


def _breach_of_head(reached: Place, head: Place) -> Breach | None:
    if reached.id < head.id:
        return Breach(
            reached.id + 1,
            "it is missing, and so is everything newer"
            if reached.id + 1 < head.id
            else "it is missing: it was the newest",
        )
    if reached.hash != head.hash:
        return Breach(reached.id, "it is not the newest entry that the head knows")
    return None
