"""What is known about places, and the journal of what changed."""

import pytest

from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import (
    MAX_JOURNAL,
    MAX_STATES,
    RuntimeTable,
    blocking_state,
    credential_place,
    host_place,
    model_place,
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
    assert table.statistics() == {"states": 2, "busy": 0}
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
    for _ in range(MAX_JOURNAL):
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
