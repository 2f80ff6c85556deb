"""Groups that wait for company."""

from collections.abc import Sequence

from trunkline.grouping import Grouped


class _Groups(list[list[int]]):
    """The groups in which calls were made."""

    async def take(self, items: Sequence[int]) -> Sequence[int]:
        self.append(list(items))
        return items


async def test_what_comes_within_the_wait_goes_in_one_group() -> None:
    made = _Groups()
    grouped = Grouped(made.take, 10, gather_s=0.01)
    first = grouped.submit(1)
    second = grouped.submit(2)
    assert (await first, await second) == (1, 2)
    assert made == [[1, 2]]


async def test_a_full_group_does_not_wait() -> None:
    made = _Groups()
    grouped = Grouped(made.take, 2, gather_s=3600)
    assert [await answer for answer in [grouped.submit(1), grouped.submit(2)]] == [1, 2]


async def test_idle_means_that_nothing_waits_for_company_any_more() -> None:
    made = _Groups()
    grouped = Grouped(made.take, 10, gather_s=0.01)
    grouped.submit(1)
    await grouped.idle()
    assert made == [[1]]
