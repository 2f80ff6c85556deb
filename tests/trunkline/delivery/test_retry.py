"""One fate for each failure."""

from __future__ import annotations

import random

import orjson
import pytest

from trunkline.attempt import DeadLetter
from trunkline.delivery.retry import PLANS, Failure, RetryIn, RetryPolicy, spends_attempt
from trunkline.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    Rejected,
    StoreUnavailable,
    Throttled,
    TrunklineError,
    Unavailable,
)
from trunkline.protocol.outcomes import classify_genesys, classify_whatsapp

LONGEST = RetryPolicy(draw=lambda low, high: high)
FILES = RetryPolicy.for_files(draw=lambda low, high: high)
# Longer than this no delivery may be held, or the broker's time-out for it comes near; the pause of a number is
# waited for without holding any.
LONGEST_HELD_S = 300


def waits_until_given_up(policy: RetryPolicy, error: TrunklineError) -> list[float]:
    """The wait after each try, until the one that ends it."""
    waits: list[float] = []
    for attempt in range(1, 100):
        fate = policy.decide(error, attempt)
        if isinstance(fate, DeadLetter):
            return waits
        waits.append(fate.wait_s)
    raise AssertionError("never given up")


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        pytest.param(Unavailable("503", "503"), [1, 2, 4, 8, 16, 30, 30], id="transient at Genesys"),
        pytest.param(Unavailable("131016", "131016"), [1, 2, 4, 8, 16, 30, 30], id="transient at Meta"),
        pytest.param(Unavailable("connection refused"), [1, 2, 4, 8, 16, 30, 30], id="never reached"),
        pytest.param(Unavailable("135000", "135000"), [1], id="once"),
        pytest.param(Unavailable("131052", "131052"), [5, 10], id="media that Meta could not load"),
        pytest.param(Unavailable("131053", "131053"), [5, 10], id="media that Meta could not take"),
        pytest.param(Unavailable("409", "409"), [1, 2, 4, 8], id="conflict"),
        pytest.param(Throttled(900.0, "131048", "131048"), [900], id="spam rate"),
        pytest.param(Rejected("rejected", "400", "400"), [], id="a final no"),
        pytest.param(CredentialsRefused("401", "401"), [], id="what is no matter of retrying"),
    ],
)
def test_each_class_of_failure_is_tried_as_often_and_waits_as_long_as_its_plan_says(
    error: TrunklineError, waits: list[float]
) -> None:
    assert waits_until_given_up(LONGEST, error) == waits


@pytest.mark.parametrize("error", [Unavailable("503", "503"), Unavailable("131052", "131052"), Unavailable("gone")])
def test_files_have_a_plan_of_their_own_whatever_failed(error: TrunklineError) -> None:
    assert waits_until_given_up(FILES, error) == [1, 2, 4, 8, 15]


@pytest.mark.parametrize(
    ("error", "attempt", "fate"),
    [
        pytest.param(Unavailable("503"), 8, DeadLetter("exhausted", "503"), id="the last attempt"),
        pytest.param(Unavailable("503"), 9999, DeadLetter("exhausted", "503"), id="more than the limit"),
        pytest.param(StoreUnavailable("Postgres"), 1, RetryIn(1.0), id="a store of our own"),
        pytest.param(StoreUnavailable("Postgres"), 9999, RetryIn(30.0), id="which is waited for as long as it takes"),
        pytest.param(Throttled(17.0, "429", "429"), 9999, RetryIn(17.0), id="a throttle says how long it lasts"),
        pytest.param(Rejected("rejected", "400", "400"), 1, DeadLetter("rejected", "400"), id="a final no"),
        pytest.param(Rejected("window_closed", "131047"), 3, DeadLetter("window_closed", "131047"), id="its reason"),
        pytest.param(CredentialsRefused("401"), 1, DeadLetter("exhausted", "401"), id="what is no matter of retrying"),
    ],
)
def test_a_failed_delivery_meets_one_fate(error: TrunklineError, attempt: int, fate: RetryIn | DeadLetter) -> None:
    assert LONGEST.decide(error, attempt) == fate


@pytest.mark.parametrize(
    ("error", "spends"),
    [
        pytest.param(Unavailable("503", "503"), True, id="a failure"),
        pytest.param(OutcomeUnknown("timed out"), True, id="an unknown outcome"),
        pytest.param(Rejected("rejected", "400", "400"), True, id="a final no"),
        pytest.param(Throttled(2.0, "130429", "130429"), False, id="throttling"),
        pytest.param(Throttled(17.0, "429", "429"), False, id="throttling by Genesys"),
        pytest.param(Throttled(900.0, "131048", "131048"), True, id="spam rate"),
        pytest.param(CredentialsRefused("190", "190"), False, id="credentials"),
    ],
)
def test_what_says_nothing_about_the_message_spends_none_of_its_attempts(error: TrunklineError, spends: bool) -> None:
    assert spends_attempt(error) is spends


def test_waits_are_drawn_between_nothing_and_the_longest() -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    policy = RetryPolicy(draw=draw)
    assert policy.decide(Unavailable("503"), 4) == RetryIn(0)
    assert drawn == [(0, 8.0)]


@pytest.mark.parametrize("failure", [failure for failure in Failure if failure is not Failure.SPAM])
def test_all_waits_together_end_before_a_delivery_has_been_held_too_long(failure: Failure) -> None:
    policy = RetryPolicy(PLANS[failure], draw=lambda low, high: high)
    assert sum(waits_until_given_up(policy, Unavailable("503"))) < LONGEST_HELD_S


def test_two_messages_that_failed_together_do_not_come_back_together() -> None:
    policy = RetryPolicy(draw=random.Random(1).uniform)
    waits = {policy.decide(Unavailable("503"), 6) for _ in range(20)}
    assert len(waits) == 20


TRANSIENT = [1, 2, 4, 8, 16, 30, 30]
NEVER: list[float] = []


def whatsapp_error(code: int, status: int = 400) -> TrunklineError:
    with pytest.raises(TrunklineError) as caught:
        classify_whatsapp(status, {}, orjson.dumps({"error": {"code": code, "message": f"(#{code}) No"}}))
    return caught.value


# Meta's codes as the protocol notes class them (5.5): what becomes of the message, what it waits, who is paused.
@pytest.mark.parametrize(
    ("codes", "fate", "waits"),
    [
        pytest.param((1, 2, 131000, 131016, 131057), Unavailable, TRANSIENT, id="transient"),
        pytest.param((135000,), Unavailable, [1], id="generic, once"),
        pytest.param((131052, 131053), Unavailable, [5, 10], id="media"),
        pytest.param((131048,), Throttled, [900], id="spam rate"),
        pytest.param((0, 190, 3, 10, 200, 250, 299, 131005), CredentialsRefused, None, id="credentials and rights"),
        pytest.param(
            (368, 131031, 131042, 131044, 131045, 131037, 131063, 131064, 133010),
            CredentialsRefused, None, id="account blocked",
        ),
        pytest.param((131047,), Rejected, NEVER, id="window closed"),
        pytest.param((131026, 131021, 131030, 131050, 131062, 137000), Rejected, NEVER, id="recipient"),
        pytest.param((130472, 131049, 130497), Rejected, NEVER, id="policy for this message"),
        pytest.param(
            (33, 100, 131008, 131009, 131051, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068,
             132069),
            Rejected, NEVER, id="our request",
        ),
        pytest.param((999, 131099), Rejected, NEVER, id="a code of a 4xx that nobody knows"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 403])
def test_what_becomes_of_a_message_that_meta_refuses(
    codes: tuple[int, ...], fate: type[TrunklineError], waits: list[float] | None, status: int
) -> None:
    for code in codes:
        error = whatsapp_error(code, status)
        assert (type(error), getattr(error, "code", None)) == (fate, str(code))
        assert spends_attempt(error) is (fate is not CredentialsRefused)
        if waits is not None:
            assert waits_until_given_up(LONGEST, error) == waits, code


@pytest.mark.parametrize(
    ("code", "wait_s"),
    [(4, 60), (613, 60), (80007, 60), (130429, 2), (131056, 6), (133016, 300)],
)
def test_what_meta_throttles_waits_and_spends_no_attempt(code: int, wait_s: float) -> None:
    error = whatsapp_error(code)
    assert isinstance(error, Throttled)
    assert not spends_attempt(error)
    assert [LONGEST.decide(error, attempt) for attempt in (1, 1000)] == [RetryIn(wait_s)] * 2


@pytest.mark.parametrize(
    ("status", "body", "fate", "waits"),
    [
        pytest.param(500, b"{}", Unavailable, TRANSIENT, id="5xx with any JSON"),
        pytest.param(504, b"[]", Unavailable, TRANSIENT, id="504 with JSON"),
        pytest.param(502, b"<html>", OutcomeUnknown, None, id="5xx without JSON"),
        pytest.param(408, b"", Unavailable, TRANSIENT, id="408"),
        pytest.param(429, b"", Throttled, None, id="429 without JSON"),
        pytest.param(404, b"", Rejected, NEVER, id="another 4xx"),
    ],
)
def test_what_becomes_of_a_message_that_meta_refuses_without_a_code(
    status: int, body: bytes, fate: type[TrunklineError], waits: list[float] | None
) -> None:
    with pytest.raises(fate) as caught:
        classify_whatsapp(status, {}, body)
    if waits is not None:
        assert waits_until_given_up(LONGEST, caught.value) == waits


# Genesys' statuses as the protocol notes class them (7.3).
@pytest.mark.parametrize(
    ("status", "fate", "waits", "spends"),
    [
        (400, Rejected, NEVER, True),
        (401, CredentialsRefused, None, False),
        (403, CredentialsRefused, None, False),
        (404, CredentialsRefused, None, False),
        (408, OutcomeUnknown, None, True),
        (409, Unavailable, [1, 2, 4, 8], True),
        (413, Rejected, NEVER, True),
        (415, Rejected, NEVER, True),
        (429, Throttled, None, False),
        (500, Unavailable, TRANSIENT, True),
        (502, Unavailable, TRANSIENT, True),
        (503, Unavailable, TRANSIENT, True),
        (504, OutcomeUnknown, None, True),
    ],
)
@pytest.mark.parametrize("body", [b"<html>", b'{"code": "some.code", "message": "No"}'])
def test_what_becomes_of_a_message_that_genesys_refuses(
    status: int, body: bytes, fate: type[TrunklineError], waits: list[float] | None, spends: bool
) -> None:
    with pytest.raises(TrunklineError) as caught:
        classify_genesys(status, {"Retry-After": "17"}, body)
    assert (type(caught.value), getattr(caught.value, "code", None)) == (fate, str(status))
    assert spends_attempt(caught.value) is spends
    if waits is not None:
        assert waits_until_given_up(LONGEST, caught.value) == waits
    if fate is Throttled:
        assert LONGEST.decide(caught.value, 1000) == RetryIn(17.0)
