"""Entries of the lists: which keys they share and which belong to one list only."""

import pytest

from cliproxy.config.entries import CompatibleEntry, KeyEntry, ModelName
from cliproxy.config.keys import keys_of

COMMON = ["api-key", "priority", "prefix", "base-url", "proxy-url", "models", "headers", "excluded-models"]


@pytest.mark.parametrize("name", [*COMMON, "note", "disabled"])
def test_key_entries_have_the_common_keys(name):
    assert keys_of(KeyEntry)[name].info.active
    assert not keys_of(KeyEntry)[name].info.only


@pytest.mark.parametrize(
    ("kind", "name", "owner"),
    [
        (KeyEntry, "websockets", "codex-api-key"),
        (KeyEntry, "alpha-search", "codex-api-key"),
        (KeyEntry, "rebuild-mid-system-message", "claude-api-key"),
        (KeyEntry, "rest-fallback", "gitlab-api-key"),
        (KeyEntry, "ai-gateway-url", "gitlab-api-key"),
        (ModelName, "fork", "oauth-model-alias"),
    ],
)
def test_some_keys_belong_to_one_list(kind, name, owner):
    assert keys_of(kind)[name].info.only == {owner}


def test_a_compatible_entry_keeps_its_keys_in_a_list_of_their_own():
    assert "api-key" not in keys_of(CompatibleEntry)
    assert keys_of(CompatibleEntry)["api-key-entries"].default == ()


def test_headers_stay_out_of_the_representation():
    assert "hidden" not in repr(KeyEntry(headers={"Authorization": "hidden"}))
