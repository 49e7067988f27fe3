"""Streams of chat upstreams, the vendor's and those of servers with ways of their own."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_chat.decoder import ChatStreamDecoder
from cliproxy.dialects.openai_chat.encoder import ChatStreamEncoder
from cliproxy.dialects.openai_chat.response import decode_response, encode_response
from cliproxy.errors import Kind
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
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
from cliproxy.ir.request import Family, Opaque
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.sse import Frame
from support import ir_strategies
from support.chat_wire import call, chunk
from support.factories import make_context
from support.frames import collect, cuts_of, decode, decode_cut, encode, json_frames, one_byte_cuts, parse

DONE = b"[DONE]"
STOPPED = Finish(Ending(FinishReason.STOP, "stop"))
STARTED = Start("c1", "m", 5)


def events_of(*values: object, ends: bool = True) -> list[Event]:
    frames = json_frames([*values, DONE] if ends else values)
    return decode(ChatStreamDecoder(make_context()), frames)


def inner(*deltas: dict) -> list[Event]:
    """Decode deltas of a stream that stops; return what lies between the start and the finish reason."""
    events = events_of(*(chunk(delta) for delta in deltas), chunk(finish_reason="stop"))
    assert events[0] == STARTED
    assert isinstance(events[-2], Finish)
    assert events[-1] == End()
    return events[1:-2]


def test_plain_stream():
    assert events_of(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        chunk(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}),
    ) == [
        STARTED,
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        UsageUpdate(Usage(fresh_input=7, output=2, reported_total=9)),
        BlockStop(0),
        STOPPED,
        End(),
    ]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "t"},
        {"reasoning": "t"},
        {"reasoning_content": ["t"]},
        {"reasoning": [{"text": "t"}]},
        {"reasoning": {"text": "t"}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "t"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "t"}]},
        {"reasoning": "t", "reasoning_details": [{"text": "t"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]},
    ],
)
def test_spellings_of_reasoning(delta):
    told = [event for event in inner(delta) if not isinstance(event, ExtrasUpdate)]
    assert told == [BlockStart(0, BlockKind.THINKING), ThinkingDelta(0, "t"), BlockStop(0)]


def test_reasoning_and_text_take_turns():
    assert inner({"reasoning_content": "a"}, {"content": "b"}, {"reasoning_content": "c"}) == [
        BlockStart(0, BlockKind.THINKING),
        ThinkingDelta(0, "a"),
        BlockStop(0),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "b"),
        BlockStop(1),
        BlockStart(2, BlockKind.THINKING),
        ThinkingDelta(2, "c"),
        BlockStop(2),
    ]


def test_content_as_a_list_of_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}, {"type": "strange"}, "c"]
    said = [event for event in inner({"content": parts}) if isinstance(event, TextDelta)]
    assert [event.text for event in said] == ["a", "b", "c"]
    assert inner({"content": [7]}, {"content": 7}) == []


def test_refusal():
    events = events_of(chunk({"refusal": "no"}), chunk(finish_reason="stop"))
    assert BlockStart(0, BlockKind.REFUSAL) in events
    assert Finish(Ending(FinishReason.REFUSAL, "stop")) in events


def test_call():
    assert inner(
        call(id="a", name="f", arguments=""),
        call(arguments='{"x"'),
        call(arguments=":1}"),
        {"content": "late"},
    ) == [
        BlockStart(0, BlockKind.TOOL_CALL, 0, "a", "f"),
        ArgsDelta(0, '{"x"'),
        ArgsDelta(0, ":1}"),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "late"),
        BlockStop(1),
        BlockStop(0),
    ]


def test_text_ends_where_a_call_begins():
    events = inner({"content": "a"}, call(id="a", name="f", arguments="{}"))
    assert events[2:4] == [BlockStop(0), BlockStart(1, BlockKind.TOOL_CALL, 0, "a", "f")]


CALL_STREAMS = {
    "name later": ([call(id="a"), call(name="f"), call(arguments="{}")], [("a", "f", "{}")]),
    "arguments before the name": (
        [call(id="a", arguments="{"), call(name="f", arguments="}")],
        [("a", "f", "{}")],
    ),
    "all at once": ([call(id="a", name="f", arguments="{}")], [("a", "f", "{}")]),
    "id and name in every chunk": (
        [call(id="a", name="f", arguments="{"), call(id="a", name="f", arguments="}")],
        [("a", "f", "{}")],
    ),
    "empty id and name in continuations": (
        [call(id="a", name="f", arguments="{"), call(id="", name="", arguments="}")],
        [("a", "f", "{}")],
    ),
    "always index 0": (
        [call(id="a", name="f", arguments="{}"), call(id="b", name="g", arguments="[]")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "no index": (
        [call(None, id="a", name="f", arguments="{"), call(None, arguments="}")],
        [("a", "f", "{}")],
    ),
    "arguments as an object": ([call(id="a", name="f", arguments={"x": 1})], [("a", "f", '{"x":1}')]),
    "interleaved": (
        [
            call(0, id="a", name="f"),
            call(1, id="b", name="g"),
            call(0, arguments="1"),
            call(1, arguments="2"),
        ],
        [("a", "f", "1"), ("b", "g", "2")],
    ),
    "never a name": ([call(2, id="a", arguments="{}")], [("a", "tool_2", "{}")]),
    "never an id": ([call(name="f", arguments="{}")], [("call_000000000000000000000001", "f", "{}")]),
    "older form": (
        [{"function_call": {"name": "f"}}, {"function_call": {"arguments": "{}"}}],
        [("call_000000000000000000000001", "f", "{}")],
    ),
    "nothing but an index": ([call(0)], []),
    "an index for a second call, without ids": (
        [call(name="f", arguments='{"a":'), call(arguments="1}"), call(name="f", arguments="{}")],
        [("call_000000000000000000000001", "f", '{"a":1}'), ("call_000000000000000000000002", "f", "{}")],
    ),
    "name again while the arguments go on": (
        [call(id="a", name="f", arguments='{"a":'), call(name="f", arguments="1}"), call(name="f")],
        [("a", "f", '{"a":1}')],
    ),
    "name again for the next one, after a space": (
        [call(id="a", name="f", arguments="{}"), call(arguments="\n"), call(name="g", arguments="{}")],
        [("a", "f", "{}\n"), ("call_000000000000000000000001", "g", "{}")],
    ),
    "the whole call again at the end": (
        [call(id="a", name="f"), call(arguments='{"a":1}'), call(id="a", name="f", arguments='{"a":1}')],
        [("a", "f", '{"a":1}')],
    ),
    "id after everything else": (
        [call(name="f", arguments="{}"), call(id="a")],
        [("a", "f", "{}")],
    ),
}


@pytest.mark.parametrize(("deltas", "expected"), CALL_STREAMS.values(), ids=CALL_STREAMS.keys())
def test_calls_of_all_kinds_of_servers(deltas, expected):
    events = events_of(*(chunk(delta) for delta in deltas), chunk(finish_reason="tool_calls"))
    [choice] = collect(events).choices
    assert [(part.id, part.name, part.arguments) for part in choice.parts] == expected


def test_custom_call():
    def custom(**members: str) -> dict:
        return {"tool_calls": [{"index": 0, "custom": members}]}

    start = custom(name="patch")
    start["tool_calls"][0] |= {"id": "a", "type": "custom"}
    assert inner(start, custom(input="raw")) == [
        BlockStart(0, BlockKind.CUSTOM_TOOL_CALL, 0, "a", "patch"),
        ArgsDelta(0, "raw"),
        BlockStop(0),
    ]


def test_signature_of_a_call():
    delta = call(id="a", name="f", arguments="{}")
    delta["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "c2ln"}}
    assert SignatureDelta(0, "c2ln", Family.GEMINI) in inner(delta)


def test_image():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    remote = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert inner({"content": "x"}, {"images": [image, remote, {}]})[2:] == [
        BlockStop(0),
        BlockStart(1, BlockKind.IMAGE),
        ImageDone(1, "image/png", "AA=="),
        BlockStop(1),
        BlockStart(2, BlockKind.OPAQUE),
        OpaqueBlock(2, Opaque("openai", "image_url", remote)),
        BlockStop(2),
    ]


def test_image_among_the_parts_of_content():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert ImageDone(0, "image/png", "AA==") in inner({"content": [image]})


def test_sound_is_told_in_its_pieces():
    """Its id comes in every piece or in the first; told twice it would be joined like the rest."""
    deltas = [{"audio": {"id": "a", "data": "AA"}}, {"audio": {"id": "a", "data": "AA", "transcript": "la"}}]
    events = inner(*deltas, {"audio": {"expires_at": 5}})
    assert events == [
        BlockStart(0, BlockKind.OPAQUE),
        OpaqueBlock(0, Opaque("openai", "audio", {"id": "a", "data": "AA"})),
        OpaqueBlock(0, Opaque("openai", "audio", {"data": "AA", "transcript": "la"})),
        OpaqueBlock(0, Opaque("openai", "audio", {"expires_at": 5})),
        BlockStop(0),
    ]
    [whole] = collect([STARTED, *events]).choices[0].parts
    assert whole.raw == {"id": "a", "data": "AAAA", "transcript": "la", "expires_at": 5}


def test_citations_belong_to_open_text():
    link = {"type": "url_citation", "url_citation": {"url": "https://e.com"}}
    assert Annotation(0, link, "openai") in inner({"content": "x"}, {"annotations": [link]})


def test_citations_of_no_open_text_are_told_to_clients_of_this_dialect_only():
    link = {"type": "url_citation", "url_citation": {"url": "https://e.com"}}
    assert inner({"annotations": [link]}) == [
        ExtrasUpdate({"openai": {"message": {"annotations": [link]}}}, 0)
    ]


@pytest.mark.parametrize(
    ("word", "deltas", "reason"),
    [
        ("stop", [{"content": "x"}], FinishReason.STOP),
        ("length", [{"content": "x"}], FinishReason.LENGTH),
        ("max_tokens", [{"content": "x"}], FinishReason.LENGTH),
        ("content_filter", [], FinishReason.CONTENT_FILTER),
        ("function_call", [call(id="a", name="f")], FinishReason.TOOL_CALLS),
        ("stop", [call(id="a", name="f")], FinishReason.TOOL_CALLS),
        ("length", [call(id="a", name="f")], FinishReason.LENGTH),
        ("tool_calls", [{"content": "x"}], FinishReason.STOP),
        ("eos", [{"content": "x"}], FinishReason.STOP),
    ],
)
def test_finish_reason(word, deltas, reason):
    events = events_of(*(chunk(delta) for delta in deltas), chunk(finish_reason=word))
    assert Finish(Ending(reason, word)) in events


def test_native_word_of_a_relay_is_preferred():
    value = chunk(finish_reason="stop")
    value["choices"][0]["native_finish_reason"] = "STOP"
    assert Finish(Ending(FinishReason.STOP, "STOP")) in events_of(value)


def test_usage_in_every_chunk_is_told_when_it_changes():
    first, second = {"prompt_tokens": 1, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": 2}
    events = events_of(
        chunk({"content": "a"}, usage=first),
        chunk({"content": "b"}, usage=first),
        chunk({}, "stop", usage=second),
        chunk({"content": ""}, usage=None),
    )
    told = [event.usage.output for event in events if isinstance(event, UsageUpdate)]
    assert told == [1, 2]


def test_usage_inside_a_choice():
    value = chunk({}, "stop")
    value["choices"][0]["usage"] = {"prompt_tokens": 1, "completion_tokens": 2}
    assert UsageUpdate(Usage(fresh_input=1, output=2)) in events_of(value)


def test_usage_before_everything_else_does_not_precede_the_start():
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    assert events_of(chunk(choices=[], usage=usage))[:2] == [
        STARTED,
        UsageUpdate(Usage(fresh_input=1, output=2)),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["length", "stop"], FinishReason.LENGTH),
        (["stop", "length"], FinishReason.LENGTH),
        (["length", "tool_calls"], FinishReason.LENGTH),
        (["content_filter", "length"], FinishReason.CONTENT_FILTER),
        (["stop", "stop"], FinishReason.STOP),
    ],
)
def test_of_several_finish_reasons_the_most_telling_one_counts(words, reason):
    events = events_of(chunk({"content": "a"}), *(chunk({}, word) for word in words))
    assert [event.ending.reason for event in events if isinstance(event, Finish)] == [reason]


def test_several_choices():
    value = chunk()
    value["choices"] = [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]
    ends = chunk()
    ends["choices"] = [{"index": 0, "finish_reason": "stop"}, {"index": 1, "finish_reason": "length"}]
    choices = collect(events_of(value, ends)).choices
    assert [(choice.parts[0].text, choice.ending.reason) for choice in choices] == [
        ("a", FinishReason.STOP),
        ("b", FinishReason.LENGTH),
    ]


def test_last_chunk_with_a_whole_message():
    def whole(text: str) -> dict:
        value = chunk(finish_reason="stop")
        del value["choices"][0]["delta"]
        value["choices"][0]["message"] = {"role": "assistant", "content": text}
        return value

    assert collect(events_of(whole("all"))).choices[0].parts[0].text == "all"
    said = collect(events_of(chunk({"content": "all"}), whole("all"))).choices[0].parts
    assert [part.text for part in said] == ["all"]


def test_members_of_a_call_that_nobody_models():
    value = call(id="a", name="f", arguments="{}")
    value["tool_calls"][0]["provider"] = {"x": 1}
    assert BlockStart(
        0, BlockKind.TOOL_CALL, 0, "a", "f", extras={"openai": {"provider": {"x": 1}}}
    ) in inner(value)


ERRORS = {
    "error object": {"error": {"message": "busy", "type": "server_error", "code": None}},
    "error beside choices": {**chunk({}, "error"), "error": {"message": "busy", "code": 502}},
    "error as text": {"error": "busy"},
}


@pytest.mark.parametrize("value", ERRORS.values(), ids=ERRORS.keys())
def test_error_ends_the_stream(value):
    decoder = ChatStreamDecoder(make_context())
    frames = json_frames([chunk({"content": "a"}), value, chunk({"content": "b"}), DONE])
    events = decode(decoder, frames)
    assert isinstance(events[-1], StreamError)
    assert events[-1].message == "busy"
    assert events[-1].kind is Kind.UPSTREAM
    assert not any(isinstance(event, End | Finish) for event in events)


def test_error_frame_by_its_event_name():
    data = b'{"message":"busy"}'
    [event] = ChatStreamDecoder(make_context()).feed(Frame(b"error", data, b""))
    assert isinstance(event, StreamError)
    assert event.message == "busy"


def test_transport_that_ends_without_a_terminator():
    events = events_of(chunk({"content": "a"}), chunk(finish_reason="stop"), ends=False)
    assert events[-2:] == [STOPPED, End(clean=False)]


def test_cut_off_stream_has_no_finish_reason():
    """A reason that was made up would let half an answer pass for a whole one."""
    events = events_of(chunk({"content": "a"}), chunk(call(id="a", name="f")), ends=False)
    assert not any(isinstance(event, Finish) for event in events)
    assert events[-1] == End(clean=False)
    opened = {event.index for event in events if isinstance(event, BlockStart)}
    assert opened == {event.index for event in events if isinstance(event, BlockStop)}


def test_terminator_without_a_finish_reason():
    assert Finish(Ending(FinishReason.STOP)) in events_of(chunk({"content": "a"}))


def test_stream_without_anything():
    assert events_of() == [Start("", ""), End()]
    assert events_of(ends=False) == [Start("", ""), End(clean=False)]


def test_nothing_follows_the_end():
    decoder = ChatStreamDecoder(make_context())
    decode(decoder, json_frames([chunk({"content": "a"}), DONE]))
    assert decoder.feed(json_frames([chunk({"content": "b"})])[0]) == []
    assert decoder.finish() == []


def test_oddities_between_the_chunks():
    stream = (
        b": OPENROUTER PROCESSING\n\n"
        b'data:{"id":"","choices":[],"prompt_filter_results":[]}\r\n\r\n'
        b"event: message\n"
        b'data: {"id":"c1","model":"m","created":5,'
        b'"choices":[{"index":0,"delta":{"content":"a\xe2\x80\xa8b"}}]}\n\n'
        b"data: not json\n\n"
        b"data:\n\n"
        b"data:  [DONE] \n\n"
        b"data: ignored\n\n"
    )
    events = decode(ChatStreamDecoder(make_context()), parse(stream))
    started = evolve(STARTED, extras={"openai": {"prompt_filter_results": []}})
    assert events[:3] == [started, BlockStart(0, BlockKind.TEXT), TextDelta(0, "a\u2028b")]
    assert events[-1] == End()


SAMPLE = b"".join(
    frame.raw
    for frame in json_frames(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "denke…"}),
            chunk({"content": "Grüße 🦊"}),
            chunk(call(id="a", name="f", arguments='{"ü"')),
            chunk(call(arguments=":1}")),
            chunk({}, "tool_calls"),
            chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4}),
            DONE,
        ]
    )
)


@given(cuts_of(SAMPLE))
def test_any_cutting_gives_the_same_events(cuts):
    whole = decode(ChatStreamDecoder(make_context()), parse(SAMPLE))
    assert decode_cut(ChatStreamDecoder(make_context()), SAMPLE, cuts) == whole


def test_one_byte_at_a_time():
    whole = decode(ChatStreamDecoder(make_context()), parse(SAMPLE))
    assert decode_cut(ChatStreamDecoder(make_context()), SAMPLE, one_byte_cuts(SAMPLE)) == whole


def test_same_dialect_round_trip_adds_no_frames():
    frames = parse(SAMPLE)
    ctx = make_context(include_usage=True)
    again = encode(ChatStreamEncoder(ctx), decode(ChatStreamDecoder(ctx), frames))
    assert len(again) <= len(frames) + 1  # a call's opening and its first arguments become two frames
    assert json.loads(again[1].data)["choices"][0]["delta"] == {"reasoning_content": "denke…"}


CARRIED = [
    BlockKind.TEXT,
    BlockKind.THINKING,
    BlockKind.TOOL_CALL,
    BlockKind.CUSTOM_TOOL_CALL,
    BlockKind.REFUSAL,
]


@given(ir_strategies.events(kinds=CARRIED, failing=False, finished=True, overlapping=False))
def test_what_the_encoder_writes_reads_the_same(events):
    ctx = make_context(include_usage=True)
    again = decode(ChatStreamDecoder(make_context()), encode(ChatStreamEncoder(ctx), events))
    before, after = collect(events), collect(again)
    assert _summary(after) == _summary(before)


def _summary(response):
    """What a chat answer can carry, for each choice: words by kind, and calls."""
    return {
        choice.index: (
            "".join(part.text for part in choice.parts if type(part).__name__ == "Text"),
            "".join(part.text for part in choice.parts if type(part).__name__ == "Thinking"),
            "".join(part.text for part in choice.parts if type(part).__name__ == "Refusal"),
            [
                (part.id, part.name, part.arguments or ("{}" if part.kind == "function" else ""), part.kind)
                for part in choice.parts
                if type(part).__name__ == "ToolCall"
            ],
        )
        for choice in response.choices
    }


@given(ir_strategies.responses(max_choices=2))
def test_stream_and_whole_answer_decode_alike(response):
    """A server that answers the same question in a stream and in one piece says the same."""
    response = evolve(response, usage=Usage(fresh_input=1, output=1))
    whole = decode_response(encode_response(response, make_context()), make_context())
    frames = encode(ChatStreamEncoder(make_context()), to_events(response))
    streamed = collect(decode(ChatStreamDecoder(make_context()), frames))
    assert _summary(streamed) == _summary(whole)
    assert streamed.usage == whole.usage


json_deltas = ir_strategies.json_values


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "content": json_deltas,
                "reasoning_content": json_deltas,
                "reasoning_details": json_deltas,
                "refusal": json_deltas,
                "tool_calls": st.lists(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "index": json_deltas,
                            "id": json_deltas,
                            "type": st.sampled_from(["function", "custom", None, 3]),
                            "function": json_deltas
                            | st.fixed_dictionaries({"name": json_deltas, "arguments": json_deltas}),
                            "custom": json_deltas,
                        },
                    ),
                    max_size=2,
                ),
                "images": json_deltas,
                "annotations": json_deltas,
                "function_call": json_deltas,
            },
        ),
        max_size=4,
    ),
    json_deltas,
)
def test_odd_deltas_give_a_legal_sequence(deltas, oddity):
    events = events_of(*(chunk(delta) for delta in deltas), {"choices": oddity, "usage": oddity}, oddity)
    open_blocks: set[int] = set()
    for event in events[1:-1]:
        match event:
            case BlockStart(index=index):
                assert index not in open_blocks
                open_blocks.add(index)
            case BlockStop(index=index):
                open_blocks.remove(index)
            case TextDelta(index=index) | ThinkingDelta(index=index) | ArgsDelta(index=index):
                assert index in open_blocks
    assert isinstance(events[0], Start | StreamError)
    assert isinstance(events[-1], End | StreamError)
