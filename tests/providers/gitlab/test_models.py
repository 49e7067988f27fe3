import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.ir.request import Family
from cliproxy.providers.gitlab.models import (
    DEFAULT_MODEL,
    Found,
    Target,
    Vendor,
    everything,
    listed_name,
    named_in,
    offered,
    read_list,
    static_models,
    target_of,
    uses_responses,
    vendor_name,
    vendor_of,
)


def account(options=None, **data) -> Credential:
    return Credential(
        id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data=data, options=options or {}
    )


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("duo-chat-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("duo-chat-opus-4-5", "claude-opus-4-5-20251101"),
        ("duo-chat-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("duo-chat-opus-4-8", "claude-opus-4-8"),
        ("duo-chat-fable-5-1", "claude-fable-5-1"),
        ("duo-chat-gpt-5-1", "gpt-5.1-2025-11-13"),
        ("duo-chat-gpt-5-6-terra", "gpt-5.6-terra"),
        ("duo-chat-gpt-5-codex", "gpt-5-codex"),
        ("Duo-Chat-GPT-5-2-Codex", "gpt-5.2-codex"),
        # Not in the table: tried by shape.
        ("duo-chat-sonnet-9", "claude-sonnet-9"),
        ("duo-chat-gpt-6-1-sol", "gpt-6.1-sol"),
        ("duo-chat-gpt-7", "gpt-7"),
        # No reference at all.
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("gpt-5", "gpt-5"),
    ],
)
def test_references_and_the_vendors_names(reference: str, name: str) -> None:
    assert vendor_name(reference) == name


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("claude_sonnet_4_5_20250929", "claude-sonnet-4-5-20250929"),
        ("anthropic/claude-opus-4-5-20251101", "claude-opus-4-5-20251101"),
        ("claude_opus_4_6_20260205", "claude-opus-4-6"),
        ("claude_opus_4_8", "claude-opus-4-8"),
        ("gpt_5", "gpt-5"),
        ("gpt_5_1", "gpt-5.1-2025-11-13"),
        ("gpt_5_codex", "gpt-5-codex"),
        ("gpt_8_2_nova", "gpt-8.2-nova"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("duo-chat-opus-5", "claude-opus-5"),
        ("gemini-3-pro", "gemini-3-pro"),
    ],
)
def test_the_spellings_of_gitlabs_own_lists(listed: str, name: str) -> None:
    assert listed_name(listed) == name


@pytest.mark.parametrize(
    ("name", "vendor"),
    [
        ("claude-x", Vendor.ANTHROPIC),
        ("gpt-5", Vendor.OPENAI),
        ("o3", Vendor.OPENAI),
        ("o4-mini", Vendor.OPENAI),
        ("codex-next", Vendor.OPENAI),
        ("gemini-3-pro", None),
        ("mistral-large", None),
        ("llama-o3x", None),
    ],
)
def test_whose_a_model_is(name: str, vendor: Vendor | None) -> None:
    assert vendor_of(name) is vendor


@pytest.mark.parametrize(
    ("name", "responses"),
    [
        ("gpt-5.1-2025-11-13", False),
        ("gpt-5.5-2026-04-23", False),
        ("gpt-5.6-sol", True),
        ("gpt-6-astra", True),
        ("gpt-5-codex", True),
        ("gpt-5-mini-2025-08-07", False),
        ("gpt-4o", False),
        ("o3", False),
    ],
)
def test_chat_or_responses(name: str, responses: bool) -> None:
    assert uses_responses(name) is responses


# --- what an account has -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({}, []),
        ({"model_details": {"model_provider": "anthropic", "model_name": "claude-a"}}, ["claude-a"]),
        ({"model_provider": "openai", "model_name": "gpt-5"}, ["gpt-5"]),
        ({"models": ["a", {"name": "b"}, {"provider": "x", "name": "c"}, 5, None]}, ["a", "b", "c"]),
        ({"supported_models": {"models": [{"model_name": "d"}]}}, ["d"]),
        ({"discovered_models": "e"}, ["e"]),
        ({"models": [{"id": "f", "models": ["g"]}]}, ["f", "g"]),
    ],
)
def test_the_shapes_in_which_models_are_named(data: dict, names: list[str]) -> None:
    assert [found.name for found in named_in(data)] == names


def test_the_alias_is_the_assigned_model() -> None:
    details = {"model_provider": "openai", "model_name": "gpt-5-codex"}
    assert target_of(account(model_details=details), "gitlab-duo") == Target("gpt-5-codex", Vendor.OPENAI)
    assert target_of(account(model_details=details), "GitLab-Duo").uses_responses


def test_without_an_assigned_model_the_alias_is_gitlabs_default() -> None:
    assert target_of(account(), "gitlab-duo") == Target(DEFAULT_MODEL, Vendor.ANTHROPIC)


def test_the_owners_choice_stands_behind_the_alias() -> None:
    details = {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5"}
    owner = account({"default-model": "duo-chat-gpt-5-codex"}, model_details=details)
    assert target_of(owner, "gitlab-duo") == Target("gpt-5-codex", Vendor.OPENAI)
    first, second = static_models(owner)
    assert (first.id, first.aliases[0]) == ("gpt-5-codex", "gitlab-duo")
    assert second.id == "claude-sonnet-4-5"


def test_a_model_that_only_completes_code_does_not_stand_behind_the_alias() -> None:
    details = {"model_provider": "fireworks_ai", "model_name": "codestral_2501"}
    assert target_of(account(model_details=details), "gitlab-duo").vendor is Vendor.ANTHROPIC
    assert target_of(account(model_details=details, models=["gpt-5"]), "gitlab-duo").name == "gpt-5"


def test_the_requested_model_decides_not_the_assigned_one() -> None:
    details = {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5"}
    assert target_of(account(model_details=details), "gpt-5") == Target("gpt-5", Vendor.OPENAI)
    assert target_of(account(model_details=details), "duo-chat-gpt-5-1").vendor is Vendor.OPENAI


def test_a_name_that_shows_no_vendor_is_whose_gitlab_says() -> None:
    named = account(models=[{"provider": "anthropic", "name": "next-thing"}])
    assert target_of(named, "next-thing").vendor is Vendor.ANTHROPIC
    assert target_of(account(), "next-thing").vendor is None


def test_offers_carry_the_alias_the_reference_and_the_undated_name() -> None:
    first, second = offered(
        [Found("claude-sonnet-4-5-20250929"), Found("gpt-5.1-2025-11-13", label="GPT-5.1")]
    )
    assert first.aliases == ("gitlab-duo", "duo-chat-sonnet-4-5", "claude-sonnet-4-5")
    assert (first.family, first.context_tokens) == (Family.CLAUDE, 200_000)
    assert second.aliases == ("duo-chat-gpt-5-1", "gpt-5.1")
    assert second.display_name == "GitLab Duo (GPT-5.1)"


def test_no_name_is_offered_twice() -> None:
    found = [Found("claude-sonnet-4-5"), Found("claude-sonnet-4-5-20250929"), Found("Claude-Sonnet-4-5")]
    names = [name for info in offered(found) for name in (info.id, *info.aliases)]
    assert len(names) == len({name.lower() for name in names})


def test_models_no_proxy_has_are_left_out() -> None:
    (info,) = offered([Found("mistral-large"), Found("claude-opus-5")])
    assert (info.id, info.aliases) == ("claude-opus-5", ("gitlab-duo", "duo-chat-opus-5"))


@pytest.mark.parametrize("found", [[], [Found("mistral-large")]])
def test_where_no_model_remains_the_alias_is_offered_alone(found: list[Found]) -> None:
    (info,) = offered(found)
    assert (info.id, info.aliases) == ("gitlab-duo", ())
    assert info.thinking is None


def test_static_models_are_what_the_file_names_or_everything() -> None:
    assert [info.id for info in static_models(account(discovered_models=["claude-opus-5"]))] == [
        "claude-opus-5"
    ]
    infos = static_models(account())
    assert len(infos) == len(everything()) == 25
    assert infos[0].id == DEFAULT_MODEL
    assert "gitlab-duo" in infos[0].aliases


def test_where_the_login_found_nothing_to_choose_the_alias_is_all_there_is() -> None:
    stale = {"model_details": {"model_provider": "openai", "model_name": "gpt-5"}}
    assert [info.id for info in static_models(account(**stale, discovered_models=[]))] == ["gitlab-duo"]


# --- GitLab's list -----------------------------------------------------------------------------------------


def listed(**models) -> dict:
    return {"data": {"aiChatAvailableModels": models}}


def test_the_default_comes_before_the_selectable_ones() -> None:
    entries = [{"name": "Opus", "ref": "claude_opus_5"}, {"name": "GPT-5", "ref": "gpt_5"}]
    found = read_list(listed(defaultModel=entries[1], selectableModels=entries, pinnedModel=None)).found
    assert [model.name for model in found] == ["gpt-5", "claude-opus-5", "gpt-5"]
    assert found[1].label == "Opus"


def test_a_pinned_model_leaves_no_choice() -> None:
    entry = {"name": "Opus", "ref": "claude_opus_5"}
    found = read_list(listed(defaultModel=None, selectableModels=[entry], pinnedModel=entry)).found
    assert [model.name for model in found] == ["claude-opus-5"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"errors": [{"message": "Field doesn't exist"}]},
        {"data": None},
        listed(),
        listed(selectableModels="x", pinnedModel=[], defaultModel={"name": ""}),
        listed(selectableModels=[5, {}]),
    ],
)
def test_no_list(body: dict) -> None:
    assert read_list(body).found == []


def test_what_is_known_of_a_model_goes_along_with_the_offer() -> None:
    (claude, gpt, strange) = offered([Found("claude-opus-5"), Found("gpt-5.6-sol"), Found("claude-next-9")])
    assert claude.thinking is not None
    assert claude.thinking.adaptive
    assert gpt.thinking is not None
    assert strange.thinking is None
