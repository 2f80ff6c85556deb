"""The guide for real: something is broken as the guide tells, the doctor's check for it fails and no other does, the
remedy that it prints is typed, and the check passes again."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import redis

from config.settings import Settings
from scripts.faults.platform import Fault, MetaAppSecrets, Platform, TenantUnderTest, unmade_tenant
from tests.docs.pages import COMMAND, Ran, filled, run
from tests.waiting import until
from trunkline.stores import keys

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"
SEEN_WITHIN_S = 40.0
HEALED_WITHIN_S = 60.0
# A message has waited too long after this; an operator's minute would be a test's minute too.
MAX_AGE_S = 1
# What can be wrong with one tenant; the rest of the guide is about the platform, which all tests of this package share.
OF_TENANTS = (
    "verify-token", "meta-signature", "genesys-signature", "genesys-token", "genesys-access", "token-cache",
    "to-genesys", "to-whatsapp", "whatsapp-token", "whatsapp-limit", "whatsapp-rejected", "dead-letters", "stale-cache",
    "backlog", "consumers", "tenant", "inactive", "tenant-keys", "rate-limit",
)  # fmt: skip
Report = dict[str, dict[str, Any]]


@pytest.fixture
def type_(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ran]:
    """Type a command where the platform runs."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    return lambda command: run(command, os.environ)


@dataclass
class Doctor:
    """The command, and what it says."""

    type_: Callable[[str], Ran]

    def examine(self, *options: str) -> Report:
        """The checks by their ids."""
        ran = self.type_(" ".join((COMMAND, "doctor", "--json", f"--max-age {MAX_AGE_S}", *options)))
        assert ran.code in (0, 1), ran.printed
        return {check["id"]: check for check in json.loads(ran.printed)["checks"]}

    def of_tenant(self, tenant_id: str) -> Report:
        """What is wrong with one tenant."""
        return self.examine("--tenant", tenant_id, *(f"--only {id}" for id in OF_TENANTS))


@pytest.fixture
def doctor(type_: Callable[[str], Ran]) -> Doctor:
    return Doctor(type_)


def failing(report: Report) -> set[str]:
    return {id for id, check in report.items() if check["verdict"] == "fail"}


def commands_in(check: dict[str, Any]) -> list[str]:
    """The commands of ours that a check's remedy consists of."""
    found = [re.search(rf"{COMMAND} [^,;(]+", line) for line in check["remedy"]]
    return [match[0].strip() for match in found if match]


@dataclass
class Case:
    """A tenant that is broken so that `check` fails, its evidence holding `evidence`.

    The remedy's first command is typed with `values` for its placeholders; `after` is what happens in the clouds then.
    """

    tenant: TenantUnderTest
    check: str
    evidence: str
    values: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], object] = lambda: None
    typed: bool = True


class Sickroom:
    """Ways to break a tenant."""

    def __init__(self, platform: Platform, fault: Fault) -> None:
        self._platform = platform
        self._fault = fault

    def wrong_client_secret(self) -> Case:
        tenant = self._made_wrong(genesys={"clientSecret": "not-the-secret"})
        self._customer_writes(tenant)
        right = {"SECRET": tenant.body["genesys"]["clientSecret"]}
        return Case(tenant, "genesys-token", "authentication failed", right)

    def unknown_client(self) -> Case:
        tenant = self._made_wrong(genesys={"clientId": secrets.token_hex(8)})
        self._customer_writes(tenant)
        return Case(tenant, "genesys-token", "client not found", {"ID": tenant.body["genesys"]["clientId"]})

    def unknown_integration(self) -> Case:
        tenant = self._made_wrong(genesys={"integrationId": secrets.token_hex(16)})
        self._customer_writes(tenant)
        return Case(tenant, "genesys-access", "404", {"ID": tenant.integration_id})

    def expired_whatsapp_token(self) -> Case:
        tenant = self._made_wrong(whatsapp={"accessToken": f"token-{secrets.token_hex(12)}"})
        self._agent_writes(tenant)
        return Case(tenant, "whatsapp-token", "190", {"TOKEN": tenant.body["whatsapp"]["accessToken"]})

    def whatsapp_asks_to_slow_down(self) -> Case:
        tenant = self._platform.new_tenant()
        scope = {"cloud": "meta", "tenantId": tenant.tenant_id}
        self._fault(**scope, kind="graph_send", fail_status=429, fail_code=130429, retry_after_s=4)
        self._agent_writes(tenant)
        return Case(tenant, "whatsapp-limit", "130429", after=lambda: self._fault(clear=True, **scope), typed=False)

    def genesys_fails(self) -> Case:
        tenant = self._platform.new_tenant()
        scope = {"cloud": "genesys", "tenantId": tenant.tenant_id}
        self._fault(**scope, kind="genesys_message", fail_status=503)
        for number in range(12):  # a circuit opens after ten failures in a row
            self._platform.send(tenant, "customer", f"4477009002{number:02}", "hello")
        return Case(tenant, "to-genesys", "503", after=lambda: self._fault(clear=True, **scope), typed=False)

    def whatsapp_rejects(self) -> Case:
        tenant = self._platform.new_tenant()
        scope = {"cloud": "meta", "tenantId": tenant.tenant_id, "kind": "graph_send"}
        self._fault(**scope, fail_status=400, fail_code=131026, fail_count=1)
        self._agent_writes(tenant)
        return Case(tenant, "whatsapp-rejected", "131026")

    def genesys_rejects(self) -> Case:
        tenant = self._platform.new_tenant()
        scope = {"cloud": "genesys", "tenantId": tenant.tenant_id, "kind": "genesys_message"}
        self._fault(**scope, fail_status=400, fail_count=1)
        self._customer_writes(tenant)
        return Case(tenant, "dead-letters", "1 inbound rejected")

    def suspended(self) -> Case:
        tenant = self._platform.new_tenant()
        self._platform.change(tenant, status="suspended")
        self._customer_writes(tenant)
        return Case(tenant, "inactive", "suspended")

    def own_limit(self) -> Case:
        tenant = self._platform.new_tenant(settings={"genesysRequestsPerMinute": 20})
        for number in range(8):
            self._platform.send(tenant, "customer", CUSTOMER, f"hello {number}")
        return Case(tenant, "backlog", "genesysRequestsPerMinute 20 is used up")

    def wrong_webhook_secret(self) -> Case:
        tenant = self._made_wrong(genesys={"webhookSecret": secrets.token_hex(16)})
        self._agent_writes(tenant)
        return Case(
            tenant, "genesys-signature", "signatures refused", {"SECRET": tenant.webhook_secret},
            after=lambda: until(partial(self._agent_is_heard, tenant), SEEN_WITHIN_S, "the new secret is in force"),
        )  # fmt: skip

    def limit_used_up(self) -> Case:
        tenant = self._platform.new_tenant(rateLimit=4)
        for _ in range(6):
            self._platform.api.get(f"/tenants/{tenant.tenant_id}", headers={"X-API-Key": tenant.api_key})
        return Case(tenant, "rate-limit", "requests in a minute, 4 are allowed")

    def stale_mapping(self) -> Case:
        tenant = self._platform.new_tenant()
        told = {"tenantId": tenant.tenant_id, "waId": CUSTOMER, "conversationId": str(uuid.uuid4())}
        self._cache(keys.mapping_by_wa_id(tenant.tenant_id, CUSTOMER), told)
        return Case(tenant, "stale-cache", "Postgres knows no such conversation")

    def stale_token(self) -> Case:
        tenant = self._platform.new_tenant()
        self._cache(keys.oauth_token(tenant.tenant_id), {"token": "sealed", "issuedAt": 0, "expiresAt": 1})
        return Case(tenant, "token-cache", "its token expired")

    def _cache(self, key: str, value: dict[str, Any]) -> None:
        with redis.Redis.from_url(self._platform.environment["REDIS_URL"]) as client:
            client.set(key, json.dumps(value), ex=600)

    def _customer_writes(self, tenant: TenantUnderTest) -> None:
        self._platform.send(tenant, "customer", CUSTOMER, "hello")

    def _agent_writes(self, tenant: TenantUnderTest) -> None:
        self._platform.send(tenant, "agent", CUSTOMER, "hello")

    def _agent_is_heard(self, tenant: TenantUnderTest) -> bool:
        """Whether a webhook of Genesys has been taken; one that is refused does not come again."""
        self._agent_writes(tenant)
        query = "SELECT FROM messages WHERE tenant_id = %s AND direction = 'outbound' LIMIT 1"
        return bool(self._platform.rows(query, tenant.tenant_id))

    def _made_wrong(self, **wrong: dict[str, str]) -> TenantUnderTest:
        """A tenant whose account in the clouds is right, and which was made with something else."""
        tenant = unmade_tenant()
        self._platform.register(tenant)
        body = {**tenant.body, **{side: {**tenant.body[side], **values} for side, values in wrong.items()}}
        answer = self._platform.api.post("/tenants", json=body)
        assert answer.status_code == 201, answer.text
        return tenant


BREAKING = [name for name in vars(Sickroom) if not name.startswith("_")]


def test_each_thing_that_is_wrong_with_a_tenant_fails_its_check_alone_until_its_remedy_is_typed(
    platform: Platform, fault: Fault, doctor: Doctor
) -> None:
    sickroom = Sickroom(platform, fault)
    # Side by side: each waits for its tenant's own lanes, circuits and clouds.
    cases: dict[str, Case] = {name: getattr(sickroom, name)() for name in BREAKING}
    for name, case in cases.items():
        report = until(partial(_seen, doctor, case), SEEN_WITHIN_S, f"{name}: {case.check}")
        assert failing(report) == {case.check}, f"{name}: {report}"
        check = report[case.check]
        if case.typed:
            command = filled(commands_in(check)[-1 if "replay" in str(check["remedy"]) else 0], case.values)
            ran = doctor.type_(command)
            assert ran.code == 0, f"{name}: {command}: {ran.printed}"
        case.after()
    for name, case in cases.items():
        until(partial(_is_well, doctor, case), HEALED_WITHIN_S, f"{name} healed")


def _seen(doctor: Doctor, case: Case) -> Report | None:
    report = doctor.of_tenant(case.tenant.tenant_id)
    is_seen = case.check in failing(report) and case.evidence in "\n".join(report[case.check]["evidence"])
    return report if is_seen else None


def _is_well(doctor: Doctor, case: Case) -> bool:
    return not failing(doctor.of_tenant(case.tenant.tenant_id))


def test_a_meta_app_with_wrong_secrets_is_found_and_healed_as_the_remedy_says(
    platform: Platform, doctor: Doctor
) -> None:
    right = MetaAppSecrets(f"app-{secrets.token_hex(4)}", secrets.token_hex(16), secrets.token_hex(8))
    wrong = {"app": right.app, "appSecret": "another-secret", "verifyToken": "another-token"}
    assert platform.api.post("/meta-apps", json=wrong).status_code == 201
    tenant = platform.new_tenant(right)
    platform.send(tenant, "customer", CUSTOMER, "hello")
    assert _handshake(platform, tenant) is False

    def refused() -> Report | None:
        report = doctor.of_tenant(tenant.tenant_id)
        return report if failing(report) == {"meta-signature", "verify-token"} else None

    report = until(refused, SEEN_WITHIN_S, "both checks fail")
    assert f"app {right.app}" in report["meta-signature"]["evidence"][0]
    assert any(f"apps create {right.app}" in line for line in report["meta-signature"]["remedy"])
    for command in (
        f"tenants update {tenant.tenant_id} --app default",
        f"apps delete {right.app}",
        f"apps create {right.app} --app-secret {right.app_secret} --verify-token {right.verify_token}",
        f"tenants update {tenant.tenant_id} --app {right.app}",
    ):
        assert doctor.type_(f"{COMMAND} {command}").code == 0
    until(lambda: _handshake(platform, tenant), 10.0, "the handshake")
    platform.send(tenant, "customer", CUSTOMER, "again")
    until(lambda: not failing(doctor.of_tenant(tenant.tenant_id)), HEALED_WITHIN_S, "accepted again")


def _handshake(platform: Platform, tenant: TenantUnderTest) -> bool:
    return bool(platform.sandbox.post("/sandbox/handshake", json={"tenantId": tenant.tenant_id}).json()["verified"])


def test_a_number_that_nobody_owns_is_named_until_its_tenant_is_made_and_the_letters_are_replayed(
    platform: Platform, doctor: Doctor
) -> None:
    tenant = unmade_tenant()
    platform.register(tenant)
    platform.send(tenant, "customer", CUSTOMER, "is anybody there?")

    def evidence() -> str:
        check = doctor.examine("--only unrouted")["unrouted"]
        return "\n".join(check["evidence"]) if check["verdict"] == "fail" else ""

    until(lambda: tenant.phone_number_id in evidence(), SEEN_WITHIN_S, "the number named")
    assert platform.api.post("/tenants", json=tenant.body).status_code == 201
    check = doctor.examine("--only unrouted")["unrouted"]
    (replay,) = [command for command in commands_in(check) if "replay" in command]
    assert doctor.type_(replay).code == 0
    platform.arrived(tenant, "genesys_message", 1)
    assert tenant.phone_number_id not in evidence()


# --- the platform itself ---


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that hangs meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # ended for hanging, as it should be
            os.kill(pid, signal.SIGCONT)


def only_new(doctor: Doctor, before: set[str], check: str) -> dict[str, Any] | None:
    """The check, once it is all that fails beyond what had failed before."""
    report = doctor.examine()
    return report[check] if failing(report) - before == {check} else None


def test_a_transformer_that_hangs_is_seen_and_passes_by_itself(platform: Platform, doctor: Doctor) -> None:
    before = failing(doctor.examine())
    pid = min(platform.workers("TransformerActor"))
    with stopped(pid):
        check = until(lambda: only_new(doctor, before, "transformers"), SEEN_WITHIN_S, "seen")
        assert "do not answer" in check["evidence"][0]
        assert "one that died is started anew by itself" in check["remedy"][0]
        with suppress(ProcessLookupError):  # ended for hanging, as it should be
            os.kill(pid, signal.SIGKILL)
    until(lambda: failing(doctor.examine()) <= before, HEALED_WITHIN_S, "started anew")


def test_a_redis_that_does_not_answer_is_seen_and_nothing_else_is_blamed(platform: Platform, doctor: Doctor) -> None:
    before = failing(doctor.examine())
    (pid,) = platform.programs("redis-server") or platform.programs("valkey-server")
    with stopped(pid):
        check = until(lambda: only_new(doctor, before, "redis"), SEEN_WITHIN_S, "seen")
        assert "Cannot connect to Redis" in check["evidence"][0]
    until(lambda: failing(doctor.examine()) <= before, HEALED_WITHIN_S, "well again")


def test_a_redis_that_is_full_takes_more_once_the_remedy_is_typed(platform: Platform, doctor: Doctor) -> None:
    before = failing(doctor.examine())
    with redis.Redis.from_url(platform.environment["REDIS_URL"]) as client:
        try:
            client.config_set("maxmemory", "100kb")
            check = until(lambda: only_new(doctor, before, "redis-memory"), SEEN_WITHIN_S, "seen")
            assert "OK" in doctor.type_(check["remedy"][0]).printed.splitlines()
            assert failing(doctor.examine()) <= before
        finally:
            client.config_set("maxmemory", "0")


def test_a_broker_that_takes_nothing_is_seen_while_webhooks_are_taken(platform: Platform, doctor: Doctor) -> None:
    before = failing(doctor.examine())
    tenant = platform.new_tenant()
    rabbitmqctl(platform, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        check = until(lambda: only_new(doctor, before, "broker-alarm"), SEEN_WITHIN_S, "seen")
        assert "takes no messages" in check["evidence"][0]
        platform.send(tenant, "customer", CUSTOMER, "kept meanwhile")
    finally:
        rabbitmqctl(platform, "set_vm_memory_high_watermark", "0.4")
    until(lambda: failing(doctor.examine()) <= before, HEALED_WITHIN_S, "well again")
    platform.arrived(tenant, "genesys_message", 1)


def rabbitmqctl(platform: Platform, *arguments: str) -> None:
    ports = json.loads((platform.home / "instance.json").read_text())["ports"]
    done = subprocess.run(
        ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", "trunkline@localhost", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(platform.home / "rabbitmq"), "ERL_EPMD_PORT": str(ports["epmd"])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
