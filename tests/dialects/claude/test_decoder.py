"""Streams, read into events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.claude.decoder import ClaudeStreamDecoder
from cliproxy.dialects.claude.response import decode_response
from cliproxy.errors import Kind
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
    Finish,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Start,
    StreamError,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Family, Opaque
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps, dumps_text
from cliproxy.wire.sse import Frame, make_frame
from support.factories import make_context
from support.frames import collect, cuts_of, decode, decode_cut, one_byte_cuts
from support.ir_strategies import json_objects, json_values, pieces, texts, words


def context(**overrides: object) -> ExchangeContext:
    return make_context(upstream_dialect="claude", upstream_family=Family.CLAUDE, **overrides)


def frame(kind: str, **members: JsonValue) -> Frame:
    return make_frame(dumps({"type": kind, **members}), kind.encode())


def opening(index: int, **block: JsonValue) -> Frame:
    return frame("content_block_start", index=index, content_block={**block})


def delta(index: int, kind: str, **members: JsonValue) -> Frame:
    return frame("content_block_delta", index=index, delta={"type": kind, **members})


def stop(index: int) -> Frame:
    return frame("content_block_stop", index=index)


START = frame(
    "message_start",
    message={"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 10, "output_tokens": 1}},
)
FINISH = frame(
    "message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": 0, "output_tokens": 7}
)
STOP = frame("message_stop")
STARTED = Start("msg_1", "claude-x", 1_700_000_000, Usage(10, output=1))
ENDED = [UsageUpdate(Usage(output=7)), Finish(Ending(FinishReason.STOP, "end_turn")), End()]


def events_of(*frames: Frame, ctx: ExchangeContext | None = None) -> list[Event]:
    return decode(ClaudeStreamDecoder(ctx or context()), frames)


def inner(*frames: Frame) -> list[Event]:
    """The events between the start and the end of a complete stream."""
    events = events_of(START, *frames, FINISH, STOP)
    assert events[0] == STARTED
    assert events[-len(ENDED) :] == ENDED
    return events[1 : -len(ENDED)]


SEARCH: JsonObject = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
FOUND: JsonObject = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        ([], []),
        ([frame("ping")], [Ping()]),
        (
            [opening(0, type="text", text=""), delta(0, "text_delta", text="a\u2028b"), stop(0)],
            [BlockStart(0, BlockKind.TEXT), TextDelta(0, "a\u2028b"), BlockStop(0)],
        ),
        (
            [opening(0, type="text", text="early"), delta(0, "text_delta", text=""), stop(0)],
            [BlockStart(0, BlockKind.TEXT), TextDelta(0, "early"), BlockStop(0)],
        ),
        (
            [
                opening(0, type="text", text=""),
                delta(0, "text_delta", text="a"),
                delta(0, "citations_delta", citation={"type": "char_location"}),
                stop(0),
            ],
            [
                BlockStart(0, BlockKind.TEXT),
                TextDelta(0, "a"),
                Annotation(0, {"type": "char_location"}, "claude"),
                BlockStop(0),
            ],
        ),
        (
            [
                opening(0, type="thinking", thinking="", signature=""),
                delta(0, "thinking_delta", thinking="hm"),
                delta(0, "signature_delta", signature="sig"),
                stop(0),
            ],
            [
                BlockStart(0, BlockKind.THINKING),
                ThinkingDelta(0, "hm"),
                SignatureDelta(0, "sig", Family.CLAUDE),
                BlockStop(0),
            ],
        ),
        (
            [opening(0, type="thinking", thinking="all", signature="at once"), stop(0)],
            [
                BlockStart(0, BlockKind.THINKING),
                ThinkingDelta(0, "all"),
                SignatureDelta(0, "at once", Family.CLAUDE),
                BlockStop(0),
            ],
        ),
        (
            [opening(0, type="redacted_thinking", data="d"), stop(0)],
            [BlockStart(0, BlockKind.REDACTED), SignatureDelta(0, "d", Family.CLAUDE), BlockStop(0)],
        ),
        (
            [
                opening(0, type="tool_use", id="t", name="f", input={}),
                delta(0, "input_json_delta", partial_json=""),
                delta(0, "input_json_delta", partial_json='{"a'),
                delta(0, "input_json_delta", partial_json='":1}'),
                stop(0),
            ],
            [
                BlockStart(0, BlockKind.TOOL_CALL, call_id="t", name="f"),
                ArgsDelta(0, '{"a'),
                ArgsDelta(0, '":1}'),
                BlockStop(0),
            ],
        ),
        (
            [opening(0, type="tool_use", id="t", name="f", input={}), stop(0)],
            [BlockStart(0, BlockKind.TOOL_CALL, call_id="t", name="f"), ArgsDone(0, "{}"), BlockStop(0)],
        ),
        (
            [opening(0, type="tool_use", id="t", name="f", input={"a": 1}), stop(0)],
            [BlockStart(0, BlockKind.TOOL_CALL, call_id="t", name="f"), ArgsDone(0, '{"a":1}'), BlockStop(0)],
        ),
        (
            [
                opening(0, **SEARCH),
                delta(0, "input_json_delta", partial_json='{"query":'),
                delta(0, "input_json_delta", partial_json='"q"}'),
                stop(0),
                opening(1, **FOUND),
                stop(1),
            ],
            [
                BlockStart(0, BlockKind.OPAQUE),
                OpaqueBlock(0, Opaque("claude", "server_tool_use", {**SEARCH, "input": {"query": "q"}})),
                BlockStop(0),
                BlockStart(1, BlockKind.OPAQUE),
                OpaqueBlock(1, Opaque("claude", "web_search_tool_result", FOUND)),
                BlockStop(1),
            ],
        ),
        (
            [opening(0, **SEARCH), delta(0, "input_json_delta", partial_json="{broken"), stop(0)],
            [
                BlockStart(0, BlockKind.OPAQUE),
                OpaqueBlock(0, Opaque("claude", "server_tool_use", {**SEARCH, "input": "{broken"})),
                BlockStop(0),
            ],
        ),
    ],
)  # fmt: skip
def test_blocks(frames: list[Frame], events: list[Event]) -> None:
    assert inner(*frames) == events


def test_members_of_blocks_that_nobody_models_are_kept() -> None:
    cited: JsonObject = {"type": "char_location"}
    assert inner(
        opening(0, type="tool_use", id="t", name="f", input={}, caller={"type": "direct"}),
        stop(0),
        opening(1, type="text", text="a", citations=[cited], new=1),
        stop(1),
    ) == [
        BlockStart(
            0, BlockKind.TOOL_CALL, call_id="t", name="f", extras={"claude": {"caller": {"type": "direct"}}}
        ),
        ArgsDone(0, "{}"),
        BlockStop(0),
        BlockStart(1, BlockKind.TEXT, extras={"claude": {"new": 1}}),
        TextDelta(1, "a"),
        Annotation(1, cited, "claude"),
        BlockStop(1),
    ]


def test_new_types_of_blocks_grow_by_deltas_of_their_own() -> None:
    """A compaction is told in deltas, and so will be what is not invented yet."""
    events = inner(
        opening(0, type="compaction", content=None),
        delta(0, "compaction_delta", content="so "),
        delta(0, "compaction_delta", content="far"),
        delta(0, "text_delta", text="x"),
        stop(0),
    )
    raw: JsonObject = {"type": "compaction", "content": "so far", "text": "x"}
    assert events[1] == OpaqueBlock(0, Opaque("claude", "compaction", raw))


def test_members_of_the_answer_that_nobody_models_are_kept() -> None:
    start = frame(
        "message_start",
        message={
            "id": "msg_1",
            "model": "m",
            "container": {"id": "c"},
            "usage": {"service_tier": "standard"},
        },
    )
    finish = frame(
        "message_delta",
        delta={"stop_reason": "refusal", "stop_sequence": None, "stop_details": {"category": "bio"}},
        usage={"output_tokens": 1},
        context_management={"applied_edits": []},
    )
    collected = collect(events_of(start, finish, STOP))
    assert collected.extras == {
        "claude": {
            "container": {"id": "c"},
            "stop_details": {"category": "bio"},
            "context_management": {"applied_edits": []},
        }
    }
    assert collected.usage == Usage(output=1, extras={"claude": {"service_tier": "standard"}})


@pytest.mark.parametrize(
    ("frames", "events"),
    [
        (
            [delta(4, "text_delta", text="a"), stop(4)],
            [BlockStart(0, BlockKind.TEXT), TextDelta(0, "a"), BlockStop(0)],
        ),
        (
            [delta(0, "thinking_delta", thinking="a"), delta(1, "input_json_delta", partial_json="{}")],
            [
                BlockStart(0, BlockKind.THINKING),
                ThinkingDelta(0, "a"),
                BlockStart(1, BlockKind.TOOL_CALL),
                ArgsDelta(1, "{}"),
            ],
        ),
        (
            [opening(0, type="text"), delta(0, "text_delta", text="a"), opening(0, type="text")],
            [BlockStart(0, BlockKind.TEXT), TextDelta(0, "a"), BlockStop(0), BlockStart(1, BlockKind.TEXT)],
        ),
        ([delta(0, "new_delta", text="a"), stop(0), stop(7)], []),
        ([frame(f"content_block_{word}") for word in ("start", "delta", "stop")], []),
        ([frame("something_new"), make_frame(b"[DONE]"), make_frame(b"[1]"), make_frame(b"")], []),
        ([START], []),
        ([opening(0, type="text"), delta(0, "input_json_delta"), delta(0, "text_delta", text=7)], [
            BlockStart(0, BlockKind.TEXT)
        ]),
    ],
)  # fmt: skip
def test_disorder_is_repaired_or_passed_over(frames: list[Frame], events: list[Event]) -> None:
    found = [event for event in events_of(START, *frames, FINISH, STOP)[1:] if event not in ENDED]
    closing = [event for event in found if isinstance(event, BlockStop)]
    opened = [event for event in found if isinstance(event, BlockStart)]
    assert len(closing) == len(opened)
    assert found[: len(events)] == events


def test_names_of_events_are_not_needed() -> None:
    bare = [
        make_frame(f.data)
        for f in (START, opening(0, type="text"), delta(0, "text_delta", text="a"), stop(0))
    ]
    assert events_of(*bare)[2] == TextDelta(0, "a")


def test_blocks_are_numbered_without_gaps() -> None:
    events = inner(opening(3, type="text"), stop(3), opening(9, type="text"), stop(9))
    assert [event.index for event in events if isinstance(event, BlockStart)] == [0, 1]


def test_zeros_of_the_prompt_side_do_not_wipe_the_start() -> None:
    assert collect(events_of(START, FINISH, STOP)).usage == Usage(10, output=7)


def test_reason_is_given_once() -> None:
    first = frame("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 3})
    events = events_of(START, first, FINISH, STOP)
    assert [event.ending.native for event in events if isinstance(event, Finish)] == ["tool_use"]


def test_nothing_follows_the_end() -> None:
    assert events_of(START, FINISH, STOP, START, opening(0, type="text")) == [STARTED, *ENDED]


def test_transport_may_end_early() -> None:
    events = events_of(START, opening(0, type="text"), delta(0, "text_delta", text="a"))
    assert events[-2:] == [BlockStop(0), End(clean=False)]
    assert events_of() == [End(clean=False)]


def test_forgotten_start_is_supplied() -> None:
    for frames in ([opening(0, type="text")], [FINISH], [STOP], [delta(0, "text_delta", text="a")]):
        assert events_of(*frames)[0] == Start("", "", 1_700_000_000, Usage())


@pytest.mark.parametrize("named", [True, False])
def test_error_ends_the_stream(named: bool) -> None:
    data: JsonObject = {"error": {"type": "overloaded_error", "message": "busy"}}
    if named:
        data = {"type": "error", **data}
    events = events_of(START, make_frame(dumps(data)), STOP)
    assert len(events) == 2
    error = events[1]
    assert isinstance(error, StreamError)
    assert (error.kind, error.message, error.status) == (Kind.OVERLOADED, "busy", 529)


def test_signatures_are_the_upstream_familys() -> None:
    ctx = make_context(upstream_family=Family.KIMI)
    events = events_of(opening(0, type="redacted_thinking", data="d"), ctx=ctx)
    assert SignatureDelta(0, "d", Family.KIMI) in events


def test_state_is_visible() -> None:
    decoder = ClaudeStreamDecoder(context())
    decoder.feed(opening(0, type="text"))
    assert repr(decoder) == "<ClaudeStreamDecoder 1 blocks open>"
    decoder.finish()
    assert repr(decoder) == "<ClaudeStreamDecoder over>"
    assert decoder.finish() == []


# --- any stream ---

wire_blocks = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.builds(lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, texts, words),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, words),
    st.builds(
        lambda id, value: {"type": "tool_use", "id": id, "name": "f", "input": value}, words, json_objects
    ),
    st.builds(
        lambda value: {"type": "server_tool_use", "id": "s", "name": "w", "input": value}, json_objects
    ),
    st.builds(lambda value: {"type": "code_execution_tool_result", "content": value}, json_values),
)
_STREAMED = {
    "text": ("text", "text_delta", "text"),
    "thinking": ("thinking", "thinking_delta", "thinking"),
    "tool_use": ("input", "input_json_delta", "partial_json"),
    "server_tool_use": ("input", "input_json_delta", "partial_json"),
}


@st.composite
def answers_and_streams(draw: st.DrawFn) -> tuple[JsonObject, list[Frame]]:
    """A whole answer and, written by other hands than the encoder's, a stream of the same content."""
    blocks = draw(st.lists(wire_blocks, max_size=4))
    ending: JsonObject = {
        "stop_reason": draw(st.sampled_from(["end_turn", "max_tokens"])),
        "stop_sequence": None,
    }
    usage: JsonObject = {"input_tokens": draw(st.integers(0, 99)), "output_tokens": draw(st.integers(0, 99))}
    head: JsonObject = {"id": "msg_1", "model": "m"}
    frames = [frame("message_start", message={**head, "usage": {**usage, "output_tokens": 1}})]
    for index, block in enumerate(blocks):
        if draw(st.booleans()):
            frames.append(frame("ping"))
        frames += draw(_block_frames(index, block))
    frames += [frame("message_delta", delta=ending, usage=usage), frame("message_stop")]
    return {**head, "content": [*blocks], **ending, "usage": usage}, frames


@st.composite
def _block_frames(draw: st.DrawFn, index: int, block: JsonObject) -> list[Frame]:
    kind = block["type"]
    if kind not in _STREAMED:
        return [opening(index, **block), stop(index)]
    member, name, slot = _STREAMED[str(kind)]
    is_input = member == "input"
    whole = dumps_text(block[member]) if is_input else str(block[member])
    empty: JsonObject = {**block, member: {} if is_input else ""}
    if "signature" in block:
        empty["signature"] = ""
    frames = [opening(index, **empty)]
    frames += [delta(index, name, **{slot: piece}) for piece in draw(pieces(whole))]
    if "signature" in block:
        frames.append(delta(index, "signature_delta", signature=block["signature"]))
    return [*frames, stop(index)]


@given(answers_and_streams())
def test_stream_adds_up_to_the_whole_answer(pair: tuple[JsonObject, list[Frame]]) -> None:
    whole, frames = pair
    ctx = context()
    assert collect(events_of(*frames, ctx=ctx)) == decode_response(whole, ctx)


@given(answers_and_streams(), st.data())
def test_any_cutting_gives_the_same_events(pair: tuple[JsonObject, list[Frame]], data: st.DataObject) -> None:
    raw = b"".join(frame.raw for frame in pair[1])
    expected = events_of(*pair[1])
    assert decode_cut(ClaudeStreamDecoder(context()), raw, data.draw(cuts_of(raw))) == expected
    with_cr = raw.replace(b"\n", b"\r\n")
    assert decode_cut(ClaudeStreamDecoder(context()), with_cr, one_byte_cuts(with_cr)) == expected


kinds = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "x",
    ]
)
odd_frames = st.builds(
    lambda kind, rest, index, inner: make_frame(
        dumps(
            {**rest, "type": kind, "index": index, "delta": inner, "content_block": inner, "message": inner}
        )
    ),
    kinds,
    json_objects,
    st.integers(-1, 2) | json_values,
    st.dictionaries(
        st.sampled_from(["type", "text", "partial_json", "usage", "stop_reason", "input"]),
        st.sampled_from(["text", "tool_use", "text_delta", "input_json_delta"]) | json_values,
    )
    | json_values,
)


@given(st.lists(odd_frames | st.builds(make_frame, st.binary(max_size=20)), max_size=8))
def test_decoding_is_total_and_orderly(frames: list[Frame]) -> None:
    events = events_of(*frames)
    assert isinstance(events[-1], End | StreamError)
    assert sum(isinstance(event, Start) for event in events) <= 1
    assert sum(isinstance(event, Finish) for event in events) <= 1
    opened = [event.index for event in events if isinstance(event, BlockStart)]
    assert opened == sorted(set(opened))
    if isinstance(events[-1], End):
        closed = [event.index for event in events if isinstance(event, BlockStop)]
        assert sorted(closed) == opened
