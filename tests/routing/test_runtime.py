"""What is known about places, and the journal of what changed."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import PauseRecord, RuntimeState
from cliproxy.routing.journal import MAX_ENTRIES
from cliproxy.routing.runtime import (
    MAX_STATES,
    PROBE_S,
    RuntimeTable,
    blocking_state,
    closed_until,
    credential_place,
    host_place,
    model_place,
    places,
    probed_state,
)
from support.routes import candidate

A, B = CredentialId("a"), CredentialId("b")
OPEN = RuntimeState(until=50.0, failures=1, kind=Kind.RATE_LIMIT, cause="too many")


def test_the_longest_block_counts() -> None:
    table = RuntimeTable()
    table.put(model_place(candidate("a")), RuntimeState(until=5.0, failures=1))
    table.put(credential_place(A), RuntimeState(until=9.0, failures=1))
    state = blocking_state(candidate("a"), table, 0.0)
    assert state is not None
    assert state.until == 9.0


def test_counted_calls_are_kept_by_place_bounded_and_forgotten() -> None:
    table = RuntimeTable()
    table.put_calls(("a", "limit:x"), [1.0, 2.0])
    table.put_calls(("b", "limit:x"), [3.0])
    assert table.calls(("a", "limit:x")) == (1.0, 2.0)
    assert table.calls(("a", "limit:y")) == ()
    table.forget([A])
    assert table.calls(("b", "limit:x")) == ()
    assert table.calls(("a", "limit:x")) == (1.0, 2.0)
    for number in range(MAX_STATES + 1):
        table.put_calls((str(number), "limit:x"), [4.0])
    assert table.calls(("a", "limit:x")) == ()


def test_the_table_is_bounded_and_forgets_the_departed() -> None:
    table = RuntimeTable()
    table.put(credential_place(A), OPEN)
    table.put(credential_place(B), OPEN)
    table.put(host_place("x.example"), OPEN)
    table.forget([A])
    assert table.statistics() == {"states": 2, "busy": 0, "probes": 0}
    table.put(credential_place(A), RuntimeState())
    assert table.statistics()["states"] == 1
    for number in range(MAX_STATES + 1):
        table.put((str(number), "m"), OPEN)
    assert table.statistics()["states"] == MAX_STATES


def test_a_part_of_an_account_rests_with_the_account() -> None:
    account, part = CredentialId("acc"), candidate("acc::a", part_of=CredentialId("acc"))
    other = candidate("acc::b", part_of=account)
    for place in (credential_place(account), (account, "m")):
        table = RuntimeTable()
        table.put(place, OPEN)
        assert blocking_state(part, table, 0.0) == OPEN
        assert blocking_state(other, table, 0.0) == OPEN
    table = RuntimeTable()
    table.put(credential_place(part.credential.id), OPEN)
    assert blocking_state(part, table, 0.0) == OPEN
    assert blocking_state(other, table, 0.0) is None


def test_work_is_counted_while_it_lasts_however_it_ends() -> None:
    table = RuntimeTable()
    with table.working(A), table.working(A):
        assert (table.busy(A), table.busy(B)) == (2, 0)
    with pytest.raises(KeyError), table.working(A):
        raise KeyError
    assert table.busy(A) == 0
    assert table.statistics()["busy"] == 0


def test_the_journal_names_the_owners_that_changed() -> None:
    table = RuntimeTable()
    bookmark = table.changes
    assert table.changed_since(bookmark) == frozenset()
    table.put(model_place(candidate("a")), OPEN)
    with table.working(B):
        pass
    assert table.changed_since(bookmark) == {"a", "b"}
    assert table.changed_since(table.changes) == frozenset()


def test_what_changes_nothing_is_not_in_the_journal() -> None:
    table = RuntimeTable()
    table.put(credential_place(A), RuntimeState())
    table.put(host_place("x.example"), OPEN)
    assert table.changes == 0


def test_everything_that_frees_somebody_is_in_the_journal() -> None:
    table = RuntimeTable()
    table.put(credential_place(A), OPEN)
    table.put(credential_place(B), OPEN)
    bookmark = table.changes
    table.put(credential_place(A), RuntimeState())
    assert table.changed_since(bookmark) == {"a"}
    table.forget([])
    assert table.changed_since(bookmark) == {"a", "b"}


def test_who_has_been_away_too_long_has_to_look_at_everything() -> None:
    table = RuntimeTable()
    for _ in range(MAX_ENTRIES):
        table.put(credential_place(A), OPEN)
    assert table.changed_since(0) == {"a"}
    table.put(credential_place(A), OPEN)
    assert table.changed_since(0) is None


def test_a_changed_credential_gets_another_chance_but_no_new_quota() -> None:
    table = RuntimeTable()
    refused = RuntimeState(until=50.0, failures=1, kind=Kind.AUTHENTICATION)
    table.put(credential_place(A), refused)
    table.put((A, "m"), OPEN)
    table.put(credential_place(B), refused)
    bookmark = table.changes
    table.reconsider([A])
    assert table.state(credential_place(A)).failures == 0
    assert table.state((A, "m")) == OPEN
    assert table.state(credential_place(B)) == refused
    assert table.changed_since(bookmark) == {"a"}


def test_pauses_can_be_cleared_by_hand() -> None:
    table = RuntimeTable()
    everywhere = ((A, "m"), (A, "n"), credential_place(A), (B, "m"), host_place("x.example"))
    for place in everywhere:
        table.put(place, OPEN)
    assert table.clear(A, "m") == 1
    assert table.state((A, "m")).failures == 0
    assert table.clear(model="m") == 1
    assert table.clear(A) == 2
    assert table.state(host_place("x.example")) == OPEN
    bookmark = table.changes
    assert table.clear() == 1
    assert table.clear() == 0
    assert table.statistics()["states"] == 0
    assert table.changed_since(bookmark) == frozenset()


def test_pauses_survive_a_restart_with_what_is_left_of_them() -> None:
    table = RuntimeTable()
    table.put((A, "m"), evolve(OPEN, until=110.0, failures=3))
    table.put(credential_place(B), evolve(OPEN, until=90.0))
    [record] = table.export(100.0, 1_000_000.0)
    assert record == PauseRecord(
        place=(A, "m"), kind=Kind.RATE_LIMIT, cause="too many", failures=3, until=1_000_010.0, updated=1e6
    )
    again = RuntimeTable()
    assert again.restore([record], 5.0, 1_000_004.0) == 1
    state = again.state((A, "m"))
    assert (state.until, state.failures, state.kind, state.cause) == (11.0, 3, Kind.RATE_LIMIT, "too many")
    assert again.changed_since(0) == {"a"}


@pytest.mark.parametrize(
    ("moved", "rest"),
    [(0.0, 100.0), (-3600.0, 100.0), (60.0, 40.0), (99.0, 1.0), (100.0, 0.0), (3600.0, 0.0)],
)
def test_a_clock_that_was_set_makes_no_pause_longer(moved: float, rest: float) -> None:
    table, again = RuntimeTable(), RuntimeTable()
    table.put((A, "m"), evolve(OPEN, until=100.0))
    assert again.restore(table.export(0.0, 1e9), 50.0, 1e9 + moved) == (rest > 0)
    assert max(again.state((A, "m")).until - 50.0, 0.0) == rest


@pytest.mark.parametrize("until", [float("nan"), float("inf"), 1e12, -1e12])
def test_a_spoilt_record_is_passed_over(until: float) -> None:
    record = PauseRecord(place=(A, "m"), kind=Kind.QUOTA, cause="", failures=0, until=until, updated=1e9)
    assert RuntimeTable().restore([record], 0.0, 1e9) == 0


def test_what_is_known_already_is_worth_more_than_a_record() -> None:
    table = RuntimeTable()
    table.put((A, "m"), OPEN)
    records = table.export(0.0, 1e9)
    table.put((A, "m"), evolve(OPEN, until=70.0))
    assert table.restore(records, 0.0, 1e9) == 0
    assert table.state((A, "m")).until == 70.0


def test_a_writer_learns_whose_pause_is_another() -> None:
    """Only these have to be written; one without a record is to be deleted."""
    table = RuntimeTable()
    table.put((A, "m"), OPEN)
    bookmark = table.pause_changes
    with table.working(A):
        assert table.pauses_changed_since(bookmark) == frozenset()
    table.put(host_place("x.example"), OPEN)
    table.put((A, "m"), RuntimeState())
    changed = table.pauses_changed_since(bookmark)
    assert changed == {(A, "m"), host_place("x.example")}
    assert [record.place for record in table.export(0.0, 1e9, changed)] == [host_place("x.example")]
    for _ in range(MAX_ENTRIES + 1):
        table.put((A, "m"), OPEN)
    assert table.pauses_changed_since(bookmark) is None


@given(st.floats(0, 1e6), st.floats(1e8, 1e10), st.floats(-1e4, 1e4), st.floats(0, 1e6))
def test_no_restart_makes_a_pause_longer(now: float, wall: float, moved: float, begin: float) -> None:
    table, again = RuntimeTable(), RuntimeTable()
    table.put((A, "m"), evolve(OPEN, until=now + 600.0))
    again.restore(table.export(now, wall), begin, wall + moved)
    assert again.state((A, "m")).until - begin <= 600.0 + 1e-3


HALF_OPEN = evolve(OPEN, until=50.0)
MODEL = (A, "m")


def test_who_tries_a_place_that_has_rested_is_the_only_one() -> None:
    table = RuntimeTable()
    table.put(MODEL, HALF_OPEN)
    assert table.closed_until(MODEL, 49.0) == 50.0
    assert table.closed_until(MODEL, 50.0) == 0.0
    bookmark = table.changes
    with table.probing([MODEL, credential_place(A)], 60.0) as is_trial:
        assert is_trial
        assert table.changed_since(bookmark) == {"a"}
        assert table.closed_until(MODEL, 61.0) == 60.0 + PROBE_S
        with table.probing([MODEL], 61.0) as other:
            assert not other
        assert table.closed_until(MODEL, 61.0) == 60.0 + PROBE_S
    assert table.closed_until(MODEL, 61.0) == 0.0
    assert table.statistics()["probes"] == 0


@pytest.mark.parametrize("now", [0.0, 49.0])
def test_nothing_is_tried_that_rests_or_that_has_nothing(now: float) -> None:
    table = RuntimeTable()
    table.put(MODEL, HALF_OPEN)
    with table.probing([MODEL, (B, "m")], now) as is_trial:
        assert not is_trial
        assert table.closed_until((B, "m"), now) == 0.0


def test_an_outcome_ends_a_trial_at_once() -> None:
    table = RuntimeTable()
    table.put(MODEL, HALF_OPEN)
    with table.probing([MODEL], 60.0):
        table.put(MODEL, RuntimeState())
        assert table.closed_until(MODEL, 60.0) == 0.0
        table.put(MODEL, HALF_OPEN)
        with table.probing([MODEL], 61.0) as next_one:
            assert next_one
    assert table.statistics()["probes"] == 0


def test_a_trial_that_fails_leaves_a_pause() -> None:
    table = RuntimeTable()
    table.put(MODEL, HALF_OPEN)
    with table.probing([MODEL], 60.0):
        table.put(MODEL, evolve(OPEN, until=90.0))
    assert table.closed_until(MODEL, 61.0) == 90.0
    assert table.closed_until(MODEL, 90.0) == 0.0


def test_a_trial_that_takes_long_is_not_the_only_one_for_ever() -> None:
    """It may be a long answer; those who wait need not know."""
    table = RuntimeTable()
    table.put(MODEL, HALF_OPEN)
    late = 60.0 + PROBE_S
    with table.probing([MODEL], 60.0), table.probing([MODEL], late) as is_trial:
        assert is_trial
        assert table.closed_until(MODEL, late) == late + PROBE_S
    assert table.statistics()["probes"] == 0


def test_a_trial_is_told_with_its_reason() -> None:
    table = RuntimeTable()
    each = candidate("a")
    table.put(MODEL, HALF_OPEN)
    assert probed_state(each, table, 60.0) is None
    with table.probing(places(each), 60.0):
        state = probed_state(each, table, 61.0)
        assert state is not None
        assert (state.until, state.kind) == (60.0 + PROBE_S, Kind.RATE_LIMIT)
        assert state.cause == "is being tried again after: too many"
        assert blocking_state(each, table, 61.0) is None
        assert closed_until(each, table, 61.0) == 60.0 + PROBE_S
    table.put(MODEL, evolve(OPEN, until=70.0))
    assert probed_state(each, table, 61.0) is None
