"""The agenda against the plainest thing that could work: a dictionary that is searched."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from cliproxy.login.agenda import TIDY_FROM, Agenda

KEYS = st.integers(0, 20)
TIMES = st.one_of(st.integers(0, 50).map(float), st.just(inf))
ACTS = st.lists(st.one_of(st.tuples(KEYS, TIMES), st.integers(0, 60).map(float)), max_size=200)


@given(ACTS)
def test_it_agrees_with_a_search_through_everything(acts: list[tuple[int, float] | float]) -> None:
    agenda: Agenda[int] = Agenda()
    plain: dict[int, float] = {}
    for act in acts:
        if isinstance(act, tuple):
            key, when = act
            agenda.put(key, when)
            plain[key] = when
        else:
            due = min(plain.values(), default=inf)
            taken = agenda.take(act)
            assert (taken is not None) == (due <= act and due < inf)
            if taken is not None:
                assert plain.pop(taken) == due
        plain = {key: when for key, when in plain.items() if when < inf}
        assert agenda.first() == min(plain.values(), default=inf)
        assert len(agenda) == len(plain)


def test_nothing_is_ever_due_in_an_empty_one() -> None:
    agenda: Agenda[str] = Agenda()
    assert agenda.first() == inf
    assert agenda.take(1e9) is None


def test_what_is_due_at_once_comes_in_the_order_it_was_put() -> None:
    agenda: Agenda[str] = Agenda()
    for key in "cab":
        agenda.put(key, 1.0)
    assert [agenda.take(1.0) for _ in range(4)] == ["c", "a", "b", None]


def test_moving_keys_about_does_not_fill_the_memory() -> None:
    agenda: Agenda[int] = Agenda()
    for turn in range(10_000):
        agenda.put(turn % 100, float(turn))
    assert len(agenda) == 100
    assert len(agenda._heap) <= max(2 * 100, TIDY_FROM)
    assert agenda.first() == 9_900.0
