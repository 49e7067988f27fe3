"""Whose turn it is: projects of one account, and previews that stand in."""

from collections.abc import Sequence

from attrs import evolve

from cliproxy.catalog.registry import Candidate
from cliproxy.config.groups import QuotaExceeded, Routing
from cliproxy.config.model import Config
from cliproxy.dialects.base import Action
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.turns import Turns, is_of_account, rules_of, stay_of
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.lineup import Rules
from cliproxy.routing.resolve import Resolution
from cliproxy.routing.runtime import RuntimeTable, credential_place, model_place
from cliproxy.routing.select import Earliest, Selector, Stay
from support.exchange import bottle, chat
from support.routes import candidate

ON = QuotaExceeded()
OFF = QuotaExceeded(switch_project=False, switch_preview_model=False)
LIMITED = Failure(kind=Kind.RATE_LIMIT, scope=Scope.MODEL, message="too many")
REFUSED = Failure(kind=Kind.AUTHENTICATION, scope=Scope.CREDENTIAL, message="who?")
AWAY = Failure(kind=Kind.UNAVAILABLE, scope=Scope.MODEL, message="away")


def project(name: str, model: str = "m", account: str = "acc") -> Candidate:
    """One project of an account."""
    return candidate(f"{account}::{name}", model, part_of=account)


def with_previews(original: Candidate, *names: str) -> Candidate:
    return evolve(original, stand_ins=tuple(evolve(original, model=name) for name in names))


def turns_of(
    candidates: Sequence[Candidate], table: RuntimeTable, settings: QuotaExceeded, most: int = 0
) -> Turns:
    """The turns of a round."""
    return Turns(name="m", candidates=candidates, selector=Selector(table), settings=settings, most=most)


def order(turns: Turns, failure: Failure) -> list[str]:
    """Let every turn fail in the same way; return who had one."""
    seen = []
    while isinstance(choice := turns.next(0.0), Candidate):
        seen.append(f"{choice.credential.id}/{choice.model}")
        turns.failed(choice, failure)
    return seen


def test_what_is_a_failure_of_the_whole_account() -> None:
    assert is_of_account(REFUSED, ON)
    assert not is_of_account(LIMITED, ON)
    assert is_of_account(LIMITED, OFF)
    assert is_of_account(evolve(LIMITED, kind=Kind.QUOTA), OFF)
    assert not is_of_account(AWAY, OFF)
    assert not is_of_account(evolve(LIMITED, kind=Kind.OVERLOADED), OFF)


def test_the_next_project_goes_on() -> None:
    parts = [project("a"), project("b")]
    assert order(turns_of(parts, RuntimeTable(), ON), LIMITED) == ["acc::a/m", "acc::b/m"]


def test_unless_the_owner_does_not_want_it() -> None:
    everybody = [project("a"), project("b"), project("a", account="other"), candidate("single")]
    turns = turns_of(everybody, RuntimeTable(), OFF)
    assert order(turns, LIMITED) == ["acc::a/m", "other::a/m", "single/m"]


def test_another_model_of_the_account_has_a_quota_of_its_own() -> None:
    pool = [project("a"), project("a", "n"), project("b", "n")]
    assert order(turns_of(pool, RuntimeTable(), OFF), LIMITED) == ["acc::a/m", "acc::a/n"]
    used_up = evolve(LIMITED, scope=Scope.CREDENTIAL)
    assert order(turns_of(pool, RuntimeTable(), OFF), used_up) == ["acc::a/m"]


def test_a_refused_login_is_not_tried_with_every_project() -> None:
    assert order(turns_of([project("a"), project("b")], RuntimeTable(), ON), REFUSED) == ["acc::a/m"]


def test_an_outage_is_no_reason_to_spare_the_other_projects() -> None:
    assert len(order(turns_of([project("a"), project("b")], RuntimeTable(), OFF), AWAY)) == 2


def test_previews_stand_in_when_everybody_is_out_of_quota() -> None:
    everybody = [with_previews(project("a"), "p1", "p2"), with_previews(project("b"), "p1")]
    turns = turns_of(everybody, RuntimeTable(), ON)
    wanted = ["acc::a/m", "acc::b/m", "acc::a/p1", "acc::b/p1", "acc::a/p2"]
    assert order(turns, LIMITED) == wanted


def test_previews_stand_in_for_models_that_cool_down_already() -> None:
    original = with_previews(candidate("a"), "p1")
    table = RuntimeTable()
    table.put(model_place(original), RuntimeState(until=9.0, failures=1, kind=Kind.QUOTA))
    assert order(turns_of([original], table, ON), AWAY) == ["a/p1"]
    assert isinstance(turns_of([original], table, OFF).next(0.0), Earliest)


def test_previews_do_not_stand_in_for_an_outage() -> None:
    original = with_previews(candidate("a"), "p1")
    assert order(turns_of([original], RuntimeTable(), ON), AWAY) == ["a/m"]


def test_a_preview_that_cools_down_itself_does_not_stand_in() -> None:
    original = with_previews(candidate("a"), "p1")
    table = RuntimeTable()
    table.put(credential_place(original.credential.id), RuntimeState(until=9.0, failures=1, kind=Kind.QUOTA))
    assert isinstance(turns_of([original], table, ON).next(0.0), Earliest)


def test_when_everybody_had_a_turn_there_is_none() -> None:
    turns = turns_of([candidate("a")], RuntimeTable(), ON)
    order(turns, AWAY)
    assert turns.next(0.0) is None


def test_only_so_many_have_a_turn_as_the_owner_allows() -> None:
    everybody = [candidate(name) for name in "abc"]
    assert order(turns_of(everybody, RuntimeTable(), ON, most=2), AWAY) == ["a/m", "b/m"]


def test_a_pool_of_models_is_one_account_however_many_they_are() -> None:
    everybody = [candidate(name, model) for name in "abc" for model in ("m1", "m2")]
    seen = order(turns_of(everybody, RuntimeTable(), ON, most=2), AWAY)
    assert sorted(seen) == ["a/m1", "a/m2", "b/m1", "b/m2"]


def test_a_preview_is_no_further_account() -> None:
    everybody = [with_previews(candidate(name), "m-preview") for name in "ab"]
    assert order(turns_of(everybody, RuntimeTable(), ON, most=1), LIMITED) == ["a/m", "a/m-preview"]


def test_who_was_left_out_has_not_failed() -> None:
    """A conversation whose account merely had no place stays there, although another one served it."""
    table = RuntimeTable()
    everybody = [candidate(name, max_concurrent=1) for name in "abc"]
    turns = evolve(
        turns_of(everybody, table, ON, most=1), stay=Stay(mark=b"x", seconds=9, providers=frozenset("p"))
    )
    turns.selector.bindings.bind(b"x", everybody[0].key, 0.0, 9)
    with table.working(everybody[0].credential.account):
        choice = turns.next(0.0)
        assert isinstance(choice, Candidate)
        turns.served(choice, 0.0)
    assert turns.selector.bindings.get(b"x", 0.0) == everybody[0].key


def test_the_rules_are_those_of_the_configuration() -> None:
    rules = rules_of(Config(routing=Routing(strategy="fill-first", max_concurrent=3), max_active_auths=2))
    assert rules == Rules(strategy="fill-first", max_concurrent=3, max_active=2)


def test_only_what_continues_a_conversation_stays() -> None:
    providers = bottle(caches_prompts=True).deps.snapshot().providers
    several = Resolution("m", (candidate("a"), candidate("b")), "m")
    stay = stay_of(chat(), several, Config(routing=Routing(session_affinity_ttl="90s")), providers)
    assert stay is not None
    assert (stay.seconds, stay.providers) == (90.0, {"p"})
    for action in set(Action) - {Action.GENERATE, Action.COMPACT}:
        assert stay_of(evolve(chat(), action=action), several, Config(), providers) is None


def test_where_there_is_no_other_place_nothing_need_stay() -> None:
    providers = bottle(caches_prompts=True).deps.snapshot().providers
    assert stay_of(chat(), Resolution("m", (candidate("a"),), "m"), Config(), providers) is None
