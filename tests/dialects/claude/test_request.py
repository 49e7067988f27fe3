"""Requests: what real clients send, the translation's vectors, and what holds for any request."""

import copy
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from cliproxy.dialects.claude import DIALECT
from cliproxy.dialects.claude.request import decode_request, encode_request, may_pass
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import (
    Audio,
    CacheMark,
    CallKind,
    Family,
    Image,
    Inline,
    IRRequest,
    Message,
    Meta,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Sampling,
    Signature,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
)
from cliproxy.ir.schema import clean_schemas
from cliproxy.wire.jsontext import JsonObject, JsonValue
from support.factories import make_context
from support.grammar_claude import check_request
from support.ir_strategies import json_objects, json_values, requests

MARK: JsonObject = {"type": "ephemeral"}


def claude_context(**overrides: object) -> ExchangeContext:
    return make_context(client_dialect="claude", upstream_dialect="claude", **overrides)


def decode(body: JsonObject, ctx: ExchangeContext | None = None) -> IRRequest:
    return decode_request(body, ctx or claude_context())


def again(body: JsonObject) -> JsonObject:
    """Decode and encode a body for an upstream of the same dialect."""
    ctx = claude_context(upstream_family=Family.CLAUDE)
    return encode_request(normalise(decode_request(body, ctx), DIALECT.rules, ctx), ctx)


def ask(*messages: JsonValue, **members: JsonValue) -> JsonObject:
    return {"model": "m", "max_tokens": 100, "messages": [*messages], **members}


def said(text: str, role: str = "user") -> JsonObject:
    return {"role": role, "content": [{"type": "text", "text": text}]}


Q = said("q")

# --- what Claude Code sends ---

BILLING: JsonObject = {
    "type": "text",
    "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli",
}
CLAUDE_CODE: JsonObject = {
    "model": "claude-opus-4-8",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>\nToday is a day.\n</system-reminder>"},
                {"type": "text", "text": "list the files", "cache_control": MARK},
            ],
        },
        {"role": "system", "content": "Agents: none."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I should look.", "signature": "c2lnbmVk"},
                {"type": "redacted_thinking", "data": "aGlkZGVu"},
                {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "tool_use_id": "toolu_01",
                    "type": "tool_result",
                    "content": "a.txt",
                    "is_error": False,
                    "cache_control": MARK,
                }
            ],
        },
    ],
    "system": [
        BILLING,
        {"type": "text", "text": "You are an agent.", "cache_control": MARK},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "5m"}},
    ],
    "tools": [
        {
            "name": "Bash",
            "description": "Runs a command.",
            "input_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"command": {"type": "string", "minLength": 1}},
                "required": ["command"],
                "additionalProperties": False,
            },
        }
    ],
    "metadata": {"user_id": "user_abc_account__session_def"},
    "max_tokens": 64000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}


def test_claude_codes_request_survives_decoding_and_encoding() -> None:
    expected = copy.deepcopy(CLAUDE_CODE)
    expected["messages"][1]["content"] = [{"type": "text", "text": "Agents: none."}]  # type: ignore[index,call-overload]
    assert again(CLAUDE_CODE) == expected


def test_claude_codes_request_in_the_hub() -> None:
    request = decode(CLAUDE_CODE)
    assert [text.text for text in request.system] == ["You are an agent.", "Be brief."]
    assert request.messages[1] == Message("system", [Text("Agents: none.")], "reminder")
    assert request.messages[3].parts == [
        ToolResult("toolu_01", [Text("a.txt")], is_error=False, cache=CacheMark(MARK))
    ]
    assert request.reasoning == Reasoning(level="high", adaptive=True)
    assert request.sampling.max_tokens == 64000
    assert request.stream
    assert request.meta == Meta()
    assert set(request.extras) == {"claude"}


def test_telemetry_and_user_id_stay_with_this_dialect() -> None:
    """No other dialect's encoder looks into these extras."""
    request = evolve(decode(CLAUDE_CODE), extras={})
    assert "billing" not in repr(request)
    assert "user_abc" not in repr(request)


def test_older_models_are_asked_with_a_budget_below_the_limit() -> None:
    body = ask(Q, thinking={"type": "enabled", "budget_tokens": 31999}, max_tokens=32000)
    assert decode(body).reasoning == Reasoning(budget=31999)
    assert again(body) == body


def test_title_request() -> None:
    schema: JsonObject = {"type": "object", "properties": {"title": {"type": "string"}}}
    body = ask(
        Q,
        thinking={"type": "disabled"},
        temperature=1,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    request = decode(body)
    assert request.output == OutputFormat("json_schema", schema=schema)
    assert request.reasoning == Reasoning(level="none")
    assert again(body) == body


def test_output_format_of_the_beta_is_understood() -> None:
    body = ask(Q, output_format={"type": "json_schema", "schema": {"type": "object"}})
    assert decode(body).output == OutputFormat("json_schema", schema={"type": "object"})
    assert decode(ask(Q, output_config={"format": {"type": "xml"}})).output is None


@pytest.mark.parametrize(
    ("thinking", "wants"),
    [
        ({"type": "adaptive", "display": "omitted"}, False),
        ({"type": "adaptive", "display": "summarized"}, True),
        ({"type": "adaptive", "display": "unheard-of"}, True),
        ({"type": "enabled", "budget_tokens": 2048}, True),
        ({"type": "disabled"}, False),
        (None, True),
    ],
)
def test_context_learns_whether_thoughts_are_wanted(thinking: JsonValue, wants: bool) -> None:
    ctx = claude_context()
    decode(ask(Q, thinking=thinking), ctx)
    assert ctx.want_thoughts is wants


@pytest.mark.parametrize(
    ("signature", "model", "passes"),
    [
        ("c2lnbmVk", "claude-opus-4-8", True),
        ("c2lnbmVk", "somebodys-model", True),
        ("gemini#x", "claude-opus-4-8", False),
        ("gemini.next-call#x", "claude-opus-4-8", False),
        ("x", "kimi-k2", True),
        ("", "claude-opus-4-8", False),
        ("", "kimi-k2", True),
    ],
)
def test_foreign_signatures_are_not_passed_through(signature: str, model: str, passes: bool) -> None:
    thought: JsonObject = {"type": "thinking", "thinking": "t", "signature": signature}
    assert may_pass(ask(Q, {"role": "assistant", "content": [thought]}), model) is passes


# --- the way in ---


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "model"),
        ({"model": 7, "messages": []}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": None}, "messages"),
        ({"model": "m", "messages": "hi"}, "messages"),
        ({"model": "m", "messages": ["hi"]}, "messages.0"),
        ({"model": "m", "messages": [{"content": "hi"}]}, "messages.0.role"),
        ({"model": "m", "messages": [{"role": "tool", "content": "hi"}]}, "messages.0.role"),
        ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"model": "m", "messages": [], "max_tokens": "many"}, "max_tokens"),
        ({"model": "m", "messages": [], "temperature": True}, "temperature"),
        ({"model": "m", "messages": [], "top_k": []}, "top_k"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(body: JsonObject, param: str) -> None:
    with pytest.raises(DialectError) as caught:
        decode(body)
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("system", "texts"),
    [
        ("S", [SystemText("S")]),
        ("", []),
        (["S"], [SystemText("S")]),
        ([{"type": "text", "text": "A"}, {"type": "text", "text": ""}], [SystemText("A")]),
        ([{"type": "text", "text": "A", "new": 1}], [SystemText("A", extras={"claude": {"new": 1}})]),
        ([{"type": "image"}, 7], []),
        (BILLING["text"], []),
        (f"{BILLING['text']}\nYou are an agent.", [SystemText("You are an agent.")]),
        (7, []),
    ],
)
def test_system(system: JsonValue, texts: list[SystemText]) -> None:
    assert decode(ask(Q, system=system)).system == texts


def test_telemetry_before_an_instruction_is_cut_off_and_comes_back() -> None:
    block: JsonObject = {"type": "text", "text": f"{BILLING['text']}\nBe brief.", "cache_control": MARK}
    assert again(ask(Q, system=[block]))["system"] == [
        BILLING,
        {"type": "text", "text": "Be brief.", "cache_control": MARK},
    ]


def test_sampling() -> None:
    body = ask(Q, temperature=0.5, top_p=0.9, top_k=5, stop_sequences=["X", 7], max_tokens=9.0)
    assert decode(body).sampling == Sampling(9, 0.5, 0.9, 5, ["X"])


def test_mark_on_a_message_counts_for_its_last_block() -> None:
    first: JsonObject = {"type": "text", "text": "a"}
    last: JsonObject = {"type": "text", "text": "b"}
    own: JsonObject = {**last, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    marked = decode(ask({"role": "user", "content": [first, last], "cache_control": MARK}))
    assert marked.messages[0].parts == [Text("a"), Text("b", cache=CacheMark(MARK))]
    kept = decode(ask({"role": "user", "content": [own], "cache_control": MARK}))
    assert kept.messages[0].parts == [Text("b", cache=CacheMark({"type": "ephemeral", "ttl": "1h"}))]
    opaque = decode(ask({"role": "user", "content": [{"type": "new"}], "cache_control": MARK}))
    assert opaque.messages[0].parts == [Opaque("claude", "new", {"type": "new"})]


@pytest.mark.parametrize(
    "members",
    [
        {"container": "c"},
        {"mcp_servers": [{"type": "url"}]},
        {"betas": ["b"]},
        {"service_tier": "standard_only"},
        {"speed": "fast"},
        {"metadata": {"user_id": "u", "other": 1}},
        {"output_config": {"task_budget": 5}},
        {"output_config": {"effort": "low"}},
        {"thinking": {"type": "unheard-of"}},
        {"thinking": {"type": "adaptive", "display": "omitted", "new": 1}},
        {"thinking": {"type": "disabled"}},
        {"service_tier": "auto", "speed": "fast"},
        {"max_tokens": 10**9},
        {"cache_control": MARK},
        {"something_new": {"deep": [1]}},
    ],
)
def test_what_only_this_dialect_knows_survives(members: JsonObject) -> None:
    body = ask(Q, **members)
    assert again(body) == body


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "container_upload", "file_id": "f"},
        {"type": "document", "source": {"type": "file", "file_id": "f"}, "title": "T", "context": "C"},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}, "cache_control": MARK},
        {"type": "document", "source": {"type": "url", "url": "https://x"}, "citations": {"enabled": True}},
        {"type": "search_result", "source": "s", "title": "T", "content": [{"type": "text", "text": "a"}]},
        {"type": "text", "text": "x", "citations": [{"type": "char_location"}]},
    ],
)
def test_blocks_that_only_this_dialect_knows_survive(block: JsonObject) -> None:
    body = ask({"role": "user", "content": [block]})
    assert again(body) == body


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [{"type": "web_search_result", "url": "https://x", "encrypted_content": "E"}],
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
        },
        {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"type": "web_fetch_result"}},
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "1"}},
        {"type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "s", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
        {"type": "compaction", "content": "so far"},
        {"type": "thinking", "thinking": "t", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    ],
)
def test_what_the_model_did_on_the_server_survives(block: JsonObject) -> None:
    said: JsonObject = {"role": "assistant", "content": [block, {"type": "text", "text": "a"}]}
    body = ask(Q, said, Q)
    assert again(body) == body


def test_who_asks_for_speed_asks_other_vendors_for_priority() -> None:
    assert decode(ask(Q, speed="fast")).meta.service_tier == "priority"
    assert decode(ask(Q, service_tier="standard_only")).meta.service_tier is None


# --- the way out ---


def encoded(*messages: Message, family: Family = Family.CLAUDE, **members: Any) -> JsonObject:
    """Repair and encode a request that came from another dialect."""
    ctx = make_context(upstream_dialect="claude", upstream_family=family)
    request = IRRequest(model="m", messages=[*messages], **members)
    return encode_request(normalise(request, DIALECT.rules, ctx), ctx)


def user(*parts: Part) -> Message:
    return Message("user", [*parts])


def assistant(*parts: Part) -> Message:
    return Message("assistant", [*parts])


U = user(Text("u"))


def test_leading_system_text_is_the_top_level_member() -> None:
    body = encoded(U, system=[SystemText("S")])
    assert body["system"] == [{"type": "text", "text": "S"}]
    assert body["messages"] == [said("u")]


def test_system_text_alone_is_said_by_the_user() -> None:
    body = encoded(system=[SystemText("S")])
    assert "system" not in body
    assert body["messages"] == [said("S")]


def test_neighbours_of_one_role_share_a_message() -> None:
    body = encoded(user(Text("a")), user(Text("b")))
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]


@pytest.mark.parametrize(("arguments", "value"), [('{"a": 1}', {"a": 1}), ("", {}), ("[1]", {"value": [1]})])
def test_calls_follow_the_text_of_their_turn(arguments: str, value: JsonValue) -> None:
    body = encoded(U, assistant(ToolCall("c1", "f", arguments), Text("t")))
    assert body["messages"][1]["content"] == [  # type: ignore[index,call-overload]
        {"type": "text", "text": "t"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": value},
    ]


def test_ids_with_other_characters_are_changed_on_both_sides() -> None:
    body = encoded(U, assistant(ToolCall("call.1:x", "f", "")), user(ToolResult("call.1:x", [Text("r")])))
    assert body["messages"][1]["content"][0]["id"] == "call_1_x"  # type: ignore[index,call-overload]
    assert body["messages"][2]["content"][0]["tool_use_id"] == "call_1_x"  # type: ignore[index,call-overload]


def test_an_image_that_another_model_drew_is_left_out() -> None:
    drawn = Image(Inline("image/png", "AA=="))
    body = encoded(U, assistant(Text("Here."), drawn), user(Text("thanks"), drawn))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Here."}]  # type: ignore[index,call-overload]
    kinds = [block["type"] for block in body["messages"][2]["content"]]  # type: ignore[index,call-overload]
    assert kinds == ["text", "image"]


def test_results_lead_in_the_order_they_came() -> None:
    turn = assistant(ToolCall("c1", "f", ""), ToolCall("c2", "f", ""))
    body = encoded(U, turn, user(ToolResult("c2")), user(ToolResult("c1")), user(Text("go")))
    content = body["messages"][2]["content"]  # type: ignore[index,call-overload]
    assert [block.get("tool_use_id", block.get("text")) for block in content] == ["c2", "c1", "go"]


def test_second_result_replaces_the_first() -> None:
    turn = assistant(ToolCall("c1", "f", ""))
    body = encoded(U, turn, user(ToolResult("c1", [Text("old")])), user(ToolResult("c1", [Text("new")])))
    assert body["messages"][2]["content"] == [  # type: ignore[index,call-overload]
        {"type": "tool_result", "tool_use_id": "c1", "content": "new"}
    ]


def test_unanswered_call_gets_a_marked_error() -> None:
    body = encoded(U, assistant(ToolCall("c1", "f", "")), user(Text("stop")))
    assert body["messages"][2]["content"] == [  # type: ignore[index,call-overload]
        {"type": "tool_result", "tool_use_id": "c1", "content": "[no result]", "is_error": True},
        {"type": "text", "text": "stop"},
    ]


def test_free_text_goes_into_an_argument() -> None:
    call = ToolCall("c1", "patch", "raw", CallKind.CUSTOM)
    body = encoded(U, assistant(call), tools=[Tool(ToolKind.CUSTOM, "patch")])
    assert body["messages"][1]["content"][0]["input"] == {"input": "raw"}  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("sampling", "members"),
    [
        (Sampling(), {"max_tokens": 32000}),
        (Sampling(max_tokens=9), {"max_tokens": 9}),
        (Sampling(temperature=1.7, top_p=0.9), {"max_tokens": 32000, "temperature": 1.0}),
        (Sampling(top_p=0.9, top_k=4), {"max_tokens": 32000, "top_p": 0.9, "top_k": 4}),
        (Sampling(stop=["X", " ", ""]), {"max_tokens": 32000, "stop_sequences": ["X"]}),
        (Sampling(stop=["\n"]), {"max_tokens": 32000}),
    ],
)
def test_writing_sampling(sampling: Sampling, members: JsonObject) -> None:
    body = encoded(U, sampling=sampling)
    assert {key: value for key, value in body.items() if key not in {"model", "messages"}} == members


def test_what_cannot_be_said_is_noted() -> None:
    ctx = make_context(upstream_dialect="claude")
    sampling = Sampling(n=3, seed=1, presence_penalty=0.1, frequency_penalty=0.1, logprobs=True)
    request = IRRequest(
        model="m",
        messages=[
            user(Text("u"), Audio(Inline("audio/wav", "AA==")), Opaque("gemini", "executableCode", {}))
        ],
        sampling=sampling,
        output=OutputFormat("json_object"),
    )
    body = encode_request(request, ctx)
    assert set(body) == {"model", "max_tokens", "messages"}
    notes = " ".join(ctx.notes)
    for lost in (
        "seed",
        "presence",
        "frequency",
        "logprobs",
        "n was",
        "audio",
        "executableCode",
        "json_object",
    ):
        assert lost in notes


@pytest.mark.parametrize(
    ("client", "asked", "written"),
    [("openai", 65536, 64000), ("openai", 9, 9), ("claude", 65536, 65536)],
)
def test_an_answer_is_no_longer_than_the_model_makes_it(client: str, asked: int, written: int) -> None:
    """Who speaks the model's own language may know better, and name a beta that allows more."""
    ctx = make_context(client_dialect=client, upstream_dialect="claude", upstream_output=64000)
    request = IRRequest(model="m", messages=[U], sampling=Sampling(max_tokens=asked))
    assert encode_request(request, ctx)["max_tokens"] == written


@pytest.mark.parametrize(("longest", "written"), [(8192, 8192), (64000, 32000), (None, 32000)])
def test_an_answer_without_a_limit_gets_one_the_model_accepts(longest: int | None, written: int) -> None:
    ctx = make_context(upstream_dialect="claude", upstream_output=longest)
    assert encode_request(IRRequest(model="m", messages=[U]), ctx)["max_tokens"] == written


def test_output_schema() -> None:
    body = encoded(U, output=OutputFormat("json_schema", "n", schema={"type": "object"}, strict=True))
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert "output_config" not in encoded(U, output=OutputFormat("text"))


@pytest.mark.parametrize(
    ("reasoning", "members"),
    [
        (None, {}),
        (Reasoning(level="none"), {"thinking": {"type": "disabled"}}),
        (Reasoning(visible=True), {}),
        (
            Reasoning(level="high", adaptive=True, visible=True),
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "high"},
            },
        ),
        (Reasoning(budget=2048), {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
    ],
)
def test_writing_reasoning(reasoning: Reasoning | None, members: JsonObject) -> None:
    body = encoded(U, reasoning=reasoning)
    assert {key: body[key] for key in body if key in {"thinking", "output_config"}} == members


@pytest.mark.parametrize(
    ("meta", "written", "lost"),
    [
        (Meta(service_tier="default"), {"service_tier": "standard_only"}, []),
        (Meta(service_tier="auto"), {}, []),
        (Meta(service_tier="priority"), {}, ["service_tier was dropped"]),
        (Meta(service_tier="flex"), {}, ["service_tier was dropped"]),
        (Meta(modalities=["text"]), {}, []),
        (
            Meta(verbosity="low", modalities=["text", "image"], image={"aspect_ratio": "1:1"}),
            {},
            ["verbosity was dropped", "an output other than text was dropped", "image_config was dropped"],
        ),
    ],
)
def test_facts_about_the_request(meta: Meta, written: JsonObject, lost: list[str]) -> None:
    ctx = make_context(upstream_dialect="claude")
    body = encode_request(IRRequest(model="m", messages=[U], meta=meta), ctx)
    assert {key: body[key] for key in body if key not in {"model", "messages", "max_tokens"}} == written
    assert ctx.notes == lost


def test_nothing_of_thinking_is_left_where_it_is_not_asked_for() -> None:
    """A model that does not think is not sent what a newer one would be asked."""
    ctx = claude_context(upstream_family=Family.CLAUDE)
    request = decode_request(ask(Q, thinking={"type": "enabled", "budget_tokens": 2000, "new": 1}), ctx)
    assert "thinking" not in encode_request(evolve(request, reasoning=None), ctx)
    off = encode_request(evolve(request, reasoning=Reasoning(level="none")), ctx)
    assert off["thinking"] == {"type": "disabled"}


def test_user_of_another_dialect_is_named() -> None:
    assert encoded(U, meta=Meta(user="u1", safety_identifier="s"))["metadata"] == {"user_id": "u1"}
    assert encoded(U, meta=Meta(safety_identifier="s"))["metadata"] == {"user_id": "s"}
    assert "metadata" not in encoded(U)


def test_forced_tool_ends_thinking() -> None:
    body = encoded(
        U,
        tools=[Tool(ToolKind.FUNCTION, "f")],
        tool_choice=ToolChoice("tool", ["f"]),
        reasoning=Reasoning(level="high", adaptive=True),
    )
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    assert "thinking" not in body
    assert "output_config" not in body


def test_choice_disappears_with_the_last_tool() -> None:
    shell = Tool(ToolKind.BUILTIN, "sh", raw={"type": "local_shell"}, dialect="openai-response")
    body = encoded(U, tools=[shell], tool_choice=ToolChoice("auto"), parallel_tool_calls=False)
    assert not {"tools", "tool_choice"} & set(body)


def test_begun_answer_loses_trailing_space() -> None:
    assert encoded(U, assistant(Text("a \n")))["messages"][-1] == said("a", "assistant")  # type: ignore[index,call-overload]
    assert (
        encoded(U, assistant(Text("a "), Image(Remote("https://x"))))["messages"][-1]["role"] == "assistant"
    )  # type: ignore[index,call-overload]
    assert encoded(U, assistant(Refusal("no ")))["messages"][-1] == said("no", "assistant")  # type: ignore[index,call-overload]


def test_blank_end_of_a_begun_answer_disappears() -> None:
    ctx = make_context(upstream_dialect="claude")
    body = encode_request(IRRequest(model="m", messages=[U, assistant(Text(" "))]), ctx)
    assert body["messages"] == [said("u")]


def test_message_of_which_nothing_can_be_written_is_mentioned() -> None:
    body = encoded(user(Audio(Inline("audio/wav", "AA=="))), assistant(Text("a")), U)
    assert body["messages"][0] == said("[content that this model cannot read]")  # type: ignore[index,call-overload]


def test_turn_that_disappears_leaves_no_gap() -> None:
    body = encoded(user(Text("a")), assistant(Thinking("t", Signature("s", Family.GPT))), user(Text("b")))
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]


def test_nothing_to_say_is_refused_by_name() -> None:
    with pytest.raises(DialectError) as caught:
        encoded()
    assert caught.value.param == "messages"


# --- any request ---


@given(requests())
def test_any_repaired_request_is_one_the_api_accepts(request: IRRequest) -> None:
    ctx = make_context(upstream_dialect="claude", upstream_family=Family.CLAUDE)
    ready = clean_schemas(normalise(request, DIALECT.rules, ctx), DIALECT.rules.schemas, ctx)
    assume(ready.messages)
    check_request(encode_request(ready, ctx))


@given(requests())
def test_same_dialect_round_trip(request: IRRequest) -> None:
    """What the encoder writes is read and written again without a difference."""
    ctx = claude_context(upstream_family=Family.CLAUDE)
    ready = normalise(request, DIALECT.rules, ctx)
    assume(ready.messages)
    body = encode_request(ready, ctx)
    assert again(body) == body


block_like = st.dictionaries(
    st.sampled_from(
        ["type", "text", "source", "content", "input", "id", "name", "signature", "thinking", "data"]
    ),
    st.sampled_from(["text", "image", "document", "tool_use", "tool_result", "thinking", "search_result"])
    | json_values,
    max_size=4,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.just("m") | json_values,
        "messages": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "role": st.sampled_from(["user", "assistant", "system"]) | json_values,
                    "content": st.lists(block_like | json_values, max_size=3) | json_values,
                    "cache_control": json_values,
                },
            )
            | json_values,
            max_size=3,
        )
        | json_values,
        "system": st.lists(block_like | json_values, max_size=3) | json_values,
        "tools": st.lists(json_objects | json_values, max_size=3) | json_values,
        "tool_choice": json_values,
        "thinking": json_values,
        "output_config": json_values,
        "max_tokens": json_values,
        "stop_sequences": json_values,
        "metadata": json_values,
    },
)


@given(bodies)
def test_decoding_is_total_and_encoding_survives_it(body: JsonObject) -> None:
    ctx = claude_context()
    with suppress(DialectError):
        request = decode_request(body, ctx)
        encode_request(normalise(request, DIALECT.rules, ctx), ctx)
