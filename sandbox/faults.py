"""Fault switches: what the clouds do wrong on purpose, by cloud, tenant and kind of call."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sandbox.events import Cloud

Statuses = Literal["on", "off", "read", "played", "failed"]
State = Literal["sent", "delivered", "read", "played", "failed", "deleted"]
SCOPE = ("cloud", "tenantId", "kind")


class Switches(BaseModel):
    """A rule: a scope, and what happens within it. Null takes a switch back."""

    model_config = ConfigDict(extra="forbid")

    cloud: Cloud | None = None
    tenantId: str | None = None
    kind: str | None = None

    latency_ms: float | None = Field(None, ge=0)
    jitter_ms: float | None = Field(None, ge=0)
    fail_status: int | None = Field(None, ge=400, le=599)
    fail_code: int | None = None  # the Graph API's own code, where the status alone leaves it open
    fail_rate: float | None = Field(None, ge=0, le=1)
    fail_for_s: float | None = Field(None, gt=0)
    fail_count: int | None = Field(None, ge=1)
    retry_after_s: float | None = Field(None, ge=0)
    lost_answer_rate: float | None = Field(None, ge=0, le=1)  # accepted, then closed without an answer
    hang: bool | None = None  # never answered, nothing done
    garbage: Literal[200, 500] | None = None  # not JSON; with 200 the call was accepted
    cut_body: bool | None = None  # a file that is downloaded breaks off in the middle
    bytes_per_s: int | None = Field(None, ge=1)  # how fast a file comes
    token_ttl_s: int | None = Field(None, ge=1)
    statuses: Statuses | None = None
    status_code: int | None = None  # the error of `statuses: failed`
    status_order: Literal["usual", "reverse"] | None = None
    status_sequence: list[State] | None = None  # instead of `statuses`: any order, any repeats
    status_early: bool | None = None  # statuses reach the router before the send is answered
    status_callback_data: bool | None = None  # false: without biz_opaque_callback_data
    duplicate_webhooks: bool | None = None
    disordered_webhooks: bool | None = None
    agent_receipts: bool | None = None


@dataclass(slots=True)
class Rule:
    """Switches in force, with what is left of a bounded failure."""

    switches: Switches
    fail_until: float | None = None
    fail_left: int | None = None

    def matches(self, cloud: Cloud, tenant_id: str, kind: str) -> bool:
        """True if the scope covers this call."""
        wanted = self.switches
        return wanted.cloud in (None, cloud) and wanted.tenantId in (None, tenant_id) and wanted.kind in (None, kind)

    def fails(self, now: float, draw: Callable[[], float]) -> bool:
        """True if this rule refuses a call now; a counted failure is used up by it."""
        if self.switches.fail_status is None:
            return False
        if self.fail_until is not None and now >= self.fail_until:
            return False
        if self.fail_left == 0:
            return False
        if self.switches.fail_rate is not None and draw() >= self.switches.fail_rate:
            return False
        if self.fail_left is not None:
            self.fail_left -= 1
        return True


@dataclass(slots=True)
class Plan:
    """What shall go wrong with one call."""

    delay_s: float = 0.0
    fail_status: int | None = None
    fail_code: int | None = None
    retry_after_s: float | None = None
    lose: bool = False
    hang: bool = False
    garbage: int | None = None
    cut_body: bool = False
    bytes_per_s: int | None = None


class Faults:
    """The rules in force; where several cover a call, the narrower scope has the last word."""

    def __init__(self, now: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random) -> None:
        self._now = now
        self._draw = draw
        self._rules: list[Rule] = []

    def set(self, switches: Switches) -> None:
        """Merge these switches into the rule of the same scope."""
        given = switches.model_dump(exclude_unset=True)
        old = next((rule for rule in self._rules if _scope(rule.switches) == _scope(switches)), None)
        merged = Switches.model_validate({**(old.switches.model_dump(exclude_unset=True) if old else {}), **given})
        rule = Rule(merged, old.fail_until if old else None, old.fail_left if old else None)
        if any(name.startswith("fail_") for name in given):
            rule.fail_until = None if merged.fail_for_s is None else self._now() + merged.fail_for_s
            rule.fail_left = merged.fail_count
        self._rules = [each for each in self._rules if each is not old]
        if any(value is not None for name, value in merged.model_dump().items() if name not in SCOPE):
            self._rules.append(rule)
            self._rules.sort(key=lambda each: sum(part is not None for part in _scope(each.switches)))

    def clear(self, scope: Switches | None = None) -> None:
        """Take back every rule, or those that lie within a scope."""
        wanted = scope or Switches()
        self._rules = [
            rule
            for rule in self._rules
            if not all(mine in (None, its) for mine, its in zip(_scope(wanted), _scope(rule.switches), strict=True))
        ]

    def shown(self) -> list[dict[str, Any]]:
        """The rules as the control API shows them."""
        shown = []
        for rule in self._rules:
            data = rule.switches.model_dump(exclude_none=True)
            if rule.fail_until is not None:
                data["fail_for_s"] = round(max(0.0, rule.fail_until - self._now()), 3)
            if rule.fail_left is not None:
                data["fail_count"] = rule.fail_left
            shown.append(data)
        return shown

    def plan(self, cloud: Cloud, tenant_id: str, kind: str) -> Plan | None:
        """What shall go wrong with this call; None when nothing."""
        if not self._rules:
            return None
        plan: Plan | None = None
        for rule in self._rules:
            if rule.matches(cloud, tenant_id, kind):
                plan = plan or Plan()
                self._apply(rule, plan)
        return plan

    def switch(self, name: str, cloud: Cloud, tenant_id: str = "", kind: str = "") -> Any:
        """The value of one switch for this scope; None when it is not set."""
        value: Any = None
        for rule in self._rules:
            if rule.matches(cloud, tenant_id, kind):
                own = getattr(rule.switches, name)
                value = value if own is None else own
        return value

    def _apply(self, rule: Rule, plan: Plan) -> None:
        switches = rule.switches
        if switches.latency_ms is not None or switches.jitter_ms is not None:
            plan.delay_s = ((switches.latency_ms or 0) + (switches.jitter_ms or 0) * self._draw()) / 1000
        if rule.fails(self._now(), self._draw):
            plan.fail_status = switches.fail_status
            plan.fail_code = switches.fail_code
        if switches.retry_after_s is not None:
            plan.retry_after_s = switches.retry_after_s
        if switches.lost_answer_rate is not None:
            plan.lose = self._draw() < switches.lost_answer_rate
        if switches.hang is not None:
            plan.hang = switches.hang
        if switches.garbage is not None:
            plan.garbage = switches.garbage
        if switches.cut_body is not None:
            plan.cut_body = switches.cut_body
        if switches.bytes_per_s is not None:
            plan.bytes_per_s = switches.bytes_per_s


def _scope(switches: Switches) -> tuple[str | None, str | None, str | None]:
    return switches.cloud, switches.tenantId, switches.kind
