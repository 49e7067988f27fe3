"""The conversation: flat items to turns, and turns to items."""

import pytest

from cliproxy.dialects.openai_responses.items import InputReader, InputWriter, decode_reasoning
from cliproxy.dialects.openai_responses.names import KEPT_STATE
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
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
from cliproxy.ir.signatures import Anchor
from support.factories import make_context

FERNET = "gAAAA" + "A" * 95
"""Starts like the vendor's encrypted reasoning; where the shape decides nothing, the slot does."""


def native(**overrides):
    defaults = {"client_dialect": "openai-response", "upstream_family": Family.GPT}
    return make_context(**{**defaults, **overrides})


def read(items, ctx=None):
    reader = InputReader(ctx or native())
    reader.read(items)
    return reader


def turns(items, ctx=None):
    """Return (role, kinds of parts) of every message."""
    return [
        (message.role, [type(part).__name__ for part in message.parts])
        for message in read(items, ctx).messages
    ]


def written(*messages, ctx=None):
    return InputWriter(ctx or native()).write(IRRequest(model="m", messages=list(messages)))


def user(text="u"):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def assistant(text="a"):
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(call_id="c", name="f", arguments="{}", **members):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **members}


def output(call_id="c", said="r", **members):
    return {"type": "function_call_output", "call_id": call_id, "output": said, **members}


def reasoning(text="t", encrypted=FERNET, **members):
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": encrypted, **members}


# --- reading ----------------------------------------------------------------------------------------------


def test_text_is_one_message_of_the_user():
    assert read("hi").messages == [Message("user", [Text("hi")])]


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"role": "user", "content": "x"}, "user"),
        ({"content": [{"type": "input_text", "text": "x"}], "type": "message"}, "user"),
        ({"content": [{"type": "output_text", "text": "x"}], "type": "message"}, "assistant"),
        ({"role": "user", "content": [{"type": "output_text", "text": "x"}]}, "assistant"),
        ({"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}, "assistant"),
        ({"role": "critic", "content": "x"}, "user"),
    ],
)
def test_who_speaks(item, role):
    assert read([item]).messages[0].role == role


def test_calls_in_a_row_are_one_turn_and_so_are_their_results():
    items = [user(), call("1"), call("2"), output("1"), output("2"), user("go on")]
    assert turns(items) == [
        ("user", ["Text"]),
        ("assistant", ["ToolCall", "ToolCall"]),
        ("user", ["ToolResult", "ToolResult"]),
        ("user", ["Text"]),
    ]


def test_call_joins_the_message_before_it():
    assert turns([assistant(), call()]) == [("assistant", ["Text", "ToolCall"])]


def test_message_behind_a_message_is_a_turn_of_its_own():
    assert turns([assistant(), assistant("b")]) == [("assistant", ["Text"]), ("assistant", ["Text"])]


def test_reasoning_belongs_to_what_follows_it():
    items = [
        assistant(),
        reasoning(),
        assistant("b"),
        reasoning("s"),
        call(),
        output(),
        reasoning("u"),
        call("2"),
    ]
    assert turns(items) == [
        ("assistant", ["Text"]),
        ("assistant", ["Thinking", "Text", "Thinking", "ToolCall"]),
        ("user", ["ToolResult"]),
        ("assistant", ["Thinking", "ToolCall"]),
    ]


def test_reasoning_that_nothing_follows_is_kept():
    assert turns([user(), reasoning()]) == [("user", ["Text"]), ("assistant", ["Thinking"])]
    assert turns([call(), reasoning(), output()])[0] == ("assistant", ["ToolCall", "Thinking"])


def test_reasoning_is_read_in_all_its_forms():
    thinking, signature, _ = decode_reasoning(reasoning("one", id="rs_1", content=None))
    assert (thinking.text, thinking.summary, thinking.item_id) == ("one", [], "rs_1")
    assert signature == Signature(FERNET, Family.GPT)
    two = {"summary": [{"text": "one"}, {"text": ""}, {"text": "two"}]}
    assert decode_reasoning(two)[0].summary == ["one", "two"]
    assert decode_reasoning({"summary": [], "content": [{"text": "full"}]})[0].text == "full"
    assert decode_reasoning({"summary": []})[0] is None
    redacted = decode_reasoning(reasoning("", "claude-redacted-thinking:DATA"))[0]
    assert redacted.redacted == Signature("DATA", Family.CLAUDE)
    assert decode_reasoning(reasoning("", "claude#SIG"))[1] == Signature("SIG", Family.CLAUDE)
    assert decode_reasoning(reasoning("", "gemini.previous-call#G"))[2] is Anchor.PREVIOUS_CALL


@pytest.mark.parametrize(
    ("items", "at"),
    [
        ([call(), reasoning("", "gemini.previous-call#G")], 0),
        ([reasoning("", "gemini.next-call#G"), call()], 0),
        ([assistant(), reasoning("", "gemini.previous-text#G")], 0),
        ([reasoning("", "gemini.next-text#G"), assistant()], 0),
    ],
)
def test_signature_goes_back_to_its_part(items, at):
    (message,) = read(items).messages
    assert message.parts[at].signature == Signature("G", Family.GEMINI)
    assert len(message.parts) == 1


def test_signature_without_its_part_is_dropped():
    assert read([user(), reasoning("", "gemini.previous-call#G")]).messages[0].parts == [Text("u")]


def test_leading_instructions_are_the_system_text():
    items = [
        {"type": "message", "id": "msg_1", "role": "developer", "content": "D"},
        {
            "role": "system",
            "content": [{"type": "input_text", "text": "S"}, {"type": "input_text", "text": "T"}],
        },
        user(),
        {"role": "developer", "content": "later"},
    ]
    reader = read(items)
    assert [(text.text, text.kind) for text in reader.system] == [
        ("D", "developer"),
        ("S", "system"),
        ("T", "system"),
    ]
    assert reader.messages[1].role == "system"
    assert reader.messages[1].system_kind == "developer"


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("r", [Text("r")]),
        ([{"type": "input_text", "text": "r"}], [Text("r")]),
        (["a", "b"], [Text("a"), Text("b")]),
        (
            [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}],
            [Image(Inline("image/png", "AA=="))],
        ),
        ('[{"type":"input_text","text":"r"}]', [Text("r")]),
        ('[{"type":"other"}]', [Text('[{"type":"other"}]')]),
        ('[{"type":"text"', [Text('[{"type":"text"')]),
        ([{"type": "other"}], [Text('[{"type":"other"}]')]),
        ({"k": 1}, [Text('{"k":1}')]),
        (None, []),
    ],
)
def test_output_of_a_tool(said, parts):
    (message,) = read([output(said=said)]).messages
    assert message.parts[0].parts == parts


def test_custom_calls_and_their_results():
    items = [
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "raw"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
    ]
    said, answered = read(items).messages
    assert said.parts == [ToolCall("c", "patch", "raw", CallKind.CUSTOM)]
    assert answered.parts[0].kind is CallKind.CUSTOM
    assert written(said, answered) == items


def test_arguments_that_are_an_object_become_text():
    assert read([call(arguments={"a": 1})]).messages[0].parts[0].arguments == '{"a":1}'
    assert read([call(arguments=None)]).messages[0].parts[0].arguments == ""


def test_call_in_a_namespace_is_flattened_and_named_again():
    ctx = native()
    item = call(name="spawn", namespace="agents")
    (message,) = read([item], ctx).messages
    assert message.parts[0].name == "agents__spawn"
    assert written(message, ctx=ctx) == [item]


def test_items_of_this_wire_pass_through():
    items = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
        {"type": "local_shell_call_output", "id": "o", "output": "x"},
        {"type": "compaction_trigger"},
        user(),
    ]
    reader = read(items)
    assert turns(items) == [
        ("assistant", ["Opaque", "Opaque"]),
        ("user", ["Opaque"]),
        ("user", ["Opaque"]),
        ("user", ["Text"]),
    ]
    assert written(*reader.messages) == items


def test_additional_tools_are_declared_and_passed_on():
    item = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]}
    reader = read([item])
    assert [tool.name for tool in reader.tools] == ["f"]
    assert written(*reader.messages) == [item]


def test_references_go_to_the_upstream_that_stores_the_items():
    item = {"type": "item_reference", "id": "msg_1"}
    reader = read([user(), item])
    assert written(*reader.messages) == [user(), item]
    assert [(each.dialect, each.where) for each in reader.essentials] == [(KEPT_STATE, "input[1]")]


def test_a_reference_to_reasoning_is_nothing_essential():
    assert read([user(), {"type": "item_reference", "id": "rs_1"}]).essentials == []


@pytest.mark.parametrize(
    "item", [{"type": "compaction", "encrypted_content": "x"}, {"type": "compaction_trigger"}]
)
def test_compaction_is_essential(item):
    reader = read([user(), item])
    (essential,) = reader.essentials
    assert (essential.dialect, essential.where) == ("openai-response", "input[1]")
    assert "compacted" in essential.what
    assert written(*reader.messages) == [user(), item]


def test_generated_image_is_an_image_and_goes_back_as_it_was():
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA==", "x": 1}
    (_, message) = read([user(), {**item, "output_format": "webp"}]).messages
    assert message.role == "assistant"
    assert message.parts[0].source == Inline("image/webp", "AA==")
    assert written(message) == [{**item, "output_format": "webp"}]


def test_image_that_was_never_generated_passes_through():
    item = {"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": None}
    assert written(*read([item]).messages) == [item]


def test_output_with_parts_unknown_here_is_kept_for_this_wire_and_told_as_text_elsewhere():
    said = [{"type": "input_text", "text": "a"}, {"type": "input_hologram", "data": 1}]
    (_, message) = read([call(), output(said=said)]).messages
    assert message.parts[0].parts == [
        Text('[{"type":"input_text","text":"a"},{"type":"input_hologram","data":1}]')
    ]
    assert written(message) == [output(said=said)]


@pytest.mark.parametrize(
    ("items", "param"),
    [
        (3, "input"),
        ({}, "input"),
        ([3], "input[0]"),
        ([{}], "input[0].type"),
        ([{"role": 3}], "input[0].role"),
        ([user(), {"role": "user", "content": 3}], "input[1].content"),
        ([{"role": "user", "content": [3]}], "input[0].content[0]"),
        ([{"type": "function_call"}], "input[0].name"),
        ([{"type": "additional_tools", "tools": [{}]}], "input[0].tools[0].type"),
    ],
)
def test_bad_input_is_named(items, param):
    with pytest.raises(DialectError) as caught:
        read(items)
    assert caught.value.param == param


# --- writing ----------------------------------------------------------------------------------------------

CONVERSATION = [
    {**user(), "id": "msg_u"},
    reasoning("think", id="rs_1", content=None),
    {**assistant("I look."), "id": "msg_a", "status": "completed", "phase": "commentary"},
    call("c1", id="fc_1", status="completed"),
    call("c2", name="g", id="fc_2"),
    output("c1", id="fco_1"),
    output(
        "c2", [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://x/y.png"}]
    ),
    reasoning("", id="rs_2"),
    assistant("Done."),
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "note"}]},
    user("thanks"),
]


def test_conversation_survives_a_round_trip():
    assert written(*read(CONVERSATION).messages) == CONVERSATION


def test_ids_an_upstream_would_refuse_are_left_out():
    items = [{**user(), "id": "item_1"}, call(id="call_item"), reasoning(id="x"), assistant()]
    bare = [user(), call(), reasoning(), assistant()]
    assert written(*read(items).messages) == bare


def test_order_of_a_turn_is_kept():
    message = Message("assistant", [Text("a"), ToolCall("c", "f", ""), Text("b"), Refusal("no")])
    assert written(message) == [
        assistant("a"),
        call(),
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "no"}],
        },
    ]


def test_message_with_nothing_in_it_is_not_written():
    assert written(Message("assistant", [ToolCall("c", "f", "{}")])) == [call()]
    assert written(Message("user", [])) == []


def test_results_stand_before_or_behind_text_as_they_did():
    message = Message("user", [Text("x"), ToolResult("c", [Text("r")])])
    assert [item["type"] for item in written(message)] == ["message", "function_call_output"]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ToolResult("c", value={"result": "ok"}), "ok"),
        (ToolResult("c", value={"result": {"k": 1}, "other": 2}), '{"k":1}'),
        (ToolResult("c", value={"output": "ok"}), "ok"),
        (ToolResult("c", value={"k": 1}), '{"k":1}'),
        (ToolResult("c", value={"output": "ok", "exit": 1}), '{"output":"ok","exit":1}'),
        (ToolResult("c"), ""),
        (
            ToolResult("c", [Text("a"), Text("b")]),
            [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        ),
        (
            ToolResult("c", [Text("a"), Image(Inline("image/png", "AA=="))]),
            [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            ],
        ),
    ],
)
def test_results_of_other_dialects(result, said):
    assert written(Message("user", [result]))[0]["output"] == said


def test_result_of_a_custom_call_is_a_custom_result():
    """Other dialects do not say which kind of call a result answers."""
    items = written(
        Message("assistant", [ToolCall("c", "p", "raw", CallKind.CUSTOM)]),
        Message("user", [ToolResult("c", [Text("ok")])]),
    )
    assert [item["type"] for item in items] == ["custom_tool_call", "custom_tool_call_output"]


@pytest.mark.parametrize(
    ("thinking", "client", "family", "expected"),
    [
        (
            Thinking("text", Signature(FERNET, Family.GPT)),
            "claude",
            Family.GPT,
            [{"type": "reasoning", "summary": [], "content": None, "encrypted_content": FERNET}],
        ),
        (Thinking("text", Signature("E", Family.CLAUDE)), "claude", Family.GPT, []),
        (Thinking("text"), "openai", Family.GPT, []),
        (Thinking(redacted=Signature("D", Family.CLAUDE)), "openai-response", Family.GPT, []),
        (
            Thinking("text", Signature("X", Family.GPT), item_id="rs_1"),
            "openai-response",
            Family.UNKNOWN,
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "text"}], "id": "rs_1"}],
        ),
        (Thinking("text"), "openai-response", Family.UNKNOWN, []),
        (Thinking("text", item_id="rs_1"), "claude", Family.UNKNOWN, []),
    ],
)
def test_only_reasoning_the_upstream_can_verify_goes_back(thinking, client, family, expected):
    ctx = make_context(client_dialect=client, upstream_family=family)
    assert written(Message("assistant", [thinking]), ctx=ctx) == expected


def test_items_lose_their_ids_with_the_reasoning_they_came_from():
    """The vendor refuses an item it has stored without the reasoning that belongs to it."""
    items = [
        user(),
        reasoning("t", "claude#E", id="rs_1"),
        {**assistant("a"), "id": "msg_1"},
        call("c1", id="fc_1"),
        output("c1"),
        call("c2", id="fc_2"),
        output("c2"),
    ]
    assert written(*read(items).messages) == [
        user(),
        assistant("a"),
        call("c1"),
        output("c1"),
        call("c2", id="fc_2"),
        output("c2"),
    ]


def test_parts_of_other_wires_are_dropped():
    ctx = native()
    assert written(Message("assistant", [Opaque("claude", "server_tool_use", {})]), ctx=ctx) == []
    assert ctx.notes


def test_notes_inside_the_conversation_are_the_developers():
    message = Message("system", [Text("note")], "reminder")
    assert written(message)[0]["role"] == "developer"
    assert written(Message("system", [Text("note")]))[0]["role"] == "system"


def test_system_text_that_is_no_text_is_dropped_with_a_note():
    ctx = native()
    image = {"type": "input_image", "image_url": "https://x/y.png"}
    assert read(
        [{"role": "system", "content": [image, {"type": "input_text", "text": "S"}]}], ctx
    ).system == [SystemText("S", "system", extras={"openai-response": {"item": {}}})]
    assert ctx.notes
