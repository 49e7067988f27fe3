"""Tool arguments as an object."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects import by_id
from cliproxy.ir.arguments import as_object, is_readable, to_object
from cliproxy.ir.request import CallKind, ToolCall
from cliproxy.wire.jsontext import JsonObject, dumps_text
from support.factories import make_context

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", {}),
        ("  \n", {}),
        ("null", {}),
        ("{}", {}),
        ('{"a":1}', {"a": 1}),
        ("[1]", {"value": [1]}),
        ("5", {"value": 5}),
        ('"x"', {"value": "x"}),
        ("{'a': 1}", {"a": 1}),
        ("{a: yes}", {"a": "yes"}),
        ('{"a": [1, 2,], }', {"a": [1, 2]}),
        ("{'a': True, 'b': None}", {"a": True, "b": None}),
        ("""{'say': 'he said "no"'}""", {"say": 'he said "no"'}),
        (r"""{'say': 'it\'s'}""", {"say": "it's"}),
        ('{"text": "two\nlines"}', {"text": "two\nlines"}),
        ("{cmd: ls -l /tmp}", {"cmd": "ls -l /tmp"}),
        ("{'a': {'b': [.5, 1e3]}}", {"a": {"b": [".5", 1000.0]}}),
        ("['a']", {"value": ["a"]}),
        ("{1: 2}", {"1": 2}),
    ],
)
def test_reads_what_models_write(written, read):
    assert to_object(written) == read


@pytest.mark.parametrize(
    "broken",
    [
        '{"command": "rm -rf /tmp/x',
        '{"a": 1',
        "{'a': 'b",
        "{a}",
        "hello",
        "{,}",
        '{"a":1}}',
        "[" * 300,
        "{'a': '\\u12'}",
    ],
)
def test_a_text_that_breaks_off_is_not_completed(broken):
    assert to_object(broken) == {}


@pytest.mark.parametrize(
    ("arguments", "readable"),
    [
        *((whole, True) for whole in ("", " ", "null", "{}", "{'a': 1,}", "[1]", "7")),
        *((half, False) for half in ('{"a": "half', "{", "nonsense")),
    ],
)
def test_telling_half_arguments_from_none(arguments, readable):
    assert is_readable(arguments) is readable


def test_big_numbers_keep_their_digits():
    assert to_object('{"id": 12345678901234567890}') == {"id": 12345678901234567890}


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_reads_every_object_exactly(value):
    assert to_object(json.dumps(value)) == value


@given(st.text(alphabet="{}[]:,'\"\\ab1 \n", max_size=40))
def test_never_fails(text):
    assert isinstance(to_object(text), dict)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_what_the_source_had_as_an_object_is_not_read_again(members: JsonObject) -> None:
    """Both forms of a call's arguments say the same; only one counts when calls are compared."""
    call = ToolCall("c", "f", dumps_text(members), written=members)
    assert as_object(call) is members
    assert as_object(call.known_as("other")) is members
    assert as_object(evolve(call, written=None)) == members
    assert evolve(call, written=None) == call


def test_free_text_is_one_argument() -> None:
    call = ToolCall("c", "f", '{"x": 1}', CallKind.CUSTOM)
    assert as_object(call) == {"input": '{"x": 1}'}


@pytest.mark.parametrize("dialect", ["claude", "gemini"])
@given(members=st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_decoders_that_find_an_object_keep_it(dialect: str, members: JsonObject) -> None:
    block: JsonObject = {"type": "tool_use", "id": "c", "name": "f", "input": members}
    part: JsonObject = {"functionCall": {"name": "f", "args": members}}
    body: JsonObject = {
        "claude": {"messages": [{"role": "assistant", "content": [block]}]},
        "gemini": {"contents": [{"role": "model", "parts": [part]}]},
    }[dialect]
    request = by_id(dialect).decode_request({"model": "m", **body}, make_context(client_dialect=dialect))
    (call,) = request.messages[0].parts
    assert isinstance(call, ToolCall)
    assert call.written is members
    assert to_object(call.arguments) == members
