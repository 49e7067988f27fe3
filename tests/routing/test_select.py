"""Picking: who is next, where conversations stay, and what outlives a rebuild."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cliproxy.catalog.registry import Candidate
from cliproxy.config.groups import STRATEGIES
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing import select
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.lineup import Rules, most_at_once
from cliproxy.routing.runtime import RuntimeTable, blocking_state, credential_place, model_place
from cliproxy.routing.select import BUSY_CAUSE, FORGOTTEN_S, Earliest, Selector, Stay
from support.routes import candidate

OPEN = RuntimeState(until=50.0, failures=1, kind=Kind.RATE_LIMIT, cause="too many")
RULES = Rules()
TALK = Stay(mark=b"talk", seconds=60.0, providers=frozenset({"p"}))
A, B, C = (CredentialId(name) for name in "abc")


def everybody(names: str = "abc", **settings: object) -> tuple[Candidate, ...]:
    return tuple(candidate(name, **settings) for name in names)


def picked(
    selector: Selector,
    candidates: Sequence[Candidate],
    count: int = 1,
    *,
    now: float = 0.0,
    rules: Rules = RULES,
    stay: Stay | None = None,
) -> str:
    """Return the ids of picks in a row."""
    ids = ""
    for _ in range(count):
        choice = selector.pick("m", candidates, now, rules=rules, stay=stay)
        assert isinstance(choice, Candidate)
        ids += choice.credential.id
    return ids


# --- who is next ---


def test_a_cooling_model_leaves_the_account_to_its_other_models() -> None:
    selector, one, two = Selector(RuntimeTable()), (candidate("a", "m1"),), (candidate("a", "m2"),)
    selector.runtime.put(model_place(one[0]), OPEN)
    assert isinstance(selector.pick("m1", one, 0.0, rules=RULES), Earliest)
    assert selector.pick("m2", two, 0.0, rules=RULES) == two[0]


def test_when_nobody_is_ready_the_earliest_time_is_named() -> None:
    selector, both = Selector(RuntimeTable()), everybody("ab")
    selector.runtime.put(model_place(both[0]), RuntimeState(until=30.0, failures=1))
    selector.runtime.put(model_place(both[1]), RuntimeState(until=20.0, failures=1))
    choice = selector.pick("m", both, 0.0, rules=RULES)
    assert isinstance(choice, Earliest)
    assert (choice.until, choice.full) == (20.0, frozenset())
    assert {found.credential.id for found, _ in choice.states} == {"a", "b"}


def test_after_its_time_a_candidate_is_ready_again() -> None:
    selector, one = Selector(RuntimeTable()), everybody("a")
    selector.runtime.put(model_place(one[0]), OPEN)
    assert selector.pick("m", one, OPEN.until, rules=RULES) == one[0]


def test_nobody_is_tried_twice() -> None:
    selector, both = Selector(RuntimeTable()), everybody("ab")
    a, b = both
    assert selector.pick("m", both, 0.0, rules=RULES, tried={a.key}) == b
    assert selector.pick("m", both, 0.0, rules=RULES, tried={a.key, b.key}) is None


def test_who_is_full_is_told_from_who_rests() -> None:
    selector, both, rules = Selector(RuntimeTable()), everybody("ab"), Rules(max_concurrent=1)
    selector.runtime.put(credential_place(A), OPEN)
    with selector.runtime.working(B):
        choice = selector.pick("m", both, 1.0, rules=rules)
    assert isinstance(choice, Earliest)
    assert (choice.until, choice.full) == (OPEN.until, {B})
    assert {state.cause for _, state in choice.states} == {OPEN.cause, BUSY_CAUSE}


def test_each_model_name_has_its_own_turns() -> None:
    selector, ours = Selector(RuntimeTable()), everybody("ab")
    assert picked(selector, ours) == "a"
    other = selector.pick("n", ours, 0.0, rules=RULES)
    assert isinstance(other, Candidate)
    assert other.credential.id == "a"
    assert picked(selector, ours) == "b"


def test_turns_and_conversations_survive_a_rebuild() -> None:
    selector = Selector(RuntimeTable())
    assert picked(selector, everybody(), 2) == "ab"
    assert picked(selector, everybody(), stay=TALK) == "c"
    assert picked(selector, everybody(), 2) == "ab"
    assert picked(selector, everybody(), stay=TALK) == "c"


def test_another_strategy_is_used_at_once() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    assert picked(selector, ours, 2) == "ab"
    assert picked(selector, ours, 2, rules=Rules(strategy="fill-first")) == "aa"


def test_the_lineup_used_longest_ago_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "MAX_LINED_UP", 6)
    selector, ours = Selector(RuntimeTable()), everybody()
    for name in ("m", "n", "m", "o"):
        selector.pick(name, ours, 0.0, rules=RULES)
    assert selector.statistics() == {"lineups": 2, "lined_up": 6, "bindings": 0}
    assert picked(selector, ours) == "c"
    selector.pick("big", everybody("abcdefgh"), 0.0, rules=RULES)
    assert selector.statistics()["lineups"] == 1


def test_names_that_nobody_asks_for_any_more_leave_nothing() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    for number in range(5):
        selector.pick(f"m{number}", ours, number * 3600.0, rules=RULES)
    assert selector.statistics()["lineups"] == 5
    selector.pick("m4", ours, FORGOTTEN_S + 3 * 3600.0 + 1, rules=RULES)
    selector.pick("new", ours, FORGOTTEN_S + 3 * 3600.0 + 1, rules=RULES)
    assert selector.statistics() == {"lineups": 2, "lined_up": 2 * len(ours), "bindings": 0}


# --- conversations ---


def test_a_conversation_stays_and_others_take_turns() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    assert picked(selector, ours, 3, stay=TALK) == "aaa"
    assert picked(selector, ours, 4) == "bcbc"
    assert picked(selector, ours, 2, stay=TALK) == "aa"


def test_a_conversation_is_forgotten_in_time() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    assert picked(selector, ours, stay=TALK) == "a"
    assert picked(selector, ours, now=59.0, stay=TALK) == "a"
    assert picked(selector, ours, now=118.0, stay=TALK) == "a"
    assert picked(selector, ours, now=178.0, stay=TALK) == "b"


def test_it_stays_even_when_a_higher_priority_comes_back() -> None:
    selector = Selector(RuntimeTable())
    ours = (*everybody("a"), *everybody("b", priority=5))
    selector.runtime.put(credential_place(B), OPEN)
    assert picked(selector, ours, stay=TALK) == "a"
    assert picked(selector, ours, now=51.0, stay=TALK) == "a"
    assert picked(selector, ours, now=51.0) == "b"


def test_where_prompts_are_not_cached_nobody_stays() -> None:
    selector, ours = Selector(RuntimeTable()), everybody(provider="other")
    assert picked(selector, ours, 3, stay=TALK) == "abc"


def test_it_moves_with_an_answer_from_elsewhere_when_its_credential_rests() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    assert picked(selector, ours, stay=TALK) == "a"
    selector.runtime.put(credential_place(A), OPEN)
    assert picked(selector, ours, stay=TALK) == "b"
    selector.served("m", ours[1], 2.0, tried=frozenset(), stay=TALK)
    assert picked(selector, ours, 2, now=51.0, stay=TALK) == "bb"


def test_it_moves_when_its_credential_failed_without_a_rest() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    assert picked(selector, ours, stay=TALK) == "a"
    assert selector.pick("m", ours, 0.0, rules=RULES, tried={ours[0].key}, stay=TALK) == ours[1]
    selector.served("m", ours[1], 0.0, tried={ours[0].key}, stay=TALK)
    assert picked(selector, ours, stay=TALK) == "b"


def test_an_outage_of_everybody_moves_nobody() -> None:
    selector, ours = Selector(RuntimeTable()), everybody()
    assert picked(selector, ours, stay=TALK) == "a"
    for each in (A, B, C):
        selector.runtime.put(credential_place(each), OPEN)
    assert isinstance(selector.pick("m", ours, 1.0, rules=RULES, stay=TALK), Earliest)
    assert picked(selector, ours, now=51.0, stay=TALK) == "a"


def test_it_is_served_elsewhere_once_while_its_credential_is_full() -> None:
    selector, ours, rules = Selector(RuntimeTable()), everybody(), Rules(max_concurrent=1)
    assert picked(selector, ours, rules=rules, stay=TALK) == "a"
    with selector.runtime.working(A):
        assert picked(selector, ours, rules=rules, stay=TALK) == "b"
        selector.served("m", ours[1], 0.0, tried=frozenset(), stay=TALK)
    assert picked(selector, ours, rules=rules, stay=TALK) == "a"


def test_it_moves_when_its_credential_has_gone() -> None:
    selector, rest = Selector(RuntimeTable()), everybody("bc")
    assert picked(selector, everybody(), stay=TALK) == "a"
    first = picked(selector, rest, stay=TALK)
    selector.served("m", candidate(first), 0.0, tried=frozenset(), stay=TALK)
    assert picked(selector, rest, 2, stay=TALK) == first * 2


# --- everything at once ---

NAMES = "abcdef"


class Picking(RuleBasedStateMachine):
    """Selection against a plain model of who may be used, over everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.selector = Selector(RuntimeTable())
        self.now = 0.0
        self.work: list[tuple[CredentialId, object]] = []

    @initialize(strategy=st.sampled_from(sorted(set(STRATEGIES.values()))), most=st.integers(0, 3))
    def begin(self, strategy: str, most: int) -> None:
        self.rules = Rules(strategy=strategy, max_concurrent=most)
        self.candidates = everybody(NAMES)

    @rule(
        names=st.lists(st.sampled_from(NAMES), unique=True, max_size=6),
        priorities=st.lists(st.integers(0, 2), min_size=6, max_size=6),
        weights=st.lists(st.integers(-1, 4), min_size=6, max_size=6),
    )
    def rebuild(self, names: list[str], priorities: list[int], weights: list[int]) -> None:
        facts = zip(names, priorities, weights, strict=False)
        self.candidates = tuple(candidate(n, priority=p, weight=w) for n, p, w in facts)

    @rule(strategy=st.sampled_from(sorted(set(STRATEGIES.values()))))
    def change_the_strategy(self, strategy: str) -> None:
        self.rules = Rules(strategy=strategy, max_concurrent=self.rules.max_concurrent)

    @rule(name=st.sampled_from(NAMES), seconds=st.integers(1, 9), of_model=st.booleans())
    def rest(self, name: str, seconds: int, of_model: bool) -> None:
        place = (CredentialId(name), "m" if of_model else "")
        self.selector.runtime.put(place, RuntimeState(until=self.now + seconds, failures=1))

    @rule(name=st.sampled_from(NAMES))
    def recover(self, name: str) -> None:
        self.selector.runtime.put((CredentialId(name), "m"), RuntimeState())
        self.selector.runtime.put((CredentialId(name), ""), RuntimeState())

    @rule(seconds=st.integers(0, 5))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(talk=st.sampled_from([None, b"1", b"2"]), tried=st.sets(st.sampled_from(NAMES), max_size=3))
    def pick(self, talk: bytes | None, tried: set[str]) -> None:
        stay = Stay(mark=talk, seconds=9.0, providers=frozenset({"p"})) if talk else None
        keys = {candidate(name).key for name in tried}
        home = self.selector.bindings.get(talk, self.now) if talk else None
        choice = self.selector.pick("m", self.candidates, self.now, rules=self.rules, tried=keys, stay=stay)
        usable = [each for each in self.candidates if self._is_usable(each) and each.key not in keys]
        if not isinstance(choice, Candidate):
            assert not usable
            assert (choice is None) == (not self._may_come(keys))
            return
        assert choice in usable
        if any(each.key == home for each in usable):
            assert choice.key == home
        else:
            assert choice.credential.priority == max(each.credential.priority for each in usable)
            self._first_of_equals(choice, usable)
        work = self.selector.runtime.working(choice.credential.account)
        work.__enter__()
        self.work.append((choice.credential.id, work))

    def _first_of_equals(self, choice: Candidate, usable: list[Candidate]) -> None:
        equals = [each for each in usable if each.credential.priority == choice.credential.priority]
        if self.rules.strategy == "fill-first":
            assert choice.key == min(each.key for each in equals)
        if self.rules.strategy == "least-busy":
            busy = self.selector.runtime.busy
            assert busy(choice.credential.id) == min(busy(each.credential.id) for each in equals)

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        _, work = self.work.pop(data.draw(st.integers(0, len(self.work) - 1)))
        work.__exit__(None, None, None)  # type: ignore[attr-defined]

    @precondition(lambda self: not self.work and self.candidates)
    @rule()
    def turns_are_fair(self) -> None:
        """When nothing happens meanwhile, everybody ready of the first priority gets its share."""
        usable = [each for each in self.candidates if self._is_usable(each)]
        if not usable or "round-robin" not in self.rules.strategy:
            return
        top = max(each.credential.priority for each in usable)
        equals = [each.credential for each in usable if each.credential.priority == top]
        is_weighted = self.rules.strategy == "weighted-round-robin"
        weights = {each.id: each.weight if is_weighted else 1 for each in equals}
        # What conversations took out of order is owed to the others first.
        picked(self.selector, self.candidates, 400, now=self.now, rules=self.rules)
        total = sum(weights.values())
        counts = Counter(picked(self.selector, self.candidates, 5 * total, now=self.now, rules=self.rules))
        assert all(abs(counts[name] - 5 * weight) <= 1 for name, weight in weights.items())

    @invariant()
    def work_is_counted(self) -> None:
        counts = Counter(name for name, _ in self.work)
        assert all(self.selector.runtime.busy(CredentialId(name)) == counts[name] for name in NAMES)

    def _takes_part(self, each: Candidate) -> bool:
        return self.rules.strategy != "weighted-round-robin" or each.credential.weight > 0

    def _is_usable(self, each: Candidate) -> bool:
        most = most_at_once(each, self.rules)
        is_full = 0 < most <= self.selector.runtime.busy(each.credential.account)
        is_ready = blocking_state(each, self.selector.runtime, self.now) is None
        return self._takes_part(each) and is_ready and not is_full

    def _may_come(self, tried: set[tuple[CredentialId, str]]) -> bool:
        return any(self._takes_part(each) and each.key not in tried for each in self.candidates)


Picking.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPicking = Picking.TestCase
