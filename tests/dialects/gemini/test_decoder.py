"""Answers of an upstream → events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects import by_id
from cliproxy.dialects.gemini.decoder import GeminiStreamDecoder
from cliproxy.errors import Kind
from cliproxy.ir.events import (
    Annotation,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Finish,
    ImageDone,
    OpaqueBlock,
    SignatureDelta,
    Start,
    StreamError,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Family, Image, Inline, Opaque, Signature, Text, Thinking, ToolCall
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import dumps
from cliproxy.wire.sse import make_frame
from support.factories import make_context
from support.frames import collect, cuts_of, decode, decode_cut, json_frames, one_byte_cuts, parse
from support.ir_strategies import json_values

COUNTS = {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}
USAGE = Usage(fresh_input=10, output=4, reported_total=14)
SIG = "c2ln"


def chunk(*parts, reason=None, index=0, **members):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    if reason:
        candidate["finishReason"] = reason
    return {"candidates": [candidate], **members}


def decoder(**overrides):
    return GeminiStreamDecoder(
        make_context(**{"client_dialect": "claude", "upstream_dialect": "gemini", **overrides})
    )


def events(*chunks, **overrides):
    return decode(decoder(**overrides), json_frames(chunks))


def parts(*chunks, **overrides):
    return collect(events(*chunks, **overrides)).choices[0].parts


def test_a_text():
    first = chunk({"text": "Hel"}, responseId="R", modelVersion="M", createTime="2023-11-14T22:13:20Z")
    assert events(first, chunk({"text": "lo"}, reason="STOP", usageMetadata=COUNTS)) == [
        Start("R", "M", 1_700_000_000),
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        UsageUpdate(USAGE),
        BlockStop(0),
        Finish(Ending(FinishReason.STOP, native="STOP")),
        End(clean=True),
    ]


def test_a_reason_before_the_counts_and_repeated_ends_once():
    sequence = events(
        chunk({"text": "a"}, reason="STOP"),
        chunk({"text": "b"}, reason="STOP", usageMetadata=COUNTS),
        {"usageMetadata": COUNTS},
    )
    assert [event for event in sequence if isinstance(event, Finish)] == [
        Finish(Ending(FinishReason.STOP, "STOP"))
    ]
    assert isinstance(sequence[-2], Finish)
    assert collect(sequence).usage == USAGE


def test_thoughts_then_text():
    sequence = events(
        chunk({"text": "hm", "thought": True}),
        chunk({"text": "so", "thought": True, "thoughtSignature": SIG}, {"text": "Yes"}, reason="STOP"),
    )
    assert sequence[1:-2] == [
        BlockStart(0, BlockKind.THINKING),
        ThinkingDelta(0, "hm"),
        ThinkingDelta(0, "so"),
        SignatureDelta(0, SIG, Family.GEMINI),
        BlockStop(0),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "Yes"),
        BlockStop(1),
    ]


def test_an_empty_text_signs_the_open_block():
    assert parts(
        chunk({"text": "hm", "thought": True}), chunk({"text": "", "thoughtSignature": SIG}, reason="STOP")
    ) == [Thinking("hm", Signature(SIG, Family.GEMINI))]
    assert parts(chunk({"text": "Yes"}), chunk({"text": "", "thoughtSignature": SIG}, reason="STOP")) == [
        Text("Yes", signature=Signature(SIG, Family.GEMINI))
    ]


def test_a_signature_on_visible_text_does_not_make_it_a_thought():
    assert parts(chunk({"text": "Yes", "thoughtSignature": SIG}, {"text": "No"}, reason="STOP")) == [
        Text("Yes", signature=Signature(SIG, Family.GEMINI)),
        Text("No"),
    ]


def test_a_signature_with_nothing_to_sign_is_hidden_reasoning():
    hidden = [Thinking(redacted=Signature(SIG, Family.GEMINI))]
    assert parts(chunk({"text": "", "thoughtSignature": SIG}, reason="STOP")) == hidden
    assert parts(chunk({"thoughtSignature": SIG}, reason="STOP")) == hidden
    call = {"functionCall": {"id": "a", "name": "f"}}
    assert parts(chunk(call, {"text": "", "thoughtSignature": SIG}, reason="STOP"))[1:] == hidden


def test_empty_text_says_nothing():
    assert events(chunk({"text": ""}, reason="STOP"))[1:] == [
        Finish(Ending(FinishReason.STOP, "STOP")),
        End(),
    ]


def test_several_calls_in_a_chunk_and_text_in_the_last():
    sequence = events(
        chunk(
            {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": SIG},
            {"functionCall": {"id": "own", "name": "g.h", "args": {}}},
        ),
        chunk({"text": "done"}, reason="STOP"),
    )
    assert sequence[1:-2] == [
        BlockStart(0, BlockKind.TOOL_CALL, call_id="f-00000001", name="f"),
        SignatureDelta(0, SIG, Family.GEMINI),
        ArgsDone(0, '{"a":1}'),
        BlockStop(0),
        BlockStart(1, BlockKind.TOOL_CALL, call_id="own", name="g.h"),
        ArgsDone(1, "{}"),
        BlockStop(1),
        BlockStart(2, BlockKind.TEXT),
        TextDelta(2, "done"),
        BlockStop(2),
    ]
    assert sequence[-2] == Finish(Ending(FinishReason.TOOL_CALLS, "STOP"))


def test_ids_are_made_of_names_that_any_dialect_takes():
    [call] = parts(chunk({"functionCall": {"name": "a.b:c-d", "args": {}}}, reason="STOP"))
    assert call.id == "a_b_c-d-00000001"


def test_a_client_of_this_dialect_does_without_ids():
    [call] = parts(chunk({"functionCall": {"name": "f", "args": {}}}, reason="STOP"), client_dialect="gemini")
    assert call.id == ""


def test_a_call_without_a_name_continues_the_one_before():
    assert parts(
        chunk({"functionCall": {"id": "a", "name": "f", "args": {"a": 1}}}),
        chunk({"functionCall": {"args": {"b": 2}}, "thoughtSignature": SIG}, reason="STOP"),
    ) == [ToolCall("a", "f", '{"a":1,"b":2}', signature=Signature(SIG, Family.GEMINI))]


def test_arguments_that_are_no_object():
    assert parts(
        chunk({"functionCall": {"id": "a", "name": "f", "args": "{x: 1}"}}),
        chunk({"functionCall": {"id": "b", "name": "f", "args": [1]}}, reason="STOP"),
    ) == [ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", '{"value":[1]}')]


def test_an_image():
    image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": SIG}
    sequence = events(chunk({"text": "see"}, image, reason="STOP"))
    assert ImageDone(1, "image/png", "AA==") in sequence
    assert collect(sequence).choices[0].parts[1] == Image(
        Inline("image/png", "AA=="), signature=Signature(SIG, Family.GEMINI)
    )


@pytest.mark.parametrize(
    "raw",
    [
        {"executableCode": {"code": "1"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}},
        {"fileData": {"fileUri": "https://x", "mimeType": "image/png"}},
    ],
)
def test_what_no_other_dialect_has_is_opaque(raw):
    part = Opaque("gemini", next(iter(raw)), raw)
    assert OpaqueBlock(0, part) in events(chunk(raw, reason="STOP"))


def test_citations_belong_to_the_text():
    grounding = {"webSearchQueries": ["q"]}
    answer = chunk({"text": "a"}, reason="STOP")
    answer["candidates"][0]["groundingMetadata"] = grounding
    told = events(answer, client_dialect="gemini")
    assert Annotation(0, {"groundingMetadata": grounding}, "gemini") in told


def test_other_clients_are_told_the_pages_once_each():
    """The metadata grows from chunk to chunk, and repeats what it said."""
    pages = [{"uri": f"https://e.com/{number}", "title": f"T{number}"} for number in range(2)]
    first, last = chunk({"text": "a"}), chunk({"text": "b"}, reason="STOP")
    first["candidates"][0]["groundingMetadata"] = {"groundingChunks": [{"web": pages[0]}]}
    last["candidates"][0] |= {
        "groundingMetadata": {
            "groundingChunks": [{"web": {**pages[0], "domain": "e.com"}}, {"web": pages[1]}, {"maps": {}}]
        },
        "citationMetadata": {"citationSources": [{"uri": "https://e.com/c", "startIndex": 1}, {}]},
    }
    told = [event.citation for event in events(first, last) if isinstance(event, Annotation)]
    assert told == [pages[0], {"uri": "https://e.com/c", "title": ""}, pages[1]]


@pytest.mark.parametrize("client", ["openai", "openai-response"])
def test_pages_reach_the_client(client):
    answer = chunk({"text": "a"}, reason="STOP")
    answer["candidates"][0]["groundingMetadata"] = {
        "groundingChunks": [{"web": {"uri": "https://e.com", "title": "T"}}]
    }
    ctx = make_context(client_dialect=client, upstream_dialect="gemini")
    response = collect(decode(GeminiStreamDecoder(ctx), json_frames([answer])))
    assert b'"url":"https://e.com"' in dumps(by_id(client).encode_response(response, ctx))


def test_citations_without_a_text_are_noted():
    answer = chunk(reason="STOP")
    answer["candidates"][0]["citation_metadata"] = {"citations": []}
    reader = decoder()
    assert not any(isinstance(event, Annotation) for event in decode(reader, json_frames([answer])))
    assert reader._ctx.notes == ["citations without a text are not carried"]


def test_several_candidates():
    response = collect(
        events(
            {
                "candidates": [
                    {"content": {"parts": [{"text": "a"}]}},
                    {"content": {"parts": [{"text": "b"}]}, "index": 1},
                ]
            },
            chunk({"text": "B"}, reason="MAX_TOKENS", index=1),
            chunk({"text": "A"}, reason="STOP"),
        )
    )
    assert [(choice.index, choice.parts, choice.ending.reason) for choice in response.choices] == [
        (0, [Text("aA")], FinishReason.STOP),
        (1, [Text("bB")], FinishReason.LENGTH),
    ]


@pytest.mark.parametrize("spelling", ["promptFeedback", "prompt_feedback"])
def test_a_refused_prompt(spelling):
    answer = {spelling: {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    assert events(answer)[-2:] == [
        Finish(Ending(FinishReason.CONTENT_FILTER, native="PROHIBITED_CONTENT")),
        End(clean=True),
    ]


def test_an_error_ends_everything():
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    reader = decoder()
    sequence = decode(reader, json_frames([chunk({"text": "a"}), error, chunk({"text": "b"})]))
    assert isinstance(sequence[-1], StreamError)
    assert (sequence[-1].kind, sequence[-1].status) == (Kind.UNAVAILABLE, 503)
    assert TextDelta(0, "b") not in sequence
    assert repr(reader) == "<GeminiStreamDecoder over, 1 blocks>"


def test_without_a_reason_the_end_is_not_clean():
    assert events(chunk({"text": "a"}))[-2:] == [BlockStop(0), End(clean=False)]
    assert events() == [Start("", ""), End(clean=False)]
    two = {"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": 1}]}
    assert events(two)[-1] == End(clean=False)


def test_the_end_comes_once():
    reader = decoder()
    assert repr(reader) == "<GeminiStreamDecoder new, 0 blocks>"
    reader.feed(make_frame(dumps(chunk({"text": "a"}, reason="STOP"))))
    assert repr(reader) == "<GeminiStreamDecoder open, 1 blocks>"
    assert reader.finish()[-1] == End(clean=True)
    assert reader.finish() == []
    assert reader.feed(make_frame(b"{}")) == []


def test_wrapped_listed_and_noisy_chunks():
    answer = chunk({"text": "a"}, reason="STOP", responseId="R")
    expected = events(answer)
    assert events({"response": answer, "traceId": "t"}) == expected
    assert events([answer]) == expected
    assert (
        decode(decoder(), parse(b": hello\n\ndata: [DONE]\n\ndata: ping\n\n" + make_frame(dumps(answer)).raw))
        == expected
    )


def test_counts_of_the_first_chunk_are_known_from_the_start():
    start = events(chunk({"text": "a"}, responseId="R", usageMetadata={"promptTokenCount": 9}))[0]
    assert start == Start("R", "", usage=Usage(fresh_input=9))


def test_counts_before_the_last_under_another_name():
    assert UsageUpdate(USAGE) in events(chunk({"text": "a"}, cpaUsageMetadata=COUNTS))


@pytest.mark.parametrize("created", ["yesterday", "", "9999-99-99"])
def test_times_that_are_none(created):
    assert events({"createTime": created})[0] == Start("", "")


TRANSCRIPT = (
    b'data: {"candidates":[{"content":{"parts":[{"text":"\xf0\x9f\xa6\x8a\\u2028","thought":true}],'
    b'"role":"model"}}]}\r\n\r\n'
    b'data: {"candidates":[{"content":{"parts":[{"text":"Gr\xc3\xbc\xe2\x80\xa8\xc3\x9fe"}]}}],'
    b'"responseId":"R"}\r\n\r\n'
    b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"a","name":"f","args":{"x":"\xc3\xa9"}'
    b'}}]},\r\ndata: "finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":1,"totalTokenCount":1}}\r\n\r\n'
)


@given(cuts_of(TRANSCRIPT))
def test_cutting_changes_nothing(cuts):
    assert decode_cut(decoder(), TRANSCRIPT, cuts) == decode_cut(decoder(), TRANSCRIPT, [])


def test_byte_by_byte():
    sequence = decode_cut(decoder(), TRANSCRIPT, one_byte_cuts(TRANSCRIPT))
    assert sequence == decode_cut(decoder(), TRANSCRIPT, [])
    assert TextDelta(1, "Grü\u2028ße") in sequence
    assert sequence[-1] == End(clean=True)


wild_parts = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ["text", "thought", "thoughtSignature", "functionCall", "inlineData", "fileData"], json_values
    ),
)
wild = st.fixed_dictionaries(
    {},
    optional={
        "candidates": json_values
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "content": json_values
                    | st.builds(lambda p: {"parts": p}, st.lists(wild_parts, max_size=3)),
                    "index": json_values,
                    "finishReason": json_values,
                },
            ),
            max_size=3,
        ),
        "usageMetadata": json_values,
        "promptFeedback": json_values,
        "error": json_values,
        "response": json_values,
    },
)


@given(st.lists(json_values | wild, max_size=4))
def test_reading_is_total_and_orderly(values):
    """Whatever comes, the promises about the order of events hold."""
    opened, closed = set(), set()
    sequence = decode(decoder(), json_frames(values))
    assert isinstance(sequence[0], Start | StreamError)
    assert isinstance(sequence[-1], End | StreamError)
    for event in sequence[1:-1]:
        if isinstance(event, BlockStart):
            assert event.index == len(opened)
            opened.add(event.index)
        elif hasattr(event, "index"):
            assert event.index in opened - closed
            if isinstance(event, BlockStop):
                closed.add(event.index)
    assert isinstance(sequence[-1], StreamError) or opened == closed
