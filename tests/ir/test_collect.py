"""Streams and whole answers say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import Kind, UpstreamError
from cliproxy.ir.collect import Collector, grow, to_events
from cliproxy.ir.events import (
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
    Finish,
    OpaqueBlock,
    Start,
    StreamError,
    TextDelta,
    ThinkingBreak,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Opaque, Text, Thinking, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject
from support.ir_strategies import json_objects, responses


def collected(*events: Event) -> IRResponse:
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.result()


@given(responses())
def test_taken_apart_and_added_up_it_is_the_same(response: IRResponse) -> None:
    once = collected(*to_events(response))
    assert collected(*to_events(once)) == once
    assert once.usage == response.usage
    assert [choice.ending for choice in once.choices] == [choice.ending for choice in response.choices]


def test_overlapping_blocks_are_kept_apart() -> None:
    answer = collected(
        Start("1", "m"),
        BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="x"),
        BlockStart(1, BlockKind.TOOL_CALL, call_id="b", name="y"),
        ArgsDelta(1, '{"b"'),
        ArgsDelta(0, '{"a"'),
        ArgsDelta(1, ":2}"),
        ArgsDelta(0, ":1}"),
        BlockStop(0),
        BlockStop(1),
        Finish(Ending(FinishReason.TOOL_CALLS)),
        End(),
    )
    assert answer.choices[0].parts == [ToolCall("a", "x", '{"a":1}'), ToolCall("b", "y", '{"b":2}')]


def test_whole_arguments_count_only_without_fragments() -> None:
    start = BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="x")
    assert collected(start, ArgsDone(0, "{}")).choices[0].parts == [ToolCall("a", "x", "{}")]
    both = collected(start, ArgsDelta(0, '{"a":1}'), ArgsDone(0, '{"a":1}'))
    assert both.choices[0].parts == [ToolCall("a", "x", '{"a":1}')]


def test_paragraphs_of_a_summary_stay_apart() -> None:
    answer = collected(
        BlockStart(0, BlockKind.THINKING), ThinkingDelta(0, "a"), ThinkingBreak(0), ThinkingDelta(0, "b")
    )
    assert answer.choices[0].parts == [Thinking("a\n\nb", summary=["a", "b"])]


def test_deltas_of_unknown_blocks_and_empty_blocks_are_dropped() -> None:
    assert collected(TextDelta(7, "x"), BlockStart(0, BlockKind.TEXT), BlockStop(0)).choices[0].parts == []


def test_usage_is_merged_field_by_field() -> None:
    answer = collected(
        Start("1", "m", usage=Usage(fresh_input=5, output=0)),
        UsageUpdate(Usage(output=9)),
        UsageUpdate(Usage(reasoning=2)),
    )
    assert answer.usage == Usage(fresh_input=5, output=9, reasoning=2)
    assert (answer.usage.input_total, answer.usage.output_total, answer.usage.total) == (5, 11, 16)


def test_an_error_inside_the_stream_is_raised() -> None:
    with pytest.raises(UpstreamError, match="busy") as caught:
        collected(BlockStart(0, BlockKind.TEXT), StreamError(Kind.OVERLOADED, "busy", 529))
    assert caught.value.status == 529


def test_it_says_whether_and_why_the_answer_ended() -> None:
    collector = Collector()
    assert not collector.is_finished
    collector.feed(Finish(Ending(FinishReason.STOP)))
    assert collector.is_finished
    assert not collector.ended_for_a_reason
    collector.feed(Finish(Ending(FinishReason.REFUSAL), 1))
    assert collector.ended_for_a_reason


def test_several_choices_are_kept_apart() -> None:
    answer = collected(
        BlockStart(0, BlockKind.TEXT, 0),
        BlockStart(1, BlockKind.TEXT, 1),
        TextDelta(1, "b"),
        TextDelta(0, "a"),
        Finish(Ending(FinishReason.STOP), 0),
        Finish(Ending(FinishReason.LENGTH), 1),
    )
    assert [choice.parts for choice in answer.choices] == [[Text("a")], [Text("b")]]
    assert [choice.ending.reason for choice in answer.choices] == [FinishReason.STOP, FinishReason.LENGTH]


def test_members_nobody_models_add_up() -> None:
    """Of the answer the last one counts; of a choice lists go on, as log probabilities do."""
    answer = collected(
        Start("1", "m", extras={"openai": {"tier": "auto", "links": [1]}}),
        ExtrasUpdate({"openai": {"logprobs": {"content": [1], "refusal": None}}}, 0),
        ExtrasUpdate({"openai": {"logprobs": {"content": [2]}, "filter": "a"}}, 0),
        ExtrasUpdate({"openai": {"filter": "b"}}, 0),
        ExtrasUpdate({"openai": {"tier": "default", "links": [1, 2]}, "gemini": {"x": 1}}),
        Finish(Ending(FinishReason.STOP)),
        End(),
    )
    assert answer.extras == {"openai": {"tier": "default", "links": [1, 2]}, "gemini": {"x": 1}}
    assert answer.choices[0].extras == {
        "openai": {"logprobs": {"content": [1, 2], "refusal": None}, "filter": "b"}
    }


def test_members_nobody_models_survive_being_taken_apart() -> None:
    call = ToolCall("c", "f", "{}", extras={"openai": {"x": 1}})
    choice = Choice([call], Ending(FinishReason.TOOL_CALLS), 0, {"openai": {"logprobs": {"content": [1]}}})
    response = IRResponse(id="1", model="m", choices=[choice], extras={"openai": {"tier": "auto"}})
    assert collected(*to_events(response)) == response


def test_an_opaque_part_may_come_in_pieces() -> None:
    pieces: list[JsonObject] = [
        {"id": "a"},
        {"data": "AA", "n": 1, "parts": [1]},
        {"data": "BB", "parts": [2], "n": 2},
    ]
    events = [OpaqueBlock(0, Opaque("openai", "audio", piece)) for piece in pieces]
    answer = collected(Start("1", "m"), BlockStart(0, BlockKind.OPAQUE), *events, BlockStop(0), End())
    joined: JsonObject = {"id": "a", "data": "AABB", "n": 2, "parts": [1, 2]}
    assert answer.choices[0].parts == [Opaque("openai", "audio", joined)]


@given(st.lists(json_objects, max_size=4))
def test_growing_changes_no_piece(pieces: list[JsonObject]) -> None:
    before = repr(pieces)
    known: JsonObject = {}
    for piece in pieces:
        grow(known, piece, joins_text=True)
    assert repr(pieces) == before
    assert known.keys() == {key for piece in pieces for key in piece}
