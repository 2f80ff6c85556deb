"""What measuring costs: `python -m scripts.benchmark.recording`, on one core, without any store.

No Ray runs, so what its own threads do with what they are given is not in it; a running platform tells that in
`trunkline_metrics_cpu_seconds` and in the CPU of Ray's agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from actors.exporting import EXPORT_EVERY_S, RayMetrics
from trunkline.attempt import Claim, ClaimAnswer, Granted, Outcome
from trunkline.clients.http import Answer
from trunkline.clients.measured import MeasuredPosts
from trunkline.delivery.measured import MeasuredAttempts, MeasuredLanes, TimedAdmission, timed_delivery
from trunkline.delivery.turn import Done
from trunkline.envelope import Direction, Envelope
from trunkline.measuring import Recorder
from trunkline.tenancy.tenant import Ask, Held
from trunkline.web.measured import MeasuredWebhooks

MESSAGES = 20_000
TENANTS = 1_000
ROUNDS = 5


class Far:
    """Everything that is measured, answering at once."""

    async def claim(self, claim: Claim) -> tuple[ClaimAnswer, float]:
        return Granted(1, 0, 0), 0.0

    def settle(self, outcome: Outcome) -> None:
        return None

    async def status(self, envelope: Envelope) -> str | None:
        return None

    async def admit(self, tenant_id: str, ask: Ask) -> Held:
        return Held("", 0.0)

    async def post(self, url: str, headers: object, content: bytes) -> Answer:
        return Answer(200, {}, b"")

    async def publish(self, envelope: Envelope) -> bool:
        return True

    async def deliver(self, envelope: Envelope, turn: object) -> Done:
        return Done()

    async def __call__(self, scope: object, receive: object, send: Callable[..., object]) -> None:
        await send({"type": "http.response.start", "status": 200})  # type: ignore[misc]


async def _pass(ways: Sequence[object], messages: Sequence[Envelope]) -> float:
    """Seconds that so many messages take through everything that is measured on their way."""
    webhooks, lanes, attempts, cells, posts, deliver = ways

    async def send(message: object) -> None:
        return

    scope = {"type": "http", "path": "/webhook/whatsapp", "method": "POST"}
    began = time.process_time()
    for envelope in messages:
        await webhooks(scope, None, send)  # type: ignore[operator]
        await lanes.publish(envelope)  # type: ignore[attr-defined]
        await deliver(envelope, None)  # type: ignore[operator]
        await cells.admit(envelope.tenant_id, Ask(envelope.direction, "1", 0.0))  # type: ignore[attr-defined]
        await attempts.claim(Claim(envelope, None, None, 1, envelope.message_id, "", 1.0))  # type: ignore[attr-defined]
        await posts.post("", {}, b"")  # type: ignore[attr-defined]
        attempts.settle(Outcome(envelope, envelope.message_id, "delivered", "delivered"))  # type: ignore[attr-defined]
    return time.process_time() - began


def _measured(recorder: Recorder) -> tuple[object, ...]:
    far: object = Far()
    return (
        MeasuredWebhooks(far, recorder),  # type: ignore[arg-type]
        MeasuredLanes(far, recorder),  # type: ignore[arg-type]
        MeasuredAttempts(far, recorder),  # type: ignore[arg-type]
        TimedAdmission(far, recorder),  # type: ignore[arg-type]
        MeasuredPosts(far, recorder, "genesys"),  # type: ignore[arg-type]
        timed_delivery(far.deliver, recorder),  # type: ignore[attr-defined]
    )


async def measure() -> tuple[float, float]:
    """Microseconds of CPU: what a message costs more than unmeasured, and what handing all over to Ray costs, once."""
    far = Far()
    bare = (far, far, far, far, far, far.deliver)
    messages = [
        Envelope(str(number), f"t-{number % TENANTS}", Direction.INBOUND, "1", "w", "text", time.time(), {})
        for number in range(MESSAGES)
    ]
    plain, measured, handing = [], [], []
    sink = RayMetrics()
    for _ in range(ROUNDS):
        recorder = Recorder()
        plain.append(await _pass(bare, messages))
        measured.append(await _pass(_measured(recorder), messages))
        began = time.process_time()
        recorder.hand_over(sink)
        handing.append(time.process_time() - began)
    return (min(measured) - min(plain)) / MESSAGES * 1e6, min(handing) * 1e6


def main() -> None:
    """Print it."""
    message_us, hand_over_us = asyncio.run(measure())
    each_s = hand_over_us / 1e6 / EXPORT_EVERY_S
    print(f"recording, a message:    {message_us:7.1f} us")
    print(f"handing over, each time: {hand_over_us:7.0f} us, with {TENANTS} tenants; {each_s:.3%} of a core")


if __name__ == "__main__":
    main()
