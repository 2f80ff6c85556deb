"""Cleaning, splitting and cutting of text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trunkline.protocol.payloads import any_text
from trunkline.protocol.text import clean, cut, is_blank, split, utf16_length

FAMILY = "👩\u200d👩\u200d👧"
THUMB = "👍🏽"
FLAG = "🇬🇧"

messy = st.text(
    st.sampled_from([*"abc \n\r\té", "\u0301", "👩", "\u200d", "🏽", "🇬", "🇧", "\ufe0f", "漢"]), max_size=300
)


@pytest.mark.parametrize(
    ("text", "limit", "parts"),
    [
        pytest.param("", 10, [""], id="nothing"),
        pytest.param("0123456789", 10, ["0123456789"], id="exactly the limit"),
        pytest.param("one two three", 8, ["one two ", "three"], id="at a word's end"),
        pytest.param("one two\nthree four", 12, ["one two\n", "three four"], id="at a line's end before a word's end"),
        pytest.param("a\nbcde fghi jkl", 12, ["a\nbcde fghi ", "jkl"], id="not at a line's end that is too early"),
        pytest.param("0123456789abc", 10, ["0123456789", "abc"], id="within a word that is too long"),
        pytest.param("ab👍👍", 5, ["ab👍", "👍"], id="not within a surrogate pair"),
        pytest.param(f"abc{FAMILY}", 8, ["abc", FAMILY], id="not within a family"),
        pytest.param(f"abc{THUMB}", 6, ["abc", THUMB], id="not before a skin tone"),
        pytest.param(f"abc{FLAG}{FLAG}", 9, [f"abc{FLAG}", FLAG], id="not within a flag"),
        pytest.param("abce\u0301x", 4, ["abc", "e\u0301x"], id="not before an accent"),
        pytest.param("abc\r\nde", 4, ["abc", "\r\nde"], id="not within a line end"),
        pytest.param("one two     ", 8, ["one ", "two     "], id="no blank part at the end"),
    ],
)
def test_a_text_is_split_where_it_reads_well(text: str, limit: int, parts: list[str]) -> None:
    assert split(text, limit) == parts


@given(messy | any_text, st.integers(2, 40))
def test_splitting_loses_nothing_and_keeps_the_limit(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert "".join(parts) == text
    assert all(utf16_length(part) <= limit for part in parts)
    assert all(parts) or parts == [""]


@given(st.lists(st.sampled_from([FAMILY, THUMB, FLAG, "e\u0301", "x"]), max_size=60))
def test_splitting_tears_no_character_apart(characters: list[str]) -> None:
    for part in split("".join(characters), 20)[1:]:
        assert part[0] in {"👩", "👍", "🇬", "e", "x"}


@given(st.lists(st.tuples(st.sampled_from(["a", "word", "longword"]), st.text(" \n\t", min_size=1, max_size=5))))
def test_no_part_is_blank_if_words_stand_between_the_blanks(words: list[tuple[str, str]]) -> None:
    text = "".join(word + blanks for word, blanks in words)
    assert not any(map(is_blank, split(text, 20))) or not text


def test_a_long_text_of_one_line_is_split_quickly() -> None:
    text = "word " * 800_000
    parts = split(text, 4096)
    assert "".join(parts) == text
    assert len(parts) == 977


@given(messy | any_text, st.integers(0, 40))
def test_a_cut_is_a_beginning_within_the_limit(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert text.startswith(short)
    assert utf16_length(short) <= limit
    assert short == text or utf16_length(text) > limit


@pytest.mark.parametrize(("text", "limit", "short"), [(f"a{FAMILY}b", 8, "a"), ("abc", 3, "abc"), ("abcd", 3, "abc")])
def test_a_cut_ends_between_characters(text: str, limit: int, short: str) -> None:
    assert cut(text, limit) == short


@given(any_text)
def test_clean_text_can_be_stored_and_sent(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert len(cleaned) == len(text)
    assert all(
        a == b or (b == "\ufffd" and (a == "\0" or unicodedata.category(a) == "Cs"))
        for a, b in zip(text, cleaned, strict=True)
    )


def test_clean_text_keeps_what_is_whole() -> None:
    assert clean("Déjà vu 😀\n") == "Déjà vu 😀\n"
    assert clean("a\ud83db\0") == "a\ufffdb\ufffd"


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("é", 1), ("😀", 2), ("\ud83d", 1)])
def test_lengths_are_utf16_code_units(text: str, length: int) -> None:
    assert utf16_length(text) == length
