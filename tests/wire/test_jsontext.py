"""JSON text: strict where the standard is open, lossless where members are replaced."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.wire import jsontext
from cliproxy.wire.jsontext import DELETE, Document, JsonError, JsonValue

VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=6)


@given(VALUES)
def test_what_is_written_is_read_back(value: JsonValue) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value


@given(VALUES)
def test_what_is_written_is_what_the_standard_library_writes(value: JsonValue) -> None:
    expected = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert jsontext.dumps_text(value) in {expected, json.dumps(value, separators=(",", ":"))}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsontext.dumps_text([number])


@given(VALUES, st.text(" \t\n\r", max_size=3), st.text(" \t\n\r", max_size=3))
def test_white_space_around_a_value_counts_for_nothing(value: JsonValue, before: str, after: str) -> None:
    rendered = jsontext.dumps_text(value)
    assert jsontext.loads(before + rendered + after) == value
    with pytest.raises(JsonError, match="extra data"):
        jsontext.loads(f"{rendered}{after} []")


@given(OBJECTS, st.sampled_from([None, 2]))
def test_a_document_has_the_value_of_its_text(value: dict[str, JsonValue], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert Document.parse(text.encode()).value == json.loads(text)


@given(OBJECTS, OBJECTS)
def test_patching_replaces_and_adds(value: dict[str, JsonValue], changes: dict[str, JsonValue]) -> None:
    patched = Document.parse(json.dumps(value).encode()).patch(changes)
    assert jsontext.loads(patched) == {**value, **changes}


@given(OBJECTS, st.data())
def test_patching_removes(value: dict[str, JsonValue], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(value)))) if value else set()
    patched = Document.parse(json.dumps(value).encode()).patch(dict.fromkeys(gone, DELETE))
    assert jsontext.loads(patched) == {key: kept for key, kept in value.items() if key not in gone}


def test_a_changed_document_is_one_again() -> None:
    changed = Document.parse(b'{"a":1, "b":2}').changed({"a": [3]})
    assert (changed.value, changed.raw) == ({"a": [3], "b": 2}, b'{"a":[3],"b":2}')
    assert changed.content_type == "application/json"


def test_members_that_are_not_named_keep_their_bytes() -> None:
    raw = b'{ "a" : 1.0e0,"model":"x", "b":"\\u0041" ,"c":[1,  2]}'
    assert Document.parse(raw).patch({"model": "y"}) == b'{"a" : 1.0e0,"model":"y","b":"\\u0041","c":[1,  2]}'


def test_without_changes_the_text_is_the_same() -> None:
    raw = b' { "a" : 1 } \n'
    assert Document.parse(raw).patch({}) == raw


def test_of_duplicate_members_the_last_counts_and_all_are_replaced() -> None:
    document = Document.parse(b'{"a":1,"b":0,"a":2}')
    assert document.value == {"a": 2, "b": 0}
    assert document.patch({"a": 3}) == b'{"b":0,"a":3}'


def test_lone_surrogates_survive() -> None:
    document = Document.parse(b'{"a":"\\ud800","b":1}')
    assert jsontext.loads(document.patch({"b": 2})) == {"a": "\ud800", "b": 2}
    assert jsontext.dumps("\ud800") == b'"\\ud800"'


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  ",
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":1',
        b'{"a":1,',
        b'{"a":1,}',
        b'{"a" 1}',
        b"{a:1}",
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b"\xff\xfe",
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_anything_but_one_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(JsonError):
        Document.parse(raw)


def test_the_place_of_bad_utf8_is_named() -> None:
    with pytest.raises(JsonError, match="byte 6"):
        jsontext.loads(b'{"a":"\xff"}')


def test_brackets_inside_text_do_not_count_as_nesting() -> None:
    raw = jsontext.dumps({"a": "[" * 5000})
    assert Document.parse(raw).value == {"a": "[" * 5000}


def test_nesting_is_bounded() -> None:
    deep = b'{"a":' + b"[" * (jsontext.MAX_DEPTH + 1) + b"]" * (jsontext.MAX_DEPTH + 1) + b"}"
    with pytest.raises(JsonError, match="deep"):
        Document.parse(deep)
    fine = b'{"a":' + b"[" * (jsontext.MAX_DEPTH - 1) + b"]" * (jsontext.MAX_DEPTH - 1) + b"}"
    assert "a" in Document.parse(fine).value


@given(st.binary(max_size=40))
def test_arbitrary_bytes_raise_nothing_else(raw: bytes) -> None:
    try:
        Document.parse(raw)
    except JsonError:
        return


def test_big_integers_are_exact() -> None:
    assert jsontext.loads(b"123456789012345678901234567890") == 123456789012345678901234567890


def test_accessors_read_wrong_types_as_absent() -> None:
    obj: jsontext.JsonObject = {"t": 1, "n": True, "i": 3.0, "f": "x", "o": [], "l": {}, "s": ["a", 1, "b"]}
    assert jsontext.text(obj, "t") == ""
    assert jsontext.number(obj, "n") is None
    assert jsontext.integer(obj, "i") == 3
    assert jsontext.flag(obj, "f") is None
    assert jsontext.child(obj, "o") == {}
    assert jsontext.items(obj, "l") == []
    assert jsontext.strings(obj, "s") == ["a", "b"]
    assert jsontext.strings({"s": "a"}, "s") == ["a"]
    assert list(jsontext.objects({"x": [1, {"a": 2}]}, "x")) == [{"a": 2}]


def test_the_rest_is_what_is_not_named() -> None:
    assert jsontext.rest({"a": 1, "b": 2}, "a") == {"b": 2}
    assert jsontext.rest({"a": 1, "b": 2}, "b", "a") == {}


def test_a_count_is_not_negative() -> None:
    assert jsontext.count({"a": 3}, "a") == 3
    assert jsontext.count({"a": -3}, "a") is None
    assert jsontext.count({"a": True}, "a") is None


def test_the_changes_between_two_objects() -> None:
    shared: jsontext.JsonObject = {}
    old: jsontext.JsonObject = {"same": shared, "changed": 1, "gone": 2, "null": None}
    new: jsontext.JsonObject = {"same": shared, "changed": 3, "new": None, "null": None}
    assert jsontext.changes_between(old, new) == {"changed": 3, "new": None, "gone": DELETE}
    assert jsontext.changes_between(old, old) == {}
