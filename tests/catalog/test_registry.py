"""The index: who serves a name, what is listed, and what a client may see of it."""

from cliproxy.catalog.allowance import Allowance
from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.catalog.registry import MAX_VIEWS, Registry
from cliproxy.credentials.model import ModelEntry
from cliproxy.ir.thinking import ThinkingSupport
from support.routes import credential

MODELS = (ModelInfo(id="alpha", display_name="Alpha"), ModelInfo(id="beta"), ModelInfo(id="beta-mini"))


def offer(**settings: object) -> Offer:
    return Offer(credential=credential(**settings), models=MODELS)  # type: ignore[arg-type]


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


def test_views_of_keys_that_are_gone_are_not_kept_for_ever() -> None:
    registry = build([offer(name="a")])
    allowances = [Allowance(models=(f"m{number}",)) for number in range(MAX_VIEWS + 1)]
    first, *others = [registry.visible(each) for each in allowances]
    assert registry.visible(allowances[-1]) is others[-1]
    assert registry.visible(allowances[0]) is not first


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


# --- what is shown ---


def shown(*infos: tuple[str, ModelInfo], **entries: ModelEntry) -> ModelInfo:
    """The facts that are listed of a model several upstreams serve; with entries of the owner's for some."""
    offers = [
        Offer(
            credential=credential(
                provider, provider=provider, models=(entries[provider],) if provider in entries else ()
            ),
            models=(info,),
        )
        for provider, info in infos
    ]
    (entry,) = build(offers).listing()
    return entry.info


def test_facts_are_those_of_the_first_provider_whoever_is_usable() -> None:
    one = Offer(credential=credential("x", "x"), models=(ModelInfo(id="m", context_tokens=1),))
    two = Offer(credential=credential("y", "y"), models=(ModelInfo(id="m", context_tokens=2),))
    for offers in ([one, two], [two, one]):
        registry = build(offers)
        for usable in ("x", "y"):
            (entry,) = registry.listing(lambda each, usable=usable: each.credential.id == usable)
            assert entry.info.context_tokens == 1
            assert entry.providers == ("x", "y")


def test_what_the_first_does_not_know_the_next_one_may() -> None:
    support = ThinkingSupport(levels=("low",))
    known = shown(
        ("x", ModelInfo(id="m", display_name="M")),
        ("y", ModelInfo(id="m", display_name="Other", created=5, thinking=support)),
    )
    assert (known.display_name, known.created, known.thinking) == ("M", 5, support)
    assert known.context_tokens is None


def test_the_words_of_the_owner_go_before_what_is_known() -> None:
    mine = ModelEntry(name="m", display_name="Mine")
    assert shown(
        ("x", ModelInfo(id="m", display_name="M")), ("y", ModelInfo(id="m")), y=mine
    ).display_name == ("Mine")


def test_the_best_model_is_that_of_the_account_the_owner_prefers() -> None:
    old, new = ModelInfo(id="old", created=1), ModelInfo(id="new", created=2)
    first = Offer(credential=credential("a"), models=(new,))
    assert build([first, Offer(credential=credential("b"), models=(old,))]).ranked() == ["new", "old"]
    preferred = Offer(credential=credential("b", priority=1), models=(old,))
    registry = build([first, preferred])
    assert registry.ranked() == ["old", "new"]
    assert registry.visible(Allowance(models=("n*",))).ranked() == ["new"]
