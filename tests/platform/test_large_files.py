"""A 90 MB document each way: every byte arrives, and no process of ours grows with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.faults.platform import Platform, TenantUnderTest
from tests.waiting import until

pytestmark = pytest.mark.ray

CUSTOMER = "447700900123"
MB = 2**20
SIZE = 90 * MB
ALLOWED = 20 * MB
WITHIN_S = 90.0
# Too large for Genesys: such a document is linked in a text.
PDF = {"mime": "application/pdf", "filename": "plan.pdf"}


def memory(pid: int, what: str) -> int:
    """`VmRSS`, or `VmHWM` for the peak, of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{what} of {pid} is not known")


@contextmanager
def no_growth(pids: list[int]) -> Iterator[None]:
    """Fails when one of the processes was at any moment much larger than before."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here on
    before = {pid: memory(pid, "VmRSS") for pid in pids}
    yield
    growth = {pid: (memory(pid, "VmHWM") - before[pid]) // MB for pid in pids}
    assert max(growth.values(), default=0) < ALLOWED // MB, growth


def shown(platform: Platform, tenant: TenantUnderTest, side: str, count: int) -> list[dict[str, Any]]:
    """What a side shows of the other's messages, once there are so many."""
    author = "customer" if side == "desktop" else "agent"

    def found() -> list[dict[str, Any]]:
        messages = [each for each in platform.conversation(tenant, CUSTOMER)[side] if each["author"] == author]
        return messages if len(messages) >= count else []

    return until(found, WITHIN_S, f"{count} messages on the {side}")


def load(text: str) -> tuple[str, int]:
    """The hash and the size of what a text links to."""
    url = next(word for word in text.split() if "/media/" in word).strip("[]().,")
    digest, size = hashlib.sha256(), 0
    with httpx.stream("GET", url, trust_env=False, timeout=60) as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_bytes(MB):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def test_a_90_mb_document_of_a_customer_passes_in_little_memory(platform: Platform, tenant: TenantUnderTest) -> None:
    # A small one first: what is loaded on first use does not count.
    for number, size in enumerate((26 * MB, SIZE), start=1):
        with no_growth(platform.workers("") if size == SIZE else []):
            content = {**PDF, "size": size, "seed": number}
            sent = platform.send(tenant, "customer", CUSTOMER, kind="document", content=content)
            event = platform.arrived(tenant, "genesys_message", number, WITHIN_S)[-1]
            told = sent["messages"][0]["files"][0]
            assert load(json.loads(event["body"])["text"]) == (told["sha256"], size)


def test_a_90_mb_document_of_an_agent_passes_in_little_memory(platform: Platform, tenant: TenantUnderTest) -> None:
    for number, size in enumerate((MB, SIZE), start=1):
        with no_growth(platform.workers("") if size == SIZE else []):
            content = [{**PDF, "size": size, "seed": number}]
            sent = platform.send(tenant, "agent", CUSTOMER, kind="attachments", content=content)
            (file,) = shown(platform, tenant, "phone", number)[-1]["files"]
            assert (file["sha256"], file["size"]) == (sent["messages"][0]["files"][0]["sha256"], size)
