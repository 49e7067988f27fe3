"""Streams, written from events."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given

from cliproxy.dialects.claude import DIALECT
from cliproxy.dialects.claude.decoder import ClaudeStreamDecoder
from cliproxy.dialects.claude.encoder import ClaudeStreamEncoder
from cliproxy.dialects.claude.request import decode_request
from cliproxy.dialects.claude.response import encode_response
from cliproxy.errors import BadRequest, Kind
from cliproxy.ir.collect import to_events
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
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
from cliproxy.ir.request import Family, IRRequest, Opaque, Reasoning, Signature, Text, ToolCall
from cliproxy.ir.response import Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject
from cliproxy.wire.sse import Frame
from support.factories import make_context
from support.frames import decode, encode
from support.grammar_claude import check_stream
from support.ir_strategies import events as event_sequences
from support.ir_strategies import responses

THINKS = IRRequest(model="m", messages=[], reasoning=Reasoning(adaptive=True))
START = Start("msg_1", "up")
GEM = SignatureDelta(0, "g", Family.GEMINI)


def thinking_client(**overrides: object) -> ExchangeContext:
    return make_context(client_dialect="claude", original=THINKS, **overrides)


def frames_of(*events: Event, ctx: ExchangeContext | None = None) -> list[Frame]:
    return encode(ClaudeStreamEncoder(ctx or make_context(client_dialect="claude")), [START, *events])


def written(*events: Event, ctx: ExchangeContext | None = None) -> list[dict[str, Any]]:
    """The data of all frames, checked against the grammar."""
    return check_stream(frames_of(*events, ctx=ctx))


def blocks(*events: Event, ctx: ExchangeContext | None = None) -> list[Any]:
    """What the stream says between start and end, in short."""
    return [_short(data) for data in written(*events, ctx=ctx)[1:-2]]


def _short(data: dict[str, Any]) -> Any:
    match data["type"]:
        case "content_block_start":
            return data["content_block"]
        case "content_block_delta":
            return next(value for key, value in data["delta"].items() if key != "type")
    return "stop"


TEXT: JsonObject = {"type": "text", "text": ""}
THINKING: JsonObject = {"type": "thinking", "thinking": "", "signature": ""}


def call_block(id: str = "c1", name: str = "f") -> JsonObject:
    return {"type": "tool_use", "id": id, "name": name, "input": {}}


def opening(index: int, kind: BlockKind = BlockKind.TEXT, **members: Any) -> BlockStart:
    return BlockStart(index, kind, **members)


def call(index: int, id: str = "c1", kind: BlockKind = BlockKind.TOOL_CALL) -> BlockStart:
    return BlockStart(index, kind, call_id=id, name="f")


def test_a_plain_answer_byte_for_byte() -> None:
    frames = frames_of(
        opening(0),
        TextDelta(0, 'a"\u2028'),
        BlockStop(0),
        UsageUpdate(Usage(10, output=7)),
        Finish(Ending(FinishReason.STOP)),
        End(),
    )
    assert b"".join(frame.raw for frame in frames).decode() == (
        "event: message_start\n"
        'data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
        '"model":"up","content":[],"stop_reason":null,"stop_sequence":null,'
        '"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
        "event: content_block_start\n"
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\"\u2028"}}\n\n'
        "event: content_block_stop\n"
        'data: {"type":"content_block_stop","index":0}\n\n'
        "event: message_delta\n"
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"input_tokens":10,"output_tokens":7}}\n\n'
        "event: message_stop\n"
        'data: {"type":"message_stop"}\n\n'
    )


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], []),
        ([opening(0), BlockStop(0)], []),
        ([opening(0), TextDelta(0, ""), TextDelta(0, "a"), BlockStop(0)], [TEXT, "a", "stop"]),
        ([opening(0, BlockKind.REFUSAL), TextDelta(0, "no"), BlockStop(0)], [TEXT, "no", "stop"]),
        (
            [opening(0, BlockKind.THINKING), ThinkingDelta(0, "a"), ThinkingBreak(0), ThinkingDelta(0, "b")],
            [THINKING, "a", "\n\nb", "stop"],
        ),
        (
            [opening(0, BlockKind.THINKING), ThinkingBreak(0), ThinkingDelta(0, "a"), ThinkingBreak(0)],
            [THINKING, "a", "stop"],
        ),
        (
            [
                opening(0, BlockKind.THINKING),
                SignatureDelta(0, "old", Family.CLAUDE),
                ThinkingDelta(0, "a"),
                SignatureDelta(0, "new", Family.CLAUDE),
                BlockStop(0),
            ],
            [THINKING, "a", "new", "stop"],
        ),
        (
            [opening(0, BlockKind.THINKING), SignatureDelta(0, "s", Family.GPT), BlockStop(0)],
            [THINKING, "gpt#s", "stop"],
        ),
        ([opening(0, BlockKind.THINKING), SignatureDelta(0, "", Family.GPT), BlockStop(0)], []),
        (
            [opening(0, BlockKind.REDACTED), SignatureDelta(0, "d", Family.CLAUDE), BlockStop(0)],
            [{"type": "redacted_thinking", "data": "d"}, "stop"],
        ),
        (
            [opening(0, BlockKind.REDACTED), SignatureDelta(0, "d", Family.GPT), BlockStop(0)],
            [THINKING, "gpt#d", "stop"],
        ),
        ([opening(0, BlockKind.REDACTED), BlockStop(0)], []),
        (
            [
                call(0),
                ArgsDelta(0, '{"a'),
                ArgsDelta(0, ""),
                ArgsDelta(0, '":1}'),
                ArgsDone(0, "{}"),
                BlockStop(0),
            ],
            [call_block(), '{"a', '":1}', "stop"],
        ),
        ([call(0), ArgsDone(0, "{'a': 1}"), BlockStop(0)], [call_block(), '{"a":1}', "stop"]),
        ([call(0), ArgsDone(0, "{}"), BlockStop(0)], [call_block(), "stop"]),
        ([call(0), BlockStop(0)], [call_block(), "stop"]),
        (
            [call(0, kind=BlockKind.CUSTOM_TOOL_CALL), ArgsDelta(0, 'a"'), ArgsDelta(0, "\nb"), BlockStop(0)],
            [call_block(), '{"input":"a\\"', "\\nb", '"}', "stop"],
        ),
        (
            [call(0, kind=BlockKind.CUSTOM_TOOL_CALL), ArgsDone(0, "a"), BlockStop(0)],
            [call_block(), '{"input":"a', '"}', "stop"],
        ),
        (
            [call(0, kind=BlockKind.CUSTOM_TOOL_CALL), ArgsDone(0, ""), BlockStop(0)],
            [call_block(), '{"input":""}', "stop"],
        ),
        ([call(0, id="f-1.2"), BlockStop(0)], [call_block("f-1_2"), "stop"]),
        (
            [opening(0), TextDelta(0, "a"), Annotation(0, {"type": "c"}, "claude"), BlockStop(0)],
            [TEXT, "a", {"type": "c"}, "stop"],
        ),
        ([opening(0), TextDelta(0, "a"), Annotation(0, {}, "openai"), BlockStop(0)], [TEXT, "a", "stop"]),
        ([opening(0, BlockKind.IMAGE), ImageDone(0, "image/png", "AA=="), BlockStop(0)], []),
        (
            [
                opening(0, BlockKind.OPAQUE),
                OpaqueBlock(0, Opaque("claude", "k", {"type": "k"})),
                BlockStop(0),
            ],
            [{"type": "k"}, "stop"],
        ),
        ([opening(0, BlockKind.OPAQUE), OpaqueBlock(0, Opaque("gemini", "k", {})), BlockStop(0)], []),
        ([TextDelta(7, "nobody's")], []),
        ([opening(0), ThinkingDelta(0, "x"), ArgsDelta(0, "x"), ArgsDone(0, "x"), BlockStop(0)], []),
    ],
)
def test_blocks(events: list[Event], expected: list[Any]) -> None:
    assert blocks(*events, End()) == expected


def test_overlapping_calls_are_written_one_after_the_other() -> None:
    assert blocks(
        call(0, "a"),
        call(1, "b"),
        ArgsDelta(0, '{"x":'),
        ArgsDelta(1, '{"y":2}'),
        ArgsDelta(0, "1}"),
        BlockStop(1),
        ArgsDelta(1, "too late"),
        call(2, "c"),
        BlockStop(0),
        ArgsDelta(2, "{}"),
        BlockStop(2),
        End(),
    ) == [
        call_block("a"),
        '{"x":',
        "1}",
        "stop",
        call_block("b"),
        '{"y":2}',
        "stop",
        call_block("c"),
        "{}",
        "stop",
    ]


def test_what_is_open_at_the_end_is_closed() -> None:
    expected = [TEXT, "a", "stop", call_block(), "{}", "stop"]
    assert blocks(opening(0), TextDelta(0, "a"), call(1), ArgsDelta(1, "{}"), End()) == expected


def test_thoughts_text_and_calls_in_turn() -> None:
    kinds = [
        event
        for index, kind in enumerate((BlockKind.THINKING, BlockKind.TEXT, BlockKind.THINKING))
        for event in (
            opening(index, kind),
            ThinkingDelta(index, "t") if kind is BlockKind.THINKING else TextDelta(index, "t"),
            BlockStop(index),
        )
    ]
    assert blocks(*kinds, End()) == [THINKING, "t", "stop", TEXT, "t", "stop", THINKING, "t", "stop"]


def test_only_the_first_answer_is_shown() -> None:
    ctx = make_context()
    other = Finish(Ending(FinishReason.LENGTH), choice=1)
    data = written(opening(0, choice=1), TextDelta(0, "b"), BlockStop(0), other, End(), ctx=ctx)
    assert len(data) == 3
    assert data[1]["delta"]["stop_reason"] == "end_turn"
    assert ctx.notes


def test_unwanted_thoughts_leave_their_signature() -> None:
    ctx = thinking_client(want_thoughts=False)
    thought = [
        opening(0, BlockKind.THINKING),
        ThinkingDelta(0, "secret"),
        SignatureDelta(0, "s", Family.CLAUDE),
    ]
    assert blocks(*thought, End(), ctx=ctx) == [THINKING, "s", "stop"]
    assert blocks(*thought[:2], End(), ctx=make_context(want_thoughts=False)) == []


def test_client_that_switched_thinking_off_sees_no_trace_of_it() -> None:
    events: list[Event] = [
        opening(0, BlockKind.THINKING),
        ThinkingDelta(0, "secret"),
        SignatureDelta(0, "s", Family.CLAUDE),
        BlockStop(0),
        opening(1, BlockKind.REDACTED),
        SignatureDelta(1, "s", Family.CLAUDE),
        BlockStop(1),
    ]
    assert blocks(*events, End(), ctx=make_context(want_thoughts=False)) == []


def test_names_and_ids_are_the_clients_own() -> None:
    ctx = make_context(tool_names={"f": "the tool"}, call_ids={"c1": "long_id"})
    assert blocks(call(0), BlockStop(0), End(), ctx=ctx)[0] == call_block("long_id", "the tool")


def test_web_search_of_another_dialect() -> None:
    raw: JsonObject = {"type": "web_search_call", "action": {"type": "search", "query": "q"}}
    search = OpaqueBlock(0, Opaque("codex", "web_search_call", raw))
    id = "srvtoolu_000000000000000000000001"
    assert blocks(opening(0, BlockKind.OPAQUE), search, BlockStop(0), End()) == [
        {"type": "server_tool_use", "id": id, "name": "web_search", "input": {}},
        '{"query":"q"}',
        "stop",
        {"type": "web_search_tool_result", "tool_use_id": id, "content": []},
        "stop",
    ]


# --- signatures without a slot of their own ---


def carrier(value: str) -> list[Any]:
    return [THINKING, value, "stop"]


CALLED = [call_block(), "{}", "stop"]


def test_signature_before_the_arguments_goes_before_the_call() -> None:
    ctx = thinking_client(upstream_family=Family.GEMINI)
    events = [call(0), GEM, ArgsDelta(0, "{}"), BlockStop(0), End()]
    assert blocks(*events, ctx=ctx) == [*carrier("gemini.next-call#g"), *CALLED]


def test_signature_after_the_arguments_goes_behind_the_call() -> None:
    ctx = thinking_client(upstream_family=Family.GEMINI)
    events = [call(0), ArgsDelta(0, "{}"), GEM, BlockStop(0), End()]
    assert blocks(*events, ctx=ctx) == [*CALLED, *carrier("gemini.previous-call#g")]


def test_call_without_words_is_announced_at_its_end() -> None:
    ctx = thinking_client(upstream_family=Family.GEMINI)
    assert blocks(call(0), GEM, BlockStop(0), End(), ctx=ctx) == [
        *carrier("gemini.next-call#g"),
        call_block(),
        "stop",
    ]


def test_calls_of_other_models_are_announced_at_once() -> None:
    encoder = ClaudeStreamEncoder(thinking_client(upstream_family=Family.GPT))
    encoder.encode(START)
    assert len(encoder.encode(call(0))) == 1


def test_signature_of_text_goes_behind_it() -> None:
    events = [opening(0), TextDelta(0, "a"), GEM, BlockStop(0), End()]
    assert blocks(*events, ctx=thinking_client()) == [TEXT, "a", "stop", *carrier("gemini.previous-text#g")]


def test_clients_that_want_no_thinking_get_no_such_blocks() -> None:
    ctx = make_context(upstream_family=Family.GEMINI)
    events = [
        opening(0),
        TextDelta(0, "a"),
        GEM,
        BlockStop(0),
        call(1),
        ArgsDelta(1, "{}"),
        BlockStop(1),
        End(),
    ]
    assert blocks(*events, ctx=ctx) == [TEXT, "a", "stop", *CALLED]


def test_what_is_sent_back_is_what_was_answered() -> None:
    """A client collects the stream and returns it; the signatures are at their parts again."""
    gem = Signature("g", Family.GEMINI)
    ctx = thinking_client(upstream_family=Family.GEMINI)
    events = [opening(0), TextDelta(0, "a"), GEM, BlockStop(0)]
    for index, late in ((1, False), (2, True)):
        inner: list[Event] = [ArgsDelta(index, "{}"), SignatureDelta(index, "g", Family.GEMINI)]
        events += [call(index, f"c{index}"), *(inner if late else reversed(inner)), BlockStop(index)]
    content = _collected(written(*events, End(), ctx=ctx))
    body: JsonObject = {"model": "m", "messages": [{"role": "assistant", "content": content}]}
    assert decode_request(body, make_context()).messages[0].parts == [
        Text("a", signature=gem),
        ToolCall("c1", "f", "{}", signature=gem),
        ToolCall("c2", "f", "{}", signature=gem),
    ]


def _collected(data: list[dict[str, Any]]) -> Any:
    """Do what the vendor's packages do with a stream."""
    content: list[dict[str, Any]] = []
    pieces: list[str] = []
    for event in data:
        match event["type"]:
            case "content_block_start":
                content.append({**event["content_block"]})
                pieces = []
            case "content_block_delta":
                ((key, value),) = [(k, v) for k, v in event["delta"].items() if k != "type"]
                if key == "partial_json":
                    pieces.append(value)
                    content[-1]["input"] = json.loads("".join(pieces)) if value.endswith("}") else {}
                elif key == "citation":
                    content[-1].setdefault("citations", []).append(value)
                else:
                    content[-1][key] += value
    return content


# --- the message ---


def test_prompt_tokens_known_at_the_start() -> None:
    data = check_stream(
        encode(
            ClaudeStreamEncoder(make_context(shown_model="alias")),
            [Start("resp_1", "up", usage=Usage(10, 5)), UsageUpdate(Usage(output=7, reasoning=3)), End()],
        )
    )
    message = data[0]["message"]
    assert (message["id"], message["model"]) == ("msg_000000000000000000000001", "alias")
    assert message["usage"] == {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 0}
    assert data[1]["usage"] == {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "output_tokens": 10,
        "output_tokens_details": {"thinking_tokens": 3},
    }


@pytest.mark.parametrize(
    ("reason", "events", "word"),
    [
        (FinishReason.STOP, [call(0)], "tool_use"),
        (FinishReason.TOOL_CALLS, [], "end_turn"),
        (FinishReason.LENGTH, [call(0)], "max_tokens"),
        (FinishReason.CONTENT_FILTER, [], "refusal"),
        (FinishReason.STOP, [opening(0, BlockKind.REFUSAL), TextDelta(0, "no")], "refusal"),
        (FinishReason.STOP, [opening(0, BlockKind.REFUSAL), TextDelta(0, "")], "end_turn"),
    ],
)
def test_stop_reason(reason: FinishReason, events: list[Event], word: str) -> None:
    assert written(*events, Finish(Ending(reason)), End())[-2]["delta"]["stop_reason"] == word


def test_members_that_nobody_models_stand_where_the_vendor_puts_them() -> None:
    start = Start(
        "msg_1", "up", extras={"claude": {"container": None, "stop_details": None}, "openai": {"x": 1}}
    )
    late = ExtrasUpdate({"claude": {"stop_details": {"type": "refusal"}, "context_management": {"n": 1}}})
    of_choice = ExtrasUpdate({"claude": {"logprobs": 1}}, 0)
    data = check_stream(encode(ClaudeStreamEncoder(make_context()), [start, late, of_choice, End()]))
    assert data[0]["message"]["container"] is None
    assert not {"stop_details", "x"} & set(data[0]["message"])
    assert data[-2]["delta"] == {
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": {"type": "refusal"},
    }
    assert data[-2]["context_management"] == {"n": 1}
    assert "logprobs" not in str(data)


def test_members_of_a_call_are_announced_with_it() -> None:
    """Who called a tool from within another one must be told when the result is sent."""
    start = BlockStart(
        0, BlockKind.TOOL_CALL, call_id="c1", name="f", extras={"claude": {"caller": {"a": 1}}}
    )
    assert blocks(start, BlockStop(0)) == [{**call_block(), "caller": {"a": 1}}, "stop"]


def test_citations_of_another_dialect_cannot_be_shown() -> None:
    ctx = make_context(client_dialect="claude")
    citation = Annotation(0, {"url": "https://x"}, "openai")
    assert blocks(opening(0), TextDelta(0, "a"), citation, BlockStop(0), ctx=ctx) == [TEXT, "a", "stop"]
    assert ctx.notes == ["citations of another dialect were dropped from the answer"]


def test_end_without_a_reason_is_a_plain_end() -> None:
    assert written(opening(0), TextDelta(0, "a"), End(clean=False))[-2]["delta"]["stop_reason"] == "end_turn"


def test_start_is_written_once_and_supplied_if_missing() -> None:
    encoder = ClaudeStreamEncoder(make_context())
    frames = encode(encoder, [opening(0), START, TextDelta(0, "a"), START])
    assert [data["type"] for data in check_stream(frames)].count("message_start") == 1
    assert encoder.finish() == []
    check_stream(encode(ClaudeStreamEncoder(make_context()), []))


def test_nothing_follows_the_end() -> None:
    encoder = ClaudeStreamEncoder(make_context())
    encode(encoder, [START, End()])
    assert encoder.encode(opening(0)) == []
    assert encoder.error(BadRequest("late")) == []


def test_error_is_the_last_frame_and_closes_nothing() -> None:
    encoder = ClaudeStreamEncoder(make_context())
    frames = [*encoder.encode(START), *encoder.encode(call(0)), *encoder.error(BadRequest("why"))]
    assert frames[-1].raw == (
        b'event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"why"}}\n\n'
    )
    assert encoder.finish() == []
    check_stream(frames)


def test_error_event_is_written_as_an_error() -> None:
    data = written(StreamError(Kind.OVERLOADED, "busy"), End())
    assert data[-1]["error"] == {"type": "overloaded_error", "message": "busy"}


def test_pings_are_for_pings() -> None:
    def pings(upstream: str) -> int:
        frames = frames_of(Ping(), End(), ctx=make_context(upstream_dialect=upstream))
        return sum(frame.event == b"ping" for frame in frames)

    assert pings("claude") == 1
    assert pings("openai") == 0
    assert ClaudeStreamEncoder(make_context(upstream_dialect="claude")).encode(Ping()) == []


def test_keepalive_is_a_ping() -> None:
    assert DIALECT.keepalive == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_state_is_visible() -> None:
    encoder = ClaudeStreamEncoder(make_context())
    assert repr(encoder) == "<ClaudeStreamEncoder nothing, 0 blocks waiting>"
    encode(encoder, [START])
    assert repr(encoder) == "<ClaudeStreamEncoder done, 0 blocks waiting>"


# --- any stream ---


@given(event_sequences())
def test_any_events_make_a_legal_stream(events: list[Event]) -> None:
    check_stream(encode(ClaudeStreamEncoder(thinking_client()), events), parses_input=False)


@given(event_sequences())
def test_any_events_make_a_legal_stream_behind_gemini(events: list[Event]) -> None:
    ctx = thinking_client(upstream_family=Family.GEMINI)
    check_stream(encode(ClaudeStreamEncoder(ctx), events), parses_input=False)


@given(responses(max_choices=1))
def test_stream_says_what_the_whole_answer_says(response: IRResponse) -> None:
    whole = encode_response(response, thinking_client())
    data = check_stream(encode(ClaudeStreamEncoder(thinking_client()), to_events(response)))
    assert json.loads(json.dumps(_collected(data))) == json.loads(json.dumps(whole["content"]))
    assert data[-2]["delta"]["stop_reason"] == whole["stop_reason"]
    assert data[-2]["usage"] == whole["usage"]


@given(event_sequences())
def test_same_dialect_round_trip_adds_no_frames(events: list[Event]) -> None:
    ctx = make_context(upstream_dialect="claude", upstream_family=Family.CLAUDE)
    # Signatures of others get a tag, zeros do not wipe known counts: neither is about frames.
    own = [evolve(e, family=Family.CLAUDE) if isinstance(e, SignatureDelta) else e for e in events]
    own = [event for event in own if not isinstance(event, UsageUpdate)]
    once = encode(ClaudeStreamEncoder(ctx), own)
    twice = encode(ClaudeStreamEncoder(ctx), decode(ClaudeStreamDecoder(ctx), once))
    assert len(twice) <= len(once)
    assert check_stream(twice, parses_input=False) == check_stream(once, parses_input=False)
