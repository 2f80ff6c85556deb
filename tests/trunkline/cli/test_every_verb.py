"""What holds for every verb of the command line, found by walking through them all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from config.settings import Settings
from trunkline.cli.main import app, main

NOWHERE = "http://127.0.0.1:1"
EXIT_CODES = (0, 1, 2)
# Where a number will not do.
WORDS = {"side": "customer", "pool": "inbound"}


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb with its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, each in inner.items():
        yield from verbs(each, (*path, name))


# Made once: to make it takes longer than most of what is asked of it here.
ROOT = typer.main.get_command(app)
VERBS = dict(verbs(ROOT))
every_verb = pytest.mark.parametrize("words", VERBS, ids=" ".join)


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an instance."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    monkeypatch.setenv("SANDBOX_URL", NOWHERE)
    monkeypatch.chdir(tmp_path)


def call(
    capsys: pytest.CaptureFixture[str], *arguments: str, by: Callable[[list[str]], object] = main
) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exited:
        by(list(arguments))
    printed = capsys.readouterr()
    return int(exited.value.code or 0), printed.out, printed.err


def parse(arguments: list[str]) -> None:
    """Call the command line without what `main` does about errors."""
    ROOT.main(arguments, prog_name="trunkline")


def required(command: Any) -> list[str]:
    """Something for everything that the verb must be given."""
    given: list[str] = []
    for parameter in command.params:
        if parameter.required:
            value = WORDS.get(parameter.name, "1")
            given += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return given


def test_the_verbs_of_the_contract_are_there() -> None:
    told = {" ".join(words) for words in VERBS}
    assert told >= {
        "doctor", "status", "top", "tenants list", "tenants show", "tenants create", "tenants update",
        "tenants suspend", "tenants activate", "tenants delete", "keys create", "keys list", "keys revoke",
        "keys first", "apps list", "queues list", "queues purge", "pools list", "pools scale", "dead-letters list",
        "dead-letters show", "dead-letters replay", "trace", "conversations show", "conversations messages",
        "cache clear", "migrate up", "migrate down", "migrate status", "restart", "logs", "audit list", "audit verify",
        "secrets rotate", "backup", "restore", "send", "people erase",
    }  # fmt: skip


@every_verb
def test_help_says_what_a_verb_does_and_what_each_option_is(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, *words, "--help", by=parse)
    assert (code, err) == (0, "")
    assert f"Usage: trunkline {' '.join(words)}" in out
    assert VERBS[words].help
    assert "--json" in out


@every_verb
def test_where_nothing_runs_a_verb_says_so_without_a_traceback(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    given = [*words, *required(VERBS[words]), "--json"]
    code, out, err = call(capsys, "--url", NOWHERE, "--key", "nobody", *given)
    assert code in EXIT_CODES
    assert "Traceback" not in err
    assert code == 0 or out or err
    if out:
        json.loads(out)


@every_verb
def test_an_option_that_does_not_exist_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code, _, err = call(capsys, *words, "--no-such-option", by=parse)
    assert code == 2
    assert "--no-such-option" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    code, out, _ = call(capsys, "--show-completion", shell)
    assert code == 0
    assert "_TRUNKLINE_COMPLETE" in out
