"""The platform as a guest of its machine: where it listens, how it stops, what is there when it starts again."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from scripts.faults.platform import Platform, TenantUnderTest
from scripts.launcher.ports import is_free
from scripts.launcher.service import ROOT

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"
LISTEN = "0A"


def listening(pids: Iterable[int]) -> Iterator[tuple[str, int]]:
    """Address and port of every TCP socket on which one of these processes listens."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(os.readlink(descriptor))
            except OSError:
                continue  # closed meanwhile
    for family, size in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == LISTEN and f"socket:[{fields[9]}]" in inodes:
                words = struct.unpack(f">{size // 4}I", bytes.fromhex(address))
                packed = struct.pack(f"={size // 4}I", *words)
                yield socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, packed), int(port, 16)


def test_everything_listens_on_loopback_only(platform: Platform) -> None:
    found = set(listening(platform.descendants()))
    assert {platform.port, platform.port + 1} <= {port for _, port in found}
    assert [each for each in found if each[0] not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")] == []


def test_a_second_start_beside_a_running_one_is_refused(platform: Platform) -> None:
    command = [sys.executable, "-m", "scripts.launcher", "run", "--no-dashboard"]
    environment = {**os.environ, "TRUNKLINE_HOME": str(platform.home), "PORT": str(platform.port)}
    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert "already running" in second.stdout + second.stderr
    assert platform.api.get("/health/live").status_code == 200


def test_a_stopped_platform_leaves_no_process_and_finds_its_data_when_it_starts_again(
    platform: Platform, tenant: TenantUnderTest
) -> None:
    sent = platform.send(tenant, "customer", CUSTOMER, "hello")
    platform.arrived(tenant, "genesys_message", 1)
    conversation = _conversation(platform, tenant)

    assert platform.leftovers() != []  # it knows what to look for
    platform.stop()
    assert platform.leftovers() == []
    assert is_free(platform.port)
    assert is_free(platform.port + 1)

    platform.start()
    assert platform.api.get(f"/tenants/{tenant.tenant_id}").json()["tenantId"] == tenant.tenant_id
    assert _conversation(platform, tenant) == conversation
    messages = platform.api.get(
        f"/state/conversation/{conversation}/messages", headers={"X-API-Key": tenant.api_key}
    ).json()["messages"]
    assert [(each["wamid"], each["text"], each["status"]) for each in messages] == [(sent["id"], "hello", "delivered")]
    platform.send(tenant, "customer", CUSTOMER, "hello again")
    assert [event["text"] for event in platform.arrived(tenant, "genesys_message", 1)] == ["hello again"]


def _conversation(platform: Platform, tenant: TenantUnderTest) -> str:
    """The id of the customer's conversation, read with the tenant's own key."""
    answer = platform.api.get(
        "/state/conversation", params={"whatsappNumber": CUSTOMER}, headers={"X-API-Key": tenant.api_key}
    )
    return str(answer.json()["conversationId"])
