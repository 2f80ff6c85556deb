"""`trunkline logs` on a folder of log files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trunkline.test_logs import AT, ours, worker, write
from trunkline.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance that has written something."""
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    worker(
        tmp_path, 11, "TransformerActor",
        ours("delivery.waits", 0, tenant="acme", message_id="m-1", error="\x1b[2Jcleared"),
        ours("delivery.dead", 1, "WARNING", tenant="acme", message_id="m-2", reason="rejected"),
    )  # fmt: skip
    write(tmp_path, "logs/postgresql.log", "2026-11-25 08:30:30.000 UTC [1] LOG:  checkpoint starting")
    write(tmp_path, "logs/postgresql.log", "2026-11-25 08:30:40.000 UTC [1] ERROR:  deadlock detected")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["logs", *arguments])
    printed = capsys.readouterr()
    return int(exited.value.code or 0), printed.out, printed.err


def test_our_lines_are_shown_and_of_the_others_what_is_wrong(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys)
    assert code == 0
    assert [line.split()[2:4] for line in out.splitlines()] == [
        ["TransformerActor", "11"], ["postgresql", "deadlock"], ["TransformerActor", "11"],
    ]  # fmt: skip
    assert "tenant=acme  message=m-2  reason=rejected" in out
    assert "checkpoint" in call(capsys, "--level", "INFO")[1]


def test_nothing_in_a_line_steers_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "--tenant", "acme")
    assert "\x1b" not in out
    assert "error=\N{REPLACEMENT CHARACTER}[2Jcleared" in out


def test_lines_are_chosen_by_message_level_and_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "delivery.waits" in call(capsys, "--message", "m-1")[1]
    assert "delivery.dead" not in call(capsys, "--message", "m-1")[1]
    assert len(call(capsys, "--level", "error")[1].splitlines()) == 1
    late = call(capsys, "--since", "2026-11-25T14:00:50+05:30")[1]
    assert [line.split()[4] for line in late.splitlines()] == ["delivery.dead"]
    assert call(capsys, "--until", AT.isoformat())[1].count("\n") == 1


def test_json_is_an_object_a_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = (json.loads(line) for line in call(capsys, "--json", "--tenant", "acme")[1].splitlines())
    assert first["messageId"] == "m-1"
    assert last == {
        "at": "2026-11-25T08:31:00.000Z", "level": "WARNING", "event": "delivery.dead", "tenantId": "acme",
        "messageId": "m-2", "source": "TransformerActor 11",
        "facts": {"logger": "trunkline.any", "reason": "rejected"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        pytest.param(["--since", "yesterday"], "30m, 2h or 1d", id="no time"),
        pytest.param(["--level", "LOUD"], "warning", id="no level"),
        pytest.param(["--follow", "--until", "1h"], "leave --until out", id="an end to what has none"),
        pytest.param(["--since", "1h", "--until", "2h"], "later than --until", id="the wrong way round"),
        pytest.param(["--since", "99999999999999d"], "30m, 2h or 1d", id="before the calendar"),
    ],
)
def test_a_wrong_call_names_the_remedy(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], remedy: str
) -> None:
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert remedy in " ".join(err.split())


def test_a_home_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "none"))
    code, _, err = call(capsys)
    assert code == 1
    assert str(tmp_path / "none") in err
    assert "TRUNKLINE_HOME" in err
