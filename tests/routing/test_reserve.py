"""The first that are usable are in use, and nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from cliproxy.routing.reserve import Reserve


def test_who_is_affected_is_told() -> None:
    reserve = Reserve(2)
    assert [reserve.enter(rank) for rank in (1, 2, 3)] == [(), (), ()]
    assert reserve.enter(0) == (2,)
    assert reserve.leave(1) == (2,)
    assert reserve.leave(3) == ()
    assert reserve.leave(0) == ()
    assert list(reserve.active()) == [2]


def test_news_that_are_none_change_nothing() -> None:
    reserve = Reserve(1)
    assert reserve.leave(0) == ()
    reserve.enter(0)
    reserve.enter(1)
    assert (reserve.enter(0), reserve.enter(1)) == ((), ())
    reserve.clear()
    assert not reserve.is_active(0)
    assert not reserve.is_waiting(1)


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 7), st.booleans())))
def test_the_first_are_in_use_and_the_others_wait(most: int, news: list[tuple[int, bool]]) -> None:
    reserve, usable = Reserve(most), set[int]()
    for rank, is_usable in news:
        before = {each: reserve.is_active(each) for each in usable - {rank}}
        (usable.add if is_usable else usable.discard)(rank)
        affected = (reserve.enter if is_usable else reserve.leave)(rank)
        assert list(reserve.active()) == sorted(usable)[:most]
        assert list(reserve.waiting()) == sorted(usable)[most:]
        assert set(affected) == {each for each, was in before.items() if was != reserve.is_active(each)}
