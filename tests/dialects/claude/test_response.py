"""Whole answers, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.claude.request import decode_request
from cliproxy.dialects.claude.response import call_id, decode_response, encode_response, message_id
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    CallKind,
    Family,
    Image,
    Inline,
    IRRequest,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue
from support.factories import make_context
from support.grammar_claude import check_message
from support.ir_strategies import (
    base64_texts,
    custom_calls,
    function_calls,
    generated_images,
    json_objects,
    json_values,
    plain_texts,
    responses,
    texts,
    thinkings,
)

ANSWER: JsonObject = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-8",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"z": 12345678901234567890}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "container": {"id": "c"},
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 85,
        "output_tokens": 7,
        "service_tier": "standard",
    },
}


def same_dialect() -> ExchangeContext:
    return make_context(client_dialect="claude", upstream_dialect="claude", upstream_family=Family.CLAUDE)


def thinking_client(**overrides: object) -> ExchangeContext:
    """The context of a client that asked for thinking."""
    original = IRRequest(model="m", messages=[], reasoning=Reasoning(adaptive=True))
    return make_context(client_dialect="claude", original=original, **overrides)


def answer(*parts: Part, reason: FinishReason = FinishReason.STOP) -> IRResponse:
    return IRResponse(id="r1", model="up", choices=[Choice([*parts], Ending(reason))])


def content(*parts: Part, ctx: ExchangeContext | None = None) -> JsonValue:
    return encode_response(answer(*parts), ctx or make_context(client_dialect="claude"))["content"]


def test_answer_survives_the_round_trip() -> None:
    ctx = same_dialect()
    assert encode_response(decode_response(ANSWER, ctx), ctx) == ANSWER


def test_answer_in_the_hub() -> None:
    response = decode_response(ANSWER, same_dialect())
    assert (response.id, response.model, response.created) == ("msg_01", "claude-opus-4-8", 1_700_000_000)
    assert response.usage == Usage(10, 85, 5, 7, extras={"claude": {"service_tier": "standard"}})
    assert response.extras == {"claude": {"container": {"id": "c"}}}
    (choice,) = response.choices
    assert choice.ending == Ending(FinishReason.TOOL_CALLS, "tool_use")
    assert choice.parts == [
        Thinking("hm", Signature("c2ln", Family.CLAUDE)),
        Thinking(redacted=Signature("ZGF0YQ==", Family.CLAUDE)),
        Text("a", [{"type": "char_location"}], "claude"),
        Opaque("claude", "server_tool_use", ANSWER["content"][3]),  # type: ignore[index,call-overload,arg-type]
        ToolCall("toolu_1", "f", '{"z":12345678901234567890}'),
    ]


def test_signature_belongs_to_the_upstream_whatever_it_looks_like() -> None:
    body: JsonObject = {"content": [{"type": "thinking", "thinking": "t", "signature": "gemini#x"}]}
    (choice,) = decode_response(body, make_context(upstream_family=Family.KIMI)).choices
    assert choice.parts == [Thinking("t", Signature("gemini#x", Family.KIMI))]


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": "text"}])
def test_what_is_no_answer_is_refused(body: JsonObject) -> None:
    with pytest.raises(DialectError):
        decode_response(body, same_dialect())


def test_skeleton_of_a_foreign_answer() -> None:
    response = IRResponse(
        id="chatcmpl-1",
        model="gpt-5",
        choices=[Choice([Text("hi")], Ending(FinishReason.LENGTH, "length"))],
        usage=Usage(15, 85, None, 7),
    )
    assert encode_response(response, make_context(client_dialect="claude")) == {
        "id": "msg_000000000000000000000001",
        "type": "message",
        "role": "assistant",
        "model": "gpt-5",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "max_tokens",
        "stop_sequence": None,
        "usage": {"input_tokens": 15, "cache_read_input_tokens": 85, "output_tokens": 7},
    }


@pytest.mark.parametrize(
    ("shown", "upstream", "expected"),
    [("alias", "up", "alias"), ("", "up", "up"), ("", "", "requested-model")],
)
def test_name_of_the_model(shown: str, upstream: str, expected: str) -> None:
    response = IRResponse(id="", model=upstream, choices=[])
    assert encode_response(response, make_context(shown_model=shown))["model"] == expected


def test_only_the_first_answer_is_shown() -> None:
    ctx = make_context()
    stop = Ending(FinishReason.STOP)
    response = IRResponse(id="", model="m", choices=[Choice([Text("a")], stop), Choice([Text("b")], stop, 1)])
    assert encode_response(response, ctx)["content"] == [{"type": "text", "text": "a"}]
    assert ctx.notes


@pytest.mark.parametrize(
    ("reason", "parts", "word"),
    [
        (FinishReason.STOP, [ToolCall("c", "f", "")], "tool_use"),
        (FinishReason.TOOL_CALLS, [Text("x")], "end_turn"),
        (FinishReason.LENGTH, [ToolCall("c", "f", "")], "max_tokens"),
        (FinishReason.CONTENT_FILTER, [], "refusal"),
        (FinishReason.STOP, [Refusal("no")], "refusal"),
        (FinishReason.STOP, [Refusal(""), Text("yes")], "end_turn"),
    ],
)
def test_stop_reason(reason: FinishReason, parts: list[Part], word: str) -> None:
    assert encode_response(answer(*parts, reason=reason), make_context())["stop_reason"] == word


@pytest.mark.parametrize(
    ("parts", "blocks"),
    [
        ([Text("")], []),
        ([Refusal("no"), Refusal("")], [{"type": "text", "text": "no"}]),
        (
            [Thinking("r"), Text("c")],
            [{"type": "thinking", "thinking": "r", "signature": ""}, {"type": "text", "text": "c"}],
        ),
        ([Thinking("")], []),
        (
            [Thinking("r", Signature("s", Family.GEMINI))],
            [{"type": "thinking", "thinking": "r", "signature": "gemini#s"}],
        ),
        (
            [Thinking(redacted=Signature("s", Family.GPT))],
            [{"type": "thinking", "thinking": "", "signature": "gpt#s"}],
        ),
        (
            [Thinking("", Signature("s", Family.GPT))],
            [{"type": "thinking", "thinking": "", "signature": "gpt#s"}],
        ),
        (
            [ToolCall("c1", "f", "{'a': 1}")],
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}],
        ),
        (
            [ToolCall("c1", "f", "raw", CallKind.CUSTOM)],
            [{"type": "tool_use", "id": "c1", "name": "f", "input": {"input": "raw"}}],
        ),
        ([Image(Inline("image/png", "AA=="))], []),
        ([Opaque("openai-response", "mcp_call", {})], []),
    ],
)
def test_parts(parts: list[Part], blocks: list[JsonObject]) -> None:
    assert content(*parts) == blocks


def test_citations_of_another_dialect_cannot_be_shown() -> None:
    ctx = make_context(client_dialect="claude")
    cited = Text("a", [{"type": "url_citation", "url": "https://x"}], "openai")
    assert content(cited, ctx=ctx) == [{"type": "text", "text": "a"}]
    assert ctx.notes == ["citations of another dialect were dropped from the answer"]


def test_unwanted_thoughts_leave_their_signature() -> None:
    ctx = thinking_client(want_thoughts=False)
    signed = Thinking("secret", Signature("s", Family.CLAUDE))
    assert content(signed, Thinking("secret"), ctx=ctx) == [
        {"type": "thinking", "thinking": "", "signature": "s"}
    ]


def test_client_that_switched_thinking_off_sees_no_trace_of_it() -> None:
    ctx = make_context(client_dialect="claude")
    body: JsonObject = {"model": "m", "messages": [], "thinking": {"type": "disabled"}}
    ctx.original = decode_request(body, ctx)
    own = Signature("s", Family.CLAUDE)
    assert content(Thinking("secret", own), Thinking(redacted=own), Text("a"), ctx=ctx) == [
        {"type": "text", "text": "a"}
    ]


def test_names_and_ids_are_the_clients_own() -> None:
    ctx = make_context(tool_names={"a_b": "a b"}, call_ids={"short": "long_id"})
    (block,) = content(ToolCall("short", "a_b", "{}"), ctx=ctx)  # type: ignore[misc,str-unpack]
    assert (block["id"], block["name"]) == ("long_id", "a b")


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [("toolu_1", "toolu_1"), ("f-17.3", "f-17_3"), ("", "toolu_000000000000000000000001"), ("é", "_")],
)
def test_ids_can_be_sent_back(upstream: str, expected: str) -> None:
    assert call_id(upstream, make_context()) == expected


def test_message_id() -> None:
    assert message_id("msg_1", make_context()) == "msg_1"
    assert message_id("resp_1", make_context()) == "msg_000000000000000000000001"


# --- signatures without a slot of their own ---

GEM = Signature("g", Family.GEMINI)
SIGNED_CALL = ToolCall("c1", "f", "{}", signature=GEM)
SIGNED_TEXT = Text("t", signature=GEM)


def test_signatures_of_calls_and_text_travel_beside_them() -> None:
    blocks = content(SIGNED_TEXT, SIGNED_CALL, ctx=thinking_client())
    assert [block["type"] for block in blocks] == ["text", "thinking", "thinking", "tool_use"]  # type: ignore[index,union-attr,call-overload]
    assert [block["signature"] for block in blocks[1:3]] == [  # type: ignore[index,union-attr,call-overload]
        "gemini.previous-text#g",
        "gemini.next-call#g",
    ]


def test_what_is_sent_back_is_what_was_answered() -> None:
    blocks = content(SIGNED_TEXT, SIGNED_CALL, ctx=thinking_client())
    body: JsonObject = {"model": "m", "messages": [{"role": "assistant", "content": blocks}]}
    assert decode_request(body, make_context()).messages[0].parts == [SIGNED_TEXT, SIGNED_CALL]


@pytest.mark.parametrize("reasoning", [None, Reasoning(level="none"), Reasoning(budget=0)])
def test_clients_that_want_no_thinking_get_no_such_blocks(reasoning: Reasoning | None) -> None:
    """They read the first block as the answer."""
    original = IRRequest(model="m", messages=[], reasoning=reasoning)
    blocks = content(SIGNED_TEXT, SIGNED_CALL, ctx=make_context(original=original))
    assert [block["type"] for block in blocks] == ["text", "tool_use"]  # type: ignore[index,union-attr,call-overload]


def test_web_search_of_another_dialect() -> None:
    raw: JsonObject = {
        "type": "web_search_call",
        "action": {
            "type": "search",
            "query": "q",
            "sources": [{"url": "https://x"}, {"title": "no address"}],
        },
    }
    assert content(Opaque("openai-response", "web_search_call", raw)) == [
        {
            "type": "server_tool_use",
            "id": "srvtoolu_000000000000000000000001",
            "name": "web_search",
            "input": {"query": "q"},
        },
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_000000000000000000000001",
            "content": [
                {"type": "web_search_result", "url": "https://x", "title": "https://x", "page_age": None}
            ],
        },
    ]


@pytest.mark.parametrize(
    ("item", "asked", "found"),
    [
        ({"action": {"queries": ["q", "r"]}}, {"query": "q"}, []),
        ({"query": "q", "results": [{"url": "https://x", "title": "X"}]}, {"query": "q"}, ["X"]),
        ({"action": {"type": "open_page", "url": "https://x"}}, {}, []),
    ],
)
def test_web_searches_are_told_in_several_ways(item: JsonObject, asked: JsonObject, found: list[str]) -> None:
    """The id follows from the item's: it is the same however often a conversation is told."""
    raw: JsonObject = {"type": "web_search_call", "id": "ws-1", **item}
    use, result = content(Opaque("openai-response", "web_search_call", raw))
    assert (use["id"], use["input"]) == ("srvtoolu_ws_1", asked)  # type: ignore[index,call-overload]
    results = result["content"]  # type: ignore[index,call-overload]
    assert [entry["title"] for entry in results] == found  # type: ignore[index,union-attr,call-overload]


opaques = st.builds(
    lambda kind, dialect, rest: Opaque(dialect, kind, {**rest, "type": kind}),
    st.sampled_from(["server_tool_use", "web_search_tool_result", "web_search_call"]),
    st.sampled_from(["claude", "openai-response"]),
    json_objects,
)
own_signatures = st.builds(Signature, base64_texts, st.just(Family.CLAUDE))
own_thoughts = st.builds(Thinking, texts, st.none() | own_signatures) | st.builds(
    Thinking, redacted=own_signatures
)
said = st.one_of(plain_texts, texts.map(Refusal), function_calls, custom_calls, generated_images, opaques)


@given(responses(parts=said | thinkings))
def test_any_answer_is_one_the_sdks_read(response: IRResponse) -> None:
    check_message(encode_response(response, thinking_client()))


@given(responses(parts=said | own_thoughts, max_choices=1))
def test_same_dialect_round_trip(response: IRResponse) -> None:
    ctx = same_dialect()
    body = encode_response(response, ctx)
    assert encode_response(decode_response(body, ctx), ctx) == body


@given(json_objects, json_values)
def test_decoding_is_total(body: JsonObject, blocks: JsonValue) -> None:
    ctx = same_dialect()
    listed: list[JsonValue] = [
        blocks,
        {"type": "text", "text": blocks},
        {"type": "tool_use", "input": blocks},
    ]
    encode_response(decode_response({**body, "content": listed}, ctx), ctx)
