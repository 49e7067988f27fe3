"""Paths into JSON values: what they find, set and delete, and that nothing is changed in place."""

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cliproxy.wire.jsonpath import MAX_INDEX, MAX_STEPS, PathError, found, parse, same, with_value, without
from cliproxy.wire.jsontext import JsonObject, JsonValue

BODY: JsonObject = {
    "model": "m",
    "a": {"b": {"c": 1}, "0": "zero", "x.y": "dotted", "null": None},
    "list": [10, {"id": "one", "n": 1}, {"id": "two", "n": 2, "tags": [{"t": "red"}]}, {"id": "two", "n": 3}],
    "words": ["red", "green", 3],
    "": "nameless",
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("model", ["m"]),
        (".model", ["m"]),
        ("a.b.c", [1]),
        ("a.b.d", []),
        ("a.b.c.d", []),
        ("a.null", [None]),
        (r"a.x\.y", ["dotted"]),
        ("a.x.y", []),
        ("a.0", ["zero"]),
        ("a.:0", ["zero"]),
        ("list.0", [10]),
        ("list.1.id", ["one"]),
        ("list.01.id", ["one"]),
        ("list.:1.id", []),
        ("list.4", []),
        ("list.-1", []),
        ("list.id", []),
        ("mod*", ["m"]),
        ("?.b.c", [1]),
        (r"mod\*", []),
        ("list.#.id", ["one", "two", "two"]),
        ("list.#", BODY["list"]),
        ("model.#", []),
        ('list.#(id=="two").n', [2]),
        ('list.#(id=="two")#.n', [2, 3]),
        ("list.#(id==two)#.n", [2, 3]),
        ('list.#( id = "two" )#.n', [2, 3]),
        ('list.#(id!="two")#.n', [1]),
        ("list.#(n>1)#.n", [2, 3]),
        ("list.#(n>=2)#.n", [2, 3]),
        ("list.#(n<2)#.n", [1]),
        ("list.#(n<=2.0)#.n", [1, 2]),
        ('list.#(n<"2")#.n', []),
        ('list.#(id>"one")#.n', [2, 3]),
        ('list.#(id%"t*")#.n', [2, 3]),
        ('list.#(id!%"t?o")#.n', [1]),
        ("list.#(tags)#.n", [2]),
        ('list.#(tags.#(t=="red"))#.n', [2]),
        ('list.#(tags.#(t=="blue"))#.n', []),
        ('words.#(=="red")', ["red"]),
        ("words.#(==3)", [3]),
        ("words.#(>2)#", [3]),
        ('words.#(=="a).b(")', []),
        (r'words.#(=="a\"b")', []),
    ],
)
def test_what_a_path_finds(path: str, values: list[JsonValue]) -> None:
    assert found(BODY, parse(path)) == values


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("a", {}, {"a": 9}),
        ("a.b.c", {}, {"a": {"b": {"c": 9}}}),
        ("a.b", {"a": {"c": 1}}, {"a": {"c": 1, "b": 9}}),
        ("a.b", {"a": 5}, {"a": {"b": 9}}),
        ("a.b", {"a": None}, {"a": {"b": 9}}),
        ("a.1", {"a": 5}, {"a": [None, 9]}),
        (r"a\.b", {}, {"a.b": 9}),
        (r"\:0", {}, {":0": 9}),
        ("a.2.b", {}, {"a": [None, None, {"b": 9}]}),
        ("a.0.b", {"a": [{"c": 1}, 2]}, {"a": [{"c": 1, "b": 9}, 2]}),
        ("a.3", {"a": [1]}, {"a": [1, None, None, 9]}),
        ("a.0", {"a": {}}, {"a": {"0": 9}}),
        ("a.-1", {}, {"a": [9]}),
        ("a.-1", {"a": [1]}, {"a": [1, 9]}),
        ("a.-1.b", {"a": [1]}, {"a": [1, {"b": 9}]}),
        ("a.:0", {}, {"a": {"0": 9}}),
        ("a.:0", {"a": [1]}, {"a": [1]}),
        ("a.b", {"a": [1]}, {"a": [1]}),
        ("a.0.b.c", {"a": [[1]]}, {"a": [[1]]}),
        ("b*", {}, {}),
        ("b*", {"abc": 1, "bc": 1, "bd": 1}, {"abc": 1, "bc": 9, "bd": 1}),
        ("a.#.b", {"a": [{}, {"b": 1}, 5]}, {"a": [{"b": 9}, {"b": 9}, {"b": 9}]}),
        ("a.#.b", {"a": [{}, [1]]}, {"a": [{"b": 9}, [1]]}),
        ('a.#(r=="u").b', {"a": [{"r": 1}, {"r": "u"}, {}]}, {"a": [{"r": 1}, {"r": "u", "b": 9}, {}]}),
        ('a.#(r=="x").b', {"a": [{"r": "s"}]}, {"a": [{"r": "s"}]}),
        ('a.#(r=="x")', {}, {}),
    ],
)
def test_setting(path: str, body: JsonObject, expected: JsonObject) -> None:
    assert with_value(body, parse(path), 9) == expected


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("a", {"a": 1, "b": 2}, {"b": 2}),
        ("a.b", {"a": {"b": 1}}, {"a": {}}),
        ("a.0", {"a": [1, 2]}, {"a": [2]}),
        ("a.0.b", {"a": [{"b": 1}, 2]}, {"a": [{}, 2]}),
        ("a.-1", {"a": [1, 2]}, {"a": [1, 2]}),
        ("a.5", {"a": [1, 2]}, {"a": [1, 2]}),
        ("a.b.c", {"a": 1}, {"a": 1}),
        ("a.#(x>1)#", {"a": [{"x": 1}, {"x": 2}, 5, {"x": 3}]}, {"a": [{"x": 1}, 5]}),
        ("a.#(x>1)", {"a": [{"x": 1}, {"x": 2}, {"x": 3}]}, {"a": [{"x": 1}, {"x": 3}]}),
        ("a.#.#", {"a": [[1, 2], [], [3]]}, {"a": [[], [], []]}),
        ("a.#.x", {"a": [{"x": 1, "y": 1}, {"y": 2}]}, {"a": [{"y": 1}, {"y": 2}]}),
    ],
)
def test_deleting(path: str, body: JsonObject, expected: JsonObject) -> None:
    assert without(body, parse(path)) == expected


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "empty part"),
        (".", "empty part"),
        ("a..b", "empty part"),
        ("a.", "empty part"),
        ("a\\", "backslash"),
        ("a.@reverse", "not understood"),
        ("a|b", "not understood"),
        ("!true", "not understood"),
        ("#a", "no condition"),
        ("a.#(b)c", "no condition"),
        ("a.#(b==1", "without an end"),
        ('a.#(b=="1)', "without an end"),
        ("a.#()", "empty condition"),
        ("a.#(b==)", "no value"),
        ('a.#(b=="x"y)', "no value"),
        ("a.#(b..c==1)", "empty part"),
        (f"a.{MAX_INDEX + 1}", "index over"),
        ("a." + "9" * 5000, "index over"),
        (".".join(["a"] * (MAX_STEPS + 1)), "more than"),
    ],
)
def test_what_is_no_path(path: str, fault: str) -> None:
    with pytest.raises(PathError, match=fault):
        parse(path)


@pytest.mark.parametrize(
    "path", [r"a\|b", "a@b", r"\@a", r"\#(a)", "a(b", "a)b", 'say "x', ":", f"a.:{MAX_INDEX + 1}"]
)
def test_characters_without_a_meaning_are_part_of_a_name(path: str) -> None:
    name = path.rpartition(".")[2].replace("\\", "")
    name = name.removeprefix(":") or name
    [value] = with_value({}, parse(path), 9).values()
    made = {name: 9}
    assert value in (9, made)
    assert found(with_value({}, parse(path), 9), parse(path)) == [9]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, False, False),
        ("1", 1, False),
        ([1, {"a": True}], [1.0, {"a": True}], True),
        ([1, {"a": True}], [1, {"a": 1}], False),
        ([1], [1, 2], False),
        ({"a": 1}, {"b": 1}, False),
        ({}, [], False),
    ],
)
def test_equality_is_that_of_json(one: JsonValue, other: JsonValue, expected: bool) -> None:
    assert same(one, other) is same(other, one) is expected


# --- properties ---

NAMES = st.text(alphabet='ab0.*?#|@:\\("', min_size=1, max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=2)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
PARTS = st.sampled_from(
    ["a", "b", "0", "1", "-1", ":0", "a*", "?", "#", "#(a==0)", "#(a)#", "#(!=0)#", r"\."]
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(".".join)


def escaped(name: str) -> str:
    return "".join(f"\\{char}" for char in name)


@given(OBJECTS, st.lists(NAMES, min_size=1, max_size=4), VALUES)
def test_what_is_set_under_escaped_names_is_found_there(
    body: JsonObject, names: list[str], new: JsonValue
) -> None:
    path = parse(".".join(map(escaped, names)))
    changed = with_value(body, path, new)
    assume(changed is not body)
    assert found(changed, path) == [new]
    assert found(without(changed, path), path) == []


@given(OBJECTS, PATHS, VALUES)
def test_nothing_is_changed_in_place_and_the_rest_is_shared(
    body: JsonObject, text: str, new: JsonValue
) -> None:
    before = copy.deepcopy(body)
    path = parse(text)
    for changed in (with_value(body, path, new), without(body, path)):
        assert body == before
        if path.first is not None:
            others = body.keys() - {path.first}
            assert all(changed[name] is body[name] for name in others)


@given(OBJECTS, PATHS)
def test_deleting_leaves_less_and_deleting_nothing_leaves_the_same(body: JsonObject, text: str) -> None:
    path = parse(text)
    there = found(body, path)
    changed = without(body, path)
    assert (changed is body) is (not there)


@given(st.text(alphabet='ab0.*?#|@:\\("=)!<%1-', max_size=12))
def test_any_text_is_a_path_or_a_path_error(text: str) -> None:
    try:
        path = parse(text)
    except PathError:
        return
    assert path.text == text
    assert isinstance(with_value({}, path, 1), dict)
