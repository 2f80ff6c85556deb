"""Every command that the documentation has its reader type, typed against the running platform."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from config.settings import Settings
from scripts.faults.platform import Platform
from tests.docs.pages import PAGES, Block, blocks_of, filled, run
from tests.waiting import until

pytestmark = pytest.mark.ray

DEMO = "demo"
CUSTOMER = "447700900123"
# What programs print that end with 0 all the same.
COMPLAINTS = re.compile(r"NOAUTH|WRONGPASS|^ERR |^\(error\)", re.MULTILINE)
# Programs of the reader's machine, which Trunkline does without and never installs: on a bare machine a block that
# types one cannot be tried, and says so.
MAY_BE_MISSING = ("curl", "openssl", "psql", "redis-cli")
BLOCKS = [block for page in PAGES for block in blocks_of(page) if block.not_run is None]


@pytest.fixture(scope="module")
def at_hand(platform: Platform) -> dict[str, str]:
    """What the placeholders stand for: a message that was delivered, and one that was given up."""
    demo = {"X-Tenant-ID": DEMO}
    refused = {"cloud": "genesys", "tenantId": DEMO, "kind": "genesys_message", "fail_status": 400, "fail_count": 1}

    def write(text: str) -> str:
        order = {"as": "customer", "tenantId": DEMO, "customer": CUSTOMER, "text": text}
        return str(platform.sandbox.post("/sandbox/send", json=order).json()["id"])

    def state(message_id: str) -> str:
        return str(platform.api.get(f"/messages/{message_id}/trace", headers=demo).json().get("state"))

    platform.fault(**refused)
    given_up = write("never")
    until(lambda: state(given_up) == "dead", 15.0, "a dead letter")
    platform.fault(clear=True, cloud="genesys", tenantId=DEMO)
    delivered = write("hello")
    until(lambda: state(delivered) == "delivered", 15.0, "a message delivered")
    (letter, *_) = platform.api.get("/dead-letters", headers=demo).json()["deadLetters"]
    return {"MESSAGE_ID": delivered, "DEAD_LETTER_ID": str(letter["id"])}


@pytest.fixture
def shell(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a shell in which the platform's settings are known."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)


def here(command: str, platform: Platform) -> str:
    """The command with the addresses of this platform in the place of the usual ones."""
    for usual, ours in (
        ("127.0.0.1:3000", f"127.0.0.1:{platform.port}"),
        ("127.0.0.1/3000", f"127.0.0.1/{platform.port}"),
        ("127.0.0.1:3001", f"127.0.0.1:{platform.port + 1}"),
        (" .trunkline", f" {platform.home}"),
    ):
        command = command.replace(usual, ours)
    return command


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_a_page_has_its_reader_type_works(block: Block, platform: Platform, at_hand: dict[str, str]) -> None:
    for command in block.commands:
        typed = here(filled(command, at_hand), platform)
        if missing := [name for name in MAY_BE_MISSING if name in typed and shutil.which(name) is None]:
            pytest.skip(f"this machine has no {missing[0]}")
        ran = run(typed, os.environ)
        assert ran.code in ((0, 1) if block.may_fail else (0,)), f"{block}: {typed}\n{ran.printed}"
        assert not COMPLAINTS.search(ran.printed), f"{block}: {typed}\n{ran.printed}"
