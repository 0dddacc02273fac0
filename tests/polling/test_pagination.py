"""Pages prove what they show, the gaps between them prove nothing, and every list ends."""

from __future__ import annotations

import asyncio

import pytest

from exporter.errors import BadResponseError
from exporter.ims.answers import ListedJob, Page
from exporter.jobs.kinds import SMART
from exporter.polling.pagination import MAX_UNKNOWN_VALUES, Labels, ListCursor, ListReading
from exporter.polling.records import PageGap, Row

NOW = 1000


def row(job_id: str, created_at: int) -> Row:
    """Returns a waiting job."""
    return Row(job_id, "ASR", "Created", created_at, None)


def page(*created: int) -> tuple[Row, ...]:
    """Returns a page of jobs, each named by its time of creation."""
    return tuple(row(f"at {moment}", moment) for moment in created)


def job(job_id: str = "a", kind: str = "ASR", state: str = "Created", created_at: int | None = 1) -> ListedJob:
    """Returns an item of a list."""
    return ListedJob(job_id, kind, state, created_at, None)


def read(*pages: Page) -> list[tuple[tuple[Row, ...], bool]]:
    """Reads pages that the tokens `1`, `2` ... lead to."""

    async def ask(token: str) -> Page:
        return pages[int(token or 0)]

    async def scenario() -> list[tuple[tuple[Row, ...], bool]]:
        cursor = ListCursor(ask, Labels(SMART), NOW)
        found: list[tuple[tuple[Row, ...], bool]] = []
        while not cursor.is_complete:
            rows = await cursor.next_page()
            found.append((rows, cursor.is_complete))
        return found

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("reading", "covered", "uncovered"),
    [
        (ListReading([page(9, 7, 5)], is_complete=True), [10, 9, 8, 5, 4, 0], []),
        (ListReading([page(9, 7, 5)]), [10, 9, 8, 7, 6], [5, 4]),
        (ListReading([page(9, 7), page(5, 3)], is_complete=True), [10, 8, 4, 3, 2], [7, 6, 5]),
        (ListReading([page(9, 7), page(7, 3)], is_complete=True), [8, 5, 3], [7]),
        (ListReading([page(9, 7), page(8, 3)], is_complete=True), [9, 8, 7, 5, 3], []),
        (ListReading([page(9, 7), ()], is_complete=True), [8], [7, 3]),
        (ListReading([()], is_complete=True), [9, 0], []),
        (ListReading([]), [], [9, 0]),
    ],
)
def test_coverage(reading: ListReading, covered: list[int], uncovered: list[int]) -> None:
    """A second is covered if one page shows an older and a newer job, or the list begins or ends there."""
    assert [moment for moment in (*covered, *uncovered) if reading.covers(moment)] == covered


@pytest.mark.parametrize(
    ("reading", "reached"),
    [
        (ListReading([page(9, 7), page(5, 3)]), [9, 6, 4]),
        (ListReading([page(9, 7)], is_complete=True), [9, 6, 4, 3, 2]),
        (ListReading([page(9, 7), ()]), [9]),
        (ListReading([]), []),
    ],
)
def test_how_far_a_list_was_read(reading: ListReading, reached: list[int]) -> None:
    """A second is reached if an older job was shown, or the list ended before."""
    assert [moment for moment in (9, 6, 4, 3, 2) if reading.reaches(moment)] == reached


@pytest.mark.parametrize(
    ("pages", "gaps"),
    [
        ([page(9, 7)], []),
        ([page(9, 7), page(5, 3)], [PageGap(5, 7)]),
        ([page(9, 7), page(7, 3)], [PageGap(7, 7)]),
        ([(row("a", 7),), (row("a", 7),)], [PageGap(7, 7)]),
        ([(row("a", 7),), (row("b", 7),)], [PageGap(7, 7)]),
        ([page(9, 7), page(5), page(3, 1)], [PageGap(5, 7), PageGap(3, 5)]),
        ([page(9, 7), page(8, 3)], []),
        ([page(9, 7), ()], [PageGap(0, 7)]),
        ([(), page(5)], []),
    ],
)
def test_gaps(pages: list[tuple[Row, ...]], gaps: list[PageGap]) -> None:
    """A page boundary is a gap unless the next page begins with a newer job; a job on both pages proves nothing."""
    assert ListReading(pages).gaps() == gaps


def test_a_page_with_a_row_that_cannot_be_read_proves_nothing() -> None:
    """The job of that row may be any: the seconds of its page are a gap, and none of them is covered."""
    reading = ListReading([page(9, 7), page(8, 3)], is_complete=True, unproven={0})

    assert reading.gaps() == [PageGap(7, 9)]
    assert [second for second in (10, 9, 8, 7, 6, 3, 1) if reading.covers(second)] == [7, 6, 3, 1]


def test_gaps_that_meet() -> None:
    """Two spans meet if they have a second in common, or more."""
    assert PageGap(3, 5).meets(PageGap(5, 9))
    assert PageGap(3, 5).common(PageGap(5, 9)) == PageGap(5, 5)
    assert PageGap(3, 8).common(PageGap(5, 9)) == PageGap(5, 8)
    assert PageGap(4, 4).meets(PageGap(3, 5))
    assert not PageGap(3, 5).meets(PageGap(6, 9))


def test_reading_to_the_end() -> None:
    """Pages are read by their tokens until there is none; an empty page in between is no end."""
    pages = read(Page((job("a"),), "1"), Page((), "2"), Page((job("b"),)))

    assert [([each.job_id for each in rows], is_last) for rows, is_last in pages] == [
        (["a"], False),
        ([], False),
        (["b"], True),
    ]


@pytest.mark.parametrize(
    "pages",
    [
        [Page((job("a"),), "1"), Page((job("b"),), "1")],
        [Page((), "1"), Page((), "2"), Page((), "1")],
        [Page((job("a"),), "1"), Page((job("a"),), "2"), Page(())],
    ],
)
def test_endless_lists(pages: list[Page]) -> None:
    """A token that leads back, or the same page again, is an error and no endless loop."""
    with pytest.raises(BadResponseError) as caught:
        read(*pages)

    assert caught.value.code == "EndlessList"


def test_rows_without_a_creation_time() -> None:
    """A job that does not say when it was created is as old as the one before it, also over a page's end."""
    pages = read(
        Page((job("a", created_at=None), job("b", created_at=8), job("c", created_at=None)), "1"),
        Page((job("d", created_at=None), job("e", created_at=5))),
    )

    assert [[each.created_at for each in rows] for rows, _ in pages] == [[NOW, 8, 8], [8, 5]]


def test_a_row_repeated_on_a_page_counts_once() -> None:
    """A job that a page shows twice stands where it was first, and moves none of the undated ones below it."""
    jobs = (job("a", created_at=9), job("b", created_at=5), job("a", created_at=9), job("c", created_at=None))

    rows = Labels(SMART).rows(Page(jobs), NOW)

    assert [(each.job_id, each.created_at) for each in rows] == [("a", 9), ("b", 5), ("c", 5)]


def test_undocumented_values_are_bounded() -> None:
    """Undocumented types and states are kept as they are, twenty of each; later ones are `other`."""
    jobs = tuple(job(str(number), f"Type{number}", f"State{number}") for number in range(MAX_UNKNOWN_VALUES + 2))
    labels = Labels(SMART)

    rows = labels.rows(Page(jobs), NOW)
    again = labels.rows(Page((job("a", "Type0", "Failed"), job("b", " ", "x" * 99))), NOW)

    assert [each.job_type for each in rows] == [f"Type{number}" for number in range(MAX_UNKNOWN_VALUES)] + ["other"] * 2
    assert [each.job_state for each in rows] == [f"State{number}" for number in range(MAX_UNKNOWN_VALUES)] + [
        "other"
    ] * 2
    assert (again[0].job_type, again[0].job_state, again[1].job_type) == ("Type0", "Failed", "unknown")


def test_values_met_before_keep_their_label() -> None:
    """The types and states that the ledger knows count towards the bound, and always stay."""
    labels = Labels(SMART, [f"Type{number}" for number in range(MAX_UNKNOWN_VALUES + 5)], ["Paused"])

    rows = labels.rows(Page((job("a", "Type24", "Paused"), job("b", "New", "x" * 99))), NOW)

    assert [(each.job_type, each.job_state) for each in rows] == [("Type24", "Paused"), ("other", "x" * 64)]


def test_when_a_job_ended() -> None:
    """A job ended at its last modification; never before its creation, which is used where there is none."""
    assert Row("a", "ASR", "Failed", 5, 9).ended_at == 9
    assert Row("a", "ASR", "Failed", 5, None).ended_at == 5
    assert Row("a", "ASR", "Failed", 5, 3).ended_at == 5


def test_a_job_without_a_creation_time_keeps_its_age() -> None:
    """It is dated by its last modification, which does not change; only one without any time is undated."""
    jobs = (
        ListedJob("top", "ASR", "Failed", None, 500),
        ListedJob("next", "ASR", "Failed", 400, 450),
        ListedJob("none", "ASR", "Failed", None, None),
    )

    rows = Labels(SMART).rows(Page(jobs), 1_000)

    assert [(row.created_at, row.is_dated) for row in rows] == [(500, True), (400, True), (400, False)]


def test_a_list_that_is_not_newest_first() -> None:
    """Where an older job stands above a newer one, no page proves anything: the list is refused."""
    with pytest.raises(BadResponseError) as caught:
        read(Page((job("a", created_at=5), job("b", created_at=9))))

    assert caught.value.code == "NotNewestFirst"


def test_a_row_that_is_behind_the_list_it_is_in() -> None:
    """A row of the list of Finished that says Executing has finished; a later state than that of the list stays."""
    behind, ahead = job("a", state="Executing", created_at=9), job("b", state="Failed", created_at=8)

    rows = Labels(SMART).rows(Page((behind, ahead)), NOW, "Finished")

    assert [each.job_state for each in rows] == ["Finished", "Failed"]


def test_the_cursor_counts_rows_that_were_skipped() -> None:
    """They are counted by reason, for the last page alone."""

    async def ask(token: str) -> Page:
        return Page((), "", ("no_id", "no_id", "not_an_object")) if token else Page((), "1", ("no_id",))

    cursor = ListCursor(ask, Labels(SMART), NOW)
    asyncio.run(cursor.next_page())
    assert cursor.skipped == {"no_id": 1}
    asyncio.run(cursor.next_page())
    assert cursor.skipped == {"no_id": 2, "not_an_object": 1}
