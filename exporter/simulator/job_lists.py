"""Lists of jobs in order of creation, one for each filter."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

Order = tuple[float, int, str]
"""Place of a job in every list: time of creation, number of arrival, id."""
Filter = tuple[str | None, str | None]
"""Job type and job state of a list; None where the list does not filter by it."""


class JobLists:
    """Sorted lists by filter.

    A page costs as much as its rows, at any offset. A job added in the middle moves the rest.
    """

    def __init__(self) -> None:
        self._lists: defaultdict[Filter, list[Order]] = defaultdict(list)

    def add(self, key: Filter, order: Order) -> None:
        """Adds a job to a list, unless the list has it."""
        orders = self._lists[key]
        if not orders or orders[-1] < order:
            orders.append(order)
        elif orders[place := bisect_left(orders, order)] != order:
            orders.insert(place, order)

    def remove(self, key: Filter, order: Order) -> None:
        """Removes a job from a list, if the list has it."""
        orders = self._lists[key]
        place = bisect_left(orders, order)
        if orders[place : place + 1] == [order]:
            del orders[place]

    def page(
        self, key: Filter, offset: int, limit: int, *, ascending: bool, random: Random | None = None
    ) -> list[Order]:
        """Returns the places from `offset` on, newest first unless `ascending`.

        With `random`, jobs created in the same second come in another order on each call.
        """
        orders: list[Order] = self._lists.get(key, [])
        if ascending:
            begin, end = offset, min(offset + limit, len(orders))
        else:
            end = max(len(orders) - offset, 0)
            begin = max(end - limit, 0)
        chosen = orders[begin:end] if random is None else list(_shuffled_ties(orders, begin, end, random))
        return chosen if ascending else chosen[::-1]

    def total(self, key: Filter) -> int:
        """Returns the number of jobs in a list."""
        return len(self._lists.get(key, ()))

    def totals(self) -> Mapping[Filter, int]:
        """Returns the number of jobs in each list that ever had one."""
        return {key: len(orders) for key, orders in self._lists.items()}

    def __contains__(self, key: Filter) -> bool:
        return key in self._lists


def _shuffled_ties(orders: list[Order], begin: int, end: int, random: Random) -> Iterator[Order]:
    """Yields what a page holds if the jobs of each second are shuffled as a whole.

    Any part of a shuffled group is a random sample of the group, so that a group of 100,000 jobs costs no more than
    the rows of the page.
    """
    place = begin
    while place < end:
        second = orders[place][0] // 1
        first, last = place, place + 1
        if place and orders[place - 1][0] >= second:
            first = bisect_left(orders, (second,))
        if last < len(orders) and orders[last][0] < second + 1:
            last = bisect_left(orders, (second + 1,))
        rows = min(last, end) - place
        for chosen in random.sample(range(first, last), rows):
            yield orders[chosen]
        place += rows
