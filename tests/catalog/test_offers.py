"""Exclude, alias, prefix: the same for every provider."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer, names_of_offer
from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import ModelEntry
from cliproxy.ir.thinking import ThinkingSupport
from support.routes import credential

MODELS = (ModelInfo(id="alpha", display_name="Alpha"), ModelInfo(id="beta"), ModelInfo(id="beta-mini"))


def names(*offers: Offer, force_prefix: bool = False) -> list[str]:
    return build(offers, force_prefix=force_prefix).names()


def offer(models: tuple[ModelInfo, ...] = MODELS, **settings: object) -> Offer:
    aliases = settings.pop("aliases", ())
    excluded = settings.pop("excluded", ())
    declared = settings.pop("declared", ())
    return Offer(
        credential=credential(models=declared, **settings),  # type: ignore[arg-type]
        models=models,
        aliases=aliases,  # type: ignore[arg-type]
        excluded=excluded,  # type: ignore[arg-type]
    )


def behind(name: str, *offers: Offer) -> list[str]:
    """The upstream models behind a client's name."""
    return [candidate.model for candidate in build(offers).candidates(name)]


def only(name: str, *offers: Offer) -> Candidate:
    (found,) = build(offers).candidates(name)
    return found


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
    registry = build([offer(declared=(ModelEntry(name="alpha", alias="mine"), ModelEntry(name="gamma")))])
    assert registry.names() == ["gamma", "mine"]
    (mine,) = registry.candidates("mine")
    assert (mine.model, mine.info.display_name) == ("alpha", "Alpha")


def test_an_alias_hides_the_name_and_a_fork_does_not() -> None:
    assert names(offer(aliases=(ModelEntry(name="alpha", alias="a1"),))) == ["a1", "beta", "beta-mini"]
    fork = ModelEntry(name="alpha", alias="a1", fork=True)
    assert names(offer(aliases=(fork,))) == ["a1", "alpha", "beta", "beta-mini"]
    assert names(offer(declared=(fork,))) == ["a1", "alpha"]


def test_several_models_behind_one_alias_make_a_pool() -> None:
    pool = (ModelEntry(name="alpha", alias="any"), ModelEntry(name="beta", alias="any"))
    registry = build([offer(declared=pool)])
    assert [candidate.model for candidate in registry.candidates("any")] == ["alpha", "beta"]


def test_prefixes_add_or_replace() -> None:
    assert names(offer(prefix="team", excluded_models=("beta*",))) == ["alpha", "team/alpha"]
    assert names(offer(prefix="team", excluded_models=("beta*",)), force_prefix=True) == ["team/alpha"]


def test_a_model_called_like_the_prefix_keeps_its_name() -> None:
    assert names(offer(prefix="beta"), force_prefix=True) == [
        "beta",
        "beta/alpha",
        "beta/beta",
        "beta/beta-mini",
    ]


def test_a_forced_mapping_shows_the_alias() -> None:
    (entry,) = build([offer(declared=(ModelEntry(name="alpha", alias="a", force_mapping=True),))]).candidates(
        "a"
    )
    assert entry.shown_model == "a"


def test_disabled_credentials_serve_nothing() -> None:
    assert names(offer(disabled=True)) == []


def test_what_a_model_refuses_is_known_by_its_name_whoever_serves_it() -> None:
    registry = build(
        [offer(declared=(ModelEntry(name="openai/gpt-5", alias="mine"), ModelEntry(name="alpha")))]
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


# --- exclusions, then aliases ---


def test_an_alias_may_have_the_name_of_an_excluded_model() -> None:
    alias = ModelEntry(name="beta", alias="alpha")
    assert behind("alpha", offer(aliases=(alias,), excluded=("alpha",))) == ["beta"]


def test_an_excluded_model_has_no_alias() -> None:
    assert names(offer(aliases=(ModelEntry(name="alpha", alias="a1"),), excluded=("alpha",))) == [
        "beta",
        "beta-mini",
    ]


def test_an_alias_hides_another_model_of_its_name() -> None:
    subject = offer(aliases=(ModelEntry(name="beta-mini", alias="beta", fork=True),))
    assert behind("beta", subject) == ["beta-mini"]
    assert names(subject) == ["alpha", "beta", "beta-mini"]
    assert [entry.name for entry in names_of_offer(subject).hidden] == ["beta"]


def test_two_models_may_swap_their_names() -> None:
    swap = (ModelEntry(name="alpha", alias="beta"), ModelEntry(name="beta", alias="alpha"))
    subject = offer(aliases=swap)
    assert (behind("alpha", subject), behind("beta", subject)) == (["beta"], ["alpha"])
    assert names_of_offer(subject).hidden == ()


def test_of_several_aliases_of_one_name_the_most_particular_counts() -> None:
    file, everywhere = ModelEntry(name="alpha", alias="any"), ModelEntry(name="beta", alias="ANY")
    subject = offer(aliases=(file, everywhere))
    assert behind("any", subject) == ["alpha"]
    assert names(subject) == ["any", "beta", "beta-mini"]


def test_one_model_may_have_several_aliases() -> None:
    twice = (ModelEntry(name="alpha", alias="a1"), ModelEntry(name="ALPHA", alias="a2"))
    assert names(offer(aliases=twice)) == ["a1", "a2", "beta", "beta-mini"]


def test_an_alias_for_a_model_that_is_not_there_does_nothing() -> None:
    assert names(offer(aliases=(ModelEntry(name="gamma", alias="alpha"),))) == ["alpha", "beta", "beta-mini"]


def test_a_providers_own_second_name_can_be_given_an_alias() -> None:
    model = ModelInfo(id="alpha-2024", aliases=("alpha",))
    subject = offer((model,), aliases=(ModelEntry(name="alpha", alias="mine"),))
    assert names(subject) == ["alpha-2024", "mine"]
    assert behind("mine", subject) == ["alpha-2024"]


# --- pools ---


def test_models_of_several_accounts_and_providers_behind_one_name_are_a_pool() -> None:
    subject = (
        offer(name="a", provider="x", aliases=(ModelEntry(name="alpha", alias="any"),)),
        offer(name="b", provider="y", declared=(ModelEntry(name="beta", alias="any"),)),
    )
    assert [candidate.key for candidate in build(subject).candidates("any")] == [
        ("a", "alpha"),
        ("b", "beta"),
    ]


# --- prefixes ---


def test_an_alias_is_served_under_the_prefix_and_shown_as_the_client_wrote_it() -> None:
    alias = ModelEntry(name="alpha", alias="a1", force_mapping=True)
    registry = build([offer(prefix="team", aliases=(alias,))])
    (plain,), (prefixed,) = registry.candidates("a1"), registry.candidates("team/a1")
    assert (plain.shown_model, prefixed.shown_model) == ("a1", "team/a1")
    assert prefixed.model == "alpha"
    assert registry.candidates("TEAM/a1") == registry.candidates("p://team/alpha") == ()


# --- wishes for reasoning in names of the owner's ---


@pytest.mark.parametrize(
    ("written", "model", "level"),
    [("alpha(high)", "alpha", "high"), ("alpha(odd)", "alpha(odd)", None), ("alpha", "alpha", None)],
)
def test_an_entry_may_carry_a_wish(written: str, model: str, level: str | None) -> None:
    found = only("mine", offer(declared=(ModelEntry(name=written, alias="mine"),)))
    assert found.model == model
    assert (found.reasoning.level if found.reasoning else None) == level


def test_so_may_an_alias() -> None:
    alias = ModelEntry(name="alpha(8192)", alias="a-thinking", fork=True)
    subject = offer(aliases=(alias,))
    found = only("a-thinking", subject)
    assert found.model == "alpha"
    assert found.reasoning is not None
    assert found.reasoning.budget == 8192
    assert only("alpha", subject).reasoning is None


def test_a_model_that_is_called_like_a_wish_is_meant_itself() -> None:
    subject = offer(
        (ModelInfo(id="alpha"), ModelInfo(id="alpha(high)")),
        aliases=(ModelEntry(name="alpha(high)", alias="odd"),),
    )
    found = only("odd", subject)
    assert (found.model, found.reasoning) == ("alpha(high)", None)


# --- facts of the owner's ---


def test_entries_say_what_is_shown_of_a_model() -> None:
    entry = ModelEntry(
        name="alpha",
        display_name="Mine",
        max_context_length=1000,
        input_modalities=("text", "image"),
        output_modalities=("text", "audio"),
        thinking={"levels": ["low"]},
    )
    for subject in (offer(declared=(entry,)), offer(aliases=(evolve(entry, alias="x"),))):
        (listed,) = [each for each in build([subject]).listing() if each.name in {"alpha", "x"}]
        assert listed.info.display_name == "Mine"
        assert listed.info.context_tokens == 1000
        assert listed.info.input_modalities == ("text", "image")
        assert listed.info.output_modalities == ("text", "audio")
        assert listed.info.thinking == ThinkingSupport(levels=("low",))


def test_of_a_merely_compatible_model_nothing_is_concluded_from_its_name() -> None:
    known = only("gpt-5", offer(declared=(ModelEntry(name="gpt-5"),)))
    compatible = only("gpt-5", offer(declared=(ModelEntry(name="gpt-5", is_compat=True),)))
    assert known.info.refuses
    assert known.info.thinking is not None
    assert not compatible.info.refuses
    assert compatible.info.thinking is None


# --- properties ---

_NAMES = st.sampled_from(["alpha", "beta", "beta-mini", "gamma", "any"])
_ALIASES = st.lists(st.builds(ModelEntry, name=_NAMES, alias=_NAMES, fork=st.booleans()), max_size=5)


@given(_ALIASES, st.lists(_NAMES, max_size=2), st.sampled_from(["", "team"]), st.booleans())
def test_every_name_leads_to_a_model_the_account_has_and_may_serve(
    aliases: list[ModelEntry], excluded: list[str], prefix: str, force: bool
) -> None:
    subject = offer(aliases=tuple(aliases), excluded=tuple(excluded), prefix=prefix)
    registry = build([subject], force_prefix=force)
    has = {model.id for model in MODELS} - set(excluded)
    for name in registry.names():
        candidates = registry.candidates(name)
        assert {candidate.model for candidate in candidates} <= has
        assert len(candidates) == 1
        assert not (force and prefix) or name.startswith("team/")
