"""Old keys: read as present ones, reported once, never at the expense of a present one."""

import pytest

from cliproxy.config.legacy import migrate
from cliproxy.config.nodes import parse, value_of


def migrated(text):
    found = migrate(parse(text).root)
    return value_of(found.root), [(note.path, note.line) for note in found.notes]


def test_a_tree_without_old_keys_is_returned_as_it_is():
    root = parse("port: 1\nopenai-compatibility: [{name: a}]\n").root
    assert migrate(root).root is root
    assert migrate(None).root is None


def test_google_keys_join_the_list_without_repetition():
    text = "gemini-api-key:\n  - api-key: a\ngenerative-language-api-key: [a, ' b ', '', b, ~]\n"
    value, notes = migrated(text)
    assert [entry["api-key"].strip() for entry in value["gemini-api-key"]] == ["a", "b"]
    assert "generative-language-api-key" not in value
    assert notes == [("generative-language-api-key", 3)]


def test_keys_of_a_compatible_upstream_move_into_entries():
    entries = "[{api-key: a, proxy-url: p}]"
    text = (
        f"openai-compatibility:\n  - name: x\n  - {{name: y, api-keys: [a, b], api-key-entries: {entries}}}\n"
    )
    value, notes = migrated(text)
    assert value["openai-compatibility"] == [
        {"name": "x"},
        {"name": "y", "api-key-entries": [{"api-key": "a", "proxy-url": "p"}, {"api-key": "b"}]},
    ]
    assert notes == [("openai-compatibility[1].api-keys", 3)]


@pytest.mark.parametrize("spelling", ["api-keys: [b, a]", "config: {api-keys: [b, a]}"])
def test_client_keys_of_an_access_provider_join_the_list(spelling):
    provider = f"{{type: config-api-key, {spelling}}}"
    text = f"api-keys: [a]\nauth:\n  providers: [{provider}, {{type: other}}]\n"
    value, notes = migrated(text)
    assert value == {"api-keys": ["a", "b"]}
    assert notes == [("auth", 2)]


def test_another_use_of_the_word_auth_is_left_alone():
    value, notes = migrated("auth: {something: 1}\n")
    assert value == {"auth": {"something": 1}}
    assert notes == []


def test_management_keys_move_into_their_group():
    value, notes = migrated("allow-remote-management: true\nremote-management-key: s\n")
    assert value == {"remote-management": {"allow-remote": True, "secret-key": "s"}}
    assert [path for path, _ in notes] == ["allow-remote-management", "remote-management-key"]


def test_the_present_key_wins_over_the_old_one():
    value, notes = migrated("remote-management: {secret-key: new}\nremote-management-key: old\n")
    assert value == {"remote-management": {"secret-key": "new"}}
    assert len(notes) == 1


@pytest.mark.parametrize(
    "text",
    [
        "gemini-api-key: oops\ngenerative-language-api-key: [a]\n",
        "remote-management: oops\nremote-management-key: s\n",
    ],
)
def test_a_present_key_of_the_wrong_shape_is_left_for_the_reader_to_refuse(text):
    value, _ = migrated(text)
    assert "oops" in value.values()


def test_moved_values_keep_their_line():
    root = migrate(parse("\n\ngenerative-language-api-key:\n  - a\n").root).root
    entry = root.entries[0].value.items[0].entries[0]
    assert entry.value.span.line == 4


@pytest.mark.parametrize(
    "text", ["[a]", "a", "openai-compatibility: 1", "openai-compatibility: [1]", "auth: 1"]
)
def test_odd_shapes_pass_through(text):
    value, notes = migrated(text)
    assert value == value_of(parse(text).root)
    assert notes == []


def test_old_keys_of_the_wrong_shape_vanish_with_their_note():
    value, notes = migrated("generative-language-api-key: 5\nport: 1\n")
    assert value == {"port": 1}
    assert len(notes) == 1
