"""The commands in the documentation: what a page tells its reader to type, and running it as it is written.

A fenced block of `sh` is run. A comment on the line before its fence says otherwise, or what else is right:

    <!-- not run: why -->         it is not run
    <!-- exits 1: why -->         1 is a right exit code of its commands too

Words in capitals stand for what a reader has at hand, such as MESSAGE_ID.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperGroup

from trunkline.cli.main import app, main

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
COMMAND = "scripts/trunkline"
WITHIN_S = 30.0

_MARK = re.compile(r"<!-- (?P<what>not run|exits 1): (?P<why>.{10,}) -->")
_SHELL = re.compile(r"[|&;<>$`*]")
_PLACEHOLDER = re.compile(r"\b[A-Z]+(?:_[A-Z]+)*\b")


@dataclass(frozen=True)
class Block:
    """What is typed in one go; `not_run` is the reason if it must not be, `may_fail` if its exit code may be 1."""

    page: str
    line: int
    commands: tuple[str, ...]
    not_run: str | None
    may_fail: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    printed: str


def blocks_of(page: Path) -> Iterator[Block]:
    """The page's blocks of commands, in their order; a command may go on over lines that end in a backslash."""
    lines = page.read_text().splitlines()
    fence = None
    for number, text in enumerate(lines):
        if fence is None and text.strip() == "```sh":
            fence = number
        elif fence is not None and text.strip() == "```":
            mark = _MARK.fullmatch(lines[fence - 1].strip()) if fence else None
            typed = "\n".join(lines[fence + 1 : number]).replace("\\\n", " ")
            commands = tuple(each.strip() for each in typed.splitlines() if each.strip() and not each.startswith("#"))
            what = mark["what"] if mark else None
            yield Block(
                str(page.relative_to(ROOT)),
                fence + 1,
                commands,
                mark["why"] if mark and what == "not run" else None,
                what == "exits 1",
            )
            fence = None


def filled(command: str, values: Mapping[str, str]) -> str:
    """The command with what its placeholders stand for; those that are not known stay."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[0], found[0]), command)


def run(command: str, environment: Mapping[str, str]) -> Ran:
    """Type the command in a checkout; our own command line in this process, whose environment must be that one."""
    arguments = _own_arguments(command)
    if arguments is None:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env={**environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main(arguments)
        except SystemExit as ended:
            return Ran(int(ended.code or 0), printed.getvalue())
    return Ran(0, printed.getvalue())


def _own_arguments(command: str) -> list[str] | None:
    if not command.startswith(f"{COMMAND} ") or _SHELL.search(command):
        return None
    return shlex.split(command, comments=True)[1:]


def mistake_in(command: str) -> str | None:
    """What our command line does not know of the verb or the options that are typed; None when it knows all."""
    words = re.split(r"[|&;<>#]", command, maxsplit=1)[0].split()[1:]
    at, name = _verbs(), COMMAND
    while isinstance(at, TyperGroup):
        if not words:
            return f"{command!r} needs a verb"
        word = words.pop(0)
        if word.startswith("-"):
            if problem := _mistake_in_option(at, name, word):
                return problem
            if word in ("-h", "--help"):
                return None
            del words[: 0 if "=" in word else 1]
        elif word in at.commands:
            at, name = at.commands[word], word
        else:
            return f"no such verb in {command!r}"
    return next((problem for word in words if (problem := _mistake_in_option(at, name, word))), None)


@cache
def _verbs() -> Any:
    return typer.main.get_command(app)


def _mistake_in_option(at: Any, name: str, word: str) -> str | None:
    option = word.partition("=")[0]
    if not re.fullmatch(r"--?[a-z][a-z-]*", option) or option in ("-h", "--help"):
        return None
    known = {each for parameter in at.params for each in (*parameter.opts, *parameter.secondary_opts)}
    return None if option in known else f"{name} has no option {option}"
