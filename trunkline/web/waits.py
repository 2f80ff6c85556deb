"""What a message that has not arrived waits for, until when, and what an operator can do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trunkline.attempt import NEWS_WITHIN_S
from trunkline.tenancy.history import Event, MessageFacts
from trunkline.tenancy.standing import Hindrance, Obstacle, Standing

CLOUDS = {"inbound": "Genesys Cloud", "outbound": "WhatsApp", "status": "Genesys Cloud"}
WAITING_STATES = frozenset({"received", "waiting", "sending", "unknown"})

_SUSPENDED = "the activation of its tenant, which is suspended"
_UNREAD = "a transformer to read its lane, which none does now"
_TURN = "its turn"
# What a message in this state waits for, when nothing better is known.
_WAITING_FOR = {
    "received": "a transformer to take it from its queue",
    "waiting": "its next attempt",
    "sending": "the answer of {cloud}{deadline}",
    "unknown": "the repetition of the attempt whose outcome is unknown, once and under the same id",
}
_WAITING_FOR_STATUS = "a status that tells of the attempt whose outcome is unknown{deadline}; then it is repeated once"
_WAITING_AFTER = {
    "credentials_refused": "credentials that {cloud} accepts",
    "throttled": "the end of the pause that {cloud} asked for",
    "retry": "its next attempt, in order, after a pause; longer while the tenant's circuit to {cloud} is open",
    "part_sent": "the sending of its next part",
    "receipt_waits": "RabbitMQ, to report the failure to the agent",
}
_HINDERED = {
    Hindrance.SUSPENDED: _SUSPENDED,
    Hindrance.CREDENTIALS: "credentials that {cloud} accepts; it says: {words}",
    Hindrance.FAILING: "{cloud} to be well again: the tenant's circuit to it is open, for {words}",
    Hindrance.THROTTLED: "the end of the pause that {cloud} asked for: {words}",
    Hindrance.NO_TOKEN: "a Genesys token: {words}",
    Hindrance.PERSON_LIMIT: "its customer's turn: WhatsApp takes only so many messages for one person",
    Hindrance.OWN_LIMIT: "its turn within the tenant's own limit towards {cloud}",
}
# Why it waits in Postgres and not in its queue.
_SPOOLED = {
    "broker_away": "it lies in Postgres, for RabbitMQ was away when it came",
    "parked": "its conversation is parked in Postgres",
    "replayed": "it lies in Postgres, where its replay has put it behind what came before",
}

_CORRECT = (
    "Correct the tenant's credentials (trunkline tenants update {tenant} --file …); what waits is delivered by itself "
    "within 10 s."
)
_GRANT_MORE = "Nothing to do; if it happens often, have the cloud grant more and raise the tenant's settings."
_ADVICE_WHEN_HINDERED = {
    Hindrance.SUSPENDED: "Activate the tenant (trunkline tenants activate {tenant}); what waits is delivered in order.",
    Hindrance.CREDENTIALS: _CORRECT,
    Hindrance.FAILING: "Nothing to do unless it lasts: single probes find out when {cloud} is well, and what waits is "
    "delivered in order within 60 s of that. Its own status page may say more.",
    Hindrance.THROTTLED: _GRANT_MORE,
    Hindrance.NO_TOKEN: "Nothing to do unless it lasts: then see GET /auth/token?force=true for the login's own words.",
    Hindrance.PERSON_LIMIT: "Nothing to do; Meta lets no more through for one person (settings whatsappPersonBurst and "
    "whatsappPersonMessagesPerMinute).",
    Hindrance.OWN_LIMIT: "Nothing to do; if the cloud has granted more, raise the tenant's settings "
    "(genesysRequestsPerMinute, whatsappMessagesPerSecond).",
}
_ADVICE_AFTER = {
    "credentials_refused": _CORRECT,
    "throttled": _GRANT_MORE,
    "retry": "Nothing to do unless it lasts; the last attempt's answer, and the tenant's status, say what is missing.",
    "receipt_waits": "Nothing to do here: see GET /health for RabbitMQ.",
}
_ADVICE_UNREAD = (
    "Nothing to do for 10 s; then see that transformers run: trunkline pools list, and trunkline doctor for why not."
)
_ADVICE_SPOOLED = "Nothing to do; it is taken up by itself, before anything newer of its conversation."
_ADVICE = {
    "received": "If it stays, see GET /health for the pools and the tenant's status.",
    "waiting": "If it stays, see the tenant's status and the last attempt.",
    "sending": "If it stays, its sender died; the message is taken over by itself.",
    "unknown": "Nothing to do; it is repeated once by the stated rule, or given up as unknown_outcome.",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for; `until` is when it is tried at the earliest, or at the latest given up, None if unknown."""

    what: str
    until: datetime | None
    advice: str


def wait_of(direction: str, status: str, facts: MessageFacts, standing: Standing, now: datetime) -> Wait:
    """What a message of this direction, in one of WAITING_STATES, waits for."""
    is_out = status in ("sending", "unknown")
    obstacle = None if is_out else _obstacle(facts, standing)
    until = _until(direction, status, facts, obstacle, now)
    names = {"cloud": CLOUDS.get(direction, "the cloud"), "tenant": _tenant_of(facts)}
    if obstacle is not None:
        names["words"] = obstacle.words
        what, advice = _HINDERED[obstacle.hindrance], _ADVICE_WHEN_HINDERED[obstacle.hindrance]
    else:
        what, advice = _plainly(
            direction, status, facts, is_unread=standing.is_read is False and not _is_parked(facts, now)
        )
    if is_out:
        deadline = f", until {iso(until)} at the latest" if until else ""
        return Wait(what.format(**names, deadline=deadline), until, advice.format(**names))
    words = [what.format(**names), *([_SPOOLED[facts.spooled.cause]] if facts.spooled else [])]
    when = f", to be tried not before {iso(until)}" if until else ""
    return Wait("; ".join(words) + when, until, advice.format(**names))


def _obstacle(facts: MessageFacts, standing: Standing) -> Obstacle | None:
    # A suspension is in the tables; the actors may not have heard of it, or be away.
    if facts.tenant_status == "suspended":
        return Obstacle(Hindrance.SUSPENDED, "")
    obstacle = standing.obstacle
    if obstacle is not None and obstacle.hindrance is Hindrance.OWN_LIMIT and facts.events:
        return None  # a matter of seconds, as a rule: its own last attempt says more
    return obstacle


def _is_parked(facts: MessageFacts, now: datetime) -> bool:
    """Whether it is not to be tried yet: until then nobody has to read its lane."""
    return facts.spooled is not None and facts.spooled.due_at > now


def _plainly(direction: str, status: str, facts: MessageFacts, *, is_unread: bool) -> tuple[str, str]:
    """What for, and the advice, where nothing is known to be in the way of all the tenant's messages."""
    last = facts.events[-1].event if facts.events else ""
    if status == "waiting" and last in _WAITING_AFTER:
        return _WAITING_AFTER[last], _ADVICE_AFTER.get(last) or _general_advice(status, facts)
    if is_unread and status in ("received", "waiting"):
        return _UNREAD, _ADVICE_UNREAD
    if (direction, status) == ("outbound", "unknown"):
        return _WAITING_FOR_STATUS, _ADVICE[status]
    if status == "received" and facts.spooled is not None:
        return _TURN, _ADVICE_SPOOLED
    return _WAITING_FOR[status], _general_advice(status, facts)


def _general_advice(status: str, facts: MessageFacts) -> str:
    return _ADVICE_SPOOLED if facts.spooled is not None and status in ("received", "waiting") else _ADVICE[status]


def _until(
    direction: str, status: str, facts: MessageFacts, obstacle: Obstacle | None, now: datetime
) -> datetime | None:
    """The latest of the times before which nothing happens; for what is out, when its outcome counts as unknown."""
    if obstacle is not None and obstacle.hindrance is Hindrance.SUSPENDED:
        return None
    last = facts.events[-1] if facts.events else None
    times: list[datetime | None] = []
    if status == "sending":
        times = [facts.message.claim_until if facts.message else None]
    elif status == "unknown":
        times = [_after(last, NEWS_WITHIN_S) if direction == "outbound" else None]
    else:
        times = [
            now + timedelta(seconds=obstacle.left_s) if obstacle is not None and obstacle.left_s else None,
            facts.spooled.due_at if facts.spooled else None,
            _paused_until(last) if status == "waiting" else None,
        ]
    return max((each for each in times if each is not None and each > now), default=None)


def _paused_until(last: Event | None) -> datetime | None:
    if last is None or last.event not in ("retry", "throttled"):
        return None
    pause_s = last.detail.get("retry_after_s") if last.event == "throttled" else last.detail.get("wait_s")
    return _after(last, pause_s) if isinstance(pause_s, int | float) else None


def _after(event: Event | None, seconds: float) -> datetime | None:
    return event.at + timedelta(seconds=seconds) if event is not None else None


def _tenant_of(facts: MessageFacts) -> str:
    found = facts.message or facts.spooled
    return found.tenant_id if found is not None else "ID"


def iso(moment: datetime) -> str:
    """A time as the API shows it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
