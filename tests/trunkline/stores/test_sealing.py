"""Secrets at rest."""

from __future__ import annotations

import pickle

import pytest
from cryptography.fernet import Fernet

from trunkline.errors import ConfigurationError, Sealed
from trunkline.stores.sealing import Sealer
from trunkline.tenancy.record import Secret

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SECRET = Secret("pässword, with a comma")


def test_what_is_sealed_opens_again_and_cannot_be_read_meanwhile() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(SECRET)
    assert b"word" not in sealed
    assert sealer.open(sealed) == SECRET
    assert sealer.open(memoryview(sealed)) == SECRET  # type: ignore[arg-type]


def test_the_first_key_seals_and_every_key_opens() -> None:
    sealed_before = Sealer([OLD]).seal(SECRET)
    rotated = Sealer([NEW, OLD])
    assert rotated.open(sealed_before) == SECRET
    assert Sealer([NEW]).open(rotated.seal(SECRET)) == SECRET


@pytest.mark.parametrize("sealed", [Sealer([OLD]).seal(SECRET), b"", b"not sealed at all"])
def test_what_no_key_opens_says_so_and_shows_nothing(sealed: bytes) -> None:
    with pytest.raises(Sealed) as caught:
        Sealer([NEW]).open(sealed)
    assert "CREDENTIALS_KEYS" in str(caught.value)
    assert NEW not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_key_that_sealed_is_told_by_its_number() -> None:
    rotated = Sealer([NEW, OLD])
    assert rotated.key_of(Sealer([OLD]).seal(SECRET)) == 1
    assert rotated.key_of(rotated.seal(SECRET)) == 0
    with pytest.raises(Sealed):
        Sealer([NEW]).key_of(Sealer([OLD]).seal(SECRET))


def test_what_is_sealed_anew_needs_the_old_key_no_longer() -> None:
    resealed = Sealer([NEW, OLD]).reseal(Sealer([OLD]).seal(SECRET))
    assert Sealer([NEW]).open(resealed) == SECRET
    with pytest.raises(Sealed):
        Sealer([OLD]).open(resealed)
    with pytest.raises(Sealed):
        Sealer([NEW]).reseal(Sealer([OLD]).seal(SECRET))


def test_a_fingerprint_tells_keys_apart_and_shows_none() -> None:
    one, other = Sealer([NEW, OLD]).fingerprints
    assert one != other
    assert one not in NEW
    assert Sealer([NEW]).fingerprints == (one,)


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, NEW[:-1]]])
def test_a_bad_key_is_refused_without_being_shown(keys: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="CREDENTIALS_KEYS") as caught:
        Sealer(keys)
    assert not any(key in str(caught.value) for key in keys)


def test_neither_sealer_nor_secret_shows_what_it_holds() -> None:
    sealer = Sealer([NEW])
    assert NEW not in repr(sealer)
    assert "word" not in f"{SECRET!r} {SECRET}"
