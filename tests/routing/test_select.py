"""Round robin over what is ready."""

from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.select import (
    MAX_CURSORS,
    MAX_STATES,
    Earliest,
    RuntimeTable,
    blocking_state,
    credential_place,
    host_place,
    model_place,
    pick,
)
from support.routes import candidate

OPEN = RuntimeState(until=50.0, failures=1, kind=Kind.RATE_LIMIT, cause="too many")


def turns(candidates: list[Candidate], table: RuntimeTable, count: int) -> str:
    """Return the ids picked in a row."""
    picked = ""
    for _ in range(count):
        choice = pick(candidates, table, 0.0)
        assert isinstance(choice, Candidate)
        table.advance("m", choice.key)
        picked += choice.credential.id
    return picked


def test_everybody_takes_turns() -> None:
    assert turns([candidate(name) for name in "abc"], RuntimeTable(), 7) == "abcabca"


def test_the_turn_survives_a_credential_that_leaves_and_one_that_comes() -> None:
    table = RuntimeTable()
    assert turns([candidate(name) for name in "abc"], table, 2) == "ab"
    assert turns([candidate(name) for name in "acd"], table, 3) == "cda"


def test_only_the_highest_priority_is_used_while_ready() -> None:
    candidates = [candidate("a"), candidate("b", priority=5), candidate("c", priority=5)]
    assert turns(candidates, RuntimeTable(), 4) == "bcbc"


def test_the_next_priority_takes_over_when_the_first_cools() -> None:
    table = RuntimeTable()
    table.put(credential_place(CredentialId("b")), OPEN)
    assert turns([candidate("a"), candidate("b", priority=5)], table, 2) == "aa"


def test_a_cooling_model_leaves_the_account_to_its_other_models() -> None:
    table = RuntimeTable()
    table.put(model_place(candidate("a", "m1")), OPEN)
    assert pick([candidate("a", "m1")], table, 0.0) != candidate("a", "m1")
    assert pick([candidate("a", "m2")], table, 0.0) == candidate("a", "m2")


def test_when_nobody_is_ready_the_earliest_time_is_named() -> None:
    table = RuntimeTable()
    table.put(model_place(candidate("a")), RuntimeState(until=30.0, failures=1))
    table.put(model_place(candidate("b")), RuntimeState(until=20.0, failures=1))
    choice = pick([candidate("a"), candidate("b")], table, 0.0)
    assert isinstance(choice, Earliest)
    assert choice.until == 20.0
    assert {found.credential.id for found, _ in choice.states} == {"a", "b"}


def test_after_its_time_a_candidate_is_ready_again() -> None:
    table = RuntimeTable()
    table.put(model_place(candidate("a")), OPEN)
    assert pick([candidate("a")], table, OPEN.until) == candidate("a")


def test_nobody_is_tried_twice() -> None:
    a, b = candidate("a"), candidate("b")
    assert pick([a, b], RuntimeTable(), 0.0, tried=frozenset({a.key})) == b
    assert pick([a, b], RuntimeTable(), 0.0, tried=frozenset({a.key, b.key})) is None


def test_the_longest_block_counts() -> None:
    table = RuntimeTable()
    table.put(model_place(candidate("a")), RuntimeState(until=5.0, failures=1))
    table.put(credential_place(CredentialId("a")), RuntimeState(until=9.0, failures=1))
    state = blocking_state(candidate("a"), table, 0.0)
    assert state is not None
    assert state.until == 9.0


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True), st.integers(1, 4))
def test_everybody_gets_the_same_share(names: list[str], rounds: int) -> None:
    picked = turns([candidate(name) for name in names], RuntimeTable(), len(names) * rounds)
    assert all(picked.count(name) == rounds for name in names)


def test_counted_calls_are_kept_by_place_bounded_and_forgotten() -> None:
    table = RuntimeTable()
    table.put_calls(("a", "limit:x"), [1.0, 2.0])
    table.put_calls(("b", "limit:x"), [3.0])
    assert table.calls(("a", "limit:x")) == (1.0, 2.0)
    assert table.calls(("a", "limit:y")) == ()
    table.forget([CredentialId("a")])
    assert table.calls(("b", "limit:x")) == ()
    assert table.calls(("a", "limit:x")) == (1.0, 2.0)
    for number in range(MAX_STATES + 1):
        table.put_calls((str(number), "limit:x"), [4.0])
    assert table.calls(("a", "limit:x")) == ()


def test_the_table_is_bounded_and_forgets_the_departed() -> None:
    table = RuntimeTable()
    for number in range(MAX_CURSORS + 10):
        table.advance(f"m{number}", (CredentialId("a"), "m"))
    table.put(credential_place(CredentialId("a")), OPEN)
    table.put(credential_place(CredentialId("b")), OPEN)
    table.put(host_place("x.example"), OPEN)
    table.forget([CredentialId("a")])
    assert table.statistics() == {"states": 2, "cursors": MAX_CURSORS}
    table.put(credential_place(CredentialId("a")), RuntimeState())
    assert table.statistics()["states"] == 1


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


def test_a_changed_credential_gets_another_chance_but_no_new_quota() -> None:
    table = RuntimeTable()
    refused = RuntimeState(until=50.0, failures=1, kind=Kind.AUTHENTICATION)
    changed, same = CredentialId("a"), CredentialId("b")
    table.put(credential_place(changed), refused)
    table.put((changed, "m"), OPEN)
    table.put(credential_place(same), refused)
    table.reconsider([changed])
    assert table.state(credential_place(changed)).failures == 0
    assert table.state((changed, "m")) == OPEN
    assert table.state(credential_place(same)) == refused
