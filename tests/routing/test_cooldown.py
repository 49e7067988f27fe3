"""Cooldowns as pure arithmetic."""

from itertools import pairwise
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import Failure, Kind, Scope
from cliproxy.routing.cooldown import (
    JITTER,
    LONGEST_ASKED_S,
    LONGEST_JITTER_S,
    LONGEST_S,
    PAUSES,
    PAUSES_OF_CODES,
    TRANSIENT,
    CoolingRules,
    RuntimeState,
    after_failure,
    after_success,
)

KINDS = st.sampled_from(sorted(Kind))


def failure(
    kind: Kind = Kind.UPSTREAM, scope: Scope = Scope.MODEL, retry_after: float | None = None
) -> Failure:
    return Failure(kind=kind, scope=scope, message="x", retry_after=retry_after)


def run_of_failures(count: int, kind: Kind) -> list[float]:
    """Return the pauses of failures that each come when the last pause is over."""
    state, now, pauses = RuntimeState(), 1000.0, []
    for _ in range(count):
        state = after_failure(state, failure(kind), now, Random(0))
        pauses.append(state.until - now)
        now = state.until
    return pauses


@given(KINDS, st.integers(1, 30), st.integers())
def test_a_pause_is_within_its_bounds(kind: Kind, count: int, seed: int) -> None:
    state, now, rng = RuntimeState(), 0.0, Random(seed)
    for _ in range(count):
        before = now
        state = after_failure(state, failure(kind), now, rng)
        now = max(state.until, now)
        if kind in PAUSES:
            assert PAUSES[kind].first <= now - before <= PAUSES[kind].longest * (1 + JITTER)
            assert now - before <= LONGEST_S


def test_pauses_double_up_to_the_longest() -> None:
    pauses = run_of_failures(9, Kind.OVERLOADED)
    for shorter, longer in pairwise(pauses):
        assert longer >= shorter
    assert 1 <= pauses[0] <= 1.1
    assert pauses[-1] >= 60


def test_failures_under_way_together_escalate_once() -> None:
    first = after_failure(RuntimeState(), failure(Kind.RATE_LIMIT), 0.0, Random(0))
    second = after_failure(first, failure(Kind.RATE_LIMIT), 0.1, Random(1))
    assert second.failures == first.failures == 1


def test_what_the_upstream_asks_for_is_kept() -> None:
    state = after_failure(RuntimeState(), failure(Kind.RATE_LIMIT, retry_after=42.0), 0.0, Random(0))
    assert 42.0 <= state.until <= 42.0 * (1 + JITTER)


@pytest.mark.parametrize(("asked", "least", "most"), [(-5.0, 0.0, 0.0), (1e12, LONGEST_ASKED_S, LONGEST_S)])
def test_what_the_upstream_asks_for_is_bounded(asked: float, least: float, most: float) -> None:
    state = after_failure(RuntimeState(), failure(Kind.RATE_LIMIT, retry_after=asked), 0.0, Random(0))
    assert least <= state.until <= most


@pytest.mark.parametrize("kind", [Kind.INVALID_REQUEST, Kind.TOO_LARGE, Kind.CANCELLED])
def test_faults_of_the_request_cool_nothing(kind: Kind) -> None:
    state = RuntimeState()
    assert after_failure(state, failure(kind, Scope.MODEL), 5.0, Random(0)) is state


def test_request_scope_cools_nothing_whatever_the_kind() -> None:
    state = RuntimeState()
    assert after_failure(state, failure(Kind.RATE_LIMIT, Scope.REQUEST), 5.0, Random(0)) is state


def test_a_success_clears_everything() -> None:
    state = after_failure(RuntimeState(), failure(), 0.0, Random(0))
    assert after_success(state) == RuntimeState()


def test_a_longer_pause_is_not_shortened_by_a_later_failure() -> None:
    long = after_failure(RuntimeState(), failure(Kind.QUOTA, retry_after=1000.0), 0.0, Random(0))
    assert after_failure(long, failure(Kind.OVERLOADED), 1.0, Random(0)).until >= long.until


def test_a_place_is_open_until_its_time() -> None:
    assert RuntimeState(until=10.0).is_open(9.9)
    assert not RuntimeState(until=10.0).is_open(10.0)


def test_jitter_is_little_beside_a_long_pause() -> None:
    asked = failure(Kind.QUOTA, retry_after=5 * 3600.0)
    ends = {after_failure(RuntimeState(), asked, 0.0, Random(seed)).until for seed in range(20)}
    assert len(ends) == 20
    assert all(5 * 3600.0 <= end <= 5 * 3600.0 + LONGEST_JITTER_S for end in ends)


@pytest.mark.parametrize("kind", sorted(Kind))
@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_how_long_passing_failures_pause_is_for_the_owner_to_say(
    kind: Kind, retry_after: float | None
) -> None:
    def pause(transient: float) -> float:
        rules = CoolingRules(transient=transient)
        state = after_failure(
            RuntimeState(), failure(kind, retry_after=retry_after), 0.0, Random(0), rules=rules
        )
        return state.until / (1 + JITTER * Random(0).random())

    usual = pause(0.0)
    if kind in TRANSIENT:
        assert pause(45.0) == pytest.approx(retry_after or 45.0)
        assert pause(-1.0) == pytest.approx(retry_after or 0.0)
    else:
        assert pause(45.0) == pause(-1.0) == usual


@pytest.mark.parametrize("code", sorted(PAUSES_OF_CODES))
def test_some_codes_say_how_long_it_lasts(code: str) -> None:
    state = after_failure(RuntimeState(), evolve(failure(), code=code), 0.0, Random(0))
    assert state.until >= PAUSES_OF_CODES[code].first


def test_a_failure_of_the_time_before_does_not_escalate() -> None:
    first = after_failure(RuntimeState(), failure(), 10.0, Random(0), began=5.0)
    late = after_failure(first, failure(), 100.0, Random(0), began=6.0)
    assert (late.failures, late.is_open(100.5)) == (1, True)
    next_one = after_failure(late, failure(), 200.0, Random(0), began=150.0)
    assert next_one.failures == 2


def test_an_answer_of_the_time_before_clears_nothing() -> None:
    state = after_failure(RuntimeState(), failure(Kind.QUOTA), 10.0, Random(0))
    assert after_success(state, 9.0) is state
    assert after_success(state, 10.0) == RuntimeState()


def test_the_longer_pause_keeps_its_cause() -> None:
    long = after_failure(RuntimeState(), failure(Kind.QUOTA, retry_after=1000.0), 0.0, Random(0))
    both = after_failure(long, failure(Kind.OVERLOADED), 1.0, Random(0))
    assert (both.kind, both.until, both.failures) == (Kind.QUOTA, long.until, 1)


def test_pauses_do_not_grow_without_bound() -> None:
    state = RuntimeState(failures=10_000, until=0.0)
    assert after_failure(state, failure(), 5.0, Random(0)).until <= 5.0 + 60.0 * (1 + JITTER)
