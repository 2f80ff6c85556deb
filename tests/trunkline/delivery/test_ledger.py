"""The ledger: outcomes are never lost, and written together with the next claims."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes import MemoryMessages, envelope
from trunkline.attempt import LEAVE_WITHIN_S, Claim, ClaimAnswer, Granted, Outcome, new_attempt_id
from trunkline.delivery import ledger as ledger_module
from trunkline.delivery.ledger import GROUP_LIMIT, Ledger
from trunkline.envelope import Envelope
from trunkline.errors import StoreUnavailable


def claim_of(message: Envelope, attempt_id: str = "") -> Claim:
    return Claim(message, None, None, 1, attempt_id or new_attempt_id(), "owner", 15.0)


def delivered(message: Envelope, attempt_id: str) -> Outcome:
    return Outcome(message, attempt_id, "delivered", "delivered")


@pytest.fixture
def store() -> MemoryMessages:
    return MemoryMessages()


@pytest.fixture
def ledger(store: MemoryMessages, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(ledger_module, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(ledger_module, "LONGEST_WAIT_S", 0.004)
    return Ledger(store)


async def grant(ledger: Ledger, number: int) -> tuple[Envelope, str]:
    message, attempt_id = envelope(number), new_attempt_id()
    answer, _ = await ledger.claim(claim_of(message, attempt_id))
    assert isinstance(answer, Granted)
    return message, attempt_id


async def test_what_gathers_during_one_round_goes_together_in_the_next(ledger: Ledger, store: MemoryMessages) -> None:
    sent = [await grant(ledger, number) for number in range(3)]
    store.exchanges.clear()
    gathered: list[asyncio.Future[Any]] = []

    def meanwhile(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        if not gathered:
            gathered.extend(ledger.settle(delivered(*attempt)) for attempt in sent)
            gathered.extend(asyncio.ensure_future(ledger.claim(claim_of(envelope(number)))) for number in (11, 12))

    store.before = meanwhile
    await ledger.claim(claim_of(envelope(10)))
    await asyncio.gather(*gathered)
    assert store.exchanges == [(0, 1), (3, 2)]


async def test_an_outcome_is_stored_before_the_next_claim_of_its_conversation_is_answered(
    ledger: Ledger, store: MemoryMessages
) -> None:
    message, attempt_id = await grant(ledger, 1)
    seen: list[list[str]] = []
    store.before = lambda outcomes, claims: seen.append([row.status for row in store.rows.values()])
    ledger.settle(delivered(message, attempt_id))
    await ledger.claim(claim_of(envelope(2)))
    assert store.status_of(message) == "delivered"
    assert len(seen) == 1, "one transaction for both"


async def test_a_grant_may_leave_for_two_seconds_counted_from_before_its_transaction(
    ledger: Ledger, store: MemoryMessages
) -> None:
    began = time.monotonic()
    answered: list[float] = []
    store.after = lambda: answered.append(time.monotonic())
    _, leave_until = await ledger.claim(claim_of(envelope(1)))
    assert began + LEAVE_WITHIN_S <= leave_until <= answered[0] + LEAVE_WITHIN_S


async def test_claims_fail_while_the_store_is_away_and_outcomes_are_kept_in_their_order(
    ledger: Ledger, store: MemoryMessages
) -> None:
    sent = [await grant(ledger, number) for number in range(3)]
    away = True

    def check(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        if away:
            raise StoreUnavailable("Postgres cannot be reached")

    store.before = check
    stored = [ledger.settle(delivered(*attempt)) for attempt in sent]
    with pytest.raises(StoreUnavailable):
        await ledger.claim(claim_of(envelope(9)))
    assert ledger.unsettled == 3
    with pytest.raises(StoreUnavailable):
        await ledger.claim(claim_of(envelope(9)))
    assert not any(future.done() for future in stored)
    away = False
    await asyncio.gather(*stored)
    assert [outcome.envelope.external_id for outcome in store.outcomes] == ["wamid.0", "wamid.1", "wamid.2"]
    assert ledger.unsettled == 0
    answer, _ = await ledger.claim(claim_of(envelope(9)))
    assert isinstance(answer, Granted)


async def test_one_failed_round_changes_no_order(ledger: Ledger, store: MemoryMessages) -> None:
    sent = [await grant(ledger, number) for number in range(5)]
    failures = [StoreUnavailable("Postgres is shutting down")]

    def check(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        if failures:
            raise failures.pop()

    store.before = check
    await asyncio.gather(*(ledger.settle(delivered(*attempt)) for attempt in sent))
    assert [outcome.envelope for outcome in store.outcomes] == [message for message, _ in sent]


def refuse(name: str, store: MemoryMessages) -> None:
    """Let the store refuse whatever has this message in it, as Postgres refuses a whole transaction."""

    def check(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        names = {outcome.envelope.external_id for outcome in outcomes} | {c.envelope.external_id for c in claims}
        if name in names:
            raise ValueError("invalid input syntax")

    store.before = check


async def test_one_outcome_that_cannot_be_stored_does_not_fail_its_neighbours(
    ledger: Ledger, store: MemoryMessages
) -> None:
    sent = [await grant(ledger, number) for number in range(3)]
    refuse("wamid.1", store)
    stored = [ledger.settle(delivered(*attempt)) for attempt in sent]
    claimed = asyncio.create_task(ledger.claim(claim_of(envelope(9))))
    results = await asyncio.gather(*stored, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    assert isinstance((await claimed)[0], Granted)


async def test_one_claim_that_cannot_be_made_does_not_fail_its_neighbours(
    ledger: Ledger, store: MemoryMessages
) -> None:
    message, attempt_id = await grant(ledger, 1)
    refuse("wamid.7", store)
    stored = ledger.settle(delivered(message, attempt_id))
    claims = [ledger.claim(claim_of(envelope(number))) for number in (6, 7, 8)]
    answers = await asyncio.gather(*claims, return_exceptions=True)
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False]
    await stored


async def test_what_was_stored_alone_is_not_stored_again_when_the_store_goes_away_meanwhile(
    ledger: Ledger, store: MemoryMessages
) -> None:
    sent = [await grant(ledger, number) for number in range(3)]
    rounds = 0

    def check(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError("invalid input syntax")  # then one by one …
        if rounds == 3:
            raise StoreUnavailable("Postgres cannot be reached")  # … and away after the first

    store.before = check
    await asyncio.gather(*(ledger.settle(delivered(*attempt)) for attempt in sent))
    assert sorted(outcome.envelope.external_id for outcome in store.outcomes) == ["wamid.0", "wamid.1", "wamid.2"]


async def test_an_outcome_that_nobody_waits_for_any_more_is_stored_all_the_same(
    ledger: Ledger, store: MemoryMessages
) -> None:
    message, attempt_id = await grant(ledger, 1)
    failures = [StoreUnavailable("Postgres cannot be reached")]

    def check(outcomes: Sequence[Outcome], claims: Sequence[Claim]) -> None:
        if failures:
            raise failures.pop()

    store.before = check
    ledger.settle(delivered(message, attempt_id)).cancel()
    await ledger.idle()
    assert store.status_of(message) == "delivered"


async def test_a_claim_whose_caller_has_gone_disturbs_nobody(ledger: Ledger, store: MemoryMessages) -> None:
    gone = asyncio.create_task(ledger.claim(claim_of(envelope(1))))
    stays = asyncio.create_task(ledger.claim(claim_of(envelope(2))))
    await asyncio.sleep(0)
    gone.cancel()
    assert isinstance((await stays)[0], Granted)


async def test_an_answer_that_is_an_error_is_raised_to_its_claim(store: MemoryMessages) -> None:
    class Refusing(MemoryMessages):
        async def exchange(
            self, outcomes: Sequence[Outcome], claims: Sequence[Claim]
        ) -> Sequence[ClaimAnswer | Exception]:
            return [ValueError("not this one") for _ in claims]

    with pytest.raises(ValueError, match="not this one"):
        await Ledger(Refusing()).claim(claim_of(envelope(1)))


async def test_a_round_has_a_limit(ledger: Ledger, store: MemoryMessages) -> None:
    claims = [ledger.claim(claim_of(envelope(number))) for number in range(GROUP_LIMIT + 1)]
    await asyncio.gather(*claims)
    assert max(count for _, count in store.exchanges) == GROUP_LIMIT
