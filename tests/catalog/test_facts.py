"""What an owner says about models goes before what is known otherwise."""

from attrs import evolve

from cliproxy.catalog.facts import corrected
from cliproxy.catalog.model import ModelInfo
from cliproxy.config.entries import ModelFacts
from cliproxy.config.load import load_config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.ir.thinking import ThinkingSupport

ACCOUNT = Credential(id=CredentialId("a"), provider="codex", kind=CredentialKind.ACCOUNT)
KNOWN = ModelInfo(
    id="gpt-5", display_name="GPT 5", context_tokens=400_000, output_tokens=128_000, aliases=("five",)
)


def test_without_facts_everything_stays() -> None:
    assert corrected([KNOWN], (), ACCOUNT) == (KNOWN,)
    assert corrected([KNOWN], (ModelFacts(context=1),), ACCOUNT) == (KNOWN,)


def test_a_fact_replaces_what_it_names_and_nothing_else() -> None:
    fact = ModelFacts(name="gpt-5", context=272_000)
    assert corrected([KNOWN], (fact,), ACCOUNT) == (evolve(KNOWN, context_tokens=272_000),)
    every = ModelFacts(
        name="gpt-5", display_name="Five", context=1, max_output=2, thinking={"levels": ["Low", "high"]}
    )
    [model] = corrected([KNOWN], (every,), ACCOUNT)
    assert (model.display_name, model.context_tokens, model.output_tokens) == ("Five", 1, 2)
    assert model.thinking == ThinkingSupport(levels=("low", "high"))
    assert model.aliases == ("five",)


def test_an_empty_group_says_that_a_model_does_not_think() -> None:
    thinks = evolve(KNOWN, thinking=ThinkingSupport(levels=("low",)))
    [model] = corrected([thinks], (ModelFacts(name="gpt-5", thinking={}),), ACCOUNT)
    assert model.thinking == ThinkingSupport()


def test_a_model_that_nobody_knew_is_added() -> None:
    _, added = corrected([KNOWN], (ModelFacts(name="gpt-6", context=5),), ACCOUNT)
    assert (added.id, added.display_name, added.owned_by) == ("gpt-6", "gpt-6", "codex")
    assert added.context_tokens == 5
    assert added.thinking is None


def test_a_list_of_the_owners_own_gets_no_more_models() -> None:
    own = evolve(ACCOUNT, models=(ModelEntry(name="gpt-5"),))
    assert corrected([KNOWN], (ModelFacts(name="gpt-6"),), own) == (KNOWN,)


def test_what_an_entry_says_about_thinking_stays() -> None:
    own = evolve(ACCOUNT, models=(ModelEntry(name="gpt-5", thinking={"levels": ["high"]}),))
    declared = evolve(KNOWN, thinking=ThinkingSupport(levels=("high",)))
    fact = ModelFacts(name="gpt-5", context=9, thinking={"levels": ["low"]})
    assert corrected([declared], (fact,), own) == (evolve(declared, context_tokens=9),)


def test_the_configuration_says_it_by_provider() -> None:
    loaded = load_config(
        "model-facts:\n"
        "  codex:\n"
        "    - {name: gpt-6, display-name: Six, context: 400000, max-output: 99, thinking: {levels: [low]}}\n"
    )
    assert not loaded.inactive
    assert loaded.config.model_facts["codex"] == (
        ModelFacts(
            name="gpt-6",
            display_name="Six",
            context=400_000,
            max_output=99,
            thinking={"levels": ["low"]},
        ),
    )
