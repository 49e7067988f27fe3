"""Responses clients before other upstreams, and the official package as the client.

Whole ways through the program's dialects: what an upstream of another kind says, told to a Responses client;
and what such a client asks, as other upstreams hear it.
"""

import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses.response_stream_event import ResponseStreamEvent
from pydantic import TypeAdapter

from cliproxy.dialects import by_id
from cliproxy.dialects.openai_responses import DIALECT
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.sse import make_frame
from support import grammar_responses
from support.factories import make_context
from support.frames import decode, encode, json_frames

FAMILIES = {"openai": Family.UNKNOWN, "claude": Family.CLAUDE, "gemini": Family.GEMINI}


def context(upstream, **overrides):
    return make_context(
        client_dialect="openai-response",
        upstream_dialect=upstream,
        upstream_family=FAMILIES[upstream],
        **overrides,
    )


def told(upstream, frames, **overrides):
    """Tell an upstream's stream to a Responses client; return (events, final response)."""
    ctx = context(upstream, **overrides)
    made = encode(DIALECT.stream_encoder(ctx), decode(by_id(upstream).stream_decoder(ctx), frames))
    last = grammar_responses.check(made, typed=False)
    return [loads_object(frame.data) for frame in made], last["response"]


def claude_frames(*blocks, stop="end_turn"):
    """Return a Claude stream of blocks, each (start, *deltas)."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "usage": usage,
    }
    events = [{"type": "message_start", "message": message}, {"type": "ping"}]
    for index, (start, *deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 7}})
    events.append({"type": "message_stop"})
    return [make_frame(dumps(event), event["type"].encode()) for event in events]


def chat_frames(*deltas, finish="stop"):
    chunks = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    chunks.append({"id": "c", "model": "m", "choices": [], "usage": usage})
    return json_frames([*chunks, b"[DONE]"])


def gemini_frames(*parts, finish="STOP"):
    chunks = [{"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in parts]
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 6,
        "totalTokenCount": 20,
    }
    chunks.append({"candidates": [{"finishReason": finish}], "usageMetadata": usage})
    return json_frames(chunks)


TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}


def fragment(text):
    return {"type": "input_json_delta", "partial_json": text}


# --- answers ----------------------------------------------------------------------------------------------


def test_claude_turn_becomes_items_in_order():
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    _, response = told(
        "claude",
        claude_frames(
            (
                thinking,
                {"type": "thinking_delta", "thinking": "why"},
                {"type": "signature_delta", "signature": "EqRB"},
            ),
            ({"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
            (TOOL_USE, fragment('{"a'), fragment('":1}')),
            stop="tool_use",
        ),
    )
    reasoning, message, call = response["output"]
    assert reasoning["summary"][0]["text"] == "why"
    assert reasoning["encrypted_content"] == "claude#EqRB"
    assert message["content"][0]["text"] == "Hi"
    assert (call["call_id"], call["arguments"]) == ("toolu_1", '{"a":1}')
    assert response["usage"]["total_tokens"] == 17


def test_claude_reasoning_is_counted_by_its_length():
    """The upstream counts it as output and does not say how much of that it is."""
    thought = ({"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "x" * 12})
    said = ({"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"})
    for want in (True, False):
        _, response = told("claude", claude_frames(thought, said), want_thoughts=want)
        assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}
        assert response["usage"]["output_tokens"] == 7
    _, response = told("claude", claude_frames(said))
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}


def test_claude_tool_use_without_fragments():
    _, response = told("claude", claude_frames((TOOL_USE,), stop="tool_use"))
    assert response["output"][0]["arguments"] == "{}"


def test_claude_limit_is_an_incomplete_answer():
    text = ({"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"})
    events, response = told("claude", claude_frames(text, stop="max_tokens"))
    assert events[-1]["type"] == "response.incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][-1]["status"] == "incomplete"


def test_claude_citation_is_an_annotation():
    citation = {"type": "web_search_result_location", "url": "https://x", "title": "X", "cited_text": "c"}
    block = (
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Hi"},
        {"type": "citations_delta", "citation": citation},
    )
    _, response = told("claude", claude_frames(block))
    assert response["output"][0]["content"][0]["annotations"][0]["url"] == "https://x"


def test_custom_tool_of_the_client_over_claude():
    call = ({**TOOL_USE, "name": "patch"}, fragment('{"input":'), fragment('"ab"}'))
    events, response = told("claude", claude_frames(call, stop="tool_use"), custom_tools={"patch"})
    assert response["output"][0]["type"] == "custom_tool_call"
    done = next(event for event in events if event["type"] == "response.custom_tool_call_input.done")
    assert done["input"] == "ab"


def test_redacted_thinking_goes_to_the_client_and_back():
    block = ({"type": "redacted_thinking", "data": "DATA"},)
    _, response = told("claude", claude_frames(block, ({"type": "text", "text": "Hi"},)))
    assert response["output"][0]["encrypted_content"] == "claude-redacted-thinking:DATA"
    body = asked(
        "claude", [{"role": "user", "content": "u"}, *response["output"], {"role": "user", "content": "v"}]
    )
    assert body["messages"][1]["content"][0] == {"type": "redacted_thinking", "data": "DATA"}


def test_chat_length_in_mid_text():
    _, response = told("openai", chat_frames({"content": "Hi"}, finish="length"))
    assert (response["status"], response["output"][0]["status"]) == ("incomplete", "incomplete")
    assert response["usage"]["input_tokens"] == 5


def test_chat_answer_is_complete_after_its_usage():
    events, response = told("openai", chat_frames({"role": "assistant", "content": "H"}, {"content": "i"}))
    assert events[-1]["type"] == "response.completed"
    assert response["output"][0]["content"][0]["text"] == "Hi"


def test_gemini_call_then_text():
    events, response = told(
        "gemini", gemini_frames({"functionCall": {"name": "f", "args": {"a": 1}}}, {"text": "Hi"})
    )
    assert [item["type"] for item in response["output"]] == ["function_call", "message"]
    assert response["id"].startswith("resp_")
    assert response["usage"]["output_tokens"] == 10
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    assert added == [0, 1]


def test_gemini_signature_of_a_call_goes_to_the_client_and_back():
    part = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "CiRzaWduYXR1cmU="}
    _, response = told("gemini", gemini_frames(part))
    call, carrier = response["output"]
    assert carrier["type"] == "reasoning"
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "ok"}
    body = asked("gemini", [{"role": "user", "content": "u"}, call, carrier, result])
    (back,) = body["contents"][1]["parts"]
    assert back["thoughtSignature"] == "CiRzaWduYXR1cmU="


# --- requests ---------------------------------------------------------------------------------------------


def asked(upstream, items, ctx=None, **members):
    """Ask another upstream what a Responses client asks."""
    ctx = ctx or context(upstream)
    dialect = by_id(upstream)
    request = DIALECT.decode_request({"model": "m", "input": items, **members}, ctx)
    return loads_object(dumps(dialect.encode_request(normalise(request, dialect.rules, ctx), ctx)))


def call(call_id, name="f"):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}


def output(call_id, said="r"):
    return {"type": "function_call_output", "call_id": call_id, "output": said}


USER = {"role": "user", "content": "u"}


def test_instructions_and_developer_messages_are_system_text_for_chat():
    body = asked("openai", [{"role": "developer", "content": "D"}, USER], instructions="I")
    roles = [message["role"] for message in body["messages"]]
    assert "developer" not in roles
    assert roles[0] == "system"
    assert "I" in str(body["messages"][0]["content"])


def test_calls_in_a_row_are_one_message_for_chat():
    body = asked("openai", [USER, call("a"), call("b"), output("a"), output("b")])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool"]
    assert len(body["messages"][1]["tool_calls"]) == 2


def test_message_between_call_and_result_waits_for_chat():
    body = asked("openai", [USER, call("a"), {"role": "user", "content": "m"}, output("a")])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "user"]


@pytest.mark.parametrize("order", [["a", "b", "oa", "ob"], ["a", "oa", "b", "ob"]])
def test_results_follow_their_calls_for_gemini(order):
    items = [output(name[1:]) if name[0] == "o" else call(name, name) for name in order]
    contents = asked("gemini", [USER, *items])["contents"]
    answered = [
        part["functionResponse"]["name"]
        for content in contents
        for part in content["parts"]
        if "functionResponse" in part
    ]
    assert answered == ["a", "b"]


def test_custom_call_is_wrapped_for_claude():
    items = [
        USER,
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "raw"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
    ]
    body = asked("claude", items, tools=[{"type": "custom", "name": "patch"}])
    (use,) = body["messages"][1]["content"]
    assert (use["name"], use["input"]) == ("patch", {"input": "raw"})
    assert body["tools"][0]["input_schema"]["required"] == ["input"]


MARK = {"type": "ephemeral"}
MARKED = {
    "input": [
        {"role": "user", "content": "u", "cache_control": MARK},
        {**call("a"), "cache_control": MARK},
        {**output("a"), "cache_control": MARK},
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": "https://x/y.png", "cache_control": MARK},
                {"type": "input_file", "filename": "a.pdf", "file_data": "JVBE", "cache_control": MARK},
            ],
        },
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "cache_control": MARK},
        {"type": "custom", "name": "p", "cache_control": MARK},
    ],
}


def test_marks_for_caching_reach_claude():
    """They are read wherever they stand; the API takes four of them, so the first ones give way."""
    ctx = context("claude")
    request = DIALECT.decode_request({"model": "m", **MARKED}, ctx)
    parts = [part for message in request.messages for part in message.parts]
    assert [node.cache and node.cache.raw for node in (*parts, *request.tools)] == [MARK] * 7
    body = asked("claude", MARKED["input"][2:], tools=MARKED["tools"][1:])
    assert str(body).count("cache_control") == 3


def test_marks_for_caching_are_for_claude_only():
    for upstream in ("openai-response", "codex", "gemini"):
        ctx = make_context(client_dialect="openai-response", upstream_dialect=upstream)
        assert "cache_control" not in str(asked(upstream, MARKED["input"], ctx, tools=MARKED["tools"]))


def test_namespaced_tool_is_flattened_for_claude_and_named_again():
    tools = [
        {"type": "namespace", "name": "fs", "tools": [{"type": "function", "name": "read", "parameters": {}}]}
    ]
    ctx = context("claude")
    body = asked("claude", [USER], ctx, tools=tools)
    assert [tool["name"] for tool in body["tools"]] == ["fs__read"]
    events = decode(
        by_id("claude").stream_decoder(ctx),
        claude_frames(({**TOOL_USE, "name": "fs__read"},), stop="tool_use"),
    )
    frames = encode(DIALECT.stream_encoder(ctx), events)
    item = grammar_responses.check(frames)["response"]["output"][0]
    assert (item["name"], item["namespace"]) == ("read", "fs")


def test_server_tools_alone_leave_no_tool_settings_for_chat():
    body = asked(
        "openai", [USER], tools=[{"type": "local_shell"}], tool_choice="auto", parallel_tool_calls=True
    )
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


def test_structured_output_for_chat():
    body = asked("openai", [USER], text={"format": {"type": "json_object"}})
    assert body["response_format"] == {"type": "json_object"}


def test_foreign_reasoning_is_not_shown_to_gemini():
    item = {"type": "reasoning", "summary": [], "encrypted_content": "claude#EqRB"}
    contents = asked("gemini", [USER, item, {"role": "assistant", "content": "a"}, USER])["contents"]
    assert "EqRB" not in str(contents)


# --- the official package ---------------------------------------------------------------------------------


def test_stream_helper_of_the_official_package_follows():
    """It insists on numbers, indexes and a steady identity, and rebuilds the answer from the deltas."""
    events, response = told(
        "claude",
        claude_frames(
            (
                {"type": "text", "text": ""},
                {"type": "text_delta", "text": "Hel"},
                {"type": "text_delta", "text": "lo"},
            ),
            (TOOL_USE, fragment('{"a":'), fragment("1}")),
            stop="tool_use",
        ),
    )
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    reader = TypeAdapter(ResponseStreamEvent)
    seen = [told for event in events for told in state.handle_event(reader.validate_python(event))]
    assert seen[-1].type == "response.completed"
    assert seen[-1].response.output_text == "Hello"
    assert [event.snapshot for event in seen if event.type == "response.output_text.delta"] == [
        "Hel",
        "Hello",
    ]
    assert seen[-1].response.output[1].arguments == '{"a":1}'
    assert response["output"][1]["arguments"] == '{"a":1}'
