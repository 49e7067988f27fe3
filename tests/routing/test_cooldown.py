"""Cooldowns as pure arithmetic."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import Failure, Kind, Scope
from cliproxy.routing.cooldown import (
    JITTER,
    LONGEST_ASKED_S,
    PAUSES,
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


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(-5.0, 0.0, 0.0), (1e12, LONGEST_ASKED_S, LONGEST_ASKED_S * 1.1)]
)
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
