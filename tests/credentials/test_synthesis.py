"""Key entries become credentials whose ids last."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.load import load_config
from cliproxy.config.model import Config
from cliproxy.config.sections import Section
from cliproxy.credentials.model import CredentialKind, ModelEntry
from cliproxy.credentials.synthesis import entries_of, model_entries, stable_hash, synthesize
from cliproxy.wire.secret import Secret

CLAUDE = Section(key="claude-api-key", provider="claude")
GITLAB = Section(key="gitlab-api-key", provider="gitlab")
COMPATIBLE = Section(key="openai-compatibility", provider="openai-compatibility")


def made(text, *sections):
    return synthesize(load_config(text).config, sections)


def test_an_entry_becomes_a_credential_with_all_its_settings():
    [found] = made(
        """
claude-api-key:
  - api-key: sk-0123456789abcdef
    base-url: https://a/
    proxy-url: direct
    prefix: p
    priority: 3
    weight: 2
    note: mine
    disabled: true
    headers: {X-A: "1"}
    models: [{name: a, alias: b, force-mapping: true, thinking: {max: 5}, image: true}]
    excluded-models: [c]
    disable-cooling: true
    request-retry: 1
    rebuild-mid-system-message: true
""",
        CLAUDE,
    )
    assert (found.provider, found.kind) == ("claude", CredentialKind.KEY)
    assert found.api_key == Secret("sk-0123456789abcdef")
    assert (found.label, found.source) == ("***cdef", "claude-api-key[0]")
    assert (found.base_url, found.proxy_url, found.prefix) == ("https://a", Secret("direct"), "p")
    assert (found.priority, found.weight, found.note, found.disabled) == (3, 2, "mine", True)
    assert found.headers == {"X-A": "1"}
    assert found.models == (
        ModelEntry(name="a", alias="b", force_mapping=True, thinking={"max": 5}, image=True),
    )
    assert found.excluded_models == ("c",)
    assert (found.disable_cooling, found.request_retry) == (True, 1)
    assert found.options["rebuild-mid-system-message"] is True
    assert not found.data


def test_settings_of_one_list_go_along_with_its_entries_only():
    text = """
gitlab-api-key:
  - api-key: glpat-1
    default-model: gpt-5-codex
    rest-fallback: Never
    ai-gateway-url: gateway.example.com/ai/
    duo-namespace-id: 9970
    project-path: group/project
claude-api-key:
  - api-key: sk-ant
"""
    [gitlab, claude] = made(text, GITLAB, CLAUDE)
    assert gitlab.options == {
        "default-model": "gpt-5-codex",
        "rest-fallback": "never",
        "ai-gateway-url": "https://gateway.example.com/ai",
        "duo-namespace-id": "9970",
        "project-path": "group/project",
    }
    assert claude.options == {"rebuild-mid-system-message": False}


def test_settings_that_are_not_made_are_absent():
    [found] = made("claude-api-key: [{api-key: k}]\n", CLAUDE)
    assert found.proxy_url is None
    assert (found.disable_cooling, found.request_retry) == (None, None)


def test_the_id_is_the_list_and_a_hash_of_key_and_address():
    [found] = made("claude-api-key: [{api-key: secret-key, base-url: 'https://a'}]\n", CLAUDE)
    assert found.id == "claude:apikey:" + stable_hash("claude:apikey", ["secret-key", "https://a"])
    assert re.fullmatch(r"claude:apikey:[0-9a-f]{12}", found.id)


def test_the_hash_is_the_one_other_servers_of_this_kind_compute():
    """Statistics and notes that name credentials by these ids stay valid."""
    assert (
        stable_hash("gemini:apikey", [" g-1 ", "https://generativelanguage.googleapis.com"]) == "73dc1abf73d7"
    )


def test_twins_are_numbered_in_their_order():
    found = made("claude-api-key: [{api-key: k}, {api-key: l}, {api-key: k}, {api-key: k}]\n", CLAUDE)
    base = found[0].id
    assert [found[at].id for at in (0, 2, 3)] == [base, f"{base}-1", f"{base}-2"]


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.integers())
def test_ids_survive_reordering(keys, seed):
    def ids(order):
        text = "".join(f"  - api-key: key-{key}\n" for key in order)
        return {credential.api_key: credential.id for credential in made(f"claude-api-key:\n{text}", CLAUDE)}

    shuffled = list(keys)
    Random(seed).shuffle(shuffled)
    assert ids(shuffled) == ids(keys)


def test_no_id_tells_the_key():
    found = made("claude-api-key: [{api-key: canary-0123456789}]\n", CLAUDE)
    assert "canary" not in repr(found)


def test_key_and_address_are_kept_apart_in_the_hash():
    assert stable_hash("k", ["ab", "c"]) != stable_hash("k", ["a", "bc"])
    assert stable_hash("k", ["a"]) != stable_hash("l", ["a"])


def test_a_section_may_count_the_proxy_in():
    text = "claude-api-key: [{api-key: k}, {api-key: k, proxy-url: direct}]\n"
    ids = [credential.id for credential in made(text, CLAUDE)]
    assert ids[1] == f"{ids[0]}-1"
    with_proxy = Section(key="claude-api-key", provider="claude", proxy_in_id=True)
    assert not any("-1" in credential.id for credential in made(text, with_proxy))


def test_a_section_may_name_its_kind():
    [found] = made(
        "claude-api-key: [{api-key: k}]\n", Section(key="claude-api-key", provider="claude", kind="x:y")
    )
    assert found.id.startswith("x:y:")


def test_sections_are_used_in_their_order():
    text = "claude-api-key: [{api-key: k}]\ngitlab-api-key: [{api-key: g}]\n"
    assert [credential.provider for credential in made(text, GITLAB, CLAUDE)] == ["gitlab", "claude"]
    assert made(text) == ()


def test_every_key_of_a_compatible_upstream_is_a_credential():
    found = made(
        """
openai-compatibility:
  - name: OpenRouter
    base-url: https://r/v1
    prefix: p
    priority: 2
    headers: {X-A: "1"}
    support-prompt-cache-key: true
    models: [{name: v/m1, alias: pool}, {name: v/m2, alias: pool}]
    api-key-entries: [{api-key: a, proxy-url: direct, weight: 4}, {api-key: b}]
""",
        COMPATIBLE,
    )
    assert [credential.api_key for credential in found] == [Secret("a"), Secret("b")]
    assert [credential.source for credential in found] == [
        f"openai-compatibility[0].api-key-entries[{at}]" for at in (0, 1)
    ]
    assert all(credential.id.startswith("openai-compatibility:openrouter:") for credential in found)
    first = found[0]
    assert (first.base_url, first.prefix, first.priority, first.weight) == ("https://r/v1", "p", 2, 4)
    assert (first.proxy_url, first.headers) == (Secret("direct"), {"X-A": "1"})
    assert [model.client_name for model in first.models] == ["pool", "pool"]
    assert dict(first.options) == {"name": "OpenRouter", "support-prompt-cache-key": True}
    assert first.label.startswith("OpenRouter")


def test_a_compatible_upstream_without_keys_is_one_credential_without_a_key():
    [found] = made("openai-compatibility: [{base-url: 'http://localhost:1/v1'}]\n", COMPATIBLE)
    assert found.api_key is None
    assert (found.label, found.source) == ("openai-compatibility", "openai-compatibility[0]")
    kind = "openai-compatibility:openai-compatibility"
    assert found.id == f"{kind}:{stable_hash(kind, ['http://localhost:1/v1'])}"


def test_an_unknown_list_is_a_mistake_of_the_provider():
    with pytest.raises(KeyError):
        entries_of(Config(), Section(key="no-such-list", provider="x"))
    with pytest.raises(AssertionError):
        entries_of(Config(), Section(key="port", provider="x"))


def test_aliases_of_accounts_keep_their_fork():
    config = load_config("oauth-model-alias: {codex: [{name: a, alias: b, fork: true}]}\n").config
    assert model_entries(config.oauth_model_alias["codex"]) == (ModelEntry(name="a", alias="b", fork=True),)
