"""YAML text to nodes: what is kept, where it stands, and what is refused."""

import contextlib
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.nodes import (
    MAX_NODES,
    MAX_TEXT,
    AliasNode,
    MapNode,
    ScalarNode,
    YamlError,
    decimal_number,
    indicators,
    members,
    parse,
    plain_value,
    solid,
    texts,
    value_of,
    whole_number,
)
from cliproxy.config.splice import same
from support.yamltext import DOCUMENTS, layouts, plain_text


def value(text):
    tree = parse(text)
    assert tree.problems == ()
    return value_of(tree.root)


def test_an_empty_text_has_no_root():
    assert parse("").root is None
    assert parse("# only a comment\n").root is None


def test_scalars_keep_their_text_and_quoting():
    root = parse("a: 012\nb: '012'\n").root
    assert isinstance(root, MapNode)
    plain, quoted = (entry.value for entry in root.entries)
    assert isinstance(plain, ScalarNode)
    assert isinstance(quoted, ScalarNode)
    assert (plain.text, plain.is_text) == ("012", False)
    assert (quoted.text, quoted.is_text, quoted.style) == ("012", True, "'")


def test_nodes_know_their_place():
    text = "a: 1\nb:\n  - x  # remark\n  - yy\n\n# tail\nc: 3\n"
    root = parse(text).root
    assert isinstance(root, MapNode)
    items = root.entries[1].value
    assert text[items.span.start : items.span.end] == "- x  # remark\n  - yy"
    assert (items.span.line, items.span.column) == (3, 2)


def test_a_block_scalar_ends_where_its_text_does():
    text = "a: |\n  x\n  y\n\n\nb: 1\n"
    root = parse(text).root
    assert isinstance(root, MapNode)
    span = root.entries[0].value.span
    assert text[span.start : span.end] == "|\n  x\n  y"


@given(st.data())
def test_every_layout_of_a_value_reads_as_the_value(data):
    document = data.draw(DOCUMENTS)
    text = data.draw(layouts(document))
    assert same(value(text) or {}, document)


@given(DOCUMENTS)
def test_the_library_reads_the_same_structure(document):
    """Types of plain scalars differ on purpose; keys, lists and texts must not."""
    read = yaml.safe_load(plain_text(document))
    assert (read or {}).keys() == document.keys()
    for name, item in document.items():
        if isinstance(item, str | list | dict):
            assert type(read[name]) is type(item)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("12", 12),
        ("-1_000", -1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("0123", 123),
        ("0x", "0x"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("1" * 60, "1" * 60),
    ],
)
def test_meaning_of_plain_scalars(text, meaning):
    found = plain_value(text)
    assert type(found) is type(meaning)
    assert found == meaning


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_are_read_as_written(number):
    assert whole_number(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimal_numbers_are_read_as_written(number):
    assert decimal_number(repr(number)) == number


@given(st.text(max_size=50))
def test_no_text_breaks_the_number_readers(text):
    assert whole_number(text) is None or isinstance(whole_number(text), int)
    number = decimal_number(text)
    assert number is None or math.isfinite(number)


def test_merge_keys_give_way_to_own_keys_and_to_earlier_merges():
    text = "one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nall:\n  <<: [*one, *two]\n  a: 0\n"
    assert value(text)["all"] == {"a": 0, "b": 1, "c": 2}


def test_a_quoted_merge_key_is_an_ordinary_key():
    assert value("'<<': 1\n") == {"<<": 1}


def test_a_merge_of_something_else_than_a_mapping_adds_nothing():
    root = parse("a: &a 1\nb:\n  <<: *a\n  c: 1\n").root
    assert value_of(root) == {"a": 1, "b": {"c": 1}}


def test_an_alias_stays_an_alias_and_has_the_value_of_its_anchor():
    root = parse("a: &x [1]\nb: *x\n").root
    assert isinstance(root, MapNode)
    alias = root.entries[1].value
    assert isinstance(alias, AliasNode)
    assert value_of(alias) == [1]
    assert solid(alias) is root.entries[0].value


@pytest.mark.parametrize("tag", ["!!str", "!"])
def test_a_text_tag_makes_a_text(tag):
    assert value(f"a: {tag} 12\n") == {"a": "12"}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: [\n", 2, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: b: c\n", 1, "not YAML"),
        ("a: 1\n  b: 2\n", 2, "check the indentation"),
        ("a:\n\t- b\n", 2, "indent with spaces"),
        ('a: ["b\n', 2, "a quotation mark is missing"),
        ("\n\na: \x01\n", 3, "U+0001"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("? [a]\n: b\n", 1, "key must be a plain text"),
        ("a: &x [*x]\n", 1, "inside what it stands for"),
        ("a: *nowhere\n", 1, "no anchor"),
        ("[" * 60 + "]" * 60, 1, "nested deeper"),
    ],
)
def test_unusable_texts_are_refused_with_their_line(text, line, reason):
    with pytest.raises(YamlError) as caught:
        parse(text)
    assert caught.value.problem.line == line
    assert reason in caught.value.problem.message


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "first in line 1"),
        ("a: !!python/object:os.system x\n", 1, "tags"),
        ("a: !custom [1]\n", 1, "tags"),
        ('a: "\\ud800"\n', 1, "surrogate"),
    ],
)
def test_harmful_or_doubtful_content_is_a_problem(text, line, reason):
    [problem] = parse(text).problems
    assert problem.line == line
    assert reason in problem.message


def test_aliases_cannot_unfold_into_millions():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YamlError, match="too large"):
        parse("\n".join(lines))
    assert MAX_NODES < 10**8


def test_merge_chains_cannot_nest_without_end():
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, 60)]
    with pytest.raises(YamlError, match="too deep"):
        parse("\n".join(lines))


def test_a_text_of_absurd_length_is_not_even_parsed():
    with pytest.raises(YamlError, match="longer than"):
        parse("#" * (MAX_TEXT + 1))


@given(st.text(max_size=200))
def test_arbitrary_text_is_read_or_refused(text):
    with contextlib.suppress(YamlError):
        value_of(parse(text).root)


def test_indicators_are_found_where_they_stand():
    text = "a: 1\nb:\n- x: 2\n- y\n"
    marks = indicators(text)
    assert [text[at] for at in marks.colons] == [":"] * 3
    assert [text[at] for at in marks.dashes] == ["-"] * 2


def test_members_yield_own_entries_first():
    root = parse("d: &d {a: 1}\ne:\n  <<: *d\n  b: 2\n").root
    assert isinstance(root, MapNode)
    inner = root.entries[1].value
    assert isinstance(inner, MapNode)
    assert [entry.key.text for entry in members(inner)] == ["b", "a"]


def test_texts_of_a_mapping_leave_out_what_is_no_scalar():
    root = parse("a: 1\nb: [x]\n").root
    assert root is not None
    assert texts(root) == {"a": "1"}
    assert texts(parse("[a]").root) == {}
