"""Tokens of the simulated login host."""

from __future__ import annotations

from pathlib import Path

from sandbox.tokens import Tokens


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_token_outlives_a_restart_and_ends_in_time(tmp_path: Path) -> None:
    clock = Clock()
    token = Tokens(tmp_path / "tokens.json", clock).issue("client-1", 60)
    again = Tokens(tmp_path / "tokens.json", clock)
    assert again.client_of(token) == "client-1"
    clock.now += 61
    assert again.client_of(token) is None
    assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_a_revoked_token_stays_revoked_over_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    tokens = Tokens(tmp_path / "tokens.json", clock)
    revoked, kept = tokens.issue("client-1", 60), tokens.issue("client-2", 60)
    tokens.revoke("client-1")
    again = Tokens(tmp_path / "tokens.json", clock)
    assert (again.client_of(revoked), again.client_of(kept), again.live) == (None, "client-2", 1)
