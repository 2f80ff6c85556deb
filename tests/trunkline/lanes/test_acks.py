"""Acknowledgements of a channel against a broker's books: each delivery once, none that was not done."""

from __future__ import annotations

import random

import pytest

from trunkline.lanes.acks import Acks


class Books:
    """What a broker waits for, and how it reads an acknowledgement (RabbitMQ refuses a tag it does not wait for)."""

    def __init__(self, deliveries: int) -> None:
        self.waiting = list(range(1, deliveries + 1))

    def acknowledge(self, tag: int, multiple: bool) -> None:
        assert tag in self.waiting, f"unknown delivery tag {tag}"
        self.waiting = [each for each in self.waiting if (each > tag if multiple else each != tag)]


def test_what_is_done_in_its_order_takes_one() -> None:
    acks = Acks()
    for tag in (2, 1, 3):
        acks.add(tag)
    assert acks.take() == [(3, True)]
    assert acks.take() == []


def test_one_that_is_not_done_is_never_included() -> None:
    acks = Acks()
    for tag in (1, 3, 4):
        acks.add(tag)
    assert acks.take() == [(1, True), (3, False), (4, False)]
    acks.add(2)
    assert acks.take() == [(2, True)]
    acks.add(5)
    assert acks.take() == [(5, True)]


@pytest.mark.parametrize("seed", range(20))
def test_the_broker_waits_for_exactly_what_is_not_done(seed: int) -> None:
    chance = random.Random(seed)
    acks, books, left = Acks(), Books(60), list(range(1, 61))
    while left:
        for tag in chance.sample(left, min(len(left), chance.randint(1, 9))):
            acks.add(tag)
            left.remove(tag)
        for tag, multiple in acks.take():
            books.acknowledge(tag, multiple)
        assert books.waiting == left
