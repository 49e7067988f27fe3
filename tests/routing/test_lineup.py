"""The order of picking: turns, weights, places, and what outlives a rebuild."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.journal import MAX_ENTRIES
from cliproxy.routing.lineup import SLACK, Lineup, Rules, most_at_once
from cliproxy.routing.runtime import RuntimeTable, credential_place, model_place
from support.routes import candidate

FIRST = Rules(strategy="fill-first")
WEIGHTED = Rules(strategy="weighted-round-robin")
LEAST_BUSY = Rules(strategy="least-busy")


def resting(until: float) -> RuntimeState:
    return RuntimeState(until=until, failures=1, kind=Kind.RATE_LIMIT, cause="too many")


def lineup(candidates: Sequence[Candidate], rules: Rules | None = None) -> Lineup:
    line = Lineup(candidates, rules or Rules(), RuntimeTable())
    line.catch_up(0.0)
    return line


def turns(line: Lineup, count: int, now: float = 0.0) -> str:
    """Return the ids picked in a row."""
    picked = ""
    for _ in range(count):
        line.catch_up(now)
        choice = line.first()
        assert choice is not None
        line.take_turn(choice.key, in_order=True)
        picked += choice.credential.id
    return picked


def named(names: str, **settings: object) -> list[Candidate]:
    return [candidate(name, **settings) for name in names]


def weighing(**weights: int) -> list[Candidate]:
    return [candidate(name, weight=weight) for name, weight in weights.items()]


def rest(line: Lineup, name: str, until: float) -> None:
    line.runtime.put(credential_place(CredentialId(name)), resting(until))


def test_everybody_takes_turns() -> None:
    assert turns(lineup(named("cab")), 7) == "abcabca"


def test_a_higher_priority_goes_first() -> None:
    assert turns(lineup([*named("a"), *named("bc", priority=5)]), 4) == "bcbc"


def test_fill_first_stays_with_the_first_that_is_ready() -> None:
    line = lineup(named("cab"), FIRST)
    assert turns(line, 3) == "aaa"
    line.runtime.put(credential_place(CredentialId("a")), resting(5.0))
    assert turns(line, 2) == "bb"
    assert turns(line, 2, now=5.0) == "aa"


def test_weights_are_shares_evenly_spread() -> None:
    assert turns(lineup(weighing(a=5, b=1, c=1), WEIGHTED), 14) == "aaabcaa" * 2


def test_who_has_no_weight_takes_no_part() -> None:
    line = lineup(weighing(a=0, b=1, c=-3), WEIGHTED)
    assert turns(line, 2) == "bb"
    assert [each.credential.id for each in line.participants()] == ["b"]
    assert line.is_resting(candidate("a").key)
    assert line.first({candidate("b").key}) is None


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1))
def test_in_every_stretch_of_turns_everybody_gets_its_share(weights: dict[str, int]) -> None:
    total = sum(weights.values())
    picked = turns(lineup(weighing(**weights), WEIGHTED), 3 * total)
    for end in range(1, len(picked) + 1):
        for name, weight in weights.items():
            assert abs(picked[:end].count(name) - end * weight / total) <= len(weights)
    assert Counter(picked) == {name: 3 * weight for name, weight in weights.items()}


def test_the_least_busy_is_next_and_equals_take_turns() -> None:
    line = lineup(named("abc"), LEAST_BUSY)
    with ExitStack() as work:
        assert turns(line, 3) == "abc"
        work.enter_context(line.runtime.working(CredentialId("a")))
        assert turns(line, 4) == "bcbc"
        work.enter_context(line.runtime.working(CredentialId("b")))
        work.enter_context(line.runtime.working(CredentialId("c")))
        assert turns(line, 1) == "a"
    assert turns(line, 4) == "aabc", "who has had fewer turns is first among equals"


def test_who_has_rested_has_not_saved_up_turns() -> None:
    line = lineup(named("ab"))
    line.runtime.put(credential_place(CredentialId("b")), resting(5.0))
    assert turns(line, 6) == "aaaaaa"
    assert sorted(turns(line, 6, now=5.0)) == ["a", "a", "a", "b", "b", "b"]


def test_the_turns_of_who_rests_are_shared_by_all() -> None:
    line = lineup(named("abcd"))
    line.runtime.put(credential_place(CredentialId("b")), resting(5.0))
    assert Counter(turns(line, 9)) == {"a": 3, "c": 3, "d": 3}


def test_a_rest_that_ends_early_is_noticed() -> None:
    line = lineup(named("a"))
    line.runtime.put(model_place(candidate("a")), resting(50.0))
    line.catch_up(1.0)
    assert line.first() is None
    line.runtime.put(model_place(candidate("a")), RuntimeState())
    assert turns(line, 1, now=2.0) == "a"


def test_a_rest_that_becomes_longer_is_kept() -> None:
    line = lineup(named("a"))
    for until in (5.0, 9.0):
        line.runtime.put(model_place(candidate("a")), resting(until))
        line.catch_up(1.0)
    for now in (5.0, 8.9):
        line.catch_up(now)
        assert line.first() is None
    assert turns(line, 1, now=9.0) == "a"


def test_who_was_away_longer_than_the_journal_reaches_looks_at_everybody() -> None:
    line = lineup(named("ab"))
    line.runtime.put(credential_place(CredentialId("a")), resting(50.0))
    for _ in range(MAX_ENTRIES):
        line.runtime.put(credential_place(CredentialId("z")), resting(50.0))
    assert turns(line, 2) == "bb"


@pytest.mark.parametrize(("own", "general", "most"), [(None, 3, 3), (2, 3, 2), (0, 3, 0), (None, 0, 0)])
def test_the_own_limit_goes_before_the_general_one(own: int | None, general: int, most: int) -> None:
    assert most_at_once(candidate(max_concurrent=own), Rules(max_concurrent=general)) == most


def test_who_has_no_place_free_is_passed_over_until_there_is_one() -> None:
    line = lineup(named("ab"), Rules(max_concurrent=1))
    with line.runtime.working(CredentialId("a")):
        assert turns(line, 2) == "bb"
        assert line.ready(candidate("a").key) is None
        assert not line.is_resting(candidate("a").key)
    assert "a" in turns(line, 2)


def test_the_parts_of_an_account_share_its_places() -> None:
    account = CredentialId("acc")
    line = lineup([candidate(f"acc::{n}", part_of=account, max_concurrent=2) for n in "ab"])
    with line.runtime.working(account), line.runtime.working(account):
        line.catch_up(0.0)
        assert line.first() is None


def test_the_turns_go_on_after_a_rebuild() -> None:
    line = lineup(named("abc"))
    assert turns(line, 2) == "ab"
    assert turns(line.succeeded_by(named("abc"), Rules()), 4) == "cabc"


def test_the_turns_go_on_when_credentials_leave_and_come() -> None:
    line = lineup(named("abc"))
    turns(line, 2)
    heir = line.succeeded_by(named("acd"), Rules())
    assert turns(heir, 3) == "cda"
    assert Counter(turns(heir, 9)) == {"a": 3, "c": 3, "d": 3}


def test_a_newcomer_does_not_catch_up_with_the_past() -> None:
    line = lineup(named("ab"))
    turns(line, 100)
    assert Counter(turns(line.succeeded_by(named("abc"), Rules()), 9)) == {"a": 3, "b": 3, "c": 3}


def test_who_changes_its_priority_is_a_newcomer_there() -> None:
    line = lineup([*named("abc"), *named("d", priority=1)])
    line.runtime.put(credential_place(CredentialId("d")), resting(5.0))
    turns(line, 100)
    heir = line.succeeded_by([*named("ab"), *named("cd", priority=1)], Rules())
    assert Counter(turns(heir, 8, now=5.0)) == {"c": 4, "d": 4}


def test_a_turn_out_of_order_counts_as_a_turn() -> None:
    line = lineup(named("ab"))
    for _ in range(3):
        line.take_turn(candidate("a").key, in_order=False)
    assert turns(line, 3) == "bbb"


def test_some_can_be_passed_over_without_losing_their_turn() -> None:
    line = lineup(named("abc"))
    found = line.first({candidate("a").key, candidate("b").key})
    assert found is not None
    assert found.credential.id == "c"
    assert turns(line, 3) == "abc"


def test_heaps_do_not_grow_with_the_changes() -> None:
    line = lineup(named("ab"), LEAST_BUSY)
    for number in range(2000):
        with line.runtime.working(CredentialId("b")):
            line.runtime.put(model_place(candidate("a", "other")), resting(1e6 + number))
            line.runtime.put(credential_place(CredentialId("a")), resting(1e6))
            line.catch_up(0.0)
        line.catch_up(0.0)
    assert len(line._ready) <= 2 * 2 + SLACK + 1
    assert len(line._resting) == 1


# --- only so many in use ---------------------------------------------------------------------------


def test_only_so_many_are_in_use_by_priority_and_id() -> None:
    everybody = [*named("dcb"), *named("e", priority=1), *named("a", priority=-1)]
    assert turns(lineup(everybody, Rules(max_active=3)), 4) == "eeee"
    assert turns(lineup(everybody[:3], Rules(max_active=2)), 4) == "bcbc"


def test_another_stands_in_while_one_rests_and_gives_its_place_back() -> None:
    line = lineup(named("abcd"), Rules(max_active=2))
    rest(line, "a", 10.0)
    assert set(turns(line, 4, now=1.0)) == set("bc")
    rest(line, "c", 20.0)
    assert set(turns(line, 4, now=2.0)) == set("bd")
    assert set(turns(line, 4, now=11.0)) == set("ab")


def test_a_pool_of_models_is_in_use_as_a_whole() -> None:
    line = lineup([candidate(name, model) for name in "ab" for model in ("m1", "m2")], Rules(max_active=1))
    assert turns(line, 4) == "aaaa"
    line.runtime.put(model_place(candidate("a", "m1")), resting(9.0))
    assert turns(line, 2, now=1.0) == "aa"
    line.runtime.put(model_place(candidate("a", "m2")), resting(9.0))
    assert turns(line, 2, now=2.0) == "bb"
    assert turns(line, 2, now=9.0) == "aa"


def test_one_in_use_that_is_full_is_waited_for() -> None:
    line = lineup(named("ab"), Rules(max_active=1, max_concurrent=1))
    with line.runtime.working(CredentialId("a")):
        line.catch_up(0.0)
        assert line.first() is None
        assert [each.credential.id for each in line.participants()] == ["a"]
    assert turns(line, 1) == "a"


def test_others_stand_in_for_who_was_tried_in_vain() -> None:
    everybody = named("abc")
    line = lineup(everybody, Rules(max_active=2))
    assert line.first([everybody[0].key]) is everybody[1]
    assert line.first([each.key for each in everybody[:2]]) is everybody[2]
    assert line.first([each.key for each in everybody]) is None


def test_a_conversation_does_not_stay_with_who_is_not_in_use() -> None:
    everybody = named("ab")
    line = lineup(everybody, Rules(max_active=1))
    assert line.ready(everybody[1].key) is None
    assert line.is_resting(everybody[1].key)
    assert not line.is_resting(everybody[0].key)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5)), max_size=30), st.integers(1, 7))
def test_in_use_are_always_the_first_that_can_be(rests: list[tuple[str, int]], most: int) -> None:
    line = lineup(named("abcdef"), Rules(max_active=most))
    for now, (name, seconds) in enumerate(rests):
        rest(line, name, now + seconds)
        line.catch_up(now)
        able = [each for each in "abcdef" if not line.runtime.state((CredentialId(each), "")).is_open(now)]
        ready = [each for each in "abcdef" if line.ready(candidate(each).key)]
        assert ready == able[:most]
