"""What has changed since somebody last looked."""

from hypothesis import given
from hypothesis import strategies as st

from cliproxy.routing.journal import MAX_ENTRIES, Journal


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_a_reader_learns_what_came_after_its_bookmark(before: list[int], after: list[int]) -> None:
    journal: Journal[int] = Journal()
    for each in before:
        journal.note(each)
    bookmark = journal.bookmark
    for each in after:
        journal.note(each)
    assert journal.since(bookmark) == set(after)
    assert journal.since(journal.bookmark) == frozenset()


def test_a_reader_that_was_away_too_long_has_to_look_at_everything() -> None:
    journal: Journal[int] = Journal()
    for number in range(MAX_ENTRIES):
        journal.note(number)
    assert journal.since(0) == set(range(MAX_ENTRIES))
    journal.note(-1)
    assert journal.since(0) is None
