"""`trunkline doctor` against a served admin API, on the machine it runs on and from another one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import envelope
from tests.trunkline.admin_app import NOW
from tests.trunkline.cli.conftest import Run, Served
from tests.trunkline.records import BY, tenant_record
from tests.trunkline.web.rows import insert, insert_message
from trunkline.doctor.guide import CHAPTERS, CHECKS
from trunkline.envelope import Direction
from trunkline.tenancy.record import TenantRecord, TenantStatus
from trunkline.web.admin_ports import ActorProcess, ComponentHealth

pytestmark = pytest.mark.services


@pytest.fixture
def tenant(served: Served) -> TenantRecord:
    record = tenant_record()
    served.run(served.admin.tenants.create(record, BY))
    return record


@pytest.fixture
def here(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """The settings of the machine that the served API runs on; the clouds are simulated, by nobody in particular."""
    for name in ("PUBLIC_URL", "GRAPH_API_URL", "GENESYS_LOGIN_URL", "GENESYS_API_URL"):
        monkeypatch.setenv(name, served.url)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))


@pytest.mark.usefixtures("here")
def test_every_check_comes_to_a_verdict_with_evidence_and_those_that_fail_with_a_remedy(run: Run) -> None:
    ran = run("doctor", "--json")
    report = ran.json
    assert [check["id"] for check in report["checks"]] == [check.id for check in CHECKS]
    assert all(check["evidence"] for check in report["checks"])
    assert all(check["remedy"] for check in report["checks"] if check["verdict"] == "fail")
    assert "itself failed" not in ran.out
    verdicts = {check["id"]: check["verdict"] for check in report["checks"]}
    for id in ("router", "postgres", "redis", "rabbitmq", "migrations", "admin-key", "disk"):
        assert verdicts[id] == "pass", report
    assert ran.code == (1 if "fail" in verdicts.values() else 0)
    assert report["verdict"] == ("fail" if ran.code else "pass" if "warn" not in verdicts.values() else "warn")


def test_from_another_machine_what_needs_this_one_is_skipped_and_says_so(run: Run, tenant: TenantRecord) -> None:
    ran = run("doctor", "--tenant", tenant.tenant_id, "--json")
    checks = {check["id"]: check for check in ran.json["checks"]}
    assert checks["router"]["verdict"] == checks["tenant"]["verdict"] == checks["inactive"]["verdict"] == "pass"
    for id in ("port", "postgres", "redis", "rabbitmq", "migrations", "disk", "meta-signature", "clock"):
        assert checks[id]["verdict"] == "skipped"
        assert "needs the machine that Trunkline runs on" in checks[id]["evidence"][0]


def test_for_people_it_is_grouped_like_the_guide_and_without_colours_on_no_terminal(run: Run) -> None:
    ran = run("doctor", "--only", "router", "--only", "admin-key", "--tenant", "nobody", "--only", "tenant")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert [line for line in lines if line[0].isdigit()] == [f"1. {CHAPTERS[1]}", f"9. {CHAPTERS[9]}"]
    assert "\x1b" not in ran.out
    assert any(line.split()[:2] == ["fail", "tenant"] for line in lines)
    assert "Tenant not found" in ran.out
    assert "           1. scripts/trunkline tenants list" in lines
    assert lines[-1] == "fail: 2 pass, 1 fail"


def test_a_wrong_key_is_told_and_nothing_else_is_blamed_for_it(run: Run) -> None:
    ran = run("doctor", "--chapter", "9", "--json", key="wrong")
    verdicts = {check["id"]: check["verdict"] for check in ran.json["checks"]}
    assert [id for id, verdict in verdicts.items() if verdict == "fail"] == ["admin-key"]
    assert ran.code == 1


def test_no_router_at_all_is_no_reason_to_break(run: Run) -> None:
    ran = run("doctor", "--json", url="http://127.0.0.1:1")
    assert ran.code == 1
    assert [check["id"] for check in ran.json["checks"] if check["verdict"] == "fail"] == ["router"]


def test_a_suspended_tenant_is_named_until_it_is_activated_as_the_remedy_says(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    run("tenants", "suspend", tenant.tenant_id)
    assert served.run(served.admin.tenants.get(tenant.tenant_id)).status is TenantStatus.SUSPENDED
    (check,) = run("doctor", "--tenant", tenant.tenant_id, "--only", "inactive", "--json").json["checks"]
    assert check["verdict"] == "warn"
    (remedy,) = check["remedy"]
    assert run(*remedy.split()[1:]).code == 0
    assert run("doctor", "--tenant", tenant.tenant_id, "--only", "inactive").code == 0


def test_called_wrongly_it_says_how(run: Run) -> None:
    unknown = run("doctor", "--only", "everything")
    assert unknown.code == 2
    assert "there is no check 'everything'" in unknown.err
    assert run("doctor", "--chapter", "10").code == 2
    anybody = run("doctor", "--tenant", "*")
    assert anybody.code == 2
    assert "'*' cannot be a tenant's id" in " ".join(anybody.err.split())
    listed = run("doctor", "--list", "--chapter", "6")
    assert [line.split()[1] for line in listed.out.splitlines()] == [
        "redis",
        "token-cache",
        "redis-memory",
        "stale-cache",
    ]


def failing(run: Run, tenant: TenantRecord) -> dict[str, list[str]]:
    """The remedies of the checks that fail, by check."""
    report = run("doctor", "--tenant", tenant.tenant_id, "--max-age", "60", "--json").json
    return {check["id"]: check["remedy"] for check in report["checks"] if check["verdict"] == "fail"}


def test_a_queue_that_nobody_reads_is_named_until_a_pool_that_was_scaled_reads_it(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    five_minutes_ago = NOW - timedelta(minutes=5)
    served.run(insert(served.admin, "lanes", tenant_id=tenant.tenant_id, direction="inbound"))
    served.run(insert_message(served.admin, tenant, status="received", accepted_at=five_minutes_ago))
    served.admin.queues.put(envelope(1, tenant_id=tenant.tenant_id))
    try:
        remedy = failing(run, tenant)["consumers"]
        (scale,) = [line.partition("them: ")[2] for line in remedy if "pools scale" in line]
        assert run(*scale.split()[1:]).code == 0
        assert served.admin.actors.bounds["inbound"] == (2, 2)
        served.admin.queues.consumers[tenant.tenant_id, Direction.INBOUND] = 1
        assert "consumers" not in failing(run, tenant)
        # It is read now, and still late: that is another symptom.
        assert "backlog" in failing(run, tenant)
    finally:
        served.admin.queues.bodies.clear()
        served.admin.queues.consumers.clear()
        served.admin.actors.bounds["inbound"] = (1, 1)


def test_an_actor_beyond_its_memory_is_named_until_it_is_restarted_as_the_remedy_says(
    run: Run, served: Served, tenant: TenantRecord
) -> None:
    limit = 512 * 2**20
    grown = ActorProcess("cell:0", "TenantCell", 7, "here", limit + 1, limit, "alive")
    served.admin.actors.processes = [grown]
    restarted = served.admin.actors.restarted
    served.admin.actors.restarts = [{"state": "done", "steps": [], "error": None}]
    try:
        found = failing(run, tenant)
        assert set(found) == {"actor-memory"}
        assert run(*found["actor-memory"][0].partition(" (")[0].split()[1:]).code == 0
        assert served.admin.actors.restarted == restarted + 1
        served.admin.actors.processes = [replace(grown, memory_bytes=limit // 4)]
        assert failing(run, tenant) == {}
    finally:
        served.admin.actors.processes = []
        served.admin.actors.restarts = [{"state": "idle", "steps": [], "error": None}]


@pytest.mark.parametrize(
    ("component", "check"),
    [
        pytest.param("ray", "ray", id="the supervisor"),
        pytest.param("tenants", "ray", id="the cells"),
        pytest.param("inbound", "transformers", id="the transformers towards Genesys"),
    ],
)
def test_actors_that_do_not_answer_fail_their_check_until_they_do(
    run: Run, served: Served, tenant: TenantRecord, component: str, check: str
) -> None:
    well = served.admin.actors.components[component]
    served.admin.actors.components[component] = ComponentHealth("degraded", None, "they do not answer")
    try:
        assert set(failing(run, tenant)) == {check}
    finally:
        served.admin.actors.components[component] = well
    assert failing(run, tenant) == {}
