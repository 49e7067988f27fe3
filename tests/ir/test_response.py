"""Usage: disjoint counts, merged field by field."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.response import Choice, Ending, FinishReason, Usage, numbered

COUNTS = st.none() | st.integers(0, 1000)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


@given(USAGES)
def test_totals_are_sums_of_disjoint_counts(usage: Usage) -> None:
    assert usage.total == usage.input_total + usage.output_total
    assert usage.input_total == sum(filter(None, (usage.fresh_input, usage.cache_read, usage.cache_write)))


@given(USAGES, USAGES)
def test_newer_counts_replace_older_ones_where_present(older: Usage, newer: Usage) -> None:
    merged = older.merged(newer)
    for name in ("fresh_input", "cache_read", "cache_write", "output", "reasoning", "reported_total"):
        said = getattr(newer, name)
        assert getattr(merged, name) == (getattr(older, name) if said is None else said)


@given(USAGES)
def test_merging_with_nothing_or_itself_changes_nothing(usage: Usage) -> None:
    assert usage.merged(Usage()) == usage
    assert usage.merged(usage) == usage


def test_alternatives_have_an_index_each() -> None:
    """Some servers number all of them 0."""
    same = [Choice([], Ending(FinishReason.STOP)), Choice([], Ending(FinishReason.LENGTH))]
    assert [choice.index for choice in numbered(same)] == [0, 1]
    others = [evolve(same[0], index=2), evolve(same[1], index=1)]
    assert [choice.index for choice in numbered(others)] == [1, 2]
