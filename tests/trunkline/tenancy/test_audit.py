"""The audit log's chain: what does not fit is found, and named."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest

from trunkline.tenancy.audit import (
    GENESIS,
    Actor,
    AuditRecord,
    Breach,
    ChainLink,
    ChainPage,
    Place,
    content_hash,
    follow,
    link,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
START = Place(0, GENESIS)
RECORD = AuditRecord(Actor("key-1", "admin", "203.0.113.9"), "tenant.updated", "alder", "alder")


def _chain(count: int) -> list[ChainLink]:
    links: list[ChainLink] = []
    previous = GENESIS
    for id in range(1, count + 1):
        content = content_hash(id, NOON + timedelta(seconds=id), RECORD, None, '{"rateLimit": 200}')
        hash = link(previous, content)
        links.append(ChainLink(id, content, content, previous, hash))
        previous = hash
    return links


CHAIN = _chain(5)
HEAD = Place(5, CHAIN[-1].hash or b"")


def _breach(links: list[ChainLink], head: Place = HEAD) -> Breach | None:
    return follow(ChainPage(START, START, head, is_last=True), links).breach


def test_a_whole_chain_holds_to_its_head_in_one_part_or_in_several() -> None:
    whole = follow(ChainPage(START, START, HEAD, is_last=True), CHAIN)
    assert (whole.checked, whole.breach, whole.reached, whole.is_done) == (5, None, HEAD, True)
    first = follow(ChainPage(START, START, HEAD, is_last=False), CHAIN[:2])
    assert (first.checked, first.breach, first.is_done) == (2, None, False)
    rest = follow(ChainPage(START, first.reached, HEAD, is_last=True), CHAIN[2:])
    assert (rest.checked, rest.breach, rest.reached) == (3, None, HEAD)


def test_an_empty_log_holds() -> None:
    assert _breach([], START) is None


def _changed(id: int, **changes: object) -> list[ChainLink]:
    return [dataclasses.replace(each, **changes) if each.id == id else each for each in CHAIN]  # type: ignore[arg-type]


def _rehashed(id: int) -> list[ChainLink]:
    """An entry that was changed together with its own hashes."""
    content = content_hash(id, NOON, RECORD, None, '{"rateLimit": 9}')
    previous = CHAIN[id - 1].previous or b""
    return _changed(id, content=content, actual=content, hash=link(previous, content))


def _renumbered(links: list[ChainLink]) -> list[ChainLink]:
    return [dataclasses.replace(each, id=id) for id, each in enumerate(links, start=1)]


@pytest.mark.parametrize(
    ("links", "id", "reason"),
    [
        pytest.param(_changed(3, actual=b"other"), 3, "content was changed", id="changed"),
        pytest.param(_rehashed(3), 4, "does not follow", id="changed with its hash"),
        pytest.param(_rehashed(5), 5, "not the newest entry", id="the newest changed with its hash"),
        pytest.param([*CHAIN[:2], *CHAIN[3:]], 3, "is missing", id="removed"),
        pytest.param(_renumbered([*CHAIN[:2], *CHAIN[3:]]), 3, "does not follow", id="removed, and the gap closed"),
        pytest.param(CHAIN[1:], 1, "is missing", id="the oldest removed"),
        pytest.param(CHAIN[:4], 5, "it was the newest", id="the newest removed"),
        pytest.param(CHAIN[:3], 4, "everything newer", id="the newest ones removed"),
        pytest.param([], 1, "everything newer", id="all removed"),
        pytest.param([*CHAIN, *_chain(6)[5:]], 6, "inserted behind", id="inserted at the end"),
        pytest.param(_renumbered([CHAIN[0], CHAIN[2], CHAIN[1], *CHAIN[3:]]), 2, "does not follow", id="reordered"),
        pytest.param([*CHAIN[:2], ChainLink(2, CHAIN[1].content), *CHAIN[2:]], 2, "twice", id="there, though removed"),
    ],
)  # fmt: skip
def test_the_first_entry_that_does_not_fit_is_named(links: list[ChainLink], id: int, reason: str) -> None:
    breach = _breach(links)
    assert breach is not None
    assert breach.id == id and reason in breach.reason


def test_the_chain_is_followed_across_what_retention_removed() -> None:
    links = [ChainLink(each.id, each.content) if each.id in (2, 3) else each for each in CHAIN]
    found = follow(ChainPage(START, START, HEAD, is_last=True), links)
    assert (found.breach, found.removed, found.checked) == (None, 2, 5)
    forged = [dataclasses.replace(each, content=b"other") if each.id == 2 else each for each in links]
    assert (_breach(forged) or Breach(0, "")).id == 4


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((2, NOON, RECORD, None, None), id="number"),
        pytest.param((1, NOON + timedelta(microseconds=1), RECORD, None, None), id="time"),
        pytest.param((1, NOON, dataclasses.replace(RECORD, actor=Actor("key-2", "admin")), None, None), id="actor"),
        pytest.param((1, NOON, dataclasses.replace(RECORD, subject=None), None, None), id="subject"),
        pytest.param((1, NOON, RECORD, "{}", None), id="before"),
        pytest.param((1, NOON, RECORD, None, "{}"), id="after"),
    ],
)
def test_every_part_of_an_entry_is_in_its_hash(
    other: tuple[int, datetime, AuditRecord, str | None, str | None],
) -> None:
    assert content_hash(*other) != content_hash(1, NOON, RECORD, None, None)


def test_the_zone_that_a_time_is_shown_in_does_not_matter() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert content_hash(1, there, RECORD, None, None) == content_hash(1, NOON, RECORD, None, None)
