"""Conversations of the chat wire."""

import pytest
from hypothesis import given

from cliproxy.dialects.openai_chat.messages import (
    MessageReader,
    decode_calls,
    encode_messages,
    reasoning_of,
    signature_of,
    signed,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    CacheMark,
    CallKind,
    Family,
    Image,
    Inline,
    IRRequest,
    Message,
    Opaque,
    Refusal,
    Signature,
    SystemText,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from support import ir_strategies
from support.factories import make_context

EPHEMERAL = {"type": "ephemeral"}
IMAGE = Image(Inline("image/png", "AA=="))
IMAGE_ENTRY = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def read(*messages: object) -> MessageReader:
    reader = MessageReader(make_context())
    reader.read(list(messages))
    return reader


def write(*messages: Message, system: list[SystemText] | None = None, **overrides: object) -> list[dict]:
    request = IRRequest(model="m", messages=list(messages), system=system or [])
    return encode_messages(request, make_context(**overrides))


def again(*messages: dict, **overrides: object) -> list[dict]:
    """Read and write."""
    ctx = make_context(**overrides)
    reader = MessageReader(ctx)
    reader.read(list(messages))
    return encode_messages(IRRequest(model="m", messages=reader.messages, system=reader.system), ctx)


# --- reading ---


def test_leading_instructions_and_later_ones():
    reader = read(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
        {"role": "user", "content": "u"},
        {"role": "system", "content": "late"},
        {"role": "developer", "content": "later"},
    )
    assert [(entry.text, entry.kind) for entry in reader.system] == [
        ("a", "system"),
        ("b", "developer"),
        ("c", "developer"),
    ]
    assert [(message.role, message.system_kind, message.parts[0].text) for message in reader.messages] == [
        ("user", "system", "u"),
        ("system", "system", "late"),
        ("system", "developer", "later"),
    ]


def test_instructions_hold_text_only():
    reader = read({"role": "system", "content": [IMAGE_ENTRY, {"type": "text", "text": "a"}]})
    assert [entry.text for entry in reader.system] == ["a"]


def test_assistants_turn_in_its_order():
    reader = read(
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "refusal": "no",
            "content": "said",
            "reasoning_content": "thought",
        }
    )
    [message] = reader.messages
    assert message.parts == [Thinking("thought"), Text("said"), Refusal("no"), ToolCall("c", "f", "{}")]
    assert message.extras == {}


def test_what_the_model_drew_is_part_of_its_turn():
    """A client that wants a picture changed sends back the one it got."""
    ctx = make_context()
    reader = MessageReader(ctx)
    broken = {"type": "image_url", "image_url": {"url": "data:broken"}}
    reader.read([{"role": "assistant", "content": "Here", "images": [IMAGE_ENTRY, broken]}])
    [turn] = reader.messages
    assert [part.text if isinstance(part, Text) else part.source for part in turn.parts] == [
        "Here",
        IMAGE.source,
    ]
    assert ctx.notes == ["an image that cannot be read was dropped"]


def test_results_become_one_message():
    reader = read(
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}, IMAGE_ENTRY]},
        {"role": "user", "content": "go"},
        {"role": "tool", "call_id": "c", "name": "f", "content": None},
        {"role": "function", "name": "g", "content": "old"},
    )
    first, second, third = reader.messages
    assert first.parts == [ToolResult("a", [Text("1")]), ToolResult("b", [Text("2"), IMAGE])]
    assert second.parts == [Text("go")]
    assert third.parts == [ToolResult("c", [], name="f"), ToolResult("", [Text("old")], name="g")]


def test_result_that_is_an_object():
    [message] = read({"role": "tool", "tool_call_id": "a", "content": {"k": 1}}).messages
    assert message.parts == [ToolResult("a", value={"k": 1})]


def test_result_with_parts_in_a_text():
    [message] = read(
        {"role": "tool", "tool_call_id": "a", "content": '[{"type":"text","text":"x"}]'}
    ).messages
    assert message.parts[0].parts == [Text("x")]


def test_unknown_role_is_the_users():
    reader = MessageReader(make_context())
    reader.read([{"role": "critic", "content": "hm"}])
    assert reader.messages == [Message("user", [Text("hm")])]
    assert reader.ctx.notes == ["a message of role critic was read as the user's"]


def test_message_without_content_is_empty():
    assert read({"role": "user", "content": None}, {"role": "assistant"}).messages == [
        Message("user", []),
        Message("assistant", []),
    ]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (None, "messages"),
        ("x", "messages"),
        ({"role": "user"}, "messages"),
        ([3], "messages[0]"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": 3}], "messages[0].role"),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": [3]}], "messages[1].content[0]"),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
    ],
)
def test_conversations_that_are_none(value, param):
    with pytest.raises(DialectError) as caught:
        MessageReader(make_context()).read(value)
    assert caught.value.param == param


def test_wish_to_cache_on_a_message():
    mark = CacheMark(EPHEMERAL)
    call = {"id": "c", "type": "function", "function": {"name": "f"}}
    reader = read(
        {"role": "system", "content": "s", "cache_control": EPHEMERAL},
        {"role": "user", "content": "u", "cache_control": EPHEMERAL},
        {"role": "assistant", "tool_calls": [call], "cache_control": EPHEMERAL},
        {"role": "tool", "tool_call_id": "c", "content": "r", "cache_control": EPHEMERAL},
    )
    assert reader.system[0].cache == mark
    assert [message.parts[0].cache for message in reader.messages] == [mark] * 3


CALLS = {
    "function": (
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ToolCall("c", "f", "{}"),
    ),
    "object": ({"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}, ToolCall("c", "f", '{"a":1}')),
    "no arguments": ({"id": "c", "function": {"name": "f"}}, ToolCall("c", "f", "")),
    "custom": (
        {"id": "c", "type": "custom", "custom": {"name": "p", "input": "raw"}},
        ToolCall("c", "p", "raw", CallKind.CUSTOM),
    ),
    "signed": (
        {"id": "c", "function": {"name": "f"}, "thoughtSignature": "c2ln"},
        ToolCall("c", "f", "", signature=Signature("c2ln", Family.GEMINI)),
    ),
    "more": (
        {"id": "c", "function": {"name": "f"}, "x": 1},
        ToolCall("c", "f", "", extras={"openai": {"x": 1}}),
    ),
}


@pytest.mark.parametrize(("entry", "call"), CALLS.values(), ids=CALLS.keys())
def test_calls(entry, call):
    assert decode_calls({"tool_calls": [entry, "junk"]}) == [call]


def test_a_free_text_call_is_wrapped_where_only_the_vendor_has_them():
    call = Message("assistant", [ToolCall("c", "p", "raw", CallKind.CUSTOM)])
    [written] = write(call, client_dialect="openai-response", upstream_family=Family.KIMI)
    arguments = {"name": "p", "arguments": '{"input":"raw"}'}
    assert written["tool_calls"] == [{"id": "c", "type": "function", "function": arguments}]


def test_older_call():
    assert decode_calls({"function_call": {"name": "f", "arguments": "{}"}}) == [ToolCall("", "f", "{}")]


def test_signature_comes_back():
    signature = Signature("c2ln", Family.GEMINI)
    assert signature_of(signed(signature)) == signature
    assert signature_of({}) is None


def test_reasoning_from_the_first_member_that_has_any():
    assert reasoning_of({"reasoning_content": "", "reasoning": "b"}) == "b"
    assert reasoning_of({"reasoning_details": [{"text": "a"}, 3, {"summary": "b"}]}) == "ab"
    assert reasoning_of({}) == ""


# --- writing ---


def test_instructions_of_other_clients_are_one_message_for_each_kind():
    """A string where there is one text, since not every server takes a list there."""
    system = [SystemText("I"), SystemText("D", "developer"), SystemText("E", "developer")]
    assert write(system=system, client_dialect="openai-response") == [
        {"role": "system", "content": "I"},
        {"role": "system", "content": [{"type": "text", "text": "D"}, {"type": "text", "text": "E"}]},
    ]


def test_note_in_mid_conversation_stays_in_its_place():
    message = Message("system", [Text("note")], "developer")
    assert write(Message("user", [Text("u")]), message)[1] == {"role": "system", "content": "note"}


def test_results_come_before_the_rest_of_the_message():
    message = Message("user", [Text("x"), ToolResult("c1", [Text("r")])])
    assert write(message, client_dialect="claude") == [
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "user", "content": "x"},
    ]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        (ToolResult("c", [Text("a"), Text("b")]), "a\n\nb"),
        (ToolResult("c", [Text("a"), IMAGE]), [{"type": "text", "text": "a"}, IMAGE_ENTRY]),
        (ToolResult("c", value={"k": 1}), '{"k":1}'),
        (ToolResult("c", value="plain"), "plain"),
        (ToolResult("c"), ""),
        (ToolResult("c", [Opaque("claude", "x", {})]), ""),
        (ToolResult("c", [Text("bad")], is_error=True), "bad"),
    ],
)
def test_content_of_results(result, content):
    assert write(Message("user", [result]))[0]["content"] == content


def test_turn_with_nothing_but_calls_has_empty_content():
    """Some servers refuse null."""
    [written] = write(Message("assistant", [ToolCall("c", "f", "")]))
    assert written == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }


def test_turn_with_reasoning():
    said = Message(
        "assistant",
        [Thinking("a"), Thinking("b"), Thinking(redacted=Signature("x", Family.CLAUDE)), Text("t")],
    )
    assert write(said) == [{"role": "assistant", "content": "t", "reasoning_content": "a\n\nb"}]
    assert write(said, upstream_family=Family.GPT) == [{"role": "assistant", "content": "t"}]


def test_turns_without_words_or_calls_are_left_out():
    assert write(Message("assistant", [Thinking("only thoughts")]), Message("user", [])) == []
    assert again({"role": "assistant", "content": None, "audio": {"id": "a"}}) == [
        {"role": "assistant", "content": "", "audio": {"id": "a"}}
    ]


def test_refusal_is_a_member_for_chat_clients_and_text_for_others():
    refused = Message("assistant", [Refusal("no")])
    assert write(refused) == [{"role": "assistant", "content": "", "refusal": "no"}]
    both = Message("assistant", [Text("well"), Refusal("no")])
    assert write(both, client_dialect="claude") == [{"role": "assistant", "content": "well\n\nno"}]
    assert write(refused, client_dialect="claude") == [{"role": "assistant", "content": "no"}]


def test_what_an_assistant_cannot_hold_is_noted():
    ctx = make_context()
    parts = [Text("t"), IMAGE, Opaque("claude", "server_tool_use", {}), Thinking()]
    encode_messages(IRRequest(model="m", messages=[Message("assistant", parts)]), ctx)
    assert ctx.notes == [
        "an image in an assistant message was dropped",
        "server_tool_use in an assistant message was dropped",
        "hidden reasoning in the history was dropped",
    ]


def test_signature_goes_to_its_own_family_only():
    call = ToolCall("c", "f", "{}", signature=Signature("c2ln", Family.GEMINI))
    message = Message("assistant", [call])
    [written] = write(message, upstream_family=Family.GEMINI)
    assert written["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    [written] = write(message, upstream_family=Family.KIMI)
    assert "extra_content" not in written["tool_calls"][0]


# --- both ---

FAITHFUL = [
    {"role": "system", "content": "a"},
    {
        "role": "system",
        "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}],
        "name": "n",
    },
    {"role": "user", "content": "u", "name": "Ann"},
    {"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE_ENTRY]},
    {
        "role": "assistant",
        "content": "t",
        "reasoning_content": "r",
        "images": [{**IMAGE_ENTRY, "index": 0}],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.0}'}},
            {"id": "c2", "type": "custom", "custom": {"name": "p", "input": "x"}, "cache_control": EPHEMERAL},
        ],
        "x": 1,
    },
    {"role": "tool", "tool_call_id": "c1", "content": "r1", "cache_control": EPHEMERAL, "x": 1},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "r2"}, IMAGE_ENTRY]},
    {"role": "system", "content": "late", "name": "n"},
    {"role": "assistant", "content": "", "refusal": "no"},
]


def test_conversation_of_a_chat_client_is_written_as_it_came():
    assert again(*FAITHFUL) == FAITHFUL


def test_role_developer_becomes_system():
    assert again({"role": "developer", "content": "d"}) == [{"role": "system", "content": "d"}]


@given(ir_strategies.requests())
def test_reading_what_was_written_changes_nothing_more(request):
    ctx = make_context()
    once = encode_messages(request, ctx)
    reader = MessageReader(make_context())
    reader.read(once)
    twice = encode_messages(
        IRRequest(model="m", messages=reader.messages, system=reader.system), make_context()
    )
    assert twice == once


@given(ir_strategies.conversations())
def test_no_call_and_no_result_is_lost(messages):
    written = write(*messages)
    calls = [call["id"] for entry in written for call in entry.get("tool_calls", ())]
    results = [entry["tool_call_id"] for entry in written if entry["role"] == "tool"]
    assert sorted(calls) == sorted(results)
    assert sorted(calls) == sorted(
        part.id for m in messages for part in m.parts if isinstance(part, ToolCall)
    )


# --- the vendor's own models ---


def test_what_tools_show_follows_after_the_last_result_of_the_turn():
    """The vendor refuses anything but text in results, and anything between the results of a turn."""
    seen = Message("user", [ToolResult("c1", [Text("a"), IMAGE]), ToolResult("c2", [IMAGE])])
    more = Message("user", [ToolResult("c3", [Text("b")]), Text("go on")])
    assert write(seen, more, upstream_family=Family.GPT) == [
        {"role": "tool", "tool_call_id": "c1", "content": "a"},
        {"role": "tool", "tool_call_id": "c2", "content": "[shown below]"},
        {"role": "tool", "tool_call_id": "c3", "content": "b"},
        {"role": "user", "content": [IMAGE_ENTRY, IMAGE_ENTRY, {"type": "text", "text": "go on"}]},
    ]


@pytest.mark.parametrize(
    "next_message", [Message("assistant", [Text("t")]), Message("system", [Text("t")]), None]
)
def test_what_tools_show_comes_before_anybody_else_speaks(next_message):
    messages = [Message("user", [ToolResult("c1", [IMAGE])]), *([next_message] if next_message else [])]
    written = write(*messages, upstream_family=Family.GPT)
    assert written[1] == {"role": "user", "content": [IMAGE_ENTRY]}
    assert len(written) == 1 + len(messages)
