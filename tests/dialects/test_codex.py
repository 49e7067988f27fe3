"""The Codex form of the Responses API: what a request of any client becomes for that backend."""

import base64
import hashlib

import pytest

from cliproxy.dialects import by_id
from cliproxy.dialects.codex import DIALECT, REFUSED
from cliproxy.dialects.openai_responses import DIALECT as RESPONSES
from cliproxy.dialects.openai_responses.names import KEPT_STATE
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family
from cliproxy.ir.schema import clean_schemas
from cliproxy.ir.thinking import ThinkingSupport, apply_thinking
from cliproxy.wire.jsontext import dumps, loads_object
from support.factories import make_context
from support.frames import decode, encode, json_frames

LEVELS = ThinkingSupport(levels=("low", "medium", "high"))
FERNET_BYTES = b"\x80" + b"\x00" * 8 + b"i" * 16 + b"c" * 32 + b"m" * 32


def context(client):
    return make_context(client_dialect=client, upstream_dialect="codex", upstream_family=Family.GPT)


def sent(client, body, ctx=None, support=LEVELS):
    """Carry a client's request through the passes, as the exchange does."""
    ctx = ctx or context(client)
    body = {"model": "gpt", **body}
    ctx.original_body = body
    request = by_id(client).decode_request(body, ctx)
    request = apply_thinking(request, support, "codex", source=client)
    request = normalise(request, DIALECT.rules, ctx)
    request = clean_schemas(request, DIALECT.rules.schemas, ctx)
    return loads_object(dumps(DIALECT.encode_request(request, ctx)))


def message(role, *texts, kind="input_text"):
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text} for text in texts]}


def chat(*messages, **members):
    return sent("openai", {"messages": list(messages), **members})


def claude(*messages, **members):
    return sent("claude", {"max_tokens": 100, "messages": list(messages), **members})


def test_what_the_backend_always_gets():
    body = sent("openai-response", {"input": "hi"})
    assert body == {
        "model": "gpt",
        "instructions": "",
        "input": [message("user", "hi")],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "parallel_tool_calls": True,
    }


def test_what_the_backend_refuses_is_left_out():
    members = {
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.5,
        "truncation": "auto",
        "user": "u",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "context_management": [],
        "prompt_cache_options": {},
        "max_tokens": 3,
        "metadata": {"k": "v"},
        "background": True,
        "stop": ["x"],
        "stop_sequences": ["x"],
        "store": True,
        "include": ["message.output_text.logprobs"],
    }
    body = sent("openai-response", {"input": "hi", **members})
    assert not set(REFUSED) & set(body)
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])


@pytest.mark.parametrize(
    ("said", "sent_tier"), [("flex", None), ("auto", None), ("priority", "priority"), ("fast", "priority")]
)
def test_only_the_priority_tier_is_known(said, sent_tier):
    assert sent("openai-response", {"input": "hi", "service_tier": said}).get("service_tier") == sent_tier


def test_references_to_stored_reasoning_are_dropped():
    """The backend stores nothing that could be meant."""
    ctx = context("openai-response")
    items = [{"type": "item_reference", "id": "rs_1"}, {"role": "user", "content": "hi"}]
    assert sent("openai-response", {"input": items}, ctx)["input"] == [message("user", "hi")]
    assert any("reference" in note for note in ctx.notes)


def test_going_on_from_something_kept_is_for_another_upstream():
    assert KEPT_STATE not in DIALECT.rules.speaks
    assert KEPT_STATE in RESPONSES.rules.speaks
    assert DIALECT.kept is None


def test_facts_about_the_client_reach_the_backend():
    assert sent("openai-response", {"input": "hi", "client_metadata": {"k": "v"}})["client_metadata"] == {
        "k": "v"
    }


def test_only_one_stream_option_is_known():
    options = {"include_obfuscation": False, "reasoning_summary_delivery": "x"}
    body = sent("openai-response", {"input": "hi", "stream_options": options})
    assert body["stream_options"] == {"reasoning_summary_delivery": "x"}
    assert "stream_options" not in sent("openai-response", {"input": "hi", "stream_options": {"x": 1}})


def test_caching_hints_inside_content_are_taken_out():
    part = {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert sent("openai-response", {"input": [{"role": "user", "content": [part]}]})["input"] == [
        message("user", "hi")
    ]


def test_instructions_of_a_responses_client_stay_instructions():
    body = sent(
        "openai-response",
        {
            "instructions": "I",
            "input": [{"role": "system", "content": "S"}, {"role": "user", "content": "u"}],
        },
    )
    assert body["instructions"] == "I"
    assert body["input"][0] == message("developer", "S")


@pytest.mark.parametrize("preview", ["web_search_preview", "web_search_preview_2025_03_11"])
def test_web_search_has_one_name(preview):
    tools = [{"type": preview, "search_context_size": "low"}]
    body = sent("openai-response", {"input": "hi", "tools": tools, "tool_choice": {"type": preview}})
    assert body["tools"] == [{"type": "web_search", "search_context_size": "low"}]
    assert body["tool_choice"] == {"type": "web_search"}
    assert tools[0]["type"] == preview, "the client's body is not touched"
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": preview}]}
    body = sent("openai-response", {"input": "hi", "tools": tools, "tool_choice": allowed})
    assert body["tool_choice"]["tools"] == [{"type": "web_search"}]


def test_namespaces_reach_the_backend():
    child = {
        "type": "function",
        "name": "spawn",
        "strict": False,
        "parameters": {"type": "object", "properties": {}},
    }
    tool = {"type": "namespace", "name": "agents", "description": "d", "tools": [child]}
    call = {
        "type": "function_call",
        "call_id": "c",
        "name": "spawn",
        "namespace": "agents",
        "arguments": "{}",
    }
    output = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    body = sent("openai-response", {"input": [message("user", "go"), call, output], "tools": [tool]})
    assert body["tools"] == [tool]
    assert body["input"][1:] == [call, output]


# --- other clients ----------------------------------------------------------------------------------------


def test_chat_system_messages_are_the_developers_where_they_stand():
    body = chat(
        {"role": "system", "content": "S"},
        {"role": "user", "content": "u"},
        {"role": "system", "content": "later"},
        {"role": "user", "content": "v"},
    )
    assert body["instructions"] == ""
    assert [(item["role"], item["content"][0]["text"]) for item in body["input"]] == [
        ("developer", "S"),
        ("user", "u"),
        ("developer", "later"),
        ("user", "v"),
    ]


def test_claude_system_blocks_are_one_developer_message():
    body = claude(
        {"role": "user", "content": "u"},
        system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
    )
    assert body["input"][0] == message("developer", "A", "B")


def test_chat_calls_and_results():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    body = chat(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    )
    assert body["input"][1:] == [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
    ]


def test_long_call_ids_are_hashed_alike_in_call_and_result():
    long_id = "call_" + "x" * 75
    digest = hashlib.sha256(long_id.encode()).hexdigest()[:16]
    call = {"id": long_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ctx = context("openai")
    body = sent(
        "openai",
        {
            "messages": [
                {"role": "user", "content": "u"},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": long_id, "content": "r"},
            ]
        },
        ctx,
    )
    expected = f"{long_id[:47]}_{digest}"
    assert [item["call_id"] for item in body["input"][1:]] == [expected, expected]
    assert ctx.client_call_id(expected) == long_id


def test_orphan_results_are_dropped():
    body = chat({"role": "user", "content": "u"}, {"role": "tool", "tool_call_id": "zz", "content": "r"})
    assert [item["type"] for item in body["input"]] == ["message"]


def test_tool_message_without_an_id_answers_the_call():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = chat(
        {"role": "user", "content": "u"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "r"},
    )
    assert body["input"][-1]["call_id"] == "c1"


def tool(name, **members):
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {}}, **members},
    }


def test_long_tool_names_are_cut_apart_from_each_other():
    first, second, third = "a" * 70, "a" * 69 + "b", "mcp__server__" + "x" * 70
    ctx = context("openai")
    body = sent(
        "openai",
        {
            "messages": [{"role": "user", "content": "u"}],
            "tools": [tool(first), tool(second), tool(third)],
            "tool_choice": {"type": "function", "function": {"name": second}},
        },
        ctx,
    )
    names = [entry["name"] for entry in body["tools"]]
    assert names == ["a" * 64, "a" * 62 + "_1", "mcp__" + "x" * 59]
    assert body["tool_choice"] == {"type": "function", "name": names[1]}
    assert [ctx.client_tool_name(name) for name in names] == [first, second, third]
    assert all(entry["strict"] is False for entry in body["tools"])


def test_claude_web_search_and_choice():
    body = claude(
        {"role": "user", "content": "u"},
        tools=[{"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.b"]}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )
    assert body["tools"] == [{"type": "web_search", "filters": {"allowed_domains": ["a.b"]}}]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)


def test_claude_result_with_an_image():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    body = claude(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "content": [{"type": "text", "text": "a"}, image],
                }
            ],
        },
    )
    assert body["input"][-1]["output"] == [
        {"type": "input_text", "text": "a"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    ]


def test_claude_document_gets_a_name():
    document = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
    }
    body = claude({"role": "user", "content": [document]})
    assert body["input"][0]["content"] == [
        {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="}
    ]


def thinking(signature):
    block = {"type": "thinking", "thinking": "why", "signature": signature}
    return claude(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": [block, {"type": "text", "text": "a"}]},
        {"role": "user", "content": "v"},
    )["input"]


def test_only_own_reasoning_goes_back():
    fernet = base64.urlsafe_b64encode(FERNET_BYTES).decode()
    assert [item["type"] for item in thinking("EqQBClaude")] == ["message", "message", "message"]
    assert thinking(fernet)[1] == {
        "type": "reasoning",
        "summary": [],
        "content": None,
        "encrypted_content": fernet,
    }


@pytest.mark.parametrize(
    ("client", "body", "effort"),
    [
        ("openai", {"messages": [{"role": "user", "content": "u"}]}, "medium"),
        ("claude", {"max_tokens": 9, "messages": [{"role": "user", "content": "u"}]}, "medium"),
        ("gemini", {"contents": [{"role": "user", "parts": [{"text": "u"}]}]}, "medium"),
        ("openai-response", {"input": "u"}, None),
        ("openai-response", {"input": "u", "reasoning": {"effort": "low"}}, "low"),
        ("openai", {"messages": [{"role": "user", "content": "u"}], "reasoning_effort": "high"}, "high"),
    ],
)
def test_reasoning_has_a_default_for_clients_that_do_not_speak_of_it(client, body, effort):
    assert sent(client, body).get("reasoning", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("response", "output"),
    [({"result": "ok"}, "ok"), ({"k": 1}, '{"k":1}')],
)
def test_gemini_results(response, output):
    contents = [
        {"role": "user", "parts": [{"text": "u"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"n": 12345678901234567890}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]},
    ]
    call, result = sent("gemini", {"contents": contents})["input"][1:]
    assert call["arguments"] == '{"n":12345678901234567890}'
    assert (result["call_id"], result["output"]) == (call["call_id"], output)


# --- answers ----------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_responses_api():
    responses = by_id("openai-response")
    assert DIALECT.stream_decoder is responses.stream_decoder
    assert DIALECT.decode_response is responses.decode_response
    assert DIALECT.endpoints == ()


@pytest.mark.parametrize("client", ["openai", "claude", "gemini"])
def test_shortened_names_come_back_in_the_clients_dialect(client):
    ctx = context(client)
    ctx.tool_names["short"] = "the_long_name"
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "short", "arguments": "{}"}
    events = decode(
        DIALECT.stream_decoder(ctx),
        json_frames(
            [
                {"type": "response.created", "response": {"id": "resp_1"}},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": {"output": [item]}},
            ]
        ),
    )
    frames = encode(by_id(client).stream_encoder(ctx), events)
    assert b"the_long_name" in b"".join(frame.data for frame in frames)
    assert b"short" not in b"".join(frame.data for frame in frames)
