"""Whole requests in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_responses.names import KEPT_STATE
from cliproxy.dialects.openai_responses.request import (
    decode_request,
    encode_body,
    encode_request,
    keeps,
    named,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    Family,
    IRRequest,
    Message,
    Meta,
    OutputFormat,
    Reasoning,
    Sampling,
    SystemText,
    Text,
    Tool,
    ToolChoice,
    ToolKind,
)
from cliproxy.wire.jsontext import dumps
from support import ir_strategies
from support.factories import make_context

SCHEMA = {"type": "object", "properties": {"cmd": {"type": "string"}}, "additionalProperties": False}

COMMAND_LINE_CLIENT = {
    "model": "gpt-5.6-sol",
    "input": [
        {
            "type": "message",
            "id": "msg_0a",
            "role": "developer",
            "content": [{"type": "input_text", "text": "You are a coding agent."}],
        },
        {
            "type": "message",
            "id": "msg_0b",
            "role": "developer",
            "content": [
                {"type": "input_text", "text": "Permissions."},
                {"type": "input_text", "text": "Skills."},
            ],
        },
        {
            "type": "message",
            "id": "msg_0c",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context/>"}],
        },
        {
            "type": "message",
            "id": "msg_0d",
            "role": "user",
            "content": [{"type": "input_text", "text": "list"}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": None,
            "encrypted_content": "gAAAA" + "A" * 95,
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "exec_command",
            "arguments": '{"cmd":"ls"}',
        },
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "a.txt"},
    ],
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Run.",
            "strict": False,
            "parameters": SCHEMA,
        },
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Agents.",
            "tools": [{"type": "function", "name": "spawn_agent", "strict": False, "parameters": SCHEMA}],
        },
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0a1b",
    "client_metadata": {"originator": "codex_exec"},
}
"""What the vendor's command-line client sends in the second turn of a conversation."""


def native(**overrides):
    defaults = {"client_dialect": "openai-response", "upstream_family": Family.GPT}
    return make_context(**{**defaults, **overrides})


def decoded(ctx=None, **members):
    return decode_request({"model": "m", "input": "hi", **members}, ctx or native())


def encoded(ctx=None, **members):
    request = {"model": "m", "messages": [Message("user", [Text("hi")])], **members}
    return encode_request(IRRequest(**request), ctx or native())


def again(body, ctx=None):
    ctx = ctx or native()
    return encode_request(decode_request(body, ctx), ctx)


# --- round trips ------------------------------------------------------------------------------------------


def test_request_of_the_command_line_client_survives():
    """Everything but the member that is for the vendor's backend alone."""
    expected = {key: value for key, value in COMMAND_LINE_CLIENT.items() if key != "client_metadata"}
    assert again(COMMAND_LINE_CLIENT) == expected


def test_settings_survive():
    body = {
        "model": "m",
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 2,
        "metadata": {"k": "v"},
        "user": "u",
        "service_tier": "flex",
        "prompt_cache_key": "key",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "previous_response_id": "resp_0",
        "truncation": "auto",
        "max_tool_calls": 3,
        "store": True,
        "background": False,
        "include": ["message.output_text.logprobs"],
        "reasoning": {"effort": "low", "summary": "concise", "mode": "pro"},
        "text": {
            "format": {
                "type": "json_schema",
                "name": "n",
                "schema": {"type": "object"},
                "strict": True,
                "description": "d",
            },
            "verbosity": "low",
            "future": 1,
        },
        "stream_options": {"include_obfuscation": False},
        "something_new": [1],
    }
    assert again(body) == body


def test_text_input_becomes_a_list():
    assert again({"model": "m", "input": "hi"})["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    ]


def test_wrapping_of_the_websocket_form_is_taken_off():
    assert again({"type": "response.create", "model": "m", "input": [], "generate": False}) == {
        "model": "m",
        "input": [],
    }


@given(ir_strategies.requests())
def test_what_was_written_is_read_back(request):
    """Written and read once, a request does not change any more."""
    ctx = native()
    body = encode_request(request, ctx)
    dumps(body)
    read = decode_request(body, native())
    assert encode_request(read, native()) == body


# --- reading ----------------------------------------------------------------------------------------------


def test_instructions_come_before_leading_messages():
    request = decoded(
        instructions="I", input=[{"role": "developer", "content": "D"}, {"role": "user", "content": "u"}]
    )
    assert [(text.text, text.kind) for text in request.system] == [("I", "system"), ("D", "developer")]


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ({"effort": "high"}, Reasoning(level="high")),
        ({"summary": "auto"}, Reasoning(visible=True, summary="auto")),
        ({"effort": "low", "summary": None}, Reasoning(level="low", visible=False)),
        ({"generate_summary": "detailed"}, Reasoning(visible=True, summary="detailed")),
        ({"summary": "none"}, Reasoning(visible=False)),
        ({"effort": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_amount_and_visibility_of_reasoning(reasoning, expected):
    assert decoded(reasoning=reasoning).reasoning == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"type": "text"}, OutputFormat("text")),
        ({"type": "json_object"}, OutputFormat("json_object")),
        ({"type": "json_schema", "name": "n", "schema": {}}, OutputFormat("json_schema", "n", schema={})),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
            OutputFormat("json_schema", "n", schema={}, strict=True),
        ),
        ({}, None),
    ],
)
def test_structured_output(wanted, expected):
    assert decoded(text={"format": wanted}).output == expected


def test_prompt_may_stand_in_for_the_input():
    assert decode_request({"model": "m", "prompt": {"id": "p"}}, native()).messages == []


def test_tools_of_items_come_after_the_tools_of_the_request():
    items = [
        {"type": "additional_tools", "tools": [{"type": "function", "name": "f", "description": "late"}]}
    ]
    request = decoded(input=items, tools=[{"type": "function", "name": "f", "description": "early"}])
    assert [tool.description for tool in request.tools] == ["early"]


@pytest.mark.parametrize(
    ("members", "where", "kept_id"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "resp_1"),
        ({"conversation": "conv_1"}, "conversation", "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "conv_1"),
    ],
)
def test_what_a_request_goes_on_from_must_not_be_lost(members, where, kept_id):
    request = decoded(**members)
    assert [(each.dialect, each.where) for each in request.essentials] == [(KEPT_STATE, where)]
    (kept,) = named({"input": "hi", **members})
    assert (kept.where, kept.id) == (where, kept_id)
    assert kept.code.endswith("_not_found")
    assert encode_request(request, native())[where] == members[where]


@pytest.mark.parametrize("members", [{}, {"previous_response_id": None}, {"conversation": ""}])
def test_what_names_nothing_goes_on_from_nothing(members):
    assert named(members) == ()
    assert decoded(**members).essentials == []


def test_answers_are_kept_unless_it_is_said_otherwise():
    assert keeps({})
    assert keeps({"store": True})
    assert keeps({"store": None})
    assert not keeps({"store": False})


def test_an_answer_in_the_background_is_noted():
    ctx = native()
    decoded(ctx, background=True)
    assert ctx.notes == ["background is for the upstream that keeps the answer"]


def test_stop_sequences_are_read():
    assert decoded(stop_sequences=["a"]).sampling.stop == ["a"]
    assert decoded(stop="b").sampling.stop == ["b"]
    assert encode_request(decoded(stop="b"), native())["stop"] == "b", "kept for servers that know it"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"instructions": ["x"]}, "instructions"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"temperature": True}, "temperature"),
        ({"top_p": []}, "top_p"),
        ({"top_logprobs": {}}, "top_logprobs"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"text": "x"}, "text"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"metadata": []}, "metadata"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": 3}, "tool_choice"),
    ],
)
def test_bad_members_are_named(members, param):
    with pytest.raises(DialectError) as caught:
        decoded(**members)
    assert caught.value.param == param


ANY_MEMBERS = st.dictionaries(
    st.sampled_from(["input", "tools", "tool_choice", "text", "reasoning", "instructions", "metadata", "x"]),
    ir_strategies.json_values
    | st.lists(
        st.dictionaries(
            st.sampled_from(["type", "role", "content", "summary", "output", "name", "tools", "call_id"]),
            ir_strategies.json_values
            | st.sampled_from(["message", "reasoning", "function_call", "namespace"]),
        ),
        max_size=3,
    ),
)


@given(ANY_MEMBERS)
def test_any_body_is_read_or_refused(members):
    ctx = native()
    try:
        request = decode_request({"model": "m", **members}, ctx)
    except DialectError:
        return
    dumps(encode_request(request, ctx))


# --- writing ----------------------------------------------------------------------------------------------


def foreign(dialect="claude", **overrides):
    return make_context(client_dialect=dialect, upstream_family=Family.GPT, **overrides)


def test_system_text_of_other_dialects_becomes_the_instructions():
    body = encoded(foreign(), system=[SystemText("A"), SystemText("B", "developer")])
    assert body["instructions"] == "A\n\nB"
    assert len(body["input"]) == 1


def developer(*texts):
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"type": "message", "role": "developer", "content": content}


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("claude", [developer("A", "B")]),
        ("gemini", [developer("A", "B")]),
        ("openai", [developer("A"), developer("B")]),
    ],
)
def test_system_text_can_become_messages(client, expected):
    request = IRRequest(model="m", messages=[], system=[SystemText("A"), SystemText("B")])
    body = encode_body(request, foreign(client), as_developer_messages=True)
    assert body["input"] == expected
    assert "instructions" not in body


def test_own_instructions_stay_instructions():
    ctx = native()
    request = decode_request({"model": "m", "instructions": "I", "input": []}, ctx)
    assert encode_body(request, ctx, as_developer_messages=True)["instructions"] == "I"


def test_client_that_carries_the_conversation_leaves_nothing_upstream():
    body = encoded(foreign())
    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])
    assert "store" not in encoded(make_context(client_dialect="claude", upstream_family=Family.UNKNOWN))
    assert "store" not in encoded(native())


@pytest.mark.parametrize(("client", "kept"), [("openai", True), ("claude", False), ("gemini", False)])
def test_user_and_metadata_stay_with_their_vendor(client, kept):
    body = encoded(foreign(client), meta=Meta(user="u", metadata={"k": "v"}, safety_identifier="s"))
    assert [key in body for key in ("user", "metadata", "safety_identifier")] == [kept] * 3


def test_tiers_the_vendor_does_not_know_are_left_out():
    assert encoded(foreign(), meta=Meta(service_tier="standard_only")).get("service_tier") is None
    assert encoded(foreign(), meta=Meta(service_tier="priority"))["service_tier"] == "priority"
    assert encoded(meta=Meta(service_tier="a-new-one"))["service_tier"] == "a-new-one"


def test_limit_the_vendor_finds_too_short_is_lengthened():
    assert encoded(foreign(), sampling=Sampling(max_tokens=1))["max_output_tokens"] == 16
    assert encoded(foreign(), sampling=Sampling(max_tokens=17))["max_output_tokens"] == 17
    assert encoded(sampling=Sampling(max_tokens=1))["max_output_tokens"] == 1, "the client's own business"


def test_log_probabilities_are_for_this_wire():
    """Another dialect could ask for them, but not tell them."""
    body = {"model": "m", "input": "i", "top_logprobs": 2, "include": ["message.output_text.logprobs"]}
    ctx = native()
    request = decode_request(body, ctx)
    assert request.sampling == Sampling()
    assert {key: encode_request(request, ctx)[key] for key in ("top_logprobs", "include")} == {
        "top_logprobs": 2,
        "include": ["message.output_text.logprobs"],
    }
    other = foreign("openai")
    assert "top_logprobs" not in encoded(other, sampling=Sampling(logprobs=True, top_logprobs=2))
    assert other.notes == ["logprobs has no counterpart in the Responses API"]


def test_stored_prompt_is_essential():
    ctx = native()
    request = decode_request({"model": "m", "prompt": {"id": "pmpt_1"}}, ctx)
    (essential,) = request.essentials
    assert (essential.dialect, essential.where) == ("openai-response", "prompt")
    assert encode_request(request, ctx)["prompt"] == {"id": "pmpt_1"}
    assert decoded(input="i").essentials == []


def test_settings_without_a_counterpart_are_noted():
    ctx = foreign("openai")
    sampling = Sampling(stop=["x"], top_k=1, seed=2, n=3, presence_penalty=0.1, frequency_penalty=0.2)
    body = encoded(ctx, sampling=sampling)
    assert not {"stop", "top_k", "seed", "n", "presence_penalty", "frequency_penalty"} & set(body)
    assert len(ctx.notes) == 6


def test_tool_settings_need_tools():
    assert "tool_choice" not in encoded(tool_choice=ToolChoice("auto"), parallel_tool_calls=False)
    body = encoded(
        tools=[Tool(ToolKind.FUNCTION, "f")], tool_choice=ToolChoice("any"), parallel_tool_calls=False
    )
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Reasoning(level="high", visible=True, summary="concise"), {"effort": "high", "summary": "concise"}),
        (Reasoning(level="high", visible=True), {"effort": "high", "summary": "auto"}),
        (Reasoning(level="none", visible=False), {"effort": "none"}),
        (Reasoning(visible=True), {"summary": "auto"}),
        (None, None),
    ],
)
def test_reasoning_is_written(wish, expected):
    assert encoded(reasoning=wish).get("reasoning") == expected


def test_structured_output_gets_a_name():
    body = encoded(output=OutputFormat("json_schema", schema={"type": "object"}), meta=Meta(verbosity="low"))
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}},
        "verbosity": "low",
    }


def test_stream_is_said_only_when_wanted():
    assert encoded(stream=True)["stream"] is True
    assert "stream" not in encoded()
