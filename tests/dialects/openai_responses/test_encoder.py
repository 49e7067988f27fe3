"""Streams to clients: the grammar for any events, and what single events become."""

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses.response_failed_event import ResponseFailedEvent

from cliproxy.dialects.openai_responses import DIALECT
from cliproxy.dialects.openai_responses.encoder import ResponsesEncoder
from cliproxy.errors import BadRequest, Kind, ProxyError
from cliproxy.ir.collect import Collector
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
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
from cliproxy.ir.request import Family, Opaque
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import loads_object
from support import grammar_responses, ir_strategies
from support.factories import NOW, make_context
from support.frames import encode


def context(**overrides):
    return make_context(client_dialect="openai-response", **overrides)


def told(*events, **overrides):
    """Encode, check the grammar, and return (all events, the final response)."""
    frames = encode(ResponsesEncoder(context(**overrides)), [Start("x1", "m", 5), *events])
    last = grammar_responses.check(frames)
    return [loads_object(frame.data) for frame in frames], last["response"]


def stopped(*events, reason=FinishReason.STOP, **overrides):
    return told(*events, Finish(Ending(reason)), End(), **overrides)


def names(events):
    return [event["type"].removeprefix("response.") for event in events]


def block(kind, *inner, index=0, **start):
    return [BlockStart(index, kind, **start), *inner, BlockStop(index)]


def test_text_is_told_in_full():
    events, response = stopped(*block(BlockKind.TEXT, TextDelta(0, "Hel"), TextDelta(0, "lo\u2028")))
    assert names(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(1, 11))
    assert response["output"] == [
        {
            "id": "msg_x1_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello\u2028", "annotations": [], "logprobs": []}],
        }
    ]
    assert (response["id"], response["model"], response["created_at"]) == ("resp_x1", "m", 5)


def test_call_without_arguments_has_an_empty_object():
    events, response = stopped(*block(BlockKind.TOOL_CALL, call_id="call_1", name="f"))
    item = response["output"][0]
    assert (item["id"], item["call_id"], item["name"], item["arguments"]) == (
        "fc_call_1",
        "call_1",
        "f",
        "{}",
    )
    deltas = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
    assert deltas == ["{}"]


def test_arguments_are_told_once():
    events, response = stopped(
        *block(
            BlockKind.TOOL_CALL,
            ArgsDelta(0, '{"a'),
            ArgsDelta(0, '":1}'),
            ArgsDone(0, '{"a":1}'),
            call_id="c",
            name="f",
        )
    )
    deltas = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
    assert deltas == ['{"a', '":1}']
    assert response["output"][0]["arguments"] == '{"a":1}'


def test_whole_arguments_count_without_fragments():
    _, response = stopped(*block(BlockKind.TOOL_CALL, ArgsDone(0, '{"a":1}'), call_id="c", name="f"))
    assert response["output"][0]["arguments"] == '{"a":1}'


def test_parallel_calls_may_interleave():
    events, response = stopped(
        BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="f"),
        BlockStart(1, BlockKind.TOOL_CALL, call_id="b", name="g"),
        ArgsDelta(1, '{"y":'),
        ArgsDelta(0, "{}"),
        ArgsDelta(1, "2}"),
        BlockStop(0),
        BlockStop(1),
        reason=FinishReason.TOOL_CALLS,
    )
    assert [item["arguments"] for item in response["output"]] == ["{}", '{"y":2}']
    assert [event["output_index"] for event in events if event["type"].endswith("item.added")] == [0, 1]


def test_text_behind_a_call_is_a_new_message():
    _, response = stopped(
        *block(BlockKind.TEXT, TextDelta(0, "a")),
        *block(BlockKind.TOOL_CALL, call_id="c", name="f", index=1),
        *block(BlockKind.TEXT, TextDelta(2, "b"), index=2),
    )
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "message"]
    assert len({item["id"] for item in response["output"]}) == 3


def test_block_that_is_overtaken_goes_on_in_a_new_item():
    """This wire tells one item at a time; nothing that was said may get lost."""
    _, response = stopped(
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "a"),
        BlockStart(1, BlockKind.THINKING),
        ThinkingDelta(1, "t"),
        TextDelta(0, "b"),
        BlockStop(0),
        BlockStop(1),
    )
    assert [item["type"] for item in response["output"]] == ["message", "reasoning", "message"]


def test_thoughts_are_paragraphs_of_a_summary():
    events, response = stopped(
        *block(
            BlockKind.THINKING,
            ThinkingDelta(0, "one"),
            ThinkingBreak(0),
            ThinkingBreak(0),
            ThinkingDelta(0, "two"),
            SignatureDelta(0, "gAAAA", Family.GPT),
            item_id="rs_1",
        )
    )
    assert response["output"] == [
        {
            "id": "rs_1",
            "type": "reasoning",
            "status": "completed",
            "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
            "encrypted_content": "gAAAA",
        }
    ]
    assert [event["summary_index"] for event in events if event["type"].endswith("text.delta")] == [0, 1]


def test_hidden_thoughts_leave_only_their_signature():
    thinking = block(BlockKind.THINKING, ThinkingDelta(0, "secret"), SignatureDelta(0, "S", Family.CLAUDE))
    _, response = stopped(*thinking, want_thoughts=False)
    assert response["output"][0]["summary"] == []
    assert response["output"][0]["encrypted_content"] == "claude#S"
    assert (
        stopped(*block(BlockKind.THINKING, ThinkingDelta(0, "secret")), want_thoughts=False)[1]["output"]
        == []
    )


def test_redacted_thinking_is_marked():
    _, response = stopped(*block(BlockKind.REDACTED, SignatureDelta(0, "DATA", Family.CLAUDE)))
    assert response["output"][0]["encrypted_content"] == "claude-redacted-thinking:DATA"


@pytest.mark.parametrize(
    ("kind", "inner", "anchor"),
    [
        (BlockKind.TOOL_CALL, ArgsDelta(0, "{}"), "previous-call"),
        (BlockKind.TEXT, TextDelta(0, "t"), "previous-text"),
    ],
)
def test_signature_of_a_call_or_text_follows_in_an_item_of_its_own(kind, inner, anchor):
    signed = block(kind, inner, SignatureDelta(0, "G", Family.GEMINI), call_id="c", name="f")
    _, response = stopped(*signed, *block(BlockKind.TEXT, TextDelta(1, "more"), index=1))
    assert [item["type"] for item in response["output"]][1:] == ["reasoning", "message"]
    carrier = response["output"][1]
    assert (carrier["summary"], carrier["encrypted_content"]) == ([], f"gemini.{anchor}#G")


def test_signature_behind_the_text_is_kept():
    _, response = stopped(
        *block(BlockKind.TEXT, TextDelta(0, "t")),
        *block(BlockKind.TEXT, SignatureDelta(1, "G", Family.GEMINI), index=1),
    )
    assert [item["type"] for item in response["output"]] == ["message", "reasoning"]


def test_custom_tool_of_the_client_is_unwrapped():
    events, response = stopped(
        *block(BlockKind.TOOL_CALL, ArgsDelta(0, '{"input":'), ArgsDelta(0, '"ab"}'), call_id="c", name="p"),
        custom_tools={"p"},
    )
    item = response["output"][0]
    assert (item["type"], item["id"], item["input"]) == ("custom_tool_call", "ctc_c", "ab")
    assert not any(event["type"].endswith("input.delta") for event in events)


def test_free_text_of_a_custom_tool_streams():
    events, response = stopped(
        *block(BlockKind.CUSTOM_TOOL_CALL, ArgsDelta(0, "raw "), ArgsDelta(0, "text"), call_id="c", name="p")
    )
    assert response["output"][0]["input"] == "raw text"
    assert [event["delta"] for event in events if event["type"].endswith("input.delta")] == ["raw ", "text"]


def test_namespace_is_named_again():
    _, response = stopped(
        *block(BlockKind.TOOL_CALL, call_id="c", name="short"),
        tool_names={"short": "fs__read"},
        namespaces={"fs__read": ("fs", "read")},
    )
    item = response["output"][0]
    assert (item["name"], item["namespace"]) == ("read", "fs")


def test_call_ids_are_restored():
    _, response = stopped(
        *block(BlockKind.TOOL_CALL, call_id="short", name="f"), call_ids={"short": "the client's own"}
    )
    assert response["output"][0]["call_id"] == "the client's own"


def test_image_and_its_previews():
    events, response = stopped(
        *block(
            BlockKind.IMAGE,
            ImageDone(0, "image/webp", "AA==", partial=True),
            ImageDone(0, "image/webp", "BB=="),
        )
    )
    item = response["output"][0]
    assert (item["status"], item["result"], item["output_format"]) == ("completed", "BB==", "webp")
    assert "image_generation_call.partial_image" in names(events)


def test_items_of_this_wire_pass_whole():
    raw = {"id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    _, response = stopped(
        *block(BlockKind.OPAQUE, OpaqueBlock(0, Opaque("openai-response", "web_search_call", raw)))
    )
    assert response["output"] == [{"type": "web_search_call", **raw}]


def test_items_of_other_wires_are_dropped_with_a_note():
    ctx = context()
    encode(
        ResponsesEncoder(ctx),
        block(BlockKind.OPAQUE, OpaqueBlock(0, Opaque("claude", "server_tool_use", {}))),
    )
    assert ctx.notes == ["server_tool_use of another dialect was dropped"]


def test_citation_becomes_an_annotation():
    citation = {"type": "web_search_result_location", "url": "https://x", "title": "X"}
    _, response = stopped(*block(BlockKind.TEXT, TextDelta(0, "four"), Annotation(0, citation, "claude")))
    assert response["output"][0]["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 4}
    ]


def test_parts_of_one_message_stay_together():
    extras = {"openai-response": {"item": {"id": "msg_7", "phase": "commentary"}}}
    _, response = stopped(
        *block(BlockKind.TEXT, TextDelta(0, "a"), extras=extras),
        *block(BlockKind.REFUSAL, TextDelta(1, "no"), index=1, extras=extras),
    )
    (item,) = response["output"]
    assert (item["id"], item["phase"]) == ("msg_7", "commentary")
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.STOP_SEQUENCE, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.REFUSAL, "incomplete", {"reason": "content_filter"}),
        (FinishReason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
        (FinishReason.PAUSE, "incomplete", None),
        (FinishReason.CANCELLED, "incomplete", None),
        (FinishReason.ERROR, "failed", None),
    ],
)
def test_reason_decides_the_status(reason, status, details):
    _, response = stopped(*block(BlockKind.TEXT, TextDelta(0, "a")), reason=reason)
    assert (response["status"], response["incomplete_details"]) == (status, details)


def test_a_refusal_in_words_of_its_own_completes_the_answer():
    """Without them only the status can say that the model declined."""
    _, response = stopped(*block(BlockKind.REFUSAL, TextDelta(0, "no")), reason=FinishReason.REFUSAL)
    assert (response["status"], response["incomplete_details"]) == ("completed", None)


def test_what_the_limit_cut_off_is_incomplete():
    """The block may have been closed before the reason was known; only the last item is cut off."""
    _, response = stopped(
        *block(BlockKind.THINKING, ThinkingDelta(0, "t")),
        *block(BlockKind.TEXT, TextDelta(1, "a"), index=1),
        reason=FinishReason.LENGTH,
    )
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_last_event_waits_for_usage():
    _, response = told(
        *block(BlockKind.TEXT, TextDelta(0, "a")),
        Finish(Ending(FinishReason.STOP)),
        UsageUpdate(Usage(fresh_input=10, cache_read=85, cache_write=5, output=7, reasoning=3)),
        End(),
    )
    assert response["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 85, "cache_write_tokens": 5},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 110,
    }


def test_usage_of_the_start_counts():
    frames = encode(
        ResponsesEncoder(context()),
        [Start("", "m", usage=Usage(fresh_input=3)), UsageUpdate(Usage(output=4)), End()],
    )
    response = grammar_responses.check(frames)["response"]
    assert response["usage"]["total_tokens"] == 7


def test_second_start_only_brings_usage():
    second = Start("y", "other", usage=Usage(output=2))
    frames = encode(ResponsesEncoder(context()), [Start("x", "m"), second, Start("z", ""), End()])
    response = grammar_responses.check(frames)["response"]
    assert (response["id"], response["model"], response["usage"]["total_tokens"]) == ("resp_x", "m", 2)


def test_nothing_known_of_usage_is_null():
    assert stopped(*block(BlockKind.TEXT, TextDelta(0, "a")))[1]["usage"] is None


def test_other_choices_are_not_told():
    ctx = context()
    events = [
        Start("x", "m"),
        BlockStart(0, BlockKind.TEXT, 1),
        TextDelta(0, "other"),
        BlockStop(0),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "first"),
        BlockStop(1),
        Finish(Ending(FinishReason.LENGTH), 1),
        Finish(Ending(FinishReason.STOP)),
        End(),
    ]
    response = grammar_responses.check(encode(ResponsesEncoder(ctx), events))["response"]
    assert [item["content"][0]["text"] for item in response["output"]] == ["first"]
    assert response["status"] == "completed"


def test_answer_that_breaks_off_has_failed():
    events, response = told(BlockStart(0, BlockKind.TEXT), TextDelta(0, "a"))
    assert events[-1]["type"] == "response.failed"
    assert response["output"][0]["status"] == "incomplete"
    assert response["error"]["code"] == "server_error"


def test_finish_reason_makes_an_answer_whole_whatever_the_transport_did():
    _, response = told(*block(BlockKind.TEXT, TextDelta(0, "a")), Finish(Ending(FinishReason.STOP)))
    assert response["status"] == "completed"


def test_clean_end_without_a_reason_is_a_stop():
    assert told(*block(BlockKind.TEXT, TextDelta(0, "a")), End())[1]["status"] == "completed"


def test_finish_is_idempotent():
    encoder = ResponsesEncoder(context())
    encode(encoder, [Start("x", "m"), End()])
    assert encoder.finish() == []
    assert encoder.encode(TextDelta(0, "late")) == []
    assert encoder.error(BadRequest("late")) == []


def test_error_is_told_in_both_forms():
    encoder = ResponsesEncoder(context())
    frames = [*encoder.encode(Start("x", "m")), *encoder.encode(BlockStart(0, BlockKind.TEXT))]
    frames += [*encoder.encode(TextDelta(0, "a")), *encoder.encode(Ping())]
    frames += encoder.error(ProxyError("slow down", kind=Kind.RATE_LIMIT, retry_after=3))
    grammar_responses.check(frames, typed=False)
    error, failed = (loads_object(frame.data) for frame in frames[-2:])
    assert (error["type"], error["code"], error["message"]) == ("error", "rate_limit_exceeded", "slow down")
    assert error["error"]["type"] == "rate_limit_error"
    assert failed["response"]["error"]["message"] == "slow down"
    assert encoder.finish() == []


def test_error_before_anything_else():
    frames = ResponsesEncoder(context()).error(ProxyError("gone", kind=Kind.UPSTREAM))
    grammar_responses.check(frames, typed=False)
    assert loads_object(frames[0].data)["code"] == "internal_server_error"


@pytest.mark.parametrize("kind", Kind)
def test_the_vendors_package_reads_every_failure(kind):
    """Its list of codes is shorter than that of the API; what it does not know must not break it."""
    encoder = ResponsesEncoder(context())
    frames = [*encoder.encode(Start("x", "m")), *encoder.error(ProxyError("broke", kind=kind))]
    failed = frames.pop()
    assert failed.event == b"response.failed"
    answer = httpx.Response(
        200, headers={"content-type": "text/event-stream"}, content=frames[0].raw + failed.raw
    )
    transport = httpx.MockTransport(lambda _: answer)
    with (
        httpx.Client(transport=transport) as http,
        OpenAI(api_key="k", base_url="http://test/v1", http_client=http) as client,
    ):
        *_, event = client.responses.create(model="m", input="hi", stream=True)
    assert isinstance(event, ResponseFailedEvent)
    assert event.response.error.message == "broke"
    assert event.response.error.code


def test_upstream_error_event_is_an_error():
    encoder = ResponsesEncoder(context())
    frames = encoder.encode(StreamError(Kind.OVERLOADED, "busy", 529, "server_is_overloaded"))
    assert loads_object(frames[0].data)["code"] == "server_is_overloaded"
    assert encoder.finish() == []


def test_what_an_upstream_of_this_wire_says_besides_is_told():
    begun = Start("x1", "m", extras={"openai-response": {"service_tier": "auto", "billing": 1}})
    update = ExtrasUpdate(
        {"openai-response": {"service_tier": "flex"}, "openai": {"system_fingerprint": "x"}}
    )
    foreign = ExtrasUpdate({"openai-response": {"x": 1}}, choice=0)
    frames = encode(
        ResponsesEncoder(context()), [begun, update, foreign, Finish(Ending(FinishReason.STOP)), End()]
    )
    response = grammar_responses.check(frames)["response"]
    assert (response["service_tier"], response["billing"]) == ("flex", 1)
    assert not {"system_fingerprint", "x"} & set(response)


def test_missing_facts_come_from_the_context():
    frames = encode(ResponsesEncoder(context(shown_model="alias")), [Start("", "real"), End()])
    response = grammar_responses.check(frames)["response"]
    assert response["model"] == "alias"
    assert response["created_at"] == int(NOW)
    assert response["id"].startswith("resp_")


def test_events_without_a_start_are_told():
    frames = encode(
        ResponsesEncoder(context()), [TextDelta(3, "a"), ArgsDelta(4, "{}"), ThinkingDelta(5, "t")]
    )
    response = grammar_responses.check(frames)["response"]
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "reasoning"]


def test_arguments_behind_the_end_of_a_call_are_ignored():
    _, response = stopped(
        *block(BlockKind.TOOL_CALL, ArgsDelta(0, "{}"), call_id="c", name="f"),
        *block(BlockKind.TEXT, TextDelta(1, "t"), index=1),
        ArgsDelta(0, "late"),
        ArgsDone(0, "late"),
    )
    assert [item["type"] for item in response["output"]] == ["function_call", "message"]


@given(ir_strategies.events())
def test_any_events_make_a_legal_stream(events):
    frames = encode(ResponsesEncoder(context()), events)
    # Items and citations of other wires are handed over as they are, whatever they look like.
    grammar_responses.check(frames, typed=False)


KINDS_WITH_MODELS = [kind for kind in BlockKind if kind is not BlockKind.OPAQUE]


@given(ir_strategies.events(kinds=KINDS_WITH_MODELS, failing=False, finished=True))
def test_official_package_reads_every_event(events):
    events = [event for event in events if not isinstance(event, Annotation)]
    grammar_responses.check(encode(ResponsesEncoder(context()), events))


@given(ir_strategies.events(max_choices=1, overlapping=False, failing=False, finished=True))
def test_stream_ends_with_what_the_whole_would_have_been(events):
    """Collecting the events and writing one body gives the object of the last event."""
    collector = Collector()
    for event in events:
        collector.feed(event)
    frames = encode(ResponsesEncoder(context()), events)
    streamed = loads_object(frames[-1].data)["response"]
    whole = DIALECT.encode_response(collector.result(), context())
    for key in ("output", "usage", "status", "incomplete_details", "model"):
        assert _plain(whole[key]) == _plain(streamed[key])


def _plain(value):
    """Take away what an answer without an id makes up."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key != "id"}
    return value


@given(st.lists(st.sampled_from(["TextDelta", "ThinkingDelta", "Args"]), max_size=6))
def test_deltas_use_no_more_than_one_frame(kinds):
    encoder = ResponsesEncoder(context())
    encoder.encode(Start("x", "m"))
    encoder.encode(BlockStart(0, BlockKind.TOOL_CALL, call_id="c", name="f"))
    for _ in kinds:
        assert len(encoder.encode(ArgsDelta(0, "x"))) == 1
