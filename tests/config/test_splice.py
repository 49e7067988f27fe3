"""Cuts: what changes in a text so that it says something else, and what does not."""

import pytest
from hypothesis import given

from cliproxy.config.nodes import MapNode, parse
from cliproxy.config.splice import Cut, SpliceError, Splicer, apply_cuts, same
from support.yamltext import VALUES


def changed(text, wanted):
    return apply_cuts(text, Splicer(text).change_root(parse(text).root, wanted))


def test_cuts_are_carried_out_from_the_end():
    assert apply_cuts("0123456789", [Cut(1, 2, "AB"), Cut(5, 5, "x"), Cut(8, 10)]) == "0AB234x567"


def test_an_insertion_and_a_removal_may_touch():
    assert apply_cuts("abc", [Cut(0, 2), Cut(2, 2, "X")]) == "Xc"
    assert apply_cuts("abc", [Cut(1, 1, "X"), Cut(1, 3)]) == "aX"


@given(VALUES)
def test_a_value_is_the_same_as_itself(value):
    assert same(value, value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (1, 1.0),
        (0, False),
        ("1", 1),
        (None, ""),
        ([1], [1.0]),
        ({"a": 1}, {"a": True}),
        ([], {}),
        ([1], [1, 2]),
    ],
)
def test_values_of_other_types_are_not_the_same(left, right):
    assert not same(left, right)


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        # scalars keep their quotes, their remark and everything around them
        ("a: 1  # one\nb: 2\n", {"a": 7, "b": 2}, "a: 7  # one\nb: 2\n"),
        ("a: 'x'\n", {"a": "it's"}, "a: 'it''s'\n"),
        ('a: "x"\n', {"a": "y"}, 'a: "y"\n'),
        ("a: x\n", {"a": "12"}, 'a: "12"\n'),
        ("a:\n", {"a": 1}, "a: 1\n"),
        ("a:  # remark\n", {"a": 1}, "a: 1  # remark\n"),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 3}, "a: 1\r\nb: 3\r\n"),
        ("a: |\n  x\n  y\n\nb: 1\n", {"a": "z", "b": 1}, "a: z\n\nb: 1\n"),
        # members
        ("a: 1\n# tail\n", {"a": 1, "b": {"c": [1]}}, "a: 1\nb:\n  c:\n    - 1\n# tail\n"),
        ("a: 1", {"a": 1, "b": 2}, "a: 1\nb: 2\n"),
        ("a: 1\n# about b\nb: 2  # gone\nc: 3\n", {"a": 1, "c": 3}, "a: 1\n# about b\nc: 3\n"),
        ("a:\n    b: 1\n    c: 2\n", {"a": {"b": 1, "c": 2, "d": 3}}, "a:\n    b: 1\n    c: 2\n    d: 3\n"),
        ("a: {b: 1, c: 2}\n", {"a": {"c": 2, "d": 3}}, "a: {c: 2, d: 3}\n"),
        ("a: {b: 1, c: 2}\n", {"a": {"b": 1}}, "a: {b: 1}\n"),
        ("a: {b: 1}\n", {"a": {"c": 1}}, "a: {c: 1}\n"),
        # items
        ("a:\n- x  # x\n# y\n- y\n", {"a": ["x", "z", "y"]}, "a:\n- x  # x\n- z\n# y\n- y\n"),
        ("a:\n  - x\n  - y\n", {"a": ["w", "x", "y"]}, "a:\n  - w\n  - x\n  - y\n"),
        ("a:\n  - x\n  - y\n  - z\n", {"a": ["x", "z"]}, "a:\n  - x\n  - z\n"),
        ("a: [x, y, z]\n", {"a": ["x", "z", "q"]}, "a: [x, z, q]\n"),
        ("a: [x]\n", {"a": ["w", "z"]}, "a: [w, z]\n"),
        ("a: [x, y]\n", {"a": ["w", "x", "y"]}, "a: [w, x, y]\n"),
        ("a:\n  - - x\n    - y\n", {"a": [["y"]]}, "a:\n  - - y\n"),
        ("a:\n  - - x\n", {"a": [["w", "x"]]}, "a:\n  - - w\n    - x\n"),
        # members behind a dash
        ("a:\n  - b: 1\n    c: 2\n", {"a": [{"c": 2}]}, "a:\n  - c: 2\n"),
        ("a:\n  - b: 1\n    # about c\n    c: 2\n", {"a": [{"c": 2}]}, "a:\n  -\n    # about c\n    c: 2\n"),
        ("a:\n  - b: 1\n", {"a": [{"c": 2}]}, "a:\n  -\n    c: 2\n"),
        # shapes
        ("a: []  # remark\nb: 1\n", {"a": [1], "b": 1}, "a:  # remark\n  - 1\nb: 1\n"),
        ("a:\n  - 1\n  - 2\nb: 1\n", {"a": [], "b": 1}, "a: []\nb: 1\n"),
        ("a:\n- 1\n", {"a": {"b": 1}}, "a:\n  b: 1\n"),
        ("a:\n  - 1\n", {"a": [{"b": 1, "c": 2}]}, "a:\n  - b: 1\n    c: 2\n"),
        ("a:\n  -\n", {"a": [{"b": 1}]}, "a:\n  - b: 1\n"),
        ("a:\n  b: 1\n", {"a": 5}, "a: 5\n"),
        ("a:\n  - b: 1\n    c: 1\n", {"a": [5]}, "a:\n  - 5\n"),
        ("a: {b: [1]}\n", {"a": {"b": {"c": "x y"}}}, 'a: {b: {c: "x y"}}\n'),
        ("a: {b: [1]}\n", {"a": [1, 2]}, "a: [1, 2]\n"),
        # documents
        ("", {"a": 1}, "a: 1\n"),
        ("# head\n", {"a": 1}, "# head\na: 1\n"),
        ("{}\n", {"a": 1}, "a: 1\n"),
        ("{a: 1}\n", {}, "{}\n"),
        ("a: 1\nb: 2\n", {}, ""),
        # a list behind an alias is replaced in its own place only
        ("x: &x [1]\ny: *x\n", {"x": [1], "y": [1, 2]}, "x: &x [1]\ny:\n  - 1\n  - 2\n"),
        (
            "d: &d {a: 1}\ny:\n  <<: *d\n",
            {"d": {"a": 1}, "y": {"a": 2}},
            "d: &d {a: 1}\ny:\n  <<: *d\n  a: 2\n",
        ),
    ],
)
def test_only_what_differs_is_cut(before, wanted, after):
    assert changed(before, wanted) == after


def test_nothing_is_cut_where_nothing_differs():
    text = "a: 1\nb: [x, {y: z}]\nc: |\n  t\n"
    root = parse(text).root
    assert isinstance(root, MapNode)
    assert list(Splicer(text).change_root(root, {"a": 1, "b": ["x", {"y": "z"}], "c": "t\n"})) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("- a\n", {"a": 1}),
        ("d: &d {a: 1}\ny:\n  <<: *d\n  b: 1\n", {"d": {"a": 1}, "y": {"b": 1}}),
        ("a:\n  - - x\n    # about y\n    - y\n", {"a": [["y"]]}),
    ],
)
def test_what_has_no_rule_is_refused(text, wanted):
    with pytest.raises(SpliceError):
        changed(text, wanted)
