"""Streams: previews, then pictures; both ways."""

import json

import pytest

from cliproxy.dialects.openai_images.stream import ImageStreamDecoder, ImageStreamEncoder, inspect
from cliproxy.errors import BadRequest, Kind, ProxyError
from cliproxy.ir.collect import Collector
from cliproxy.ir.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    Finish,
    ImageDone,
    Ping,
    Start,
    StreamError,
    TextDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Image, Inline, IRRequest, Message, Part, Text
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject
from cliproxy.wire.sse import Frame, make_frame
from support.factories import NOW, make_context

USAGE: JsonObject = {"input_tokens": 3, "output_tokens": 7, "total_tokens": 10}
STOP = Finish(Ending(FinishReason.STOP))


def frame(kind: str, named: bool = True, **members: object) -> Frame:
    value = {"type": kind, "output_format": "webp", "created_at": 5, **members}
    return make_frame(json.dumps(value).encode(), kind.encode() if named else None)


PARTIAL = frame("image_generation.partial_image", b64_json="AA", partial_image_index=0)
COMPLETED = frame("image_generation.completed", b64_json="BBBB", usage=USAGE)


# --- looking ---


@pytest.mark.parametrize("named", [True, False])
def test_previews_and_pictures_are_content(named: bool) -> None:
    assert inspect(frame("image_edit.partial_image", named, b64_json="AA")).has_content
    glimpse = inspect(frame("image_edit.completed", named, b64_json="AA", usage=USAGE))
    assert glimpse.is_finished
    assert not glimpse.is_terminal, "another picture may follow"
    assert glimpse.usage is not None
    assert glimpse.usage.output_total == 7


def test_the_end_and_other_events() -> None:
    assert inspect(make_frame(b"[DONE]")).is_terminal
    assert not inspect(make_frame(b"{}")).has_content
    assert not inspect(make_frame(b"hello")).has_content


@pytest.mark.parametrize(
    "error",
    [
        make_frame(b'{"error":{"message":"no"}}'),
        make_frame(b'{"type":"error","error":{"message":"no"}}', b"error"),
    ],
)
def test_errors_are_seen(error: Frame) -> None:
    glimpse = inspect(error)
    assert glimpse.error is not None
    assert glimpse.error.message == "no"


# --- reading ---


def decoded(*frames: Frame) -> list[Event]:
    decoder = ImageStreamDecoder(make_context())
    return [event for one in frames for event in decoder.feed(one)] + decoder.finish()


def test_a_picture_with_a_preview() -> None:
    assert decoded(PARTIAL, COMPLETED) == [
        Start("", "", 5),
        BlockStart(0, BlockKind.IMAGE),
        ImageDone(0, "image/webp", "AA", partial=True),
        ImageDone(0, "image/webp", "BBBB"),
        BlockStop(0),
        UsageUpdate(Usage(fresh_input=3, output=7, reported_total=10)),
        STOP,
        End(),
    ]


def test_several_pictures_add_up_to_one_answer() -> None:
    collector = Collector()
    for event in decoded(COMPLETED, PARTIAL, COMPLETED, make_frame(b"[DONE]"), COMPLETED):
        collector.feed(event)
    [choice] = collector.result().choices
    assert choice.parts == [Image(Inline("image/webp", "BBBB"))] * 2


@pytest.mark.parametrize("frames", [(), (PARTIAL,), (COMPLETED, PARTIAL)])
def test_a_stream_that_breaks_off_is_not_clean(frames: tuple[Frame, ...]) -> None:
    events = decoded(*frames)
    assert events[-1] == End(clean=False)
    assert STOP not in events


def test_an_error_ends_the_stream() -> None:
    [error] = decoded(make_frame(b'{"error":{"message":"no","code":"rate_limit_exceeded"}}'), COMPLETED)
    assert isinstance(error, StreamError)
    assert (error.kind, error.message) == (Kind.RATE_LIMIT, "no")


def test_odd_frames_are_tolerated_and_broken_ones_are_not() -> None:
    odd = (
        make_frame(b"hello"),
        make_frame(b'{"type":"image_generation.queued"}'),
        Frame(None, b"", b":\n\n"),
    )
    assert decoded(*odd, COMPLETED)[-1] == End()
    broken = decoded(make_frame(b'{"type":'))
    assert isinstance(broken[0], StreamError)
    assert len(broken) == 1


# --- writing ---


def encoded(*events: Event, edits: bool = False, **facts: object) -> list[JsonObject]:
    parts: list[Part] = [Text("a"), *([Image(Inline("image/png", "AA"))] if edits else [])]
    original = IRRequest(model="m", messages=[Message("user", parts)])
    encoder = ImageStreamEncoder(make_context(original=original, **facts))
    frames = [out for event in events for out in encoder.encode(event)] + encoder.finish()
    assert encoder.finish() == encoder.error(BadRequest("late")) == []
    values = [json.loads(one.data) for one in frames]
    assert [one.event for one in frames] == [value["type"].encode() for value in values]
    return values


PICTURE = ImageDone(0, "image/png", "AA-_")


def test_a_picture_is_completed_with_what_it_cost() -> None:
    usage = UsageUpdate(Usage(fresh_input=3, output=7))
    opening = (Start("", ""), Ping(), TextDelta(1, "Here"), BlockStart(0, BlockKind.IMAGE))
    [event] = encoded(*opening, PICTURE, STOP, usage, End(), original_body={"size": "1024x1024"})
    assert event == {
        "type": "image_generation.completed",
        "b64_json": "AA+/",
        "background": "auto",
        "created_at": int(NOW),
        "output_format": "png",
        "quality": "auto",
        "size": "1024x1024",
        "usage": {**USAGE, "input_tokens_details": {"text_tokens": 3, "image_tokens": 0}},
    }


def test_edits_have_events_of_their_own() -> None:
    events = encoded(
        Start("", "", 9), ImageDone(0, "image/png", "AA", partial=True), PICTURE, End(), edits=True
    )
    assert [(event["type"], event["created_at"]) for event in events] == [
        ("image_edit.partial_image", 9),
        ("image_edit.completed", 9),
    ]
    assert events[0]["partial_image_index"] == 0
    assert events[0]["size"] == "auto"


def test_of_several_pictures_the_last_tells_the_cost() -> None:
    events = encoded(PICTURE, ImageDone(1, "image/png", "BBBB"), UsageUpdate(Usage(output=7)), End())
    assert [event["usage"]["total_tokens"] for event in events] == [0, 7]


def test_words_alone_are_an_error() -> None:
    [event] = encoded(Start("", ""), TextDelta(0, "I cannot."), STOP, End())
    assert event["type"] == "error"
    assert event["error"]["message"] == "The upstream did not return a picture: I cannot."
    [event] = encoded(Finish(Ending(FinishReason.CONTENT_FILTER, native="IMAGE_SAFETY")), End())
    assert event["error"]["code"] == "content_policy_violation"


def test_errors_end_the_stream() -> None:
    [event] = encoded(StreamError(Kind.RATE_LIMIT, "slow down", 429), PICTURE)
    assert event["error"]["message"] == "slow down"
    encoder = ImageStreamEncoder(make_context())
    [written] = encoder.error(ProxyError("no"))
    assert written.raw.startswith(b"event: error\ndata: ")
    assert encoder.encode(PICTURE) == []


def test_what_is_written_can_be_read() -> None:
    encoder = ImageStreamEncoder(make_context())
    frames = [*encoder.encode(Start("", "", 5)), *encoder.encode(PICTURE), *encoder.encode(End())]
    events = decoded(*frames)
    assert ImageDone(0, "image/png", "AA+/") in events
    assert events[-1] == End()
