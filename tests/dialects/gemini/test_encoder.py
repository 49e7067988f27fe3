"""Events → what a Gemini client reads, streamed."""

import base64

import pytest
from google.genai import types
from hypothesis import given

from cliproxy.dialects.gemini.decoder import GeminiStreamDecoder
from cliproxy.dialects.gemini.encoder import GeminiStreamEncoder, head_of
from cliproxy.errors import Kind, ProxyError
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Finish,
    ImageDone,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Start,
    StreamError,
    TextDelta,
    ThinkingBreak,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Family, Opaque, Signature, Text, Thinking, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.ir.signatures import read
from cliproxy.wire.jsontext import loads
from support.factories import NOW, make_context
from support.frames import collect, decode, encode
from support.grammar_gemini import check_error, check_stream
from support.ir_strategies import events

START = Start("R", "M", 1_700_000_000)
STOP = [Finish(Ending(FinishReason.STOP)), End()]


def encoder(**overrides):
    return GeminiStreamEncoder(
        make_context(**{"client_dialect": "gemini", "upstream_dialect": "claude", **overrides})
    )


def chunks(*sequence, **overrides):
    return [loads(frame.data) for frame in encode(encoder(**overrides), sequence)]


def parts(*inner, **overrides):
    """The parts of all chunks but the last."""
    written = chunks(START, *inner, *STOP, **overrides)
    return [candidate["content"]["parts"][0] for chunk in written[:-1] for candidate in chunk["candidates"]]


def block(kind, *inner, **fields):
    return [BlockStart(0, kind, **fields), *inner, BlockStop(0)]


def test_a_text_stream():
    sequence = [
        START,
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "Gr\u2028ü"),
        TextDelta(0, ""),
        Ping(),
        TextDelta(0, "ße"),
        BlockStop(0),
        UsageUpdate(Usage(fresh_input=10, output=4, reasoning=6)),
        Finish(Ending(FinishReason.LENGTH)),
        End(),
    ]
    identity = {"modelVersion": "M", "createTime": "2023-11-14T22:13:20Z", "responseId": "R"}

    def said(text, **more):
        return {"content": {"parts": [{"text": text}], "role": "model"}, **more, "index": 0}

    assert chunks(*sequence) == [
        {"candidates": [said("Gr\u2028ü")], **identity},
        {"candidates": [said("ße")], **identity},
        {
            "candidates": [said("", finishReason="MAX_TOKENS")],
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 4,
                "thoughtsTokenCount": 6,
                "totalTokenCount": 20,
            },
            **identity,
        },
    ]


def test_thoughts_in_paragraphs_and_signed():
    thinking = block(
        BlockKind.THINKING,
        ThinkingDelta(0, "one"),
        ThinkingBreak(0),
        ThinkingDelta(0, "two"),
        SignatureDelta(0, "old", Family.CLAUDE),
        SignatureDelta(0, "new", Family.CLAUDE),
    )
    one, two, signature = parts(*thinking)
    assert (one, two) == ({"text": "one", "thought": True}, {"text": "\n\ntwo", "thought": True})
    carried = signature.pop("thoughtSignature")
    assert signature == {"text": "", "thought": True}
    assert read(carried, Family.GEMINI) == Signature("new", Family.CLAUDE)
    assert base64.b64decode(carried, validate=True)


def test_a_leading_break_is_no_paragraph():
    assert parts(*block(BlockKind.THINKING, ThinkingBreak(0), ThinkingDelta(0, "one"))) == [
        {"text": "one", "thought": True}
    ]


def test_its_own_signatures_travel_as_they_are():
    signature = SignatureDelta(0, "c2ln", Family.GEMINI)
    assert parts(*block(BlockKind.TEXT, TextDelta(0, "a"), signature))[1] == {
        "text": "",
        "thoughtSignature": "c2ln",
    }
    assert parts(*block(BlockKind.REDACTED, signature)) == [
        {"text": "", "thought": True, "thoughtSignature": "c2ln"}
    ]


def test_nobody_wants_thoughts():
    thinking = block(BlockKind.THINKING, ThinkingDelta(0, "one"), SignatureDelta(0, "c2ln", Family.GEMINI))
    assert parts(*thinking, want_thoughts=False) == []


@pytest.mark.parametrize(
    ("inner", "arguments"),
    [
        ([ArgsDelta(0, '{"a"'), ArgsDelta(0, ":1}")], {"a": 1}),
        ([ArgsDone(0, '{"a":1}')], {"a": 1}),
        ([ArgsDelta(0, '{"a":1}'), ArgsDone(0, '{"a":1}')], {"a": 1}),
        ([], {}),
        ([ArgsDelta(0, '{"a": "half')], {}),
    ],
)
def test_a_call_is_written_whole(inner, arguments):
    call = block(BlockKind.TOOL_CALL, *inner, call_id="c", name="f")
    assert parts(*call) == [{"functionCall": {"id": "c", "name": "f", "args": arguments}}]


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER, None])
def test_half_a_call_is_not_written_as_if_it_were_whole(reason):
    """A client runs any call it gets, whatever the reason for the end is."""
    call = block(BlockKind.TOOL_CALL, ArgsDelta(0, '{"path": "/'), call_id="c", name="delete")
    end = [End(clean=False)] if reason is None else [Finish(Ending(reason)), End()]
    written = chunks(START, *call, *end)
    assert "functionCall" not in str(written)
    assert written[-1]["candidates"][0]["finishReason"] != "STOP"


def test_a_whole_call_stays_though_the_answer_was_cut_off():
    calls = block(BlockKind.TOOL_CALL, ArgsDelta(0, '{"a":1}'), name="f")
    calls += [BlockStart(1, BlockKind.TOOL_CALL, name="g"), ArgsDelta(1, "{"), BlockStop(1)]
    written = chunks(START, *calls, Finish(Ending(FinishReason.LENGTH)), End())
    assert str(written).count("functionCall") == 1


def test_calls_get_the_clients_names_and_ids_back():
    call = block(BlockKind.TOOL_CALL, call_id="up", name="f_", item_id="x")
    [part] = parts(*call, tool_names={"f_": "f!"}, call_ids={"up": "mine"})
    assert part == {"functionCall": {"id": "mine", "name": "f!", "args": {}}}
    assert parts(*block(BlockKind.TOOL_CALL, name="f")) == [{"functionCall": {"name": "f", "args": {}}}]


def test_free_text_calls_and_signatures_of_calls():
    custom = block(
        BlockKind.CUSTOM_TOOL_CALL, ArgsDelta(0, "raw"), SignatureDelta(0, "c2ln", Family.GEMINI), name="p"
    )
    assert parts(*custom) == [
        {"functionCall": {"name": "p", "args": {"input": "raw"}}, "thoughtSignature": "c2ln"}
    ]


def test_overlapping_calls():
    sequence = [
        BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="f"),
        BlockStart(1, BlockKind.TOOL_CALL, call_id="b", name="g"),
        ArgsDelta(1, '{"y":'),
        ArgsDelta(0, "{}"),
        ArgsDelta(1, "2}"),
        BlockStop(1),
        BlockStop(0),
    ]
    assert [part["functionCall"] for part in parts(*sequence)] == [
        {"id": "b", "name": "g", "args": {"y": 2}},
        {"id": "a", "name": "f", "args": {}},
    ]


def test_images_and_what_only_this_dialect_has():
    image = [ImageDone(0, "image/png", "AA=="), SignatureDelta(0, "c2ln", Family.GEMINI)]
    assert parts(*block(BlockKind.IMAGE, *image)) == [
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "c2ln"}
    ]
    assert parts(*block(BlockKind.IMAGE, ImageDone(0, "image/png", "AA==", partial=True))) == []
    code = {"executableCode": {"code": "1"}}
    assert parts(*block(BlockKind.OPAQUE, OpaqueBlock(0, Opaque("gemini", "executableCode", code)))) == [code]
    assert parts(*block(BlockKind.OPAQUE, OpaqueBlock(0, Opaque("claude", "x", {"a": 1})))) == []


def test_citations_are_told_at_the_end():
    grounding = {"groundingMetadata": {"webSearchQueries": ["q"]}}
    cited = block(
        BlockKind.TEXT,
        TextDelta(0, "a"),
        Annotation(0, grounding, "gemini"),
        Annotation(0, {"url": "u"}, "openai"),
    )
    writer = encoder()
    last = loads(encode(writer, [START, *cited, *STOP])[-1].data)
    assert last["candidates"][0]["groundingMetadata"] == grounding["groundingMetadata"]
    assert writer._ctx.notes == ["citations are not carried"]


def test_several_candidates():
    sequence = [
        START,
        BlockStart(0, BlockKind.TEXT, 1),
        TextDelta(0, "b"),
        BlockStop(0),
        Finish(Ending(FinishReason.LENGTH), 1),
        Finish(Ending(FinishReason.STOP), 0),
        End(),
    ]
    first, last = chunks(*sequence)
    assert first["candidates"][0]["index"] == 1
    assert [(one["index"], one["finishReason"]) for one in last["candidates"]] == [
        (0, "STOP"),
        (1, "MAX_TOKENS"),
    ]


def test_what_nobody_opened_or_closed():
    """Deltas of unknown blocks open them; the end closes what is open."""
    assert parts(TextDelta(3, "a"), ArgsDelta(4, "{}"), BlockStop(9)) == [
        {"text": "a"},
        {"functionCall": {"name": "", "args": {}}},
    ]


def test_an_answer_without_anything():
    [only] = chunks()
    assert only["candidates"] == [
        {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}
    ]
    assert only["modelVersion"] == "upstream-model"
    assert only["responseId"]
    assert "usageMetadata" not in only


def test_an_answer_that_was_cut_off_does_not_look_complete():
    assert chunks(START, End(clean=False))[-1]["candidates"][0]["finishReason"] == "OTHER"


def test_nothing_follows_the_end_or_an_error():
    writer = encoder()
    assert repr(writer) == "<GeminiStreamEncoder new, 0 blocks>"
    writer.encode(START)
    writer.encode(BlockStart(0, BlockKind.TEXT))
    assert repr(writer) == "<GeminiStreamEncoder open, 1 blocks>"
    [frame] = writer.error(ProxyError("overloaded", kind=Kind.OVERLOADED))
    check_error(loads(frame.data))
    # The vendor's Python client looks for exactly this beginning, and takes an event name for JSON.
    assert frame.raw.startswith(b'data: {"error":')
    assert repr(writer) == "<GeminiStreamEncoder over, 1 blocks>"
    assert writer.encode(TextDelta(0, "a")) == writer.finish() == []


def test_the_first_identity_counts():
    first, last = chunks(START, *block(BlockKind.TEXT, TextDelta(0, "a")), Start("other", "other"), *STOP)
    assert (first["responseId"], last["responseId"]) == ("R", "R")


def test_an_error_event_is_left_to_the_exchange():
    assert encoder().encode(StreamError(Kind.UPSTREAM, "m")) == []


@pytest.mark.parametrize(
    ("start", "overrides", "head"),
    [
        (("", "", 0), {}, ("upstream-model", "2023-11-14T22:13:20Z", "0" * 23 + "1")),
        (("R", "M", 5), {"shown_model": "shown"}, ("shown", "1970-01-01T00:00:05Z", "R")),
        (("R", "M", 10**20), {}, ("M", "1970-01-01T00:00:00Z", "R")),
    ],
)
def test_what_every_chunk_says(start, overrides, head):
    ctx = make_context(**overrides)
    assert ctx.now == NOW
    assert tuple(head_of(*start, ctx).values()) == head


@given(events(failing=False))
def test_whatever_happens_is_written_by_the_grammar(sequence):
    frames = encode(encoder(), sequence)
    check_stream([frame.data for frame in frames])
    for frame in frames:
        assert frame.raw == b"data: " + frame.data + b"\n\n"


@given(
    events(
        finished=True,
        failing=False,
        kinds=[BlockKind.TEXT, BlockKind.TOOL_CALL, BlockKind.IMAGE, BlockKind.REFUSAL],
    )
)
def test_the_vendors_own_types_accept_it(sequence):
    for frame in encode(encoder(), sequence):
        types.GenerateContentResponse.model_validate(loads(frame.data))


def test_the_vendors_own_types_accept_a_foreign_signature():
    thinking = block(BlockKind.THINKING, ThinkingDelta(0, "a"), SignatureDelta(0, "ErUB-_", Family.CLAUDE))
    for chunk in chunks(START, *thinking, *STOP):
        types.GenerateContentResponse.model_validate(chunk)


RESPONSE = IRResponse(
    id="R",
    model="M",
    choices=[
        Choice(
            [
                Thinking("hm", Signature("c2ln", Family.GEMINI)),
                Text("Yes", signature=Signature("eA==", Family.GEMINI)),
                ToolCall("a", "f", '{"x":1}', signature=Signature("eQ==", Family.GEMINI)),
                ToolCall("b", "g", "{}"),
            ],
            Ending(FinishReason.TOOL_CALLS, native="STOP"),
        )
    ],
    usage=Usage(fresh_input=3, output=2, reasoning=1, reported_total=6),
    created=1_700_000_000,
)


def test_a_stream_of_this_dialect_comes_back():
    frames = encode(encoder(upstream_dialect="gemini"), to_events(RESPONSE))
    reader = GeminiStreamDecoder(make_context(client_dialect="gemini"))
    assert collect(decode(reader, frames)) == RESPONSE


@given(events(finished=True, failing=False, max_choices=1, overlapping=False))
def test_no_inflation(sequence):
    """Read and written again, a stream has no more chunks than before, but for the last one."""
    frames = encode(encoder(), sequence)
    reader = GeminiStreamDecoder(make_context(client_dialect="gemini"))
    again = encode(encoder(), decode(reader, frames))
    assert len(again) <= len(frames)
    third = encode(encoder(), decode(GeminiStreamDecoder(make_context(client_dialect="gemini")), again))
    assert [frame.data for frame in third] == [frame.data for frame in again]
