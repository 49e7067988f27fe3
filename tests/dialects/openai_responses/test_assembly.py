"""How blocks become items: opening, closing, joining. The encoder's tests cover what the events look like."""

import pytest

from cliproxy.dialects.openai_responses.assembly import Assembly
from cliproxy.dialects.openai_responses.output import ItemIds
from cliproxy.dialects.openai_responses.response import SilentSink
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    ImageDone,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    TextDelta,
    ThinkingBreak,
    ThinkingDelta,
)
from cliproxy.ir.request import Family, Opaque
from cliproxy.ir.response import FinishReason
from support.factories import make_context


def assembled(*events, reason=FinishReason.STOP):
    assembly = Assembly(make_context(), SilentSink(), ItemIds("1"))
    for event in events:
        assembly.feed(event)
    assembly.finish(reason)
    return assembly.output()


def kinds(items):
    return [item["type"] for item in items]


def test_block_that_says_nothing_leaves_no_trace():
    silent = [BlockStart(0, BlockKind.TEXT), TextDelta(0, ""), BlockStop(0)]
    assert assembled(*silent, BlockStart(1, BlockKind.THINKING), ThinkingBreak(1), BlockStop(1)) == []


def test_events_that_are_not_about_content_are_ignored():
    assert assembled(Ping()) == []


def test_running_call_does_not_hinder_text():
    items = assembled(
        BlockStart(0, BlockKind.TOOL_CALL, call_id="c", name="f"),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "a"),
        ArgsDelta(0, '{"a":1}'),
        TextDelta(1, "b"),
        BlockStop(1),
        BlockStop(0),
    )
    assert kinds(items) == ["function_call", "message"]
    assert items[1]["content"][0]["text"] == "ab"


def test_item_that_ended_is_closed_when_another_goes_on():
    """A call that is complete is told as complete although another one still runs."""
    items = assembled(
        BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="f"),
        BlockStart(1, BlockKind.TOOL_CALL, call_id="b", name="f"),
        BlockStop(0),
        ArgsDelta(1, "{"),
        reason=FinishReason.LENGTH,
    )
    assert [item["status"] for item in items] == ["completed", "incomplete"]


@pytest.mark.parametrize("said", ["", "x"])
def test_call_does_not_go_on_by_what_adds_nothing(said):
    """The text behind it is what the end of the answer cut off."""
    items = assembled(
        BlockStart(0, BlockKind.CUSTOM_TOOL_CALL, call_id="a", name="f"),
        ArgsDelta(0, said),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "t"),
        BlockStop(1),
        ArgsDelta(0, ""),
        ArgsDone(0, said),
        BlockStop(0),
        reason=FinishReason.LENGTH,
    )
    assert [item["status"] for item in items] == ["completed", "incomplete"]


def test_events_of_other_choices_are_left_out():
    other = Opaque("openai-response", "mcp_call", {})
    items = assembled(
        BlockStart(0, BlockKind.TEXT, 1),
        TextDelta(0, "a"),
        Annotation(0, {"type": "url_citation"}, "openai"),
        ThinkingDelta(0, "a"),
        ThinkingBreak(0),
        SignatureDelta(0, "s", Family.GPT),
        ArgsDelta(0, "a"),
        ImageDone(0, "image/png", "AA=="),
        OpaqueBlock(0, other),
        BlockStop(0),
    )
    assert items == []


def test_break_before_any_thought_says_nothing():
    items = assembled(
        BlockStart(0, BlockKind.THINKING), ThinkingBreak(0), ThinkingDelta(0, "t"), BlockStop(0)
    )
    assert len(items[0]["summary"]) == 1


def test_annotation_of_a_refusal_is_ignored():
    items = assembled(
        BlockStart(0, BlockKind.REFUSAL),
        TextDelta(0, "no"),
        Annotation(0, {"type": "url_citation"}, "openai"),
    )
    assert items[0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_empty_annotation_opens_no_message():
    """A text whose message was closed by another one gets a new message only for something that is said."""
    items = assembled(
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "a"),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "b"),
        Annotation(0, {}, "openai"),
    )
    assert [item["content"][0]["text"] for item in items] == ["a", "b"]


def test_signature_may_come_before_the_first_word():
    items = assembled(
        BlockStart(0, BlockKind.THINKING),
        SignatureDelta(0, "early", Family.GPT),
        ThinkingDelta(0, "t"),
        SignatureDelta(0, "late", Family.GPT),
        BlockStop(0),
    )
    assert items[0]["encrypted_content"] == "late"


def test_text_with_another_message_id_is_another_message():
    def extras(item_id):
        return {"openai-response": {"item": {"id": item_id}}}

    items = assembled(
        BlockStart(0, BlockKind.TEXT, extras=extras("msg_a")),
        TextDelta(0, "a"),
        BlockStop(0),
        BlockStart(1, BlockKind.TEXT, extras=extras("msg_b")),
        TextDelta(1, "b"),
        BlockStop(1),
    )
    assert [item["id"] for item in items] == ["msg_a", "msg_b"]


def test_second_item_with_the_same_id_gets_another():
    block = [BlockStart(0, BlockKind.TOOL_CALL, call_id="c", name="f", item_id="fc_1"), BlockStop(0)]
    again = [BlockStart(1, BlockKind.TOOL_CALL, call_id="c", name="f", item_id="fc_1"), BlockStop(1)]
    third = [BlockStart(2, BlockKind.TOOL_CALL, call_id="c", name="f", item_id="fc_1"), BlockStop(2)]
    assert [item["id"] for item in assembled(*block, *again, *third)] == ["fc_1", "fc_c", "fc_c_3"]


def test_unfinished_image_has_failed():
    items = assembled(BlockStart(0, BlockKind.IMAGE), ImageDone(0, "image/png", ""), BlockStop(0))
    assert (items[0]["status"], items[0]["result"]) == ("failed", None)


def test_content_of_this_wire_that_is_no_item_is_dropped():
    part = Opaque("openai-response", "content:hologram", {})
    assert assembled(BlockStart(0, BlockKind.OPAQUE), OpaqueBlock(0, part), BlockStop(0)) == []


def test_unknown_blocks_may_end():
    assert assembled(BlockStop(7), SignatureDelta(7, "s", Family.GPT), ThinkingBreak(7)) == []
