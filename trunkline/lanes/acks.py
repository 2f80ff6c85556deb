"""Acknowledgements of one channel, as few as do: what is done up to some delivery takes one for all. Pure."""

from __future__ import annotations


class Acks:
    """Delivery tags of a channel, 1, 2, 3 …, of which some are done."""

    def __init__(self) -> None:
        self._due: set[int] = set()
        # All up to here are acknowledged, and these beyond it.
        self._up_to = 0
        self._beyond: set[int] = set()

    def add(self, tag: int) -> None:
        """This delivery is done."""
        self._due.add(tag)

    def take(self) -> list[tuple[int, bool]]:
        """What to acknowledge for all that was added since the last time: a tag, and whether all before it too.

        A tag that stands for others is one that was added now: brokers refuse one that they have not to hear of.
        """
        due, self._due = self._due, set()
        last = 0
        while (tag := self._up_to + 1) in due or tag in self._beyond:
            self._up_to = tag
            if tag in due:
                last = tag
                due.discard(tag)
            else:
                self._beyond.discard(tag)
        self._beyond |= due
        return ([(last, True)] if last else []) + [(tag, False) for tag in sorted(due)]
