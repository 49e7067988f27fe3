"""The bundled catalogue: complete, consistent, and found under other spellings."""

import re

import attrs
import pytest

from cliproxy.catalog import static
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.ir.request import Family, Sampling
from cliproxy.ir.sampling import ABILITIES
from cliproxy.ir.thinking import LEVELS, ThinkingSupport

ALL = [(section, model) for section in static.sections() for model in static.models(section)]

each_model = pytest.mark.parametrize(
    ("section", "model"), ALL, ids=[f"{section}:{model.id}" for section, model in ALL]
)


def credential(*entries: ModelEntry) -> Credential:
    return Credential(id=CredentialId("c"), provider="claude", kind=CredentialKind.KEY, models=tuple(entries))


def test_every_provider_with_known_models_has_a_section():
    expected = "claude gemini vertex gemini-cli aistudio codex kimi qwen iflow xai antigravity github-copilot"
    assert set(static.sections()) == set(expected.split())


def test_facts_are_dated():
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", static.as_of())


@each_model
def test_model_is_described(section, model):
    assert model.id
    assert model.display_name
    assert model.owned_by
    assert model.input_modalities
    assert model.output_modalities
    assert model.thinking is not None, "what the catalogue lists is known to think or not to"


@each_model
def test_thinking_is_consistent(section, model):
    thinking = model.thinking
    assert set(thinking.levels) <= {*LEVELS, "none", "auto"}
    assert list(thinking.efforts) == [level for level in thinking.levels if level in LEVELS], (
        "ascending order"
    )
    if thinking.has_budgets:
        assert (thinking.min_budget or 0) < thinking.max_budget
    if model.family is Family.CLAUDE and section == "claude":
        assert thinking.adaptive == bool(thinking.levels)


@pytest.mark.parametrize("section", static.sections())
def test_ids_are_unique_in_a_section(section):
    ids = [model.id for model in static.models(section)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("claude", "claude-opus-4-1-20250805", ThinkingSupport(min_budget=1024, max_budget=128000)),
        ("codex", "gpt-5.1", ThinkingSupport(levels=("none", "low", "medium", "high"))),
        ("codex", "gpt-5.6-sol", ThinkingSupport(levels=("low", "medium", "high", "xhigh", "max"))),
        (
            "gemini",
            "gemini-2.5-flash",
            ThinkingSupport(min_budget=0, max_budget=24576, zero_allowed=True, dynamic_allowed=True),
        ),
        ("qwen", "qwen3-coder-plus", ThinkingSupport()),
        (
            "claude",
            "claude-opus-5",
            ThinkingSupport(
                levels=("low", "medium", "high", "xhigh", "max"),
                zero_allowed=True,
                dynamic_allowed=True,
                adaptive=True,
            ),
        ),
    ],
)
def test_capabilities_of_well_known_models(section, name, expected):
    assert static.find(name, section).thinking == expected


def test_limits_of_a_model_depend_on_the_provider():
    assert static.find("claude-sonnet-4-6", "claude").output_tokens == 64000
    assert static.find("claude-sonnet-4-6", "antigravity").thinking.max_budget == 64000
    assert static.find("gemini-3-pro-preview", "gemini").thinking.levels == ("low", "high")
    assert static.find("gemini-3-pro-preview", "aistudio").thinking.levels == ()


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5-20250929"),
        ("anthropic/claude_sonnet_4_6", "claude-sonnet-4-6"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("Claude-Opus-5-latest", "claude-opus-5"),
        ("gpt-5-2025-08-07", "gpt-5"),
    ],
)
def test_other_spellings_of_a_name_are_understood(spelling, expected):
    assert static.find(spelling).id == expected


@pytest.mark.parametrize("name", ["", "claude", "gpt-5.9", "gpt-5-turbo", "llama-4"])
def test_unknown_names_are_unknown(name):
    assert static.find(name) is None


def test_find_can_be_limited_to_a_section():
    assert static.find("kimi-k2", "claude") is None
    assert static.find("kimi-k2", "no-such-section") is None
    assert static.find("kimi-k2").owned_by == "moonshot"


def test_plan_limits_the_models():
    free = {model.id for model in static.models("codex", "free")}
    pro = {model.id for model in static.models("codex", "pro")}
    assert free < pro == {model.id for model in static.models("codex")}
    assert "gpt-5.4" in pro - free
    assert static.models("claude", "free") == static.models("claude")
    assert static.models("no-such-section") == ()


def test_models_of_a_credential_without_a_list_are_those_of_its_section():
    assert static.models_of(credential(), "claude") == static.models("claude")


def test_declared_models_keep_what_is_known_of_them():
    known, unknown, told = static.models_of(
        credential(
            ModelEntry(name="claude-sonnet-4.5", alias="s"),
            ModelEntry(name="kimi-k2"),
            ModelEntry(name="claude-opus-4-6", thinking={"levels": ["LOW"], "zero-allowed": True}),
        ),
        "claude",
    )
    assert (known.id, known.output_tokens) == ("claude-sonnet-4.5", 64000)
    assert (unknown.id, unknown.thinking, unknown.family) == ("kimi-k2", None, Family.KIMI)
    assert told.thinking == ThinkingSupport(levels=("low",), zero_allowed=True)
    assert told.context_tokens == 1000000


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("gpt-5.2", {"max_tokens", "temperature", "stop"}),
        ("openai/o4-mini-2025-04-16", {"max_tokens", "temperature", "stop"}),
        ("gpt-5-chat-latest", set()),
        ("gpt-oss-120b", set()),
        ("gpt-4o", set()),
        ("claude-opus-4-8", {"temperature", "top_p", "top_k", "prefill"}),
        ("claude_sonnet_5", {"temperature", "top_p", "top_k", "prefill"}),
        ("claude-opus-4-6", {"prefill"}),
        ("anthropic/claude-sonnet-4.6", {"prefill"}),
        ("claude-sonnet-4-20250514", {"output"}),
        ("claude-opus-4-0", {"output"}),
        ("claude-3-7-sonnet-latest", {"output"}),
        ("claude-opus-4-1-20250805", set()),
        ("claude-opus-4-5-20251101", set()),
        ("claude-sonnet-4-5-20250929", set()),
        ("mistral-large", set()),
    ],
)
def test_models_refuse_settings_under_any_spelling_of_their_name(name, refused):
    assert refused <= static.refused(name)
    assert bool(refused) == bool(static.refused(name))
    assert static.refused(name) <= ABILITIES | {field.name for field in attrs.fields(Sampling)}


def test_the_efforts_of_openais_reasoning_models_are_the_same_everywhere():
    for name in ("gpt-5", "openai/gpt-5", "gpt-5-2025-08-07"):
        known = static.efforts(name)
        assert known is not None, name
        assert known.levels == ("minimal", "low", "medium", "high")
    for name in ("gpt-5-chat-latest", "claude-opus-4-8", "gpt-6-nobody-knows", "qwen3-coder-plus"):
        assert static.efforts(name) is None, name


def test_the_vendors_short_name_of_a_dated_model_is_an_alias():
    dated = next(model for model in static.models("claude") if model.id == "claude-sonnet-4-5-20250929")
    assert dated.aliases == ("claude-sonnet-4-5",)


def test_models_that_refuse_sampling_refuse_budgets_too():
    for model in static.models("claude"):
        if "temperature" in static.refused(model.id):
            assert model.thinking is not None
            assert not model.thinking.has_budgets, model.id


@pytest.mark.parametrize(
    ("model", "draws"),
    [("gpt-image-2", True), ("gpt-5.4", False), ("painter", True), ("gpt-5", False), ("nobody", False)],
)
def test_models_that_only_draw_are_known_or_declared(model, draws):
    declared = (ModelEntry(name="painter", image=True), ModelEntry(name="gpt-5"))
    account = Credential(id=CredentialId("c"), provider="codex", kind=CredentialKind.KEY, models=declared)
    assert static.only_draws(account, "codex", model) is draws


def test_a_model_declared_to_draw_is_shown_as_such():
    account = Credential(
        id=CredentialId("c"),
        provider="codex",
        kind=CredentialKind.KEY,
        models=(ModelEntry(name="painter", image=True),),
    )
    [info] = static.models_of(account, "codex")
    assert info.output_modalities == ("image",)


@pytest.mark.parametrize("section", static.sections())
def test_previews_are_models_of_the_same_section(section):
    known = {model.id for model in static.models(section)}
    assert {name for model in static.models(section) for name in model.previews} <= known


def test_the_gemini_cli_has_previews():
    found = static.find("gemini-2.5-pro", "gemini-cli")
    assert found is not None
    assert found.previews == ("gemini-3.1-pro-preview", "gemini-3-pro-preview")


def test_facts_of_a_door_are_not_taken_for_those_of_the_model():
    """What Copilot says of a vendor's model holds behind Copilot's door alone."""
    assert static.find("gpt-4.1", "github-copilot").contracts == ("chat", "responses")
    assert static.find("gpt-4.1") is None
    assert not any(info.contracts for info in map(static.find, ("gpt-5", "claude-sonnet-4.5")))
