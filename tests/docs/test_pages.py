"""The documentation as text: its commands exist, its links lead somewhere, every chapter of the guide is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import COMMAND, PAGES, ROOT, blocks_of, filled, mistake_in, run
from tests.trunkline.doctor.systems import examined
from tests.trunkline.doctor.test_chapters import ROWS
from trunkline.doctor.guide import CHAPTERS, CHECKS

TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
IN_TEXT = re.compile(rf"{COMMAND} [^`,;()\n]+")
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_that_a_page_names_exists(page: Path) -> None:
    named = [match[0] for match in IN_TEXT.finditer(page.read_text())]
    typed = [each for block in blocks_of(page) for each in block.commands if each.startswith(COMMAND)]
    assert [problem for command in [*named, *typed] if (problem := mistake_in(command))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []


def test_every_command_of_ours_in_a_remedy_exists() -> None:
    remedies = {
        line for check, changes, *_ in ROWS for line in examined(changes)[check].opinion.remedy if COMMAND in line
    }
    commands = [match[0] for line in sorted(remedies) for match in IN_TEXT.finditer(line)]
    assert len(commands) > 20
    assert [problem for command in commands if (problem := mistake_in(command))] == []


def test_troubleshooting_has_the_guides_chapters_and_names_every_check() -> None:
    text = TROUBLESHOOTING.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:9] == [f"{number}. {title}" for number, title in CHAPTERS.items()]
    assert [check.id for check in CHECKS if f"`{check.id}`" not in text] == []


def test_a_block_is_read_with_its_mark_and_its_placeholders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nscripts/trunkline trace MESSAGE_ID\n# a remark\necho one \\\n  two\n```\n"
        "<!-- not run: it would stop everything -->\n```sh\nexit 1\n```\n"
        "<!-- exits 1: a check may fail -->\n```sh\nfalse\n```\n```json\n{}\n```\n"
    )
    first, second, third = blocks_of(page)
    assert first.commands == ("scripts/trunkline trace MESSAGE_ID", "echo one    two")
    assert (first.not_run, first.may_fail, str(first)) == (None, False, "page.md:1")
    assert (second.not_run, third.may_fail) == ("it would stop everything", True)
    assert filled(first.commands[0], {"MESSAGE_ID": "wamid.1"}) == "scripts/trunkline trace wamid.1"


def test_a_command_is_run_as_it_is_typed() -> None:
    assert run("echo $WORD && exit 3", {"WORD": "said", "PATH": "/usr/bin:/bin"}).code == 3
    ours = run("scripts/trunkline doctor --list", {})
    assert ours.code == 0
    assert "meta-signature" in ours.printed


@pytest.mark.parametrize(
    ("command", "mistake"),
    [
        pytest.param("scripts/trunkline pools scale inbound 2", None, id="a verb with arguments"),
        pytest.param("scripts/trunkline dead-letters list --reason exhausted | head", None, id="before a pipe"),
        pytest.param("scripts/trunkline --url http://x status --json", None, id="options before the verb"),
        pytest.param("scripts/trunkline dance", "no such verb in 'scripts/trunkline dance'", id="no verb of ours"),
        pytest.param("scripts/trunkline pools", "'scripts/trunkline pools' needs a verb", id="half a verb"),
        pytest.param("scripts/trunkline status --loud", "status has no option --loud", id="no option of it"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, mistake: str | None) -> None:
    assert mistake_in(command) == mistake
