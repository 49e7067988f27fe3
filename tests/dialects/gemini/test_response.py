"""Whole answers, and glimpses."""

import json

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.gemini.decoder import GeminiStreamDecoder
from cliproxy.dialects.gemini.encoder import GeminiStreamEncoder
from cliproxy.dialects.gemini.response import (
    decode_count,
    decode_response,
    encode_count,
    encode_response,
    inspect,
    inspect_response,
)
from cliproxy.errors import DialectError, Kind
from cliproxy.ir.collect import to_events
from cliproxy.ir.request import (
    Audio,
    Family,
    Image,
    Inline,
    Opaque,
    Refusal,
    Remote,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import dumps
from cliproxy.wire.sse import make_frame
from support.factories import make_context
from support.frames import collect, decode, encode, json_frames
from support.grammar_gemini import check_answer
from support.ir_strategies import json_objects, responses

ANSWER = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "Yes"},
                    {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 10,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 6,
        "totalTokenCount": 20,
    },
    "modelVersion": "gemini-3-pro",
    "createTime": "2023-11-14T22:13:20Z",
    "responseId": "R",
}


def context(**overrides):
    return make_context(**{"client_dialect": "gemini", "upstream_dialect": "gemini", **overrides})


def answer(*parts, ending=None, **fields):
    choice = Choice(list(parts), ending or Ending(FinishReason.STOP))
    return IRResponse(id="R", model="M", choices=[choice], created=1_700_000_000, **fields)


def written(*parts, **overrides):
    return encode_response(answer(*parts), context(**overrides))["candidates"][0]["content"]["parts"]


def test_reading():
    response = decode_response(ANSWER, context(client_dialect="claude"))
    assert (response.id, response.model, response.created) == ("R", "gemini-3-pro", 1_700_000_000)
    assert response.usage == Usage(fresh_input=10, output=4, reasoning=6, reported_total=20)
    [choice] = response.choices
    assert choice.parts == [
        Thinking("hm"),
        Text("Yes"),
        ToolCall("f-00000001", "f", '{"a":1}', signature=Signature("c2ln", Family.GEMINI)),
    ]
    assert choice.ending == Ending(FinishReason.TOOL_CALLS, native="STOP")


@pytest.mark.parametrize(
    "body",
    [
        ANSWER,
        {
            "promptFeedback": {"blockReason": "SAFETY"},
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 0, "totalTokenCount": 3},
            "modelVersion": "m",
            "createTime": "2023-11-14T22:13:20Z",
            "responseId": "R",
        },
        {
            **ANSWER,
            "candidates": [
                {
                    "content": {"parts": [{"text": "a"}, {"executableCode": {"code": "1"}}], "role": "model"},
                    "finishReason": "RECITATION",
                    "index": 0,
                    "groundingMetadata": {"webSearchQueries": ["q"]},
                    "avgLogprobs": -0.5,
                },
                {
                    "content": {"parts": [{"text": "b"}], "role": "model"},
                    "finishReason": "MAX_TOKENS",
                    "index": 1,
                },
            ],
        },
    ],
)
def test_within_the_dialect_nothing_changes(body):
    assert encode_response(decode_response(body, context()), context()) == body


def test_wrapped_answers_and_answers_of_nothing():
    assert decode_response({"response": ANSWER}, context()) == decode_response(ANSWER, context())
    empty = decode_response({}, context())
    assert empty.choices[0].parts == []
    assert encode_response(empty, context())["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_an_error_is_no_answer():
    with pytest.raises(DialectError, match="broken"):
        decode_response({"error": {"code": 500, "message": "broken"}}, context())
    with pytest.raises(DialectError, match="answered with an error"):
        decode_response({"error": {}}, context())


@given(json_objects)
def test_reading_is_total(body):
    body.pop("error", None)
    body.pop("response", None)
    assert decode_response(body, context()).choices


def test_reading_whole_is_reading_a_stream_of_one():
    streamed = collect(decode(GeminiStreamDecoder(context()), json_frames([ANSWER])))
    whole = decode_response(ANSWER, context())
    assert [choice.parts for choice in whole.choices] == [choice.parts for choice in streamed.choices]
    assert (whole.usage, whole.id) == (streamed.usage, streamed.id)


@pytest.mark.parametrize(
    ("part", "nodes"),
    [
        (Text("a"), [{"text": "a"}]),
        (Text(""), [{"text": ""}]),
        (Text("", signature=Signature("c2ln", Family.GEMINI)), [{"text": "", "thoughtSignature": "c2ln"}]),
        (Refusal("no"), [{"text": "no"}]),
        (Thinking("hm"), [{"text": "hm", "thought": True}]),
        (Thinking(""), [{"text": ""}]),
        (
            Thinking(redacted=Signature("c2ln", Family.GEMINI)),
            [{"text": "", "thought": True, "thoughtSignature": "c2ln"}],
        ),
        (ToolCall("a", "f", "{}"), [{"functionCall": {"id": "a", "name": "f", "args": {}}}]),
        (
            Image(Inline("image/png", "AA=="), signature=Signature("c2ln", Family.GEMINI)),
            [{"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "c2ln"}],
        ),
        (Audio(Inline("audio/wav", "AA==")), [{"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}]),
        (Image(Remote("https://x/y.png")), [{"text": ""}]),
        (Opaque("gemini", "executableCode", {"executableCode": {}}), [{"executableCode": {}}]),
        (Opaque("claude", "x", {"a": 1}), [{"text": ""}]),
        (ToolResult("a"), [{"text": ""}]),
    ],
)
def test_writing_parts(part, nodes):
    assert written(part) == nodes


def test_neighbouring_texts_are_joined_unless_signed():
    signature = Signature("c2ln", Family.GEMINI)
    assert written(
        Text("a"), Text("b", signature=signature), Text("c"), Refusal("d"), Thinking("e"), Thinking("f")
    ) == [
        {"text": "ab", "thoughtSignature": "c2ln"},
        {"text": "cd"},
        {"text": "ef", "thought": True},
    ]


def test_nobody_wants_thoughts():
    assert written(Thinking("hm"), Text("a"), want_thoughts=False) == [{"text": "a"}]


@pytest.mark.parametrize(("reason", "written"), [(FinishReason.LENGTH, 1), (FinishReason.TOOL_CALLS, 2)])
def test_half_a_call_is_not_written_as_if_it_were_whole(reason, written):
    calls = [ToolCall("1", "f", '{"a": 1}'), ToolCall("2", "delete", '{"path": "/')]
    response = answer(*calls, ending=Ending(reason))
    assert str(encode_response(response, context())).count("functionCall") == written


def test_citations():
    own = Text("a", [{"groundingMetadata": {"webSearchQueries": ["q"]}, "other": 1}], "gemini")
    foreign = Text("b", [{"url": "u"}], "openai")
    ctx = context()
    [candidate] = encode_response(answer(own, foreign), ctx)["candidates"]
    assert candidate["groundingMetadata"] == {"webSearchQueries": ["q"]}
    assert "other" not in candidate
    assert ctx.notes == ["citations are not carried"]


@given(responses())
def test_whatever_is_answered_is_written_by_the_grammar(response):
    body = encode_response(response, context(upstream_dialect="claude"))
    check_answer(body)


@given(responses(max_choices=1))
def test_streamed_and_whole_say_the_same(response):
    """What a client adds up from the stream equals what it gets in one piece."""
    frames = encode(GeminiStreamEncoder(context()), to_events(response))
    streamed = collect(decode(GeminiStreamDecoder(context()), frames))
    whole = decode_response(encode_response(response, context()), context())

    def said(answered):
        return [
            [part for part in choice.parts if not (isinstance(part, Text) and not part.text)]
            for choice in answered.choices
        ]

    assert said(streamed) == said(whole)
    assert streamed.usage == whole.usage
    assert [choice.ending for choice in streamed.choices] == [choice.ending for choice in whole.choices]


def test_the_vendors_own_types_accept_it():
    types.GenerateContentResponse.model_validate(
        encode_response(decode_response(ANSWER, context()), context())
    )


@pytest.mark.parametrize(
    ("body", "has_content", "is_finished"),
    [
        ({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, True, False),
        ({"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}, False, True),
        ({"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]}, False, True),
        ({"candidates": [{"content": {"parts": []}, "finishReason": "SAFETY"}]}, True, True),
        ({"candidates": [{"finishReason": "MAX_TOKENS"}]}, True, True),
        ({"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]}, True, False),
        ({"candidates": [{"content": {}}]}, False, False),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, True, True),
        ({"usageMetadata": {"promptTokenCount": 1}}, False, False),
        ({"response": {"candidates": [{"finish_reason": "STOP"}]}}, False, True),
        ({}, False, False),
    ],
)
def test_a_glimpse(body, has_content, is_finished):
    glimpse = inspect_response(body)
    assert (glimpse.has_content, glimpse.is_finished, glimpse.is_terminal) == (
        has_content,
        is_finished,
        False,
    )


def test_a_glimpse_of_usage_and_errors():
    assert inspect_response(ANSWER).usage == Usage(fresh_input=10, output=4, reasoning=6, reported_total=20)
    error = inspect_response({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}}).error
    assert error is not None
    assert (error.kind, error.status) == (Kind.RATE_LIMIT, 429)


def test_a_glimpse_of_frames():
    assert inspect(make_frame(b'{"candidates":[{"finishReason":"STOP"}]}')).is_finished
    assert not inspect(make_frame(b"broken")).has_content
    assert inspect(make_frame(b"[1]")).has_content
    assert not inspect(make_frame(b"null")).has_content


_NODES = st.one_of(
    st.builds(lambda said: {"text": said}, st.text(max_size=3) | st.just('"usageMetadata": {"error"')),
    st.builds(lambda key: {"functionCall": {"name": "f", "args": {key: {"a": 1}}}}, st.text(max_size=3)),
    st.just({"functionCall": {"args": {"usageMetadata": {"totalTokenCount": 9}}}}),
    st.just({"text": "t", "thought": True}),
)
_CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(
            st.fixed_dictionaries(
                {"content": st.fixed_dictionaries({"parts": st.lists(_NODES, max_size=2)})},
                optional={"finishReason": st.just("STOP"), "finish_reason": st.just("SAFETY")},
            ),
            max_size=2,
        ),
        "usageMetadata": st.fixed_dictionaries(
            {},
            optional={
                "promptTokenCount": st.integers(0, 9),
                "promptTokensDetails": st.just([{"modality": "TEXT", "tokenCount": 3}]),
                "trafficType": st.sampled_from(["a", "}", "{"]),
            },
        ),
        "usage_metadata": st.just({"totalTokenCount": 5}),
        "cpaUsageMetadata": st.just({"totalTokenCount": 6}),
        "promptFeedback": st.just({"blockReason": "SAFETY"}),
        "error": st.just({"code": 429, "message": "m"}),
    },
)


@given(_CHUNKS, st.booleans(), st.sampled_from([None, 1]))
def test_a_glimpse_of_a_frame_is_that_of_what_it_holds(chunk, is_wrapped, indent):
    """Of most frames little is parsed; what is seen is the same."""
    body = {"response": chunk} if is_wrapped else chunk
    frame = make_frame(json.dumps(body, indent=indent, ensure_ascii=False).encode())
    assert inspect(frame) == inspect_response(body)


def test_of_a_frame_of_text_only_the_counts_are_parsed():
    chunk = {**ANSWER, "candidates": [{"content": {"parts": [{"text": "t"}]}}]}
    broken = dumps(chunk).replace(b'"candidates"', b"candidates")
    assert inspect(make_frame(broken)) == inspect_response(chunk)


def test_counting():
    assert encode_count(7) == {
        "totalTokens": 7,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
    }
    assert decode_count(encode_count(7)) == 7
    assert decode_count({"total_tokens": 8}) == 8
    assert decode_count({}) is None
