"""The ledger: each message that was taken has one place in it."""

from __future__ import annotations

from scripts.faults.ledger import Books, balance, total, unsettled
from tests.scripts.faults.loads import arrivals, taken

NOTHING = Books(frozenset(), frozenset())


def test_accepted_is_delivered_dead_waiting_and_lost() -> None:
    load, texts = taken([(1, 0), (2, 0), (3, 0), (4, 0)])
    books = Books(dead=frozenset({load.id_of(texts[1])}), waiting=frozenset({load.id_of(texts[2])}))
    found = balance(load, arrivals(texts[:1]), books)
    assert (found.sent, found.accepted, found.delivered, found.dead, found.waiting) == (4, 4, 1, 1, 1)
    assert found.lost == texts[3:]


def test_calls_that_the_cloud_refused_are_no_arrivals() -> None:
    load, texts = taken([(1, 0)])
    assert balance(load, arrivals(texts, status=500), NOTHING).lost == texts


def test_what_came_twice_is_doubled_unless_its_trace_tells_of_an_unknown_outcome() -> None:
    load, texts = taken([(1, 0), (2, 0)])
    found = balance(load, arrivals([*texts, *texts]), NOTHING, repeated=texts[:1])
    assert (found.doubled, found.unknown, found.reordered) == (texts[1:], texts[:1], [])


def test_a_message_behind_a_later_one_of_its_customer_is_reordered() -> None:
    load, (first, second, other) = taken([(1, 0), (1, 1), (2, 0)])
    assert balance(load, arrivals([second, other, first]), NOTHING).reordered == [first]


def test_a_repetition_behind_a_later_message_is_reordered() -> None:
    load, (first, second) = taken([(1, 0), (1, 1)])
    assert balance(load, arrivals([first, second, first]), NOTHING).reordered == [first]


def test_what_arrived_is_under_way_until_that_is_written_down() -> None:
    load, (arrived, settled, dead, nowhere) = taken([(1, 0), (2, 0), (3, 0), (4, 0)])
    books = Books(dead=frozenset({load.id_of(dead)}), waiting=frozenset({load.id_of(arrived)}))
    assert unsettled(load, arrivals([arrived, settled]), books) == [arrived, nowhere]


def test_figures_of_several_loads_are_added_up() -> None:
    load, texts = taken([(1, 0), (2, 0)])
    found = balance(load, arrivals(texts[:1]), NOTHING)
    summed = total([found, found])
    assert (summed["accepted"], summed["delivered"], summed["lost"]) == (4, 2, 2)
