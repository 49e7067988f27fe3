"""Streams for chat clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_chat.encoder import ChatStreamEncoder
from cliproxy.dialects.openai_chat.response import encode_response
from cliproxy.errors import BadRequest, Failure, Kind, NativeBody, Scope, UpstreamError
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
from support import ir_strategies
from support.factories import make_context
from support.frames import collect, encode
from support.grammar_openai import SeenChoice, check_chat_stream

STOP = Finish(Ending(FinishReason.STOP))
USAGE = Usage(fresh_input=10, cache_read=5, output=3, reasoning=2)


def client(**overrides: object) -> ExchangeContext:
    return make_context(**{"upstream_dialect": "claude", **overrides})


def say(*events: Event, **overrides: object) -> SeenChoice:
    """Encode a stream with one choice and add it up."""
    ctx = client(**overrides)
    frames = encode(ChatStreamEncoder(ctx), [Start("", "m"), *events, End()])
    return check_chat_stream(frames, include_usage=ctx.include_usage).choices[0]


def chunks(*events: Event, **overrides: object) -> list[dict]:
    frames = encode(ChatStreamEncoder(client(**overrides)), events)
    return [json.loads(frame.data) for frame in frames if frame.data != b"[DONE]"]


@given(ir_strategies.events(), st.booleans(), st.booleans())
def test_output_is_grammatical_whatever_the_events(events, include_usage, want_thoughts):
    ctx = client(include_usage=include_usage, want_thoughts=want_thoughts)
    encoder = ChatStreamEncoder(ctx)
    seen = check_chat_stream(encode(encoder, events), include_usage=include_usage)
    assert (seen.error is not None) == any(isinstance(event, StreamError) for event in events)
    assert encoder.finish() == []
    assert encoder.encode(TextDelta(0, "late")) == []


@given(
    st.lists(
        st.sampled_from([Ping(), End(), STOP, TextDelta(7, "x"), ArgsDelta(7, "x"), BlockStop(7)]), max_size=6
    )
)
def test_disorder_is_survived(events):
    check_chat_stream(encode(ChatStreamEncoder(client()), events))


@given(ir_strategies.events(failing=False, finished=True, overlapping=False))
def test_stream_adds_up_to_the_whole_answer(events):
    seen = check_chat_stream(encode(ChatStreamEncoder(client()), events))
    whole = encode_response(collect(events), client())
    for choice in whole["choices"]:
        told, message = seen.choices[choice["index"]], choice["message"]
        assert told.content == (message["content"] or "")
        assert told.refusal == message.get("refusal", "")
        assert told.reasoning == message.get("reasoning_content", "")
        assert [call.name for call in told.calls] == [
            call[call["type"]]["name"] for call in message.get("tool_calls", ())
        ]
        assert told.finish_reason == choice["finish_reason"]
    assert seen.usage == whole.get("usage")


@given(ir_strategies.responses(max_choices=2))
def test_taken_apart_answer_is_told_in_full(response):
    seen = check_chat_stream(encode(ChatStreamEncoder(client()), to_events(response)))
    whole = encode_response(response, client())
    for choice in whole["choices"]:
        told, message = seen.choices[choice["index"]], choice["message"]
        arguments = [
            call[call["type"]].get("arguments", call[call["type"]].get("input"))
            for call in message.get("tool_calls", ())
        ]
        assert [call.said for call in told.calls] == arguments
        assert told.images == [image["image_url"]["url"] for image in message.get("images", ())]


@given(st.text())
def test_templates_write_what_dumps_would(said):
    """Text deltas are put together from prepared bytes; no text may tell."""
    text, thought, call = (
        [BlockStart(0, BlockKind.TEXT), TextDelta(0, said)],
        [BlockStart(0, BlockKind.THINKING), ThinkingDelta(0, said)],
        [BlockStart(0, BlockKind.TOOL_CALL, call_id="c", name="n"), ArgsDelta(0, said)],
    )
    assert say(*text).content == said
    assert say(*thought).reasoning == said
    assert say(*call).calls[0].said == (said or "{}")


def test_model_that_looks_like_the_mark_of_a_template():
    frames = encode(
        ChatStreamEncoder(client()),
        [Start("", "\x00"), BlockStart(0, BlockKind.TEXT), TextDelta(0, "a"), End()],
    )
    assert check_chat_stream(frames).choices[0].content == "a"


def test_lone_surrogates_survive():
    assert say(BlockStart(0, BlockKind.TEXT), TextDelta(0, "\ud800")).content == "\ud800"


def test_order_of_a_plain_stream():
    told = chunks(
        Start("", "m"),
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "a"),
        BlockStop(0),
        STOP,
        UsageUpdate(USAGE),
        End(),
    )
    assert [chunk["choices"][0]["delta"] for chunk in told] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {},
    ]
    assert told[-1]["choices"][0]["finish_reason"] == "stop"
    assert told[-1]["usage"] == {
        "prompt_tokens": 15,
        "completion_tokens": 5,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_usage_in_a_chunk_of_its_own_if_asked_for():
    told = chunks(Start("", "m", usage=USAGE), STOP, End(), include_usage=True)
    assert "usage" not in told[-2]
    assert told[-1]["choices"] == []
    assert told[-1]["usage"]["total_tokens"] == 20


def test_unknown_usage():
    assert "usage" not in chunks(Start("", "m"), STOP, End())[-1]
    assert chunks(Start("", "m"), STOP, End(), include_usage=True)[-1]["usage"]["total_tokens"] == 0


def test_head():
    told = chunks(Start("msg_1", "upstream", 123), End(), shown_model="alias")
    assert told[0]["model"] == "alias"
    assert told[0]["created"] == 123
    assert told[0]["id"].startswith("chatcmpl-")
    assert len({chunk["id"] for chunk in told}) == 1
    assert chunks(Start("gen-1", "m"), End(), upstream_dialect="openai")[0]["id"] == "gen-1"


def test_calls_are_numbered_among_calls():
    choice = say(
        BlockStart(0, BlockKind.THINKING),
        ThinkingDelta(0, "t"),
        BlockStop(0),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, "x"),
        BlockStop(1),
        BlockStart(2, BlockKind.TOOL_CALL, call_id="a", name="f"),
        BlockStart(3, BlockKind.TOOL_CALL, call_id="b", name="g"),
        ArgsDelta(3, "{}"),
        ArgsDelta(2, '{"a'),
        ArgsDelta(2, '":1}'),
        BlockStop(2),
        BlockStop(3),
    )
    assert [(call.id, call.name, call.said) for call in choice.calls] == [
        ("a", "f", '{"a":1}'),
        ("b", "g", "{}"),
    ]
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([], "{}"),
        ([ArgsDone(0, '{"a":1}')], '{"a":1}'),
        ([ArgsDelta(0, '{"a"'), ArgsDelta(0, ":1}"), ArgsDone(0, '{"a":1}')], '{"a":1}'),
        ([ArgsDelta(0, ""), ArgsDone(0, '{"a":1}')], '{"a":1}'),
    ],
)
def test_arguments_are_told_once(events, said):
    choice = say(BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="f"), *events, BlockStop(0))
    assert choice.calls[0].said == said


def test_custom_call():
    start = BlockStart(0, BlockKind.CUSTOM_TOOL_CALL, call_id="a", name="patch")
    [call] = say(start, ArgsDelta(0, "*** Begin"), BlockStop(0)).calls
    assert (call.kind, call.said) == ("custom", "*** Begin")
    [call] = say(start, BlockStop(0)).calls
    assert call.said == ""


def test_custom_tool_behind_a_dialect_that_has_none():
    """The upstream was told that the tool takes an object; the client hears the text inside."""
    start = BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="patch")
    [call] = say(
        start, ArgsDelta(0, '{"input":'), ArgsDelta(0, '"a b"}'), BlockStop(0), custom_tools={"patch"}
    ).calls
    assert (call.kind, call.said) == ("custom", "a b")
    [call] = say(start, ArgsDone(0, '{"other":1}'), BlockStop(0), custom_tools={"patch"}).calls
    assert call.said == '{"other":1}'


def test_names_and_ids_are_restored():
    [call] = say(
        BlockStart(0, BlockKind.TOOL_CALL, call_id="short", name="_read"),
        tool_spellings={"read": "Read"},
        call_ids={"short": "a-very-long-id"},
    ).calls
    assert (call.name, call.id) == ("Read", "a-very-long-id")


def test_call_without_an_id_gets_one():
    [call] = say(BlockStart(0, BlockKind.TOOL_CALL, name="f")).calls
    assert call.id.startswith("call_")


def test_signature_of_a_call_travels_with_it():
    told = chunks(
        Start("", "m"),
        BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="f"),
        ArgsDelta(0, "{}"),
        SignatureDelta(0, "c2ln", Family.GEMINI),
        BlockStop(0),
        End(),
    )
    [call] = told[3]["choices"][0]["delta"]["tool_calls"]
    assert call == {
        "index": 0,
        "function": {"arguments": ""},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }


def test_signatures_without_a_slot_are_not_told():
    block = BlockStart(0, BlockKind.THINKING), ThinkingDelta(0, "t"), SignatureDelta(0, "s", Family.CLAUDE)
    assert say(*block, BlockStop(0)).reasoning == "t"
    call = BlockStart(0, BlockKind.TOOL_CALL, call_id="a", name="f"), SignatureDelta(0, "s", Family.CLAUDE)
    assert "extra_content" not in json.dumps(chunks(*call, End()))


def test_reasoning():
    block = (
        BlockStart(0, BlockKind.THINKING),
        ThinkingDelta(0, "one"),
        ThinkingBreak(0),
        ThinkingBreak(0),
        ThinkingDelta(0, "two"),
        ThinkingBreak(0),
        BlockStop(0),
    )
    assert say(*block).reasoning == "one\n\ntwo"
    assert say(*block, want_thoughts=False).reasoning == ""


def test_refusal_is_an_ordinary_stop():
    choice = say(
        BlockStart(0, BlockKind.REFUSAL),
        TextDelta(0, "no"),
        BlockStop(0),
        Finish(Ending(FinishReason.REFUSAL)),
    )
    assert (choice.refusal, choice.finish_reason) == ("no", "stop")
    assert say(Finish(Ending(FinishReason.REFUSAL))).finish_reason == "content_filter"


def test_images():
    choice = say(
        BlockStart(0, BlockKind.IMAGE),
        ImageDone(0, "image/png", "AA==", partial=True),
        ImageDone(0, "image/webp", "AQ=="),
        ImageDone(0, "image/webp", "AQ=="),
        BlockStop(0),
        BlockStart(1, BlockKind.IMAGE),
        ImageDone(1, "", "Ag=="),
        BlockStop(1),
    )
    assert choice.images == ["data:image/webp;base64,AQ==", "data:image/png;base64,Ag=="]


def test_citations():
    link = {"type": "web_search_result_location", "url": "https://e.com", "title": "T", "cited_text": "…"}
    told = chunks(
        Start("", "m"),
        BlockStart(0, BlockKind.TEXT),
        Annotation(0, link, "claude"),
        Annotation(0, {"type": "page_location"}, "claude"),
        End(),
    )
    [written] = told[1]["choices"][0]["delta"]["annotations"]
    assert written["url_citation"]["url"] == "https://e.com"
    assert len(told) == 3


def test_several_choices():
    frames = encode(
        ChatStreamEncoder(client()),
        [
            Start("", "m"),
            BlockStart(0, BlockKind.TEXT, 1),
            TextDelta(0, "b"),
            BlockStart(1, BlockKind.TEXT, 0),
            TextDelta(1, "a"),
            Finish(Ending(FinishReason.LENGTH), 1),
            UsageUpdate(USAGE),
            End(),
        ],
    )
    seen = check_chat_stream(frames)
    assert {index: (choice.content, choice.finish_reason) for index, choice in seen.choices.items()} == {
        0: ("a", "stop"),
        1: ("b", "length"),
    }


def test_native_finish_reason_is_kept_beside_ours():
    told = chunks(Start("", "m"), Finish(Ending(FinishReason.LENGTH, "MAX_TOKENS")), End())
    assert told[-1]["choices"][0]["finish_reason"] == "length"
    assert told[-1]["choices"][0]["native_finish_reason"] == "max_tokens"


def test_pings_and_foreign_parts_are_not_told():
    ctx = client()
    encoder = ChatStreamEncoder(ctx)
    assert encoder.encode(Ping()) == []
    encoder.encode(BlockStart(0, BlockKind.OPAQUE))
    assert encoder.encode(OpaqueBlock(0, Opaque("claude", "server_tool_use", {}))) == []
    assert ctx.notes


def test_error_ends_the_stream_without_a_terminator():
    encoder = ChatStreamEncoder(client())
    encoder.encode(Start("", "m"))
    [frame] = encoder.error(BadRequest("no", param="p"))
    assert json.loads(frame.data)["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": "p",
        "code": None,
    }
    assert encoder.finish() == []
    assert encoder.error(BadRequest("again")) == []


def test_error_event():
    frames = encode(ChatStreamEncoder(client()), [StreamError(Kind.OVERLOADED, "busy", 529)])
    assert json.loads(frames[0].data)["error"]["message"] == "busy"
    assert len(frames) == 1


def test_native_error_keeps_its_body():
    failure = Failure(
        kind=Kind.QUOTA,
        scope=Scope.MODEL,
        message="m",
        status=429,
        native=NativeBody("openai", b'{"error":{"message":"theirs"}}'),
    )
    [frame] = ChatStreamEncoder(client()).error(UpstreamError([failure]))
    assert json.loads(frame.data) == {"error": {"message": "theirs"}}


def test_second_start_changes_nothing():
    told = chunks(Start("", "first"), Start("", "second"), End())
    assert {chunk["model"] for chunk in told} == {"first"}


def test_foreign_inner_events_are_passed_over():
    choice = say(BlockStart(0, BlockKind.TEXT), ArgsDone(0, "{}"), TextDelta(0, "a"), BlockStop(0))
    assert choice.content == "a"


def test_rare_events_without_a_block_are_passed_over():
    assert say(ArgsDone(3, "{}"), ThinkingBreak(3)).content == ""
