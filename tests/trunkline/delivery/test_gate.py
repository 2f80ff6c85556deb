"""The gate: tickets from before a refusal are void, and nobody asks before the tenant has been told."""

from __future__ import annotations

import asyncio

from trunkline.delivery.gate import Gate


class Report:
    """A report to the tenant that takes as long as it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self) -> None:
        await self.go.wait()


async def test_a_refusal_voids_every_ticket_taken_before_it() -> None:
    gate = Gate(20)
    tickets = [await gate.ticket() for _ in range(3)]
    report = Report()
    report.go.set()
    await gate.close_for(tickets[0], report())
    assert not any(ticket.is_valid for ticket in tickets)
    assert (await gate.ticket()).is_valid


async def test_tickets_are_given_once_the_tenant_has_been_told() -> None:
    gate, report = Gate(20), Report()
    closing = asyncio.create_task(gate.close_for(await gate.ticket(), report()))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(gate.ticket())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    report.go.set()
    await closing
    assert (await waiting).is_valid


async def test_the_refusal_of_a_call_that_left_before_says_nothing_new() -> None:
    gate, done = Gate(20), Report()
    done.go.set()
    early, late = await gate.ticket(), await gate.ticket()
    await gate.close_for(early, done())
    probe = await gate.ticket()
    await gate.close_for(late, done())
    assert probe.is_valid


async def test_two_reports_under_way_both_have_to_end() -> None:
    gate, first, second = Gate(20), Report(), Report()
    ticket = await gate.ticket()
    closings = [asyncio.create_task(gate.close_for(ticket, report())) for report in (first, second)]
    waiting = asyncio.create_task(gate.ticket())
    first.go.set()
    await closings[0]
    await asyncio.sleep(0)
    assert not waiting.done()
    second.go.set()
    await closings[1]
    await waiting


async def test_a_report_that_fails_opens_the_gate_again() -> None:
    async def failing() -> None:
        raise RuntimeError("a bug")

    gate = Gate(20)
    (failure,) = await asyncio.gather(gate.close_for(await gate.ticket(), failing()), return_exceptions=True)
    assert isinstance(failure, RuntimeError)
    await asyncio.wait_for(gate.ticket(), timeout=2)
