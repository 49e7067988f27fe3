"""What a client is told when nobody has answered."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog.registry import Candidate
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.explain import (
    BUSY_WAIT_S,
    MAX_LISTED,
    PASSING,
    QUOTAS,
    Census,
    Tried,
    census_of,
    is_all_quota,
    nobody_answered,
    nothing_ready,
)
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.select import Earliest
from support.routes import candidate, credential


def test_nothing_ready_names_who_waits_for_what() -> None:
    waiting = Earliest(
        1012.0,
        (
            (candidate("a"), RuntimeState(until=1012.0, failures=1, kind=Kind.RATE_LIMIT, cause="slow down")),
            (candidate("b"), RuntimeState(until=1100.0, failures=1, kind=Kind.UNAVAILABLE, cause="away")),
        ),
    )
    error = nothing_ready("gpt-5", waiting, 1000.0)
    assert (error.status, error.retry_after, error.code) == (503, 12.0, "model_cooldown")
    for part in ("2 account(s)", "`gpt-5`", "12 s", "p: slow down", "p: away"):
        assert part in error.message
    assert error.detail == {
        "accounts": [
            {
                "provider": "p",
                "account": candidate("a").credential.index,
                "model": "m",
                "state": "rate_limit",
                "ready_in_seconds": 12.0,
            },
            {
                "provider": "p",
                "account": candidate("b").credential.index,
                "model": "m",
                "state": "unavailable",
                "ready_in_seconds": 100.0,
            },
        ],
        "cooling": 2,
        "busy": 0,
        "disabled": 0,
        "without_model": 0,
    }


def test_nothing_ready_is_429_only_when_all_are_out_of_quota() -> None:
    state = RuntimeState(until=5.0, failures=1, kind=Kind.QUOTA, cause="empty")
    assert nothing_ready("m", Earliest(5.0, ((candidate(), state),)), 0.0).status == 429
    assert nothing_ready("m", None, 0.0).status == 503


def test_those_who_could_not_be_candidates_are_counted() -> None:
    everybody = [credential("a"), credential("b", disabled=True), credential("c"), credential("d")]
    census = census_of(everybody, [candidate("a"), candidate("a", "m2")])
    assert census == Census(disabled=1, without_model=2)
    state = RuntimeState(until=5.0, failures=1, kind=Kind.QUOTA, cause="empty")
    error = nothing_ready("m", Earliest(5.0, ((candidate(), state),)), 0.0, census)
    assert "Others: 1 switched off, 2 without the model." in error.message
    assert (error.detail["disabled"], error.detail["without_model"]) == (1, 2)
    assert "2 without" in nothing_ready("m", None, 0.0, census).message
    assert "Others" not in nothing_ready("m", None, 0.0).message


def test_a_part_of_an_account_counts_for_the_account() -> None:
    assert census_of([credential("acc")], [candidate("acc::x", part_of="acc")]) == Census()


def test_long_lists_are_cut_soonest_first() -> None:
    states = tuple(
        (candidate(f"c{number}"), RuntimeState(until=1000.0 - number, failures=1, kind=Kind.QUOTA))
        for number in range(500)
    )
    error = nothing_ready("m", Earliest(501.0, states), 0.0)
    accounts = error.detail["accounts"]
    assert isinstance(accounts, list)
    assert len(accounts) == MAX_LISTED
    assert accounts[0]["ready_in_seconds"] == 501.0
    assert error.detail["cooling"] == 500


# --- those who were tried ---------------------------------------------------------------------------


def tried(name: str, kind: Kind, status: int = 0, retry_after: float | None = None) -> Tried:
    failure = Failure(
        kind=kind, scope=Scope.MODEL, message=f"of {name}", status=status, retry_after=retry_after
    )
    return Tried(candidate(name), failure)


def rests(**seconds: float) -> Callable[[Candidate], float]:
    return lambda each: seconds.get(each.credential.id, 0.0)


def test_every_attempt_is_listed_without_naming_the_account() -> None:
    everything = [tried("anna@example.com", Kind.QUOTA, 429, 60.0), tried("b", Kind.UPSTREAM, 500)]
    error = nobody_answered(everything, None, rests(b=2.04))
    assert error.detail == {
        "attempts": [
            {
                "provider": "p",
                "account": everything[0].candidate.credential.index,
                "model": "m",
                "status": 429,
                "kind": "quota",
                "ready_in_seconds": 60.0,
            },
            {
                "provider": "p",
                "account": everything[1].candidate.credential.index,
                "model": "m",
                "status": 500,
                "kind": "upstream",
                "ready_in_seconds": 2.0,
            },
        ]
    }
    assert "anna" not in str(error.detail)


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ([Kind.QUOTA], 429),
        ([Kind.QUOTA, Kind.RATE_LIMIT], 429),
        ([Kind.QUOTA, Kind.AUTHENTICATION], 429),
        ([Kind.QUOTA, Kind.UNAVAILABLE], 503),
        ([Kind.RATE_LIMIT, Kind.OVERLOADED], 503),
        ([Kind.UNAVAILABLE, Kind.TIMEOUT], 504),
    ],
)
def test_it_is_429_only_when_all_who_may_recover_are_out_of_quota(kinds: list[Kind], status: int) -> None:
    everything = [tried(str(number), kind) for number, kind in enumerate(kinds)]
    assert nobody_answered(everything, None, rests()).status == status


def test_those_who_rest_untried_count_as_well() -> None:
    state = RuntimeState(until=8.0, failures=1, kind=Kind.UNAVAILABLE)
    error = nobody_answered(
        [tried("a", Kind.QUOTA, 429, 60.0)], Earliest(8.0, ((candidate("b"), state),)), rests(a=63.0, b=8.0)
    )
    assert (error.status, error.retry_after) == (503, 8.0)


def test_who_never_rests_can_be_asked_soon() -> None:
    """Where pauses are switched off nobody says when; the quota of another is no reason to wait for."""
    away = tried("b", Kind.UPSTREAM, 500)
    error = nobody_answered([tried("a", Kind.QUOTA, 429, 60.0), away], None, rests())
    assert (error.status, error.retry_after) == (503, BUSY_WAIT_S)
    assert nobody_answered([away], None, rests()).retry_after is None


def test_the_last_failure_of_somebody_is_what_holds() -> None:
    error = nobody_answered(
        [tried("a", Kind.UNAVAILABLE, 503), tried("a", Kind.QUOTA, 429, 60.0)], None, rests(a=62.0)
    )
    assert (error.status, error.retry_after) == (429, 60.0)


def test_a_fault_of_the_request_names_no_time() -> None:
    bad = Tried(
        candidate("b"), Failure(kind=Kind.INVALID_REQUEST, scope=Scope.REQUEST, message="bad", status=400)
    )
    error = nobody_answered([tried("a", Kind.UNAVAILABLE, 503), bad], None, rests(a=9.0))
    assert (error.status, error.message, error.retry_after) == (400, "bad", None)


@given(st.lists(st.sampled_from(sorted(Kind)), max_size=6))
def test_all_quota_means_that_nobody_else_may_recover(kinds: list[Kind]) -> None:
    passing = [kind for kind in kinds if kind in PASSING]
    assert is_all_quota(kinds) == (bool(passing) and all(kind in QUOTAS for kind in passing))
