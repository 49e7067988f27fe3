"""What is nothing special is read in fewer steps, and to the same end.

Most messages, calls and results have no members but the usual ones, and no dialect's decoder asks for any
others then. A member that nobody knows makes it ask for all of them; apart from that member, which goes into
the extras, nothing may be different.
"""

from collections.abc import Mapping
from typing import Final

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects import by_id
from cliproxy.ir.request import IRRequest, Message, Part, ToolResult
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps_text
from support.factories import make_context

_OPAQUE: Final = frozenset({"arguments", "args", "input", "response", "unknown"})
"""Members whose content belongs to somebody else."""

texts = st.text(max_size=5)
objects = st.dictionaries(texts, st.integers(), max_size=2)


def lists(entries: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[list[JsonObject]]:
    """Few of something."""
    return st.lists(entries, max_size=3)


def members(**optional: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonObject]:
    """Objects with some of these members."""
    return st.fixed_dictionaries({}, optional=dict(optional))


def kind(name: str, /, **optional: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonObject]:
    """Objects of a type with some of these members."""
    return st.fixed_dictionaries({"type": st.just(name)}, optional=dict(optional))


def said(role: str, /, **optional: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonObject]:
    """Messages of a role with some of these members."""
    return st.fixed_dictionaries({"role": st.just(role)}, optional=dict(optional))


def _chat() -> st.SearchStrategy[JsonObject]:
    parts = lists(kind("text", text=texts))
    content = st.none() | texts | parts | parts.map(dumps_text)
    function = members(name=texts, arguments=objects.map(dumps_text) | objects)
    call = st.one_of(
        members(id=texts, type=st.just("function"), function=function, index=st.integers(0, 3)),
        members(id=texts, type=st.just("custom"), custom=members(name=texts, input=texts), function=function),
    )
    return st.one_of(
        said("user", content=content),
        said("assistant", content=content, tool_calls=lists(call), refusal=texts, reasoning_content=texts),
        said("tool", content=content, tool_call_id=texts, call_id=texts, name=texts),
    )


def _claude() -> st.SearchStrategy[JsonObject]:
    words = kind("text", text=texts)
    call = kind("tool_use", id=texts, name=texts, input=objects)
    result = kind("tool_result", tool_use_id=texts, content=texts | lists(words), is_error=st.booleans())
    content = texts | lists(st.one_of(words, call, result))
    return st.one_of(said("user", content=content), said("assistant", content=content))


def _responses() -> st.SearchStrategy[JsonObject]:
    words = lists(kind("input_text", text=texts))
    named = st.text(min_size=1, max_size=5)
    output = st.none() | texts | words | words.map(dumps_text)
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("message"), "role": st.sampled_from(["user", "assistant"]), "content": words}
        ),
        st.fixed_dictionaries(
            {"type": st.just("function_call"), "name": named},
            optional={"call_id": texts, "id": texts, "arguments": texts | objects},
        ),
        kind("function_call_output", call_id=texts, id=texts, output=output),
        kind("custom_tool_call_output", call_id=texts, id=texts, output=output),
    )


def _gemini() -> st.SearchStrategy[JsonObject]:
    call = members(id=texts, call_id=texts, name=texts, args=objects)
    response = objects | members(output=texts, error=texts)
    result = members(id=texts, callId=texts, name=texts, response=response)
    part = st.one_of(
        st.builds(lambda data: {"functionCall": data}, call),
        st.builds(lambda data: {"functionResponse": data}, result),
    )
    # Texts of the model that follow one another are pieces of one, unless they have members of their own.
    words = st.builds(lambda text: {"text": text}, texts)
    return st.one_of(
        st.builds(lambda parts: {"role": "model", "parts": parts}, lists(part)),
        st.builds(lambda parts: {"role": "user", "parts": parts}, lists(words | part)),
    )


CONVERSATIONS: Final[Mapping[str, tuple[str, st.SearchStrategy[JsonObject]]]] = {
    "openai": ("messages", _chat()),
    "claude": ("messages", _claude()),
    "openai-response": ("input", _responses()),
    "gemini": ("contents", _gemini()),
}


def odd(value: JsonValue) -> JsonValue:
    """Add a member that nobody knows to every object of the dialect's own."""
    if isinstance(value, list):
        return [odd(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    read = {key: inner if key in _OPAQUE else odd(inner) for key, inner in value.items()}
    return {**read, "unknown": 1}


def bare(request: IRRequest) -> list[Message]:
    """A conversation without what only its own dialect knows of it."""
    return [
        evolve(message, parts=[_bare(part) for part in message.parts], extras={})
        for message in request.messages
    ]


def _bare(part: Part) -> Part:
    if isinstance(part, ToolResult):
        return evolve(part, parts=[_bare(inner) for inner in part.parts], extras={})
    return evolve(part, extras={}) if hasattr(part, "extras") else part


@pytest.mark.parametrize("dialect", CONVERSATIONS)
@given(st.data())
def test_members_nobody_knows_change_nothing_else(dialect: str, data: st.DataObject) -> None:
    place, entries = CONVERSATIONS[dialect]
    conversation = data.draw(st.lists(entries, min_size=1, max_size=3))
    decode = by_id(dialect).decode_request
    plain = decode({"model": "m", place: [*conversation]}, make_context(client_dialect=dialect))
    marked = decode({"model": "m", place: odd([*conversation])}, make_context(client_dialect=dialect))
    assert bare(marked) == bare(plain)
