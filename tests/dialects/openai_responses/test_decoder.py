"""Streams of upstreams: what they say, said once, however often and in whatever order they repeat it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_responses import DIALECT
from cliproxy.dialects.openai_responses.decoder import ResponsesDecoder
from cliproxy.dialects.openai_responses.encoder import ResponsesEncoder
from cliproxy.errors import Kind
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
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
    ThinkingBreak,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import CallKind, Family, Image, Inline, Opaque, Refusal, Text, Thinking, ToolCall
from cliproxy.ir.response import FinishReason, Usage
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.sse import Frame, make_frame
from support import grammar_responses, ir_strategies
from support.factories import NOW, make_context
from support.frames import collect, cuts_of, decode, decode_cut, encode, one_byte_cuts, parse


def context(**overrides):
    return make_context(client_dialect="openai-response", upstream_dialect="openai-response", **overrides)


def frame(kind, **members):
    name = kind if kind == "error" else f"response.{kind}"
    return make_frame(dumps({"type": name, **members}), name.encode())


def created(**members):
    return frame("created", response={"id": "resp_1", "model": "m", "created_at": 7, **members})


def completed(*output, usage=None, kind="completed", **members):
    response = {"id": "resp_1", "model": "m", "status": kind, "output": [*output], **members}
    if usage:
        response["usage"] = usage
    return frame(kind, response=response)


def events_of(*frames, **overrides):
    return decode(ResponsesDecoder(context(**overrides)), frames)


def answer_of(*frames, **overrides):
    """Collect a stream that must end properly."""
    events = events_of(*frames, **overrides)
    assert isinstance(events[-1], End)
    return collect(events)


def parts_of(*frames, **overrides):
    return answer_of(*frames, **overrides).choices[0].parts


def message(text, item_id="msg_1", **members):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": item_id, "type": "message", "role": "assistant", "content": content, **members}


def call(arguments, item_id="fc_1", **members):
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": "call_1",
        "name": "f",
        "arguments": arguments,
        **members,
    }


def texts(parts):
    return [part.text for part in parts]


def added(item, index=0):
    return frame("output_item.added", output_index=index, item=item)


def done(item, index=0):
    return frame("output_item.done", output_index=index, item=item)


def text_delta(delta, index=0, item_id="msg_1", content_index=0):
    return frame(
        "output_text.delta", output_index=index, item_id=item_id, content_index=content_index, delta=delta
    )


def args_delta(delta, index=0, item_id="fc_1"):
    return frame("function_call_arguments.delta", output_index=index, item_id=item_id, delta=delta)


# --- text -------------------------------------------------------------------------------------------------


def test_text_stream_in_full():
    events = events_of(
        created(),
        frame("in_progress", response={"id": "resp_1"}),
        added(message("", content=[])),
        frame(
            "content_part.added", output_index=0, content_index=0, part={"type": "output_text", "text": ""}
        ),
        text_delta("Hel"),
        text_delta("lo"),
        frame("output_text.done", output_index=0, item_id="msg_1", content_index=0, text="Hello"),
        frame(
            "content_part.done",
            output_index=0,
            content_index=0,
            part={"type": "output_text", "text": "Hello", "annotations": []},
        ),
        done(message("Hello")),
        completed(message("Hello"), usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}),
    )
    extras = {"openai-response": {"item": {"id": "msg_1"}}}
    assert events == [
        Start("resp_1", "m", 7),
        BlockStart(0, BlockKind.TEXT, item_id="msg_1", extras=extras),
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        BlockStop(0),
        UsageUpdate(Usage(fresh_input=3, output=2, reported_total=5)),
        Finish(collect(events).choices[0].ending),
        End(),
    ]


@pytest.mark.parametrize(
    "frames",
    [
        [text_delta("Hi"), completed()],
        [frame("output_text.done", output_index=0, item_id="msg_1", content_index=0, text="Hi"), completed()],
        [done(message("Hi")), completed()],
        [completed(message("Hi"))],
        [text_delta("H"), done(message("Hi")), completed(message("Hi"))],
        [text_delta("H"), completed(message("Hi"))],
        [added(message("", content=[])), completed(message("Hi"))],
        [
            frame(
                "content_part.done",
                output_index=0,
                content_index=0,
                part={"type": "output_text", "text": "Hi", "annotations": []},
            ),
            completed(message("Hi")),
        ],
    ],
    ids=[
        "deltas",
        "text.done",
        "item.done",
        "completed",
        "tail at item",
        "tail at end",
        "added only",
        "part",
    ],
)
def test_text_is_said_once_wherever_it_stands(frames):
    assert texts(parts_of(created(), *frames)) == ["Hi"]


def test_whole_that_contradicts_the_deltas_adds_nothing():
    assert texts(parts_of(created(), text_delta("Hi"), done(message("Other")), completed())) == ["Hi"]


def test_part_that_ends_without_having_said_anything_is_nothing():
    empty = {"type": "output_text", "text": "", "annotations": []}
    end = frame("content_part.done", output_index=0, content_index=0, part=empty)
    assert parts_of(created(), end, completed(message(""))) == []


def test_phase_of_a_message_is_kept():
    """Newer models mark what is commentary and what is the answer, and want the mark back."""
    item = message("a", phase="commentary")
    streamed = parts_of(created(), added({**item, "content": []}), text_delta("a"), done(item), completed())
    assert streamed[0].extras == {"openai-response": {"item": {"id": "msg_1", "phase": "commentary"}}}
    frames = encode(ResponsesEncoder(context()), to_events(answer_of(created(), done(item), completed())))
    assert loads_object(frames[-1].data)["response"]["output"][0]["phase"] == "commentary"


def test_citations_are_given_once():
    citation = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
    other = {**citation, "url": "https://y"}
    item = message("a")
    item["content"][0]["annotations"] = [citation, other]
    events = events_of(
        created(),
        text_delta("a"),
        frame(
            "output_text.annotation.added",
            output_index=0,
            item_id="msg_1",
            content_index=0,
            annotation_index=0,
            annotation=citation,
        ),
        done(item),
        completed(item),
    )
    assert [event.citation["url"] for event in events if isinstance(event, Annotation)] == [
        "https://x",
        "https://y",
    ]


def test_empty_annotation_does_not_shift_the_count_of_those_that_were_told():
    citation = {"type": "url_citation", "url": "https://e.example"}
    item = message("Hi")
    item["content"][0]["annotations"] = [{}, citation]
    told = [
        frame("output_text.annotation.added", output_index=0, content_index=0, annotation=annotation)
        for annotation in ({}, citation)
    ]
    parts = parts_of(
        created(), added(message("", content=[])), text_delta("Hi"), *told, done(item), completed()
    )
    assert parts[0].citations == [citation]


def test_refusal_is_its_own_kind_of_block():
    refusal = frame("refusal.delta", output_index=0, item_id="msg_1", content_index=0, delta="No")
    finish = frame("refusal.done", output_index=0, item_id="msg_1", content_index=0, refusal="No.")
    answer = answer_of(created(), refusal, finish, completed())
    assert answer.choices[0].parts == [Refusal("No.")]
    assert answer.choices[0].ending.reason is FinishReason.REFUSAL


def test_parts_of_a_message_are_blocks_of_their_own():
    item = message("a")
    item["content"] += [{"type": "refusal", "refusal": "no"}, {"type": "strange", "x": 1}, "odd"]
    parts = parts_of(created(), text_delta("a"), done(item), completed())
    assert parts == [
        Text("a", extras={"openai-response": {"item": {"id": "msg_1"}}}),
        Refusal("no"),
        Opaque("openai-response", "content:strange", {"type": "strange", "x": 1}),
    ]


# --- reasoning --------------------------------------------------------------------------------------------


def reasoning(*paragraphs, encrypted="", **members):
    summary = [{"type": "summary_text", "text": paragraph} for paragraph in paragraphs]
    item = {"id": "rs_1", "type": "reasoning", "summary": summary, **members}
    return {**item, "encrypted_content": encrypted} if encrypted else item


def thought(delta, number=0):
    return frame(
        "reasoning_summary_text.delta", output_index=0, item_id="rs_1", summary_index=number, delta=delta
    )


def test_paragraphs_of_a_summary_are_one_block():
    events = events_of(
        created(),
        added(reasoning()),
        frame("reasoning_summary_part.added", output_index=0, item_id="rs_1", summary_index=0, part={}),
        thought("one"),
        frame("reasoning_summary_text.done", output_index=0, item_id="rs_1", summary_index=0, text="one"),
        frame("reasoning_summary_part.added", output_index=0, item_id="rs_1", summary_index=1, part={}),
        thought("two", 1),
        done(reasoning("one", "two", encrypted="gAAAAx")),
        completed(),
    )
    assert [
        event for event in events if isinstance(event, ThinkingDelta | ThinkingBreak | SignatureDelta)
    ] == [
        ThinkingDelta(0, "one"),
        ThinkingBreak(0),
        ThinkingDelta(0, "two"),
        SignatureDelta(0, "gAAAAx", Family.GPT),
    ]
    (part,) = collect(events).choices[0].parts
    assert (part.text, part.summary, part.item_id) == ("one\n\ntwo", ["one", "two"], "rs_1")


def test_reasoning_only_in_the_finished_item():
    (part,) = parts_of(created(), done(reasoning("one", "two", encrypted="S")), completed())
    assert (part.text, part.signature.value) == ("one\n\ntwo", "S")


def test_unfinished_paragraph_is_completed():
    (part,) = parts_of(created(), thought("on"), done(reasoning("one", "two")), completed())
    assert part.summary == ["one", "two"]


def test_encrypted_reasoning_without_text():
    """Announced with one value and finished with another: the last one counts."""
    frames = [added(reasoning(encrypted="early")), done(reasoning(encrypted="late")), completed()]
    (part,) = parts_of(created(), *frames)
    assert (part.text, part.signature.value) == ("", "late")
    (early,) = parts_of(created(), added(reasoning(encrypted="early")), done(reasoning()), completed())
    assert early.signature.value == "early"


def test_redacted_thinking_of_a_claude_model():
    item = reasoning(encrypted="claude-redacted-thinking:DATA")
    (part,) = parts_of(created(), done(item), completed())
    assert (part.redacted.value, part.redacted.family) == ("DATA", Family.CLAUDE)


def test_reasoning_without_anything_is_nothing():
    assert parts_of(created(), added(reasoning()), done(reasoning()), completed(reasoning())) == []


def test_full_reasoning_text_is_shown_where_there_is_no_summary():
    delta = frame("reasoning_text.delta", output_index=0, item_id="rs_1", content_index=0, delta="thin")
    end = frame("reasoning_text.done", output_index=0, item_id="rs_1", content_index=0, text="thinking")
    item = reasoning(content=[{"type": "reasoning_text", "text": "thinking"}])
    assert texts(parts_of(created(), delta, end, done(item), completed())) == ["thinking"]


def test_summary_and_full_text_are_not_mixed():
    delta = frame("reasoning_text.delta", output_index=0, item_id="rs_1", content_index=0, delta="full")
    item = reasoning("short", content=[{"type": "reasoning_text", "text": "full"}])
    assert texts(parts_of(created(), thought("short"), delta, done(item), completed())) == ["short"]


# --- calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [
        [added(call("")), args_delta('{"a"'), args_delta(":1}"), done(call('{"a":1}')), completed()],
        [
            added(call("")),
            args_delta('{"a"'),
            frame("function_call_arguments.done", output_index=0, item_id="fc_1", arguments='{"a":1}'),
            completed(call('{"a":1}')),
        ],
        [done(call('{"a":1}')), completed()],
        [completed(call('{"a":1}'))],
        [added(call("")), completed(call('{"a":1}'))],
        [args_delta('{"a":1}'), done(call('{"a":1}')), completed()],
        [
            added(call("", name="")),
            args_delta('{"a"'),
            args_delta(":1}"),
            done(call('{"a":1}')),
            completed(call('{"a":1}')),
        ],
    ],
    ids=["deltas", "done", "item only", "end only", "added and end", "before the name", "nameless at first"],
)
def test_arguments_are_said_once(frames):
    (part,) = parts_of(created(), *frames)
    assert part == ToolCall("call_1", "f", '{"a":1}', item_id="fc_1")


def test_announcement_may_come_late_or_twice():
    late = parts_of(
        created(), args_delta("{"), added(call("")), args_delta("}"), added(call("")), completed()
    )
    assert [part.arguments for part in late] == ["{}"]
    again = parts_of(created(), done(call("{}")), added(call("")), completed(call("{}")))
    assert len(again) == 1


@pytest.mark.parametrize(
    ("rest", "call_id"),
    [([completed()], "fc_1"), ([done(call("")), completed()], "call_1"), ([completed(call(""))], "call_1")],
    ids=["nothing else", "the item without them", "the last event without them"],
)
def test_arguments_that_only_their_end_tells(rest, call_id):
    name = {"output_index": 0, "item_id": "fc_1", "name": "f"}
    ending = frame("function_call_arguments.done", arguments='{"a":1}', **name)
    (part,) = parts_of(created(), ending, *rest)
    assert (part.id, part.name, part.arguments) == (call_id, "f", '{"a":1}')


def test_end_of_arguments_replaces_the_fragments_before_it():
    ending = frame("function_call_arguments.done", output_index=0, item_id="fc_1", arguments='{"a":1}')
    (part,) = parts_of(created(), args_delta('{"a'), ending, done(call("")), completed())
    assert part.arguments == '{"a":1}'


def test_interleaved_calls_stay_apart():
    events = events_of(
        created(),
        added(call("", "fc_a", call_id="a"), 0),
        added(call("", "fc_b", call_id="b", name="g"), 1),
        args_delta("{}", 1, "fc_b"),
        args_delta('{"x":', 0, "fc_a"),
        args_delta("1}", 0, "fc_a"),
        done(call("{}", "fc_b", call_id="b", name="g"), 1),
        done(call('{"x":1}', "fc_a", call_id="a"), 0),
        completed(),
    )
    parts = collect(events).choices[0].parts
    assert [(part.id, part.arguments) for part in parts] == [("a", '{"x":1}'), ("b", "{}")]


def test_item_is_found_by_index_where_ids_change():
    """Some upstreams encrypt the id anew in every event."""
    frames = [added(call("", "enc1")), args_delta("{}", 0, "enc2"), done(call("{}", "enc3")), completed()]
    assert parts_of(created(), *frames)[0].arguments == "{}"


def test_items_without_an_index_are_found_by_id():
    events = events_of(
        created(),
        frame("output_item.added", item=call("", "fc_a", call_id="a")),
        frame("output_item.added", item=call("", "fc_b", call_id="b")),
        frame("function_call_arguments.delta", item_id="fc_a", delta="{}"),
        completed(),
    )
    assert [event.index for event in events if isinstance(event, ArgsDelta)] == [0]


def test_namespaced_call_is_flattened():
    ctx = context()
    events = decode(
        ResponsesDecoder(ctx), [created(), done(call("{}", name="read", namespace="fs")), completed()]
    )
    start = next(event for event in events if isinstance(event, BlockStart))
    assert (start.name, start.namespace) == ("fs__read", "fs")
    assert ctx.namespaces == {"fs__read": ("fs", "read")}


def test_custom_call_takes_free_text():
    item = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "patch", "input": ""}
    delta = frame("custom_tool_call_input.delta", output_index=0, item_id="ctc_1", delta="a b")
    end = frame("custom_tool_call_input.done", output_index=0, item_id="ctc_1", input="a b c")
    (part,) = parts_of(created(), added(item), delta, end, completed())
    assert part == ToolCall("c", "patch", "a b c", CallKind.CUSTOM, item_id="ctc_1")


def test_call_without_a_name_or_id_gets_them():
    (part,) = parts_of(created(), done({"type": "function_call", "arguments": "{}"}), completed())
    assert part.name == "tool_0"
    assert part.id.startswith("call_")


# --- other items ------------------------------------------------------------------------------------------


def test_generated_image():
    item = {"id": "ig_1", "type": "image_generation_call", "result": "BB==", "output_format": "webp"}
    preview = frame(
        "image_generation_call.partial_image",
        output_index=0,
        item_id="ig_1",
        partial_image_b64="AA==",
        output_format="webp",
    )
    events = events_of(created(), added({**item, "result": None}), preview, done(item), completed())
    assert [event for event in events if isinstance(event, ImageDone)] == [
        ImageDone(0, "image/webp", "AA==", partial=True),
        ImageDone(0, "image/webp", "BB=="),
    ]
    assert collect(events).choices[0].parts == [Image(Inline("image/webp", "BB=="))]


def test_server_tool_keeps_its_place():
    item = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"query": "q"}}
    parts = parts_of(
        created(),
        added({**item, "status": "in_progress"}, 0),
        frame("web_search_call.searching", output_index=0, item_id="ws_1"),
        text_delta("a", 1, "msg_1"),
        done(item, 0),
        completed(item, message("a")),
    )
    assert parts == [
        Opaque("openai-response", "web_search_call", item),
        Text("a", extras={"openai-response": {"item": {"id": "msg_1"}}}),
    ]


def test_items_only_in_the_last_event_come_in_order():
    output = [reasoning("r", encrypted="S"), message("a"), call("{}")]
    assert [type(part) for part in parts_of(created(), completed(*output))] == [Thinking, Text, ToolCall]


def test_list_of_the_last_event_may_lack_items():
    """A backend that keeps nothing ends with an empty list."""
    assert texts(parts_of(created(), added(message("")), text_delta("a"), completed())) == ["a"]
    parts = parts_of(created(), done(reasoning("r"), 0), done(message("a"), 1), completed(message("a")))
    assert texts(parts) == ["r", "a"]


@pytest.mark.parametrize("ids", ["none", "others"])
def test_items_are_not_told_twice_where_the_last_list_is_shifted(ids):
    """It lacks the reasoning, and the ids do not say what is what: a call told twice would be run twice."""

    def renamed(item, number):
        known = {key: value for key, value in item.items() if key != "id"}
        return known if ids == "none" else {**known, "id": f"other_{number}"}

    streamed = [done(item, index) for index, item in enumerate((reasoning("r"), message("a"), call("{}")))]
    parts = parts_of(created(), *streamed, completed(renamed(message("a"), 1), renamed(call("{}"), 2)))
    assert [type(part) for part in parts] == [Thinking, Text, ToolCall]


def test_what_nobody_models_of_an_answer_is_kept():
    answer = answer_of(
        created(service_tier="auto", store=True),
        text_delta("a"),
        completed(service_tier="flex", usage={"input_tokens": 1, "output_tokens": 2, "cost": 3}),
    )
    assert answer.extras == {"openai-response": {"service_tier": "flex", "store": True}}
    assert answer.usage.extras == {"openai-response": {"cost": 3}}


def test_last_event_with_an_item_of_another_kind_at_that_place():
    parts = parts_of(created(), text_delta("a"), completed(call("{}"), message("a")))
    assert [type(part) for part in parts] == [Text, ToolCall]


# --- beginnings and ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "reason", "native"),
    [
        (completed(message("a")), FinishReason.STOP, "completed"),
        (completed(call("{}")), FinishReason.TOOL_CALLS, "completed"),
        (
            completed(message("a"), kind="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            FinishReason.LENGTH,
            "max_output_tokens",
        ),
        (
            completed(call("{"), kind="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            FinishReason.LENGTH,
            "max_output_tokens",
        ),
        (
            completed(message("a"), kind="incomplete", incomplete_details={"reason": "content_filter"}),
            FinishReason.CONTENT_FILTER,
            "content_filter",
        ),
        (completed(message("a"), stop_reason="length"), FinishReason.LENGTH, "length"),
        (completed(message("a"), kind="incomplete"), FinishReason.STOP, "incomplete"),
        (completed(message("a"), kind="cancelled"), FinishReason.CANCELLED, "cancelled"),
        (
            frame("done", response={"status": "completed", "output": [message("a")]}),
            FinishReason.STOP,
            "completed",
        ),
    ],
)
def test_why_an_answer_ended(end, reason, native):
    ending = answer_of(created(), end).choices[0].ending
    assert (ending.reason, ending.native) == (reason, native)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (frame("error", code="rate_limit_exceeded", message="slow"), Kind.RATE_LIMIT, "rate_limit_exceeded"),
        (
            frame("error", error={"type": "overloaded_error", "message": "busy"}, status=529),
            Kind.OVERLOADED,
            "overloaded_error",
        ),
        (
            frame("failed", response={"status": "failed", "error": {"code": "server_error", "message": "x"}}),
            Kind.UPSTREAM,
            "server_error",
        ),
        (
            frame("failed", response={"error": {"code": "context_length_exceeded", "message": "long"}}),
            Kind.INVALID_REQUEST,
            "context_length_exceeded",
        ),
        (frame("done", response={"status": "failed", "error": {"message": "x"}}), Kind.UPSTREAM, ""),
        (
            make_frame(b'{"error":{"code":"invalid_api_key","message":"no"}}'),
            Kind.AUTHENTICATION,
            "invalid_api_key",
        ),
        (make_frame(b'{"type":"response.created"'), Kind.UPSTREAM, ""),
    ],
)
def test_error_ends_the_stream(error, kind, code):
    events = events_of(created(), text_delta("a"), error, text_delta("late"))
    assert isinstance(events[-1], StreamError)
    assert (events[-1].kind, events[-1].code) == (kind, code)
    assert TextDelta(0, "late") not in events


def test_error_says_when_to_come_back():
    error = {"type": "usage_limit_reached", "message": "x", "resets_at": NOW + 60, "resets_in_seconds": 99}
    events = events_of(frame("failed", response={"error": error}))
    assert events[-1].retry_after == 60


def test_transport_that_ends_early_is_no_clean_end():
    events = events_of(created(), added(message("")), text_delta("a"))
    assert events[-2:] == [BlockStop(0), End(clean=False)]
    assert not any(isinstance(event, Finish) for event in events)


def test_nothing_follows_the_end():
    decoder = ResponsesDecoder(context())
    decode(decoder, [created(), completed()])
    assert decoder.feed(text_delta("late")) == []
    assert decoder.finish() == []


def test_answer_without_a_beginning_gets_one():
    assert isinstance(events_of(text_delta("a"), completed())[0], Start)
    assert isinstance(events_of()[0], Start)


@pytest.mark.parametrize(
    "odd",
    [
        make_frame(b"[DONE]"),
        make_frame(b"ping"),
        make_frame(b"[1,2]"),
        Frame(None, b"", b": comment\n\n"),
        frame("something.new", output_index="x"),
        make_frame(b'{"type":"codex.rate_limits","rate_limits":{}}'),
        make_frame(b"{}"),
    ],
)
def test_odd_frames_are_passed_over(odd):
    assert texts(parts_of(created(), odd, text_delta("a"), odd, completed())) == ["a"]


def test_event_name_on_the_frame_alone_is_enough():
    named = Frame(b"response.output_text.delta", b'{"output_index":0,"delta":"a"}', b"")
    assert texts(parts_of(created(), named, completed())) == ["a"]


# --- properties -------------------------------------------------------------------------------------------

RECORDED = b"".join(
    made.raw
    for made in [
        created(),
        added(reasoning()),
        thought("th\u00e9"),
        done(reasoning("th\u00e9", encrypted="gAAAAx")),
        added(message("", content=[]), 1),
        text_delta("H\u2028i \U0001f98a", 1),
        done(message("H\u2028i \U0001f98a"), 1),
        added(call(""), 2),
        args_delta('{"a":', 2),
        args_delta("1}", 2),
        done(call('{"a":1}'), 2),
        completed(usage={"input_tokens": 1, "output_tokens": 2}),
    ]
)


@given(cuts_of(RECORDED))
def test_any_cutting_gives_the_same_events(cuts):
    whole = decode(ResponsesDecoder(context()), parse(RECORDED))
    assert decode_cut(ResponsesDecoder(context()), RECORDED, cuts) == whole


def test_one_byte_at_a_time_gives_the_same_events():
    whole = decode(ResponsesDecoder(context()), parse(RECORDED))
    assert decode_cut(ResponsesDecoder(context()), RECORDED, one_byte_cuts(RECORDED)) == whole


@pytest.mark.parametrize(
    "odd",
    [
        RECORDED.replace(b"\n", b"\r\n"),
        RECORDED.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + RECORDED,
        RECORDED.replace(b"event: ", b": comment\nid: 7\nevent: "),
        RECORDED.replace(b"event: ", b": keep-alive\n\nevent: "),
        RECORDED.replace(b"data: ", b"data:"),
        b"".join(b"data: " + made.data + b"\n\n" for made in parse(RECORDED)),
        RECORDED.removesuffix(b"\n\n"),
        RECORDED + b"data: [DONE]\n\n",
    ],
    ids=["crlf", "cr", "bom", "fields", "comments", "no blank", "no names", "no end", "a terminator"],
)
def test_form_of_the_frames_does_not_matter(odd):
    expected = decode(ResponsesDecoder(context()), parse(RECORDED))
    assert decode(ResponsesDecoder(context()), parse(odd)) == expected


@given(ir_strategies.events(max_choices=1, failing=False, finished=True))
def test_streams_survive_a_round_trip(events):
    """Encoding, decoding and encoding again changes nothing any more, and costs no more frames.

    Signatures of text and calls, which this wire has no place for, are left out: an upstream sends none.
    """
    thoughts = {
        event.index
        for event in events
        if isinstance(event, BlockStart) and event.kind in {BlockKind.THINKING, BlockKind.REDACTED}
    }
    events = [event for event in events if not isinstance(event, SignatureDelta) or event.index in thoughts]
    once = encode(ResponsesEncoder(context()), events)
    last = loads_object(once[-1].data)["response"]
    if last["status"] == "failed" or (last["status"] == "incomplete" and not last["incomplete_details"]):
        return  # an error, and an end without a reason, are read as what they are: nothing to write again
    decoded = decode(ResponsesDecoder(context()), once)
    twice = encode(ResponsesEncoder(context()), decoded)
    grammar_responses.check(twice, typed=False)
    assert len(twice) <= len(once)
    first, second = (loads_object(frames[-1].data)["response"] for frames in (once, twice))
    assert second["output"] == first["output"]
    assert second["usage"] == first["usage"]


@given(ir_strategies.events(max_choices=1, failing=False, finished=True))
def test_stream_and_whole_say_the_same(events):
    """What a stream adds up to is what its last event, read as a whole answer, says."""
    frames = encode(ResponsesEncoder(context()), events)
    body = loads_object(frames[-1].data)["response"]
    if body["status"] == "failed":
        return
    streamed = collect(decode(ResponsesDecoder(context()), frames))
    whole = DIALECT.decode_response(body, context())
    assert streamed.choices == whole.choices
    assert streamed.usage == whole.usage


NAMES = st.sampled_from(
    [name for name in grammar_responses.MODELS if name.startswith("response.")]
    + ["error", "response.done", ""]
)
MEMBERS = [
    *("item", "response", "item_id", "output_index", "content_index", "delta", "text", "part", "error"),
    *("output", "summary_index"),
]
INNER = [
    *("id", "type", "content", "output", "text", "summary", "status", "usage", "arguments", "error", "name"),
]
WILD = st.dictionaries(
    st.sampled_from(MEMBERS),
    st.recursive(
        ir_strategies.json_values,
        lambda inner: (
            st.dictionaries(
                st.sampled_from(INNER),
                inner,
            )
            | st.lists(inner, max_size=3)
        ),
        max_leaves=5,
    ),
)


@given(st.lists(st.tuples(NAMES, WILD), max_size=5))
def test_decoder_survives_anything(frames):
    made = [make_frame(dumps({**members, "type": name})) for name, members in frames]
    events = decode(ResponsesDecoder(context()), made)
    assert isinstance(events[-1], End | StreamError)
    assert sum(isinstance(event, Start) for event in events) <= 1
    opened = [event.index for event in events if isinstance(event, BlockStart)]
    assert opened == list(range(len(opened)))
    if isinstance(events[-1], End):
        assert sorted(event.index for event in events if isinstance(event, BlockStop)) == opened


def test_opaque_block_never_finished_says_nothing():
    events = events_of(created(), added({"id": "x", "type": "mcp_call"}), completed())
    assert not any(isinstance(event, OpaqueBlock) for event in events)
    assert collect(events).choices[0].parts == []
