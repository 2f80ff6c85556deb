"""Links to files: for one file of one tenant, for a while, and made by nobody else."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from tests.fakes import Clock
from trunkline.errors import NotFound
from trunkline.media_links import MediaLink, MediaLinks

OLD_KEY, NEW_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
LINK = MediaLink("acme", "1203344556677881", "2100", "image/jpeg", "Rechnung ☂.jpg")
BASE = "https://t.example/media/"


def links(*keys: str, clock: Clock | None = None) -> MediaLinks:
    return MediaLinks(keys or (OLD_KEY,), "https://t.example", 3600, clock or Clock())


def token_of(made: MediaLinks) -> str:
    url = made.url(LINK)
    assert url.startswith(BASE)
    return url.removeprefix(BASE)


def test_a_link_leads_to_its_file_and_tells_nothing_about_it() -> None:
    token = token_of(links())
    assert links().open(token) == LINK
    assert not {"acme", "1203344556677881"} & {token[start : start + 16] for start in range(len(token))}


def test_a_link_lives_for_a_while() -> None:
    clock = Clock()
    made = links(clock=clock)
    token = token_of(made)
    clock.advance(3599)
    assert made.open(token) == LINK
    clock.advance(2)
    with pytest.raises(NotFound):
        made.open(token)


def test_a_link_outlives_a_change_of_keys() -> None:
    assert links(NEW_KEY, OLD_KEY).open(token_of(links(OLD_KEY))) == LINK


@pytest.mark.parametrize("torn", ["", "x", "ü" * 40, "A" * 4000, "gAAAAA=="])
def test_what_is_no_link_of_ours_leads_nowhere(torn: str) -> None:
    with pytest.raises(NotFound):
        links().open(torn)


def test_a_link_that_somebody_changed_or_made_leads_nowhere() -> None:
    token = token_of(links())
    changed = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    for other in (changed, token_of(links(NEW_KEY)), Fernet(OLD_KEY).encrypt(b'{"until": 9e99}').decode()):
        with pytest.raises(NotFound):
            links().open(other)
