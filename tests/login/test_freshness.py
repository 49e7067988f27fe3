import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import LoginError
from cliproxy.login.freshness import Advice, advise, due_at, needs_login, pause_after, span_of


def test_a_token_without_an_end_is_always_good() -> None:
    span = span_of(None, wall=1000.0, monotonic=5.0, is_new=True)
    assert advise(span, 300.0, 10**9) is Advice.USE
    assert due_at(span, 300.0) == float("inf")


@pytest.mark.parametrize(
    ("now", "advice"),
    [
        (0.0, Advice.USE),
        (3299.0, Advice.USE),
        (3300.0, Advice.USE_AND_RENEW),
        (3579.0, Advice.USE_AND_RENEW),
        (3580.0, Advice.RENEW),
        (9999.0, Advice.RENEW),
    ],
)
def test_an_hour_with_five_minutes_lead(now: float, advice: Advice) -> None:
    span = span_of(1_000_003_600.0, wall=1_000_000_000.0, monotonic=0.0, is_new=True)
    assert advise(span, 300.0, now) is advice


def test_a_lead_longer_than_the_life_does_not_make_a_fresh_token_due() -> None:
    span = span_of(1060.0, wall=1000.0, monotonic=0.0, is_new=True)
    assert advise(span, 300.0, 1.0) is Advice.USE
    assert due_at(span, 300.0) == 30.0


def test_a_token_of_unknown_age_gets_the_whole_lead() -> None:
    span = span_of(1100.0, wall=1000.0, monotonic=0.0, is_new=False)
    assert advise(span, 300.0, 0.0) is Advice.USE_AND_RENEW
    assert advise(span, 300.0, 81.0) is Advice.RENEW


def test_an_issuer_with_a_wrong_clock_is_believed_only_after_a_minute() -> None:
    span = span_of(400.0, wall=1000.0, monotonic=0.0, is_new=True)
    assert advise(span, 300.0, 1.0) is Advice.USE
    assert advise(span, 300.0, 59.0) is Advice.RENEW


def test_a_token_that_came_expired_is_renewed_at_once() -> None:
    span = span_of(900.0, wall=1000.0, monotonic=50.0, is_new=False)
    assert advise(span, 300.0, 50.0) is Advice.RENEW


@given(st.floats(100.0, 1e6), st.floats(0.0, 1e5), st.floats(-3600.0, 3600.0))
def test_the_wall_clock_may_jump_once_the_token_is_here(life: float, lead: float, jump: float) -> None:
    """The decision depends on the time that passed, not on what the wall clock says meanwhile."""
    before = span_of(1e9 + life, wall=1e9, monotonic=100.0, is_new=True)
    after_jump = span_of(1e9 + jump + life, wall=1e9 + jump, monotonic=100.0, is_new=True)
    for passed in (0.0, life / 3, life * 0.9, life * 2):
        assert advise(before, lead, 100.0 + passed) is advise(after_jump, lead, 100.0 + passed)


@pytest.mark.parametrize(("failures", "pause"), [(1, 60.0), (2, 120.0), (3, 240.0), (5, 900.0), (500, 900.0)])
def test_pauses_double_up_to_a_quarter_of_an_hour(failures: int, pause: float) -> None:
    assert pause_after(failures, None, 0.5) == pytest.approx(pause)


def test_pauses_are_spread_by_a_tenth() -> None:
    assert pause_after(1, None, 0.0) == pytest.approx(54.0)
    assert pause_after(1, None, 1.0) == pytest.approx(66.0)


def test_an_issuer_that_asks_for_a_longer_pause_gets_it() -> None:
    assert pause_after(1, 1800.0, 0.5) == 1800.0
    assert pause_after(3, 1.0, 0.5) == pytest.approx(240.0)


@pytest.mark.parametrize(
    ("code", "final"),
    [("invalid_grant", True), ("not_renewable", True), ("unreachable", False), ("rate_limited", False)],
)
def test_which_failures_need_the_owner(code: str, final: bool) -> None:
    assert needs_login(LoginError("x", code=code)) is final
