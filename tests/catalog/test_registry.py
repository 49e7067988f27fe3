"""Exclude, alias, prefix: the same for every provider."""

import pytest

from cliproxy.catalog.allowance import Allowance
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.registry import Offer, Registry, build
from cliproxy.credentials.model import ModelEntry
from support.routes import credential

MODELS = (ModelInfo(id="alpha", display_name="Alpha"), ModelInfo(id="beta"), ModelInfo(id="beta-mini"))


def names(*offers: Offer, force_prefix: bool = False) -> list[str]:
    return build(offers, force_prefix=force_prefix).names()


def offer(**settings: object) -> Offer:
    aliases = settings.pop("aliases", ())
    excluded = settings.pop("excluded", ())
    return Offer(credential=credential(**settings), models=MODELS, aliases=aliases, excluded=excluded)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), ["alpha", "beta", "beta-mini"]),
        (("beta",), ["alpha", "beta-mini"]),
        (("BETA*",), ["alpha"]),
        (("*mini",), ["alpha", "beta"]),
        (("*",), []),
    ],
)
def test_exclusion(patterns: tuple[str, ...], left: list[str]) -> None:
    assert names(offer(excluded_models=patterns)) == left
    assert names(offer(excluded=patterns)) == left


def test_a_list_of_models_replaces_the_providers_own() -> None:
    registry = build([offer(models=(ModelEntry(name="alpha", alias="mine"), ModelEntry(name="gamma")))])
    assert registry.names() == ["gamma", "mine"]
    (mine,) = registry.candidates("mine")
    assert (mine.model, mine.info.display_name) == ("alpha", "Alpha")


def test_an_alias_hides_the_name_and_a_fork_does_not() -> None:
    assert names(offer(aliases=(ModelEntry(name="alpha", alias="a1"),))) == ["a1", "beta", "beta-mini"]
    fork = ModelEntry(name="alpha", alias="a1", fork=True)
    assert names(offer(aliases=(fork,))) == ["a1", "alpha", "beta", "beta-mini"]
    assert names(offer(models=(fork,))) == ["a1", "alpha"]


def test_several_models_behind_one_alias_make_a_pool() -> None:
    pool = (ModelEntry(name="alpha", alias="any"), ModelEntry(name="beta", alias="any"))
    registry = build([offer(models=pool)])
    assert [candidate.model for candidate in registry.candidates("any")] == ["alpha", "beta"]


def test_prefixes_add_or_replace() -> None:
    assert names(offer(prefix="team", excluded_models=("beta*",))) == ["alpha", "team/alpha"]
    assert names(offer(prefix="team", excluded_models=("beta*",)), force_prefix=True) == ["team/alpha"]


def test_a_forced_mapping_shows_the_alias() -> None:
    (entry,) = build([offer(models=(ModelEntry(name="alpha", alias="a", force_mapping=True),))]).candidates(
        "a"
    )
    assert entry.shown_model == "a"


def test_disabled_credentials_serve_nothing() -> None:
    assert names(offer(disabled=True)) == []


def test_higher_priorities_come_first_and_providers_can_be_named() -> None:
    registry = build([offer(name="a", provider="x"), offer(name="b", provider="y", priority=2)])
    assert [candidate.credential.id for candidate in registry.candidates("alpha")] == ["b", "a"]
    assert [candidate.credential.id for candidate in registry.candidates("x://alpha")] == ["a"]
    assert registry.candidates("z://alpha") == ()


def test_an_upstream_can_be_asked_for_by_the_name_its_owner_gave_it() -> None:
    registry = build([offer(name="a", options={"name": "house"}), offer(name="b")])
    assert [candidate.credential.id for candidate in registry.candidates("house://alpha")] == ["a"]
    assert [candidate.credential.id for candidate in registry.candidates("p://alpha")] == ["a", "b"]


def test_the_listing_is_sorted_and_shows_only_what_is_usable() -> None:
    registry = build([offer(name="a", provider="x"), offer(name="b", provider="y")])
    listing = registry.listing()
    assert [entry.name for entry in listing] == sorted(entry.name for entry in listing)
    assert listing[0].providers == ("x", "y")
    only_beta = registry.listing(lambda candidate: candidate.model == "beta")
    assert [entry.name for entry in only_beta] == ["beta"]
    assert "alpha" in registry
    assert len(registry) == 3
    assert registry.credentials() == {"a", "b"}


def test_what_a_model_refuses_is_known_by_its_name_whoever_serves_it() -> None:
    registry = build(
        [offer(models=(ModelEntry(name="openai/gpt-5", alias="mine"), ModelEntry(name="alpha")))]
    )
    (mine,), (alpha,) = registry.candidates("mine"), registry.candidates("alpha")
    assert "max_tokens" in mine.info.refuses
    assert mine.info.thinking is not None
    assert mine.info.thinking.levels == ("minimal", "low", "medium", "high")
    assert not alpha.info.refuses
    assert alpha.info.thinking is None


PREVIEWED = (
    ModelInfo(id="alpha", previews=("alpha-next", "alpha-later", "alpha-unknown")),
    ModelInfo(id="alpha-later"),
    ModelInfo(id="alpha-next", display_name="Next"),
)


def stand_ins(name: str = "alpha", **settings: object) -> list[str]:
    """The previews that may stand in for a model."""
    registry = build([Offer(credential=credential(**settings), models=PREVIEWED)])  # type: ignore[arg-type]
    (found,) = registry.candidates(name)
    return [each.model for each in found.stand_ins]


def test_previews_that_the_account_has_may_stand_in_the_best_one_first() -> None:
    assert stand_ins() == ["alpha-next", "alpha-later"]
    assert stand_ins("alpha-next") == []


def test_a_preview_that_the_owner_excludes_does_not_stand_in() -> None:
    assert stand_ins(excluded_models=("*-next",)) == ["alpha-later"]


def test_a_stand_in_is_the_same_account_with_the_facts_of_the_other_model() -> None:
    registry = build([Offer(credential=credential(), models=PREVIEWED)])
    (found,) = registry.candidates("alpha")
    first = found.stand_ins[0]
    assert first.credential == found.credential
    assert (first.client_name, first.info.display_name) == ("alpha", "Next")


# --- what a client may see ---


def both() -> Registry:
    """Two upstreams with the same models, and one model that only the second has."""
    second = Offer(credential=credential("b", provider="y"), models=(*MODELS, ModelInfo(id="gamma")))
    return build([Offer(credential=credential("a", provider="x"), models=MODELS), second])


def seen(registry: Registry, name: str) -> list[str]:
    return [candidate.credential.id for candidate in registry.candidates(name)]


def test_nothing_hidden_is_the_registry_itself() -> None:
    registry = both()
    assert registry.visible(Allowance()) is registry


def test_a_view_has_the_models_and_upstreams_that_are_allowed() -> None:
    registry = both()
    view = registry.visible(Allowance(models=("beta*", "gamma"), providers=("x",)))
    assert view.names() == ["beta", "beta-mini"]
    assert len(view) == 2
    assert seen(view, "beta") == ["a"]
    assert view.candidates("alpha") == view.candidates("gamma") == ()
    assert "beta" in view
    assert "alpha" not in view
    assert [entry.name for entry in view.listing()] == ["beta", "beta-mini"]
    assert view.credentials() == {"a"}


def test_naming_an_upstream_is_no_way_around_an_allowance() -> None:
    view = both().visible(Allowance(models=("alpha",), providers=("x",)))
    assert seen(view, "x://alpha") == ["a"]
    assert view.candidates("y://alpha") == view.candidates("x://beta") == ()


def test_a_view_of_a_view_has_what_both_allow() -> None:
    registry = both()
    view = registry.visible(Allowance(providers=("y",))).visible(Allowance(models=("g*",)))
    assert view.names() == ["gamma"]
    assert registry.visible(Allowance(providers=("y",))).visible(Allowance(providers=("x",))).names() == []


def test_views_and_their_answers_are_the_same_every_time() -> None:
    registry = both()
    for allowance in (Allowance(models=("alpha",)), Allowance(providers=("y",))):
        view = registry.visible(allowance)
        assert registry.visible(Allowance(models=allowance.models, providers=allowance.providers)) is view
        for name in ("alpha", "y://alpha"):
            assert view.candidates(name)
            assert view.candidates(name) is view.candidates(name)


def test_turns_are_shared_among_clients_that_have_the_same_choice() -> None:
    """Otherwise many clients with few requests each would all use the first account."""
    registry = both()
    by_model = registry.visible(Allowance(models=("alpha",)))
    by_upstream = registry.visible(Allowance(providers=("y",)))
    same = registry.visible(Allowance(models=("al*",), providers=("y",)))
    assert by_model.candidates("alpha") is registry.candidates("alpha")
    assert by_model.lineup("alpha") == registry.lineup("alpha") == "alpha"
    assert by_upstream.lineup("alpha") == same.lineup("alpha") != "alpha"
    assert by_upstream.lineup("gamma") == registry.lineup("gamma")


def test_case_counts_in_names_and_not_in_upstreams() -> None:
    registry = both()
    assert seen(registry, "X://alpha") == ["a"]
    assert registry.candidates("X://alpha") is registry.candidates("x://alpha")
    assert registry.candidates("Alpha") == registry.candidates("x://Alpha") == ()
