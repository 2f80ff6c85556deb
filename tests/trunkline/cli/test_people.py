"""`trunkline people`: erases after it has asked, and shows what was removed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trunkline.cli.conftest import Run, Served
from tests.trunkline.records import BY, tenant_record
from tests.trunkline.web.rows import insert_message

pytestmark = pytest.mark.services

NUMBER = "447700900111"


@pytest.fixture
def tenant_id(served: Served) -> str:
    """A tenant with one message of the person."""
    record = tenant_record()
    served.run(served.admin.tenants.create(record, BY))
    served.run(insert_message(served.admin, record, wa_id=NUMBER))
    return record.tenant_id


@pytest.mark.parametrize("named", [("--number", f"+{NUMBER}"), ("--number", NUMBER)])
def test_a_person_is_erased_and_what_was_removed_is_shown(run: Run, tenant_id: str, named: tuple[str, str]) -> None:
    ran = run("people", "erase", "--tenant", tenant_id, *named, "--yes", "--json")
    assert ran.code == 0
    assert ran.json["person"] == "****0111"
    assert ran.json["removed"]["messages"] == 1
    ran = run("people", "erase", "--tenant", tenant_id, *named, "--yes")
    assert (ran.code, NUMBER in ran.out) == (0, False)
    assert "removed" in ran.out


def test_nothing_is_erased_unless_it_is_said(run: Run, tenant_id: str) -> None:
    ran = run("people", "erase", "--tenant", tenant_id, "--number", NUMBER)
    assert ran.code == 1
    assert "--yes" in ran.err
    assert run("people", "erase", "-t", tenant_id, "--number", NUMBER, "-y", "--json").json["removed"]["messages"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="nobody"),
        pytest.param(["--number", NUMBER, "--user-id", "GB.1"], id="two"),
    ],
)
def test_a_person_is_named_in_one_way(run: Run, tenant_id: str, arguments: list[str]) -> None:
    assert run("people", "erase", "--tenant", tenant_id, *arguments, "--yes").code == 2


def test_what_is_wrong_is_told(run: Run, tenant_id: str) -> None:
    ran = run("people", "erase", "--tenant", tenant_id, "--number", "Ines", "--yes")
    assert ran.code == 1
    assert "whatsappNumber" in ran.err
    told: Any = run("people", "erase", "--tenant", "nobody-here", "--number", NUMBER, "--yes")
    assert (told.code, "nobody-here" in told.err) == (1, True)
