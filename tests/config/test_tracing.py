"""Traces are off unless a collector is named: then nothing is wrapped, and OpenTelemetry is not even loaded."""

from __future__ import annotations

import subprocess
import sys

from cryptography.fernet import Fernet

from config.settings import ROOT

# What is loaded, and what stands where messages pass, once the parts of intake and of a transformer are built.
PROBE = """
import asyncio, sys
from config.settings import ROOT, load_settings
from config.delivery_wiring import TransformerParts
from config.wiring import WebhookParts

settings = load_settings(ENVIRONMENT, ROOT / "no.env")

class Cells:
    pass

async def build():
    webhooks = WebhookParts(settings)
    parts = TransformerParts(settings, "inbound-1", Cells(), dict)
    transformer, routes = parts.transformer, parts.transformer._routes
    deliver = getattr(parts.deliver, "__self__", parts.deliver)  # a method's object
    passed = [webhooks.application, webhooks._intake._lanes, deliver, transformer._tenants, transformer._ledger]
    passed += routes.values()
    print(*sorted({type(each).__name__ for each in passed}))
    loaded = ("opentelemetry.sdk.trace", "opentelemetry.exporter")
    print(*sorted(name for name in sys.modules if name.startswith(loaded)))

asyncio.run(build())
"""


def probe(**environment: str) -> tuple[set[str], set[str]]:
    """The classes on a message's way, and the modules of OpenTelemetry's that are loaded."""
    code = PROBE.replace("ENVIRONMENT", repr({"CREDENTIALS_KEYS": Fernet.generate_key().decode(), **environment}))
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    classes, modules = ran.stdout.split("\n")[:2]
    return set(classes.split()), set(modules.split())


def test_without_a_collector_nothing_stands_in_a_messages_way() -> None:
    classes, modules = probe()
    assert not [name for name in classes if "Traced" in name]
    assert {"MeasuredWebhooks", "MeasuredLanes", "TimedAdmission", "MeasuredAttempts", "InboundRoute"} <= classes
    assert modules == set()


def test_with_a_collector_everything_that_a_message_passes_is_traced() -> None:
    classes, modules = probe(TRUNKLINE_TRACES_ENDPOINT="http://127.0.0.1:1")
    assert classes == {
        "TracedWebhooks", "TracedLanes", "TracedDelivery", "TracedTenants", "TracedAttempts", "TracedRoute"
    }  # fmt: skip
    assert "opentelemetry.sdk.trace" in modules
