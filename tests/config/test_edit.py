"""Edits: the text says what was wanted, and lines that have nothing to do with it stay byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.edit import document, remove, replace_document, set_value
from cliproxy.config.nodes import MapNode, parse
from cliproxy.config.splice import same
from cliproxy.errors import ConfigError
from support.yamltext import DOCUMENTS, NAMES, VALUES, layouts

FILE = """\
# The server
host: ""   # everywhere
port: 8317

remote-management:
  # Hashed at start.
  secret-key: 'plain'   # the key
  allow-remote: false

api-keys:
  - "first"    # laptop
  # phone
  - "second"
# The end
"""


def paths(value, prefix=()):
    if prefix:
        yield prefix
    if isinstance(value, dict):
        for name, item in value.items():
            yield from paths(item, (*prefix, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*prefix, index))


def at(value, path):
    for part in path:
        value = value[part]
    return value


def outside(text, key):
    """Return the lines before a top-level key and those from the next key on."""
    root = parse(text).root
    assert isinstance(root, MapNode)
    starts = [entry.key.span.line - 1 for entry in root.entries]
    index = [entry.key.text for entry in root.entries].index(key)
    lines = text.splitlines(keepends=True)
    return lines[: starts[index]], lines[starts[index + 1] :] if index + 1 < len(starts) else []


def test_the_hashed_key_takes_the_place_of_the_plain_one_and_nothing_else_moves():
    edited = set_value(FILE, ("remote-management", "secret-key"), "$2b$10$hash")
    assert edited == FILE.replace("'plain'", "'$2b$10$hash'")


def test_a_missing_group_is_made():
    assert set_value("port: 1\n", ("tls", "enable"), True) == "port: 1\ntls:\n  enable: true\n"
    assert set_value("", ("a", 0, "b"), 1) == "a:\n  - b: 1\n"


def test_a_list_can_be_written_at_its_end():
    assert set_value(FILE, ("api-keys", 2), "third") == FILE.replace('"second"\n', '"second"\n  - third\n')


def test_removal():
    assert remove(FILE, ("api-keys", 0)) == FILE.replace('  - "first"    # laptop\n', "")
    assert remove(FILE, ("host",)) == FILE.replace('host: ""   # everywhere\n', "")


@pytest.mark.parametrize(
    "path", [("nothing",), ("api-keys", 9), ("port", "x"), ("host", 0), ("nothing", "deep"), ("host", 0, "x")]
)
def test_removing_what_is_not_there_changes_nothing(path):
    assert remove(FILE, path) == FILE


def test_setting_what_is_there_changes_nothing():
    assert set_value(FILE, ("port",), 8317) == FILE


@pytest.mark.parametrize(
    "path", [("port", "x"), ("api-keys", 5), ("api-keys", "x"), ("api-keys", -1), ("host", 0)]
)
def test_a_path_through_something_else_is_refused(path):
    with pytest.raises(ConfigError, match="no such place"):
        set_value(FILE, path, 1)


@pytest.mark.parametrize("text", ["a: [\n", "a: 1\na: 2\n", "- a\n", "a: !x 1\n", "text\n"])
def test_a_text_that_is_no_usable_group_of_keys_is_refused(text):
    with pytest.raises(ConfigError):
        document(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("x: &x {a: 1}\ny: *x\n", ("x", "a")),
        ("x: &x [1]\ny: *x\n", ("x", 1)),
        ("x: &x {a: {b: 1}}\ny: *x\n", ("x", "c", "d")),
    ],
)
def test_a_value_that_others_share_is_not_changed_behind_their_back(text, path):
    with pytest.raises(ConfigError, match="by hand"):
        set_value(text, path, 2)


def test_a_value_behind_an_alias_gets_a_place_of_its_own():
    edited = set_value("x: &x {a: 1}\ny: *x\n", ("y", "a"), 2)
    assert document(edited) == {"x": {"a": 1}, "y": {"a": 2}}


def test_a_key_without_a_colon_gets_one():
    assert set_value("x: {a}\n", ("x", "b"), 1) == "x: {a, b: 1}\n"
    assert document(set_value("x: {a}\n", ("x", "a"), 1)) == {"x": {"a": 1}}


def test_an_odd_layout_is_rewritten_from_outside_in_rather_than_broken():
    text = "a:\n  - - x\n    # about y\n    - y\nb: 1\n"
    edited = remove(text, ("a", 0, 0))
    assert document(edited) == {"a": [["y"]], "b": 1}
    assert edited.endswith("b: 1\n")


def test_an_explicit_key_is_left_to_a_human():
    with pytest.raises(ConfigError, match="by hand"):
        set_value("? a\n: b\n", ("a",), [1])


@given(st.data())
def test_setting_any_value_touches_nothing_outside_its_key(data):
    before = data.draw(DOCUMENTS.filter(bool))
    text = data.draw(layouts(before))
    path = data.draw(st.sampled_from(list(paths(before))))
    value = data.draw(VALUES)
    edited = set_value(text, path, value)
    assert same(at(document(edited), path), value)
    head, tail = outside(text, path[0])
    lines = edited.splitlines(keepends=True)
    assert lines[: len(head)] == head
    assert not tail or lines[-len(tail) :] == tail


@given(st.data())
def test_adding_any_key_keeps_every_line(data):
    before = data.draw(DOCUMENTS)
    text = data.draw(layouts(before))
    name = data.draw(NAMES.filter(lambda name: name not in before))
    value = data.draw(VALUES)
    edited = set_value(text, (name,), value)
    assert same(document(edited), {**before, name: value})
    remaining = iter(edited.splitlines())
    assert all(line in remaining for line in text.splitlines())


@given(st.data())
def test_removing_anything_removes_it_alone(data):
    before = data.draw(DOCUMENTS.filter(bool))
    text = data.draw(layouts(before))
    path = data.draw(st.sampled_from(list(paths(before))))
    edited = remove(text, path)
    wanted = document(text)
    del at(wanted, path[:-1])[path[-1]]
    assert same(document(edited), wanted)
    head, tail = outside(text, path[0])
    lines = edited.splitlines(keepends=True)
    assert lines[: len(head)] == head
    assert not tail or lines[-len(tail) :] == tail


@given(st.data())
def test_any_document_can_become_any_other(data):
    before, after = data.draw(DOCUMENTS), data.draw(DOCUMENTS)
    assert same(document(replace_document(data.draw(layouts(before)), after)), after)


@given(st.data())
def test_an_edit_there_and_back_is_the_same_document(data):
    before = data.draw(DOCUMENTS.filter(bool))
    text = data.draw(layouts(before))
    name = data.draw(st.sampled_from(list(before)))
    there = set_value(text, (name,), data.draw(VALUES))
    assert same(document(set_value(there, (name,), before[name])), before)
