"""Legacy text completions."""

import contextlib
import json

import pytest
from hypothesis import given

from cliproxy.dialects import by_id
from cliproxy.dialects.base import Action, Glimpse, PathFacts
from cliproxy.dialects.completions import (
    DIALECT,
    CompletionStreamDecoder,
    CompletionStreamEncoder,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    inspect,
    inspect_response,
    prompt_of,
    read,
)
from cliproxy.errors import BadRequest, DialectError, Kind
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    ExtrasUpdate,
    Finish,
    Ping,
    Start,
    StreamError,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import IRRequest, Message, Refusal, Sampling, SystemText, Text, Thinking, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import Document
from cliproxy.wire.sse import make_frame
from support import ir_strategies
from support.factories import NOW, make_context
from support.frames import collect, cuts_of, decode, decode_cut, encode, json_frames, parse
from support.grammar_openai import check_text_stream


def route(**members: object):
    return read(Document.parse(json.dumps({"model": "m", **members}).encode()), PathFacts())


# --- requests ---


def test_route():
    assert [endpoint.path for endpoint in DIALECT.endpoints] == ["/v1/completions"]
    assert by_id("completions") is DIALECT
    wanted = route(prompt="p", stream=True)
    assert (wanted.dialect, wanted.action, wanted.model, wanted.stream) == (
        "completions",
        Action.GENERATE,
        "m",
        True,
    )


@pytest.mark.parametrize(
    ("suffix", "action"),
    [
        ("}", Action.FILL_IN_THE_MIDDLE),
        ("", Action.GENERATE),
        (None, Action.GENERATE),
    ],
)
def test_suffix_makes_it_a_gap_to_be_filled(suffix, action):
    assert route(prompt="{", suffix=suffix).action is action


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": ""}, "model"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "p", "suffix": 3}, "suffix"),
    ],
)
def test_refusals_name_the_field(members, param):
    with pytest.raises(BadRequest) as caught:
        route(**members)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("prompt", "text"), [("p", "p"), (["p"], "p"), (None, ""), ([], ""), ("", ""), ([""], "")]
)
def test_prompt(prompt, text):
    assert prompt_of({"prompt": prompt}) == text


def test_request_becomes_a_chat():
    ctx = make_context(client_dialect="completions")
    request = decode_request(
        {
            "model": "m",
            "prompt": "p",
            "max_tokens": 5,
            "temperature": 0.1,
            "stop": ["X"],
            "logprobs": 3,
            "stream": True,
            "stream_options": {"include_usage": True},
            "best_of": 4,
            "n": 2,
            "echo": True,
            "suffix": "",
        },
        ctx,
    )
    assert request.messages == [Message("user", [Text("p")])]
    assert request.sampling == Sampling(
        max_tokens=5, temperature=0.1, stop=["X"], logprobs=True, top_logprobs=3
    )
    assert request.extras == {}
    assert (request.stream, ctx.include_usage) == (True, True)
    assert ctx.notes == ["n was dropped", "best_of was dropped"]


@pytest.mark.parametrize(
    ("logprobs", "wanted"), [(0, (False, None)), (True, (True, None)), (None, (None, None))]
)
def test_log_probabilities(logprobs, wanted):
    sampling = decode_request({"prompt": "p", "logprobs": logprobs}, make_context()).sampling
    assert (sampling.logprobs, sampling.top_logprobs) == wanted


def test_no_prompt_asks_for_anything():
    assert decode_request({"model": "m"}, make_context()).messages == [
        Message("user", [Text("Complete this:")])
    ]


@pytest.mark.parametrize("body", [{"prompt": "p", "logprobs": "many"}, {"prompt": [1]}, {"max_tokens": "x"}])
def test_what_cannot_be_understood(body):
    with pytest.raises(DialectError):
        decode_request(body, make_context())


@given(ir_strategies.json_objects, ir_strategies.json_values)
def test_any_body_is_read_or_refused(body, value):
    for key in ("prompt", "logprobs", "n", "stop"):
        with contextlib.suppress(DialectError):
            decode_request({**body, key: value}, make_context())


def test_conversation_as_a_prompt():
    request = IRRequest(
        model="m",
        system=[SystemText("S")],
        messages=[Message("user", [Text("a")]), Message("assistant", [Text("b"), ToolCall("c", "f", "")])],
        sampling=Sampling(max_tokens=5),
        stream=True,
    )
    assert encode_request(request, make_context()) == {
        "model": "m",
        "prompt": "S\n\na\n\nb",
        "max_tokens": 5,
        "stream": True,
    }


# --- whole answers ---


def answer(*choices: Choice) -> IRResponse:
    return IRResponse(id="chatcmpl-7", model="m", choices=list(choices), usage=Usage(fresh_input=1, output=2))


def test_answer():
    parts = [Thinking("hm"), Text("a"), Text("b"), ToolCall("c", "f", "{}")]
    written = encode_response(answer(Choice(parts, Ending(FinishReason.TOOL_CALLS))), make_context())
    assert written == {
        "id": "cmpl-7",
        "object": "text_completion",
        "created": int(NOW),
        "model": "m",
        "choices": [{"index": 0, "text": "ab", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    again = decode_response(written, make_context())
    assert again.choices == [Choice([Text("ab")], Ending(FinishReason.STOP, "stop"))]


def test_refusal_is_told_as_text():
    written = encode_response(answer(Choice([Refusal("no")], Ending(FinishReason.REFUSAL))), make_context())
    assert written["choices"][0]["text"] == "no"


def test_refusal_without_words_is_told_by_its_reason():
    written = encode_response(answer(Choice([], Ending(FinishReason.REFUSAL))), make_context())
    assert written["choices"][0]["finish_reason"] == "content_filter"
    events = [Start("", "m"), Finish(Ending(FinishReason.REFUSAL)), End()]
    frames = encode(CompletionStreamEncoder(make_context()), events)
    assert json.loads(frames[0].data)["choices"][0]["finish_reason"] == "content_filter"
    said = [BlockStart(0, BlockKind.REFUSAL), TextDelta(0, "no"), BlockStop(0)]
    frames = encode(CompletionStreamEncoder(make_context()), [events[0], *said, *events[1:]])
    assert json.loads(frames[-2].data)["choices"][0]["finish_reason"] == "stop"


def token(text: str, logprob: float, **others: float) -> dict:
    """A token as the chat dialect tells it."""
    likely = [{"token": other, "logprob": value} for other, value in others.items()]
    return {"token": text, "logprob": logprob, "bytes": None, "top_logprobs": likely}


def of_tokens(*tokens: dict) -> dict:
    return {"openai": {"logprobs": {"content": [*tokens], "refusal": None}}}


def test_probabilities_of_tokens():
    """One list for each fact, and where in the text each token begins."""
    extras = of_tokens(token("Hel", -0.1, Hel=-0.1, J=-3), token("lo", -0.2, lo=-0.2))
    ctx = make_context(original_body={"prompt": "p", "echo": True})
    [choice] = encode_response(answer(Choice([Text("Hello")], Ending(FinishReason.STOP), 0, extras)), ctx)[
        "choices"
    ]
    assert choice["logprobs"] == {
        "tokens": ["Hel", "lo"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{"Hel": -0.1, "J": -3}, {"lo": -0.2}],
        "text_offset": [1, 4],
    }


def test_probabilities_of_tokens_come_with_their_text():
    events = [
        Start("", "m"),
        BlockStart(0, BlockKind.TEXT),
        ExtrasUpdate(of_tokens(token("Hel", -0.1)), 0),
        TextDelta(0, "Hel"),
        ExtrasUpdate(of_tokens(token("l", -0.2), token("o", -0.3)), 0),
        TextDelta(0, "lo"),
        ExtrasUpdate(of_tokens(token("<end>", -0.4)), 0),
        ExtrasUpdate({"openai": {"service_tier": "auto"}}),
        BlockStop(0),
        Finish(Ending(FinishReason.STOP)),
        End(),
    ]
    frames = encode(CompletionStreamEncoder(make_context()), events)
    told = [json.loads(frame.data)["choices"][0]["logprobs"] for frame in frames[:-1]]
    assert [(entry["tokens"], entry["text_offset"], entry["top_logprobs"]) for entry in told] == [
        (["Hel"], [0], None),
        (["l", "o"], [3, 4], None),
        (["<end>"], [5], None),
    ]
    whole = encode_response(collect(events), make_context())["choices"][0]["logprobs"]
    assert whole["tokens"] == [piece for entry in told for piece in entry["tokens"]]
    assert whole["text_offset"] == [place for entry in told for place in entry["text_offset"]]


def test_fingerprint():
    start = Start("", "m", extras={"openai": {"system_fingerprint": "fp", "service_tier": "auto"}})
    [frame, _] = encode(CompletionStreamEncoder(make_context()), [start, End()])
    assert json.loads(frame.data)["system_fingerprint"] == "fp"
    assert "service_tier" not in json.loads(frame.data)


def test_echo_begins_with_the_prompt():
    ctx = make_context(original_body={"prompt": "p", "echo": True})
    written = encode_response(answer(Choice([Text("a")], Ending(FinishReason.LENGTH))), ctx)
    assert (written["choices"][0]["text"], written["choices"][0]["finish_reason"]) == ("pa", "length")
    events = [Start("", "m"), BlockStart(0, BlockKind.TEXT), TextDelta(0, "a"), TextDelta(0, "b"), End()]
    assert check_text_stream(encode(CompletionStreamEncoder(ctx), events)) == {0: "pab"}


def test_empty_answer_and_no_answer():
    response = decode_response({"choices": [{"text": ""}], "usage": None}, make_context())
    assert response.choices[0].parts == []
    assert "usage" not in encode_response(response, make_context())
    with pytest.raises(DialectError):
        decode_response({"choices": {}}, make_context())


# --- streams ---


@given(ir_strategies.events(failing=False, finished=True, overlapping=False))
def test_stream_is_grammatical_and_adds_up(events):
    told = check_text_stream(encode(CompletionStreamEncoder(make_context()), events))
    whole = encode_response(collect(events), make_context())
    assert told == {choice["index"]: choice["text"] for choice in whole["choices"]}


@given(ir_strategies.events())
def test_any_sequence_is_survived(events):
    encoder = CompletionStreamEncoder(make_context(include_usage=True))
    frames = encode(encoder, events)
    if isinstance(events[-1], StreamError):
        assert "error" in json.loads(frames[-1].data)
    else:
        check_text_stream(frames, include_usage=True)
    assert encoder.finish() == encoder.encode(Ping()) == encoder.error(BadRequest("late")) == []


def test_only_text_is_told():
    events = [
        Start("", "m", usage=Usage(fresh_input=1)),
        BlockStart(0, BlockKind.THINKING),
        ThinkingDelta(0, "t"),
        BlockStart(1, BlockKind.TEXT),
        TextDelta(1, ""),
        TextDelta(1, "a"),
        BlockStop(1),
        UsageUpdate(Usage(output=2)),
        Finish(Ending(FinishReason.LENGTH)),
        End(),
    ]
    frames = encode(CompletionStreamEncoder(make_context()), events)
    assert [json.loads(frame.data)["choices"][0]["text"] for frame in frames[:-1]] == ["a", ""]
    last = json.loads(frames[-2].data)
    assert (last["choices"][0]["finish_reason"], last["usage"]["total_tokens"]) == ("length", 3)


def test_error_ends_the_stream():
    encoder = CompletionStreamEncoder(make_context())
    [frame] = encoder.error(BadRequest("no"))
    assert json.loads(frame.data)["error"]["message"] == "no"
    assert encoder.finish() == []


def test_stream_without_a_start():
    assert check_text_stream(CompletionStreamEncoder(make_context()).finish()) == {0: ""}


def chunk(text: str = "", finish_reason: str | None = None, **members: object) -> dict:
    choice = {"text": text, "finish_reason": finish_reason}
    return {"id": "c", "model": "m", "created": 5, "choices": [choice], **members}


SAMPLE = b"".join(
    frame.raw
    for frame in json_frames(
        [
            chunk("Grü"),
            chunk("ße"),
            chunk(finish_reason="length"),
            chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2}),
            b"[DONE]",
        ]
    )
)


def test_reading_a_stream():
    assert decode(CompletionStreamDecoder(make_context()), parse(SAMPLE)) == [
        Start("c", "m", 5),
        BlockStart(0, BlockKind.TEXT),
        TextDelta(0, "Grü"),
        TextDelta(0, "ße"),
        UsageUpdate(Usage(fresh_input=1, output=2)),
        BlockStop(0),
        Finish(Ending(FinishReason.LENGTH, "length")),
        End(),
    ]


@given(cuts_of(SAMPLE))
def test_any_cutting_gives_the_same_events(cuts):
    whole = decode(CompletionStreamDecoder(make_context()), parse(SAMPLE))
    assert decode_cut(CompletionStreamDecoder(make_context()), SAMPLE, cuts) == whole


def test_ends_of_streams():
    def read_all(*values: object):
        return decode(CompletionStreamDecoder(make_context()), json_frames(values))

    assert read_all(chunk("a"), b"[DONE]", chunk("late"))[-2:] == [
        Finish(Ending(FinishReason.STOP, "stop")),
        End(),
    ]
    assert read_all(chunk("a"))[-2:] == [BlockStop(0), End(clean=False)]
    assert read_all() == [Start("", ""), End(clean=False)]
    assert isinstance(read_all(chunk("a"), {"error": {"message": "busy"}}, chunk("b"))[-1], StreamError)
    assert read_all(b"not json", b"[DONE]") == [Start("", ""), End()]
    assert CompletionStreamDecoder(make_context()).feed(make_frame(b"")) == []


def test_of_several_finish_reasons_the_most_telling_one_counts():
    values = [chunk("a"), chunk(finish_reason="length"), chunk(finish_reason="stop"), b"[DONE]"]
    events = decode(CompletionStreamDecoder(make_context()), json_frames(values))
    assert events[-2] == Finish(Ending(FinishReason.LENGTH, "length"))


def test_error_frame_by_its_event_name():
    [event] = CompletionStreamDecoder(make_context()).feed(make_frame(b'{"message":"busy"}', b"error"))
    assert isinstance(event, StreamError)
    assert event.message == "busy"


@given(ir_strategies.events(failing=False, finished=True))
def test_no_stream_grows_on_its_way_and_says_the_same(events):
    once = encode(CompletionStreamEncoder(make_context()), events)
    again = encode(
        CompletionStreamEncoder(make_context()), decode(CompletionStreamDecoder(make_context()), once)
    )
    assert len(again) <= len(once)
    assert check_text_stream(again) == check_text_stream(once)


@given(ir_strategies.responses())
def test_stream_and_whole_answer_decode_alike(response):
    """A server that answers the same question in a stream and in one piece says the same."""
    whole = decode_response(encode_response(response, make_context()), make_context())
    frames = encode(CompletionStreamEncoder(make_context()), to_events(response))
    streamed = collect(decode(CompletionStreamDecoder(make_context()), frames))
    assert [(choice.index, choice.parts, choice.ending) for choice in streamed.choices] == [
        (choice.index, choice.parts, choice.ending) for choice in whole.choices
    ]
    assert streamed.usage.total == whole.usage.total


@given(ir_strategies.json_objects, ir_strategies.json_values)
def test_any_answer_is_read_or_refused(members, value):
    choice = {"text": value, "index": value, "finish_reason": value, "logprobs": value}
    for body in (members, {"choices": value, "usage": value}, {**members, "choices": [choice, value]}):
        inspect_response(body)
        with contextlib.suppress(DialectError):
            decode_response(body, make_context())
        events = decode(CompletionStreamDecoder(make_context()), json_frames([body, b"[DONE]"]))
        assert isinstance(events[-1], End | StreamError)


# --- looking ---


@pytest.mark.parametrize(
    ("value", "glimpse"),
    [
        (chunk("a"), Glimpse()),
        (chunk(), Glimpse(has_content=False)),
        (chunk(finish_reason="stop"), Glimpse(has_content=False, is_finished=True)),
        (chunk(finish_reason="length"), Glimpse(is_finished=True)),
        (
            chunk(choices=[], usage={"prompt_tokens": 1}),
            Glimpse(usage=Usage(fresh_input=1), has_content=False, is_usage_only=True),
        ),
        (b"[DONE]", Glimpse(has_content=False, is_terminal=True)),
        (b"not json", Glimpse(has_content=False)),
    ],
)
def test_glimpse(value, glimpse):
    assert inspect(json_frames([value])[0]) == glimpse


def test_glimpse_of_an_error():
    said = inspect_response({"error": {"message": "m", "type": "rate_limit_error"}})
    assert said.error is not None
    assert said.error.kind is Kind.RATE_LIMIT
