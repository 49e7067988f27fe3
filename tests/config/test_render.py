"""Values written as YAML read back as themselves, here and elsewhere."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.config.nodes import parse, value_of
from cliproxy.config.render import block_lines, flow_text, item_lines, member_lines, scalar
from cliproxy.config.splice import same
from support.yamltext import TEXTS, VALUES


@given(VALUES)
def test_block_style_reads_back(value):
    assert same(value_of(parse("\n".join(block_lines(value))).root), value)


@given(VALUES)
def test_flow_style_reads_back(value):
    text = flow_text(value)
    assert "\n" not in text
    assert same(value_of(parse(text).root), value)


@given(TEXTS, st.sampled_from(["", "'", '"']), st.booleans())
def test_a_text_stays_a_text_for_every_reader(text, style, flow):
    written = scalar(text, style, flow=flow)
    assert yaml.safe_load(f"[{written}]") == [text]
    if not flow:
        assert yaml.safe_load(f"key: {written}") == {"key": text}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("https://a/v1", "https://a/v1"),
        ("gpt-5.4", "gpt-5.4"),
        ("", '""'),
        ("yes", '"yes"'),
        ("Off", '"Off"'),
        ("12", '"12"'),
        ("1.0", '"1.0"'),
        ("a b", '"a b"'),
        ("a: b", '"a: b"'),
        ("*x", '"*x"'),
        ("~", '"~"'),
        ("null", '"null"'),
        ("a\nb", '"a\\nb"'),
        ("a\x07b", '"a\\x07b"'),
        ("a\u2028b", '"a\\u2028b"'),
        ("a\U000e0001\x85\t", '"a\U000e0001\\x85\\t"'),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_scalars_on_one_line(value, written):
    assert scalar(value) == written


def test_the_wanted_quotes_are_used_where_they_can_be():
    assert scalar("it's", "'") == "'it''s'"
    assert scalar("a\nb", "'") == '"a\\nb"'
    assert scalar("plain", '"') == '"plain"'


def test_nested_block_style():
    value = [{"name": "a", "models": [{"name": "b"}], "none": []}, "x", ["z"]]
    assert list(member_lines("key", value)) == [
        "key:",
        "  - name: a",
        "    models:",
        "      - name: b",
        "    none: []",
        "  - x",
        "  - - z",
    ]


def test_an_item_is_introduced_by_a_dash():
    assert list(item_lines({"a": 1, "b": 2})) == ["- a: 1", "  b: 2"]
    assert list(item_lines("x")) == ["- x"]
