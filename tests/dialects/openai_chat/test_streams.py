"""Streams of chat upstreams on their way to chat clients, from bytes to bytes."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_chat.decoder import ChatStreamDecoder
from cliproxy.dialects.openai_chat.encoder import ChatStreamEncoder
from cliproxy.dialects.openai_chat.response import decode_response, encode_response
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
    Finish,
    Start,
    TextDelta,
)
from cliproxy.ir.response import Ending, FinishReason
from support import ir_strategies
from support.chat_wire import call, chunk
from support.factories import make_context
from support.frames import collect, decode, decode_cut, encode, json_frames, one_byte_cuts, parse

DONE = b"[DONE]"
STARTED = Start("c1", "m", 5)
STOPPED = Finish(Ending(FinishReason.STOP, "stop"))


def events_of(*values: object) -> list[Event]:
    return decode(ChatStreamDecoder(make_context()), json_frames([*values, DONE]))


def retold(values: list[dict], **overrides: object) -> list[dict]:
    """Decode chunks and encode them again for a client of this dialect."""
    frames = encode(ChatStreamEncoder(make_context(**overrides)), events_of(*values))
    assert frames[-1].data == DONE
    return [json.loads(frame.data) for frame in frames[:-1]]


# --- framing ---

BODY = b'{"id":"c1","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"a\xe2\x80\xa8b"}}]}'
END = b'{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
STREAMS = {
    "line feeds": b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n",
    "carriage returns and line feeds": b"data: %b\r\n\r\ndata: %b\r\n\r\ndata: [DONE]\r\n\r\n",
    "carriage returns": b"data: %b\r\rdata: %b\r\rdata: [DONE]\r\r",
    "a byte order mark": b"\xef\xbb\xbfdata: %b\n\ndata: %b\n\ndata: [DONE]\n\n",
    "no space behind the colon": b"data:%b\n\ndata:%b\n\ndata:[DONE]\n\n",
    "comments": b": hi\n\n: hi\ndata: %b\n:\n\ndata: %b\n\n: bye\n\ndata: [DONE]\n\n",
    "times to reconnect": b"retry: 3000\n\nretry: 1\ndata: %b\n\nid: 7\ndata: %b\n\ndata: [DONE]\n\n",
    "names of events": b"event: message\ndata: %b\n\nevent: chunk\ndata: %b\n\nevent: done\ndata: [DONE]\n\n",
    "no blank line at the end": b"data: %b\n\ndata: %b\n\ndata: [DONE]",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_framing_of_all_kinds_of_servers(stream):
    """Whatever stands between the chunks, and however it arrives; U+2028 ends no line."""
    data = stream % (BODY, END)
    expected = [
        STARTED,
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "a\u2028b"),
        BlockStop(0),
        STOPPED,
        End(),
    ]
    assert decode(ChatStreamDecoder(make_context()), parse(data)) == expected
    assert decode_cut(ChatStreamDecoder(make_context()), data, one_byte_cuts(data)) == expected


def test_event_larger_than_a_read():
    said = "ü" * 100_000
    data = b"".join(frame.raw for frame in json_frames([chunk({"content": said}), DONE]))
    events = decode_cut(ChatStreamDecoder(make_context()), data, range(0, len(data), 4096))
    assert TextDelta(0, said) in events


@given(st.data())
def test_arguments_may_be_split_anywhere(data):
    """Any cutting of any arguments gives the same text, whatever stands beside it."""
    arguments = data.draw(ir_strategies.argument_texts)
    pieces = data.draw(ir_strategies.pieces(arguments))
    deltas = [call(id="a", name="f", arguments=""), *(call(arguments=piece) for piece in pieces)]
    [choice] = collect(events_of(*(chunk(delta) for delta in deltas))).choices
    assert [part.arguments for part in choice.parts] == [arguments]


def with_odd_members() -> list[dict]:
    """Chunks with members that nobody models, of the answer, of a choice and of a delta."""
    values = [
        chunk({"role": "assistant", "content": ""}, system_fingerprint="fp", service_tier="auto"),
        chunk({"content": "a", "note": {"x": [1]}}, system_fingerprint="fp", service_tier="auto"),
        chunk({"content": "b"}, system_fingerprint="fp", service_tier="default", obfuscation="zz"),
        chunk({}, "stop", system_fingerprint="fp", service_tier="default"),
    ]
    for value, tokens in zip(values, ([], [{"token": "a"}], [{"token": "a"}]), strict=False):
        value["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    values[-1]["choices"][0] |= {"logprobs": None, "content_filter_results": {"hate": False}}
    return values


def test_members_nobody_models_are_read_where_they_stand():
    """Log probabilities come right before their text; what says nothing new is not repeated."""
    events = events_of(*with_odd_members())
    told = [event for event in events if isinstance(event, Start | ExtrasUpdate | TextDelta)]
    assert told == [
        evolve(STARTED, extras={"openai": {"system_fingerprint": "fp", "service_tier": "auto"}}),
        ExtrasUpdate({"openai": {"logprobs": {"content": [], "refusal": None}}}, 0),
        ExtrasUpdate(
            {
                "openai": {
                    "logprobs": {"content": [{"token": "a"}], "refusal": None},
                    "message": {"note": {"x": [1]}},
                }
            },
            0,
        ),
        TextDelta(0, "a"),
        ExtrasUpdate({"openai": {"service_tier": "default"}}),
        ExtrasUpdate({"openai": {"logprobs": {"content": [{"token": "a"}], "refusal": None}}}, 0),
        TextDelta(0, "b"),
        ExtrasUpdate({"openai": {"content_filter_results": {"hate": False}}}, 0),
    ]


@pytest.mark.parametrize("client", ["claude", "gemini", "openai-response"])
def test_members_nobody_models_are_not_read_for_other_clients(client):
    decoder = ChatStreamDecoder(make_context(client_dialect=client))
    events = decode(decoder, json_frames([*with_odd_members(), DONE]))
    assert events[0] == STARTED
    assert not any(isinstance(event, ExtrasUpdate) for event in events)


def test_members_nobody_models_add_up_to_those_of_the_whole_answer():
    answer = collect(events_of(*with_odd_members()))
    assert answer.extras == {"openai": {"system_fingerprint": "fp", "service_tier": "default"}}
    assert answer.choices[0].extras == {
        "openai": {
            "logprobs": {"content": [{"token": "a"}, {"token": "a"}], "refusal": None},
            "message": {"note": {"x": [1]}},
            "content_filter_results": {"hate": False},
        }
    }


# --- the same dialect on both sides ---


def test_members_nobody_models_are_told_again_where_they_stood():
    first, second, third, last = retold(with_odd_members())
    assert [value["system_fingerprint"] for value in (first, second, third, last)] == ["fp"] * 4
    assert [value["service_tier"] for value in (first, third, last)] == ["auto", "default", "default"]
    assert second["choices"][0] == {
        "index": 0,
        "delta": {"content": "a", "note": {"x": [1]}},
        "finish_reason": None,
        "logprobs": {"content": [{"token": "a"}], "refusal": None},
    }
    assert third["choices"][0]["logprobs"] == {"content": [{"token": "a"}], "refusal": None}
    assert last["choices"][0]["content_filter_results"] == {"hate": False}
    assert "obfuscation" not in json.dumps([first, second, third, last])


def native(value: dict) -> dict:
    """A chunk with the one member that is added on the way."""
    choices = [
        {**entry, "native_finish_reason": entry["finish_reason"]} if entry["finish_reason"] else entry
        for entry in value["choices"]
    ]
    return {**value, "choices": choices}


def conversation() -> list[dict]:
    """An answer of the vendor's own making, with everything it may say."""
    link = {"type": "url_citation", "url_citation": {"url": "https://e.com"}}
    token = {"token": "b", "logprob": -0.5, "bytes": [98], "top_logprobs": []}
    values = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a"}]}),
        chunk({"content": "b"}),
        chunk({"annotations": [link]}),
        chunk({"refusal": "c"}),
        chunk({"audio": {"id": "x", "data": "AA=="}}),
        chunk({"audio": {"transcript": "d"}}),
        chunk({"images": [{"type": "image_url", "index": 0, "image_url": {"url": "https://e.com/a.png"}}]}),
        chunk(call(id="i", type="function", name="f", arguments="")),
        chunk(call(arguments='{"ü":')),
        chunk(call(arguments="1}")),
        chunk({}, "tool_calls"),
        chunk(
            choices=[],
            usage={
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 1},
            },
        ),
    ]
    values[2]["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    return [{**value, "system_fingerprint": "fp"} for value in values]


def test_stream_of_the_vendor_is_told_as_it_came():
    """Chunk by chunk: what a client may rely on does not depend on the way its answer took."""
    values = conversation()
    assert retold(values, include_usage=True) == [native(value) for value in values]


def test_stream_and_whole_answer_of_the_vendor_say_the_same():
    streamed = encode_response(collect(events_of(*conversation())), make_context())
    whole = decode_response(streamed, make_context())
    assert encode_response(whole, make_context()) == streamed
    message = streamed["choices"][0]["message"]
    assert {*message} == {
        *("role", "content", "reasoning_content", "reasoning_details", "refusal", "annotations"),
        *("images", "audio", "tool_calls"),
    }
    assert streamed["system_fingerprint"] == "fp"
    assert streamed["choices"][0]["logprobs"]["content"][0]["token"] == "b"


def test_whole_answer_is_told_in_a_stream_with_everything_it_has():
    whole = collect(events_of(*conversation()))
    frames = encode(ChatStreamEncoder(make_context()), to_events(whole))
    again = collect(decode(ChatStreamDecoder(make_context()), frames))
    assert encode_response(again, make_context()) == encode_response(whole, make_context())


@given(ir_strategies.events(failing=False, finished=True), st.booleans())
def test_no_stream_grows_on_its_way(events, include_usage):
    """Frames cost the client time; what came in one is not told in two."""
    ctx = make_context(include_usage=include_usage)
    once = encode(ChatStreamEncoder(ctx), events)
    again = encode(
        ChatStreamEncoder(make_context(include_usage=include_usage)),
        decode(ChatStreamDecoder(make_context()), once),
    )
    assert len(again) <= len(once)
