"""Claude's web search tool, served by a search of the service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects import by_id
from cliproxy.dialects.antigravity import DIALECT
from cliproxy.dialects.antigravity.search import Passage, is_search, passages
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family
from cliproxy.wire.jsontext import dumps, loads_object
from support import grammar_claude
from support.factories import make_context
from support.frames import decode, encode, json_frames

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8, "allowed_domains": ["a.b"]}
FUNCTION = {"name": "f", "input_schema": {"type": "object"}}
PAGES = [{"uri": "https://a.b/1", "title": "One"}, {"uri": "https://a.b/2"}]
SAID = "Zürich lies on a lake. Really."
CITED = len("Zürich lies on a lake.".encode())


def context(**members):
    """Return the context of an exchange in which a Claude client asked for this."""
    ctx = make_context(
        client_dialect="claude",
        upstream_dialect="antigravity",
        upstream_family=Family.GEMINI,
        upstream_model="gemini-3-flash",
    )
    body = {"model": "m", "max_tokens": 9, "tools": [SEARCH], **members}
    body.setdefault("messages", [{"role": "user", "content": "Where is Zürich?"}])
    ctx.original = by_id("claude").decode_request(body, ctx)
    return ctx


def sent(**members):
    ctx = context(**members)
    request = normalise(ctx.original, DIALECT.rules, ctx)
    return loads_object(dumps(DIALECT.encode_request(request, ctx))), ctx


def support(start, end, *pages):
    segment = {"endIndex": end, **({"startIndex": start} if start else {})}
    return {"segment": segment, "groundingChunkIndices": list(pages)}


def answer(grounding):
    first = {"content": {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": SAID[:9]}]}}
    last = {
        "content": {"role": "model", "parts": [{"text": SAID[9:]}]},
        "finishReason": "STOP",
        "groundingMetadata": grounding,
    }
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 7}
    return [
        {"response": {"candidates": [first], "responseId": "r"}},
        {"response": {"candidates": [last], "usageMetadata": counts}},
    ]


GROUNDING = {
    "webSearchQueries": ["zürich lake", "more"],
    "groundingChunks": [{"web": PAGES[0]}, {"web": PAGES[1]}, {"web": PAGES[0]}, {"maps": {}}],
    "groundingSupports": [support(0, CITED, 0, 1, 3, 9)],
}


# --- the request ---


def test_the_request_is_a_search_for_the_last_words():
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "Where is Zürich?"},
    ]
    body, ctx = sent(messages=messages)
    assert body["requestType"] == "web_search"
    inner = body["request"]
    assert inner.pop("systemInstruction")["parts"][0]["text"]
    assert inner == {
        "contents": [{"role": "user", "parts": [{"text": "Where is Zürich?"}]}],
        "tools": [
            {
                "googleSearch": {
                    "enhancedContent": {"imageSearch": {"maxResultCount": 8}},
                    "includedDomains": ["a.b"],
                }
            }
        ],
        "generationConfig": {"candidateCount": 1},
    }
    assert ctx.notes == ["a web search is made of the user's last words alone"]


def test_a_search_without_limits_has_the_default():
    body, ctx = sent(tools=[{"type": "web_search_20260209", "name": "web_search"}])
    search = body["request"]["tools"][0]["googleSearch"]
    assert search == {"enhancedContent": {"imageSearch": {"maxResultCount": 5}}}
    assert ctx.notes == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"tool_choice": {"type": "auto"}}, True),
        ({"tool_choice": {"type": "any"}}, True),
        ({"tool_choice": {"type": "tool", "name": "web_search"}}, True),
        ({"tool_choice": {"type": "none"}}, False),
        ({"tools": [SEARCH, FUNCTION]}, False),
        ({"tools": [FUNCTION]}, False),
        ({"tools": []}, False),
    ],
)
def test_what_is_a_search(members, expected):
    ctx = context(**members)
    assert is_search(ctx.original, ctx) is expected


def test_a_claude_model_cannot_search():
    ctx = context()
    ctx.upstream_family = Family.CLAUDE
    assert not is_search(ctx.original, ctx)


def test_another_clients_search_is_a_tool_of_the_conversation():
    ctx = make_context(client_dialect="openai", upstream_family=Family.GEMINI)
    body = {"messages": [{"role": "user", "content": "hi"}], "web_search_options": {}}
    ctx.original = by_id("openai").decode_request(body, ctx)
    sent_body = DIALECT.encode_request(ctx.original, ctx)
    assert sent_body["requestType"] == "agent"
    assert sent_body["request"]["tools"] == [{"googleSearch": {}}]


# --- the answer ---


def blocks_of(ctx, grounding):
    """Decode an answer as a stream and as a whole; both must give the same blocks."""
    claude = by_id("claude")
    chunks = answer(grounding)
    frames = encode(claude.stream_encoder(ctx), decode(DIALECT.stream_decoder(ctx), json_frames(chunks)))
    events = [loads_object(frame.data) for frame in frames]
    grammar_claude.check_stream(frames)
    whole = {
        "response": {
            "candidates": [
                {
                    "content": {"parts": [{"text": SAID}]},
                    "finishReason": "STOP",
                    "groundingMetadata": grounding,
                }
            ],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 7},
        }
    }
    body = loads_object(dumps(claude.encode_response(DIALECT.decode_response(whole, ctx), ctx)))
    return events, body


def test_the_answer_is_what_claudes_own_search_would_say():
    _, body = blocks_of(context(), GROUNDING)
    use, result, cited, rest = body["content"]
    assert use["type"] == "server_tool_use"
    assert use["input"] == {"query": "zürich lake"}
    assert result["tool_use_id"] == use["id"]
    assert [page["url"] for page in result["content"]] == ["https://a.b/1", "https://a.b/2"]
    assert result["content"][0] == {
        "type": "web_search_result",
        "title": "One",
        "url": "https://a.b/1",
        "page_age": None,
    }
    assert cited["text"] == "Zürich lies on a lake."
    assert cited["citations"] == [
        {
            "type": "web_search_result_location",
            "cited_text": "Zürich lies on a lake.",
            "url": page["uri"],
            "title": page.get("title", page["uri"]),
        }
        for page in PAGES
    ]
    assert rest == {"type": "text", "text": " Really."}
    assert body["stop_reason"] == "end_turn"
    assert body["usage"]["output_tokens"] == 7


def test_the_stream_says_it_in_the_same_order():
    events, _ = blocks_of(context(), GROUNDING)
    kinds = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert kinds == ["server_tool_use", "web_search_tool_result", "text", "text"]
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert deltas[-4:] == ["citations_delta", "citations_delta", "text_delta", "text_delta"]
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]


def test_an_answer_that_rests_on_nothing_is_just_its_text():
    _, body = blocks_of(context(), {})
    assert body["content"] == [{"type": "text", "text": SAID}]


def test_an_error_is_an_error():
    error = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}
    (event,) = decode(DIALECT.stream_decoder(context()), json_frames([error]))
    assert event.message == "busy"


@pytest.mark.parametrize(
    ("supports", "expected"),
    [
        ([], [Passage("aüb")]),
        ([support(0, 1, 0)], [Passage("a", (0,)), Passage("üb")]),
        ([support(1, 3, 0), support(0, 1, 1)], [Passage("a", (1,)), Passage("ü", (0,)), Passage("b")]),
        ([support(0, 2, 0)], [Passage("aüb")]),
        ([support(2, 4, 0)], [Passage("aüb")]),
        ([support(0, 5, 0)], [Passage("aüb")]),
        ([support(1, 1, 0)], [Passage("aüb")]),
        ([support(0, 3, 0), support(1, 4, 1)], [Passage("aü", (0,)), Passage("b")]),
        ([support(0, 4, -1, "x")], [Passage("aüb")]),
    ],
    ids=["none", "begin", "unsorted", "end torn", "start torn", "too long", "empty", "overlap", "no page"],
)
def test_a_text_is_cut_where_statements_begin_and_end(supports, expected):
    assert list(passages("aüb", {"groundingSupports": supports})) == expected


@given(
    st.text(max_size=20),
    st.lists(st.tuples(st.integers(-2, 30), st.integers(-2, 30)), max_size=6),
)
def test_cutting_loses_nothing(said, cuts):
    supports = [support(start, end, 0) for start, end in cuts]
    assert "".join(passage.said for passage in passages(said, {"groundingSupports": supports})) == said
