"""A registry made from the one before is the one that would have been made from nothing, and shares with it
whatever has not changed."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog.index import Index, build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.catalog.registry import Registry
from cliproxy.credentials.model import ModelEntry
from support.routes import credential

MODELS = (ModelInfo(id="alpha"), ModelInfo(id="beta", previews=("gamma",)), ModelInfo(id="gamma"))
ALIASES = (ModelEntry(name="alpha", alias="best"),)


def offer(name: str, *, models: tuple[ModelInfo, ...] = MODELS, **settings: object) -> Offer:
    aliases = settings.pop("aliases", ())
    return Offer(credential=credential(name, **settings), models=models, aliases=aliases)  # type: ignore[arg-type]


def contents(registry: Registry) -> dict[str, tuple[object, ...]]:
    return {name: registry.candidates(name) for name in registry.names()}


_OFFERS = st.lists(
    st.builds(
        offer,
        st.sampled_from("abcd"),
        models=st.sampled_from([MODELS, MODELS[:1], MODELS[1:], ()]),
        provider=st.sampled_from(["p", "q"]),
        prefix=st.sampled_from(["", "team"]),
        priority=st.sampled_from([0, 1]),
        disabled=st.booleans(),
        aliases=st.sampled_from([(), ALIASES]),
        excluded_models=st.sampled_from([(), ("beta",)]),
    ),
    max_size=4,
    unique_by=lambda each: each.credential.id,
)


@given(st.lists(st.tuples(_OFFERS, st.booleans()), min_size=1, max_size=4))
def test_whatever_was_there_before_the_result_is_the_same(steps: list[tuple[list[Offer], bool]]) -> None:
    index = Index()
    for offers, force_prefix in steps:
        registry = index.registry(offers, force_prefix=force_prefix)
        assert contents(registry) == contents(build(offers, force_prefix=force_prefix))


def test_where_nothing_has_changed_the_registry_is_the_same() -> None:
    index = Index()
    first = index.registry([offer("a"), offer("b")])
    assert index.registry([offer("a"), offer("b")]) is first
    assert index.registry([offer("a")]) is not first


def test_names_that_a_change_is_not_about_keep_their_candidates() -> None:
    index = Index()
    first = index.registry([offer("a", models=MODELS[:2]), offer("b", models=MODELS[1:])])
    second = index.registry([offer("a", models=MODELS[:2]), offer("b", models=MODELS[2:])])
    assert second.candidates("alpha") is first.candidates("alpha")
    assert second.candidates("gamma") == first.candidates("gamma")
    assert [each.credential.id for each in second.candidates("beta")] == ["a"]
    assert second.candidates("beta")[0] is first.candidates("beta")[0]


def test_only_the_candidates_of_changed_accounts_are_made_anew() -> None:
    index = Index()
    offers = [offer(f"account-{number:03}") for number in range(200)]
    before = contents(index.registry(offers))
    offers[7] = evolve(offers[7], credential=evolve(offers[7].credential, note="edited"))
    after = contents(index.registry(offers))
    known = {id(each) for candidates in before.values() for each in candidates}
    made = [each for candidates in after.values() for each in candidates if id(each) not in known]
    assert len(made) == len(MODELS)
    assert {each.credential.id for each in made} == {"account-007"}  # type: ignore[attr-defined]


def test_a_registry_that_is_in_use_does_not_change() -> None:
    index = Index()
    first = index.registry([offer("a"), offer("b")])
    index.registry([offer("b")])
    assert [each.credential.id for each in first.candidates("alpha")] == ["a", "b"]


def test_accounts_that_offer_the_same_share_the_facts() -> None:
    registry = build([offer("a"), offer("b"), offer("c", models=MODELS[:1])])
    first, second, _ = registry.candidates("alpha")
    assert (first.credential.id, second.credential.id) == ("a", "b")
    assert first.info is second.info
    first, second = registry.candidates("beta")
    assert [each.model for each in second.stand_ins] == ["gamma"]
    assert second.stand_ins[0].credential is second.credential


def test_of_two_models_that_an_account_has_under_one_name_each_is_there_once() -> None:
    pool = tuple(ModelEntry(name=name, alias="any") for name in ("alpha", "beta", "alpha"))
    registry = build(
        [offer("a", models=MODELS), Offer(credential=credential("b", models=pool), models=MODELS)]
    )
    assert [each.model for each in registry.candidates("any")] == ["alpha", "beta"]
