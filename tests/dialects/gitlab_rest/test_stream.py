import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.gitlab_rest.stream import (
    Manner,
    RestStreamDecoder,
    RestStreamEncoder,
    TextFlow,
    inspect,
)
from cliproxy.errors import Failure, Kind, Scope, UpstreamError
from cliproxy.ir.collect import Collector, to_events
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import End, Finish, Start, StreamError, TextDelta, UsageUpdate
from cliproxy.ir.request import Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import dumps
from cliproxy.wire.sse import Frame, FrameParser, render
from support.factories import make_context


def context() -> ExchangeContext:
    facts = {"upstream_dialect": "gitlab-suggestions", "upstream_model": "gitlab-duo", "now": 1000.0}
    return make_context(random_hex=lambda digits: "0" * digits, **facts)


def decode(raw: bytes) -> list:
    parser, decoder = FrameParser(), RestStreamDecoder(context())
    events = [event for frame in parser.feed(raw) for event in decoder.feed(frame)]
    events += [event for frame in parser.finish() for event in decoder.feed(frame)]
    return events + decoder.finish()


def said(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def sse(*events: tuple[str, object] | object) -> bytes:
    pieces = []
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        pieces.append(render(data if isinstance(data, bytes) else dumps(data), name.encode() or None))
    return b"".join(pieces)


def test_a_stream_of_named_events() -> None:
    raw = sse(
        ("stream_start", {"metadata": {"model_name": "claude-x"}}),
        ("content_chunk", {"content": "def "}),
        ("content_chunk", {"content": "f():"}),
        ("stream_end", {"content": "ignored"}),
    )
    events = decode(raw)
    assert events[0] == Start("gitlab-" + "0" * 24, "claude-x", 1000)
    assert said(events) == "def f():"
    assert events[-2:] == [Finish(Ending(FinishReason.STOP)), End()]


def test_half_an_object_among_objects_is_an_error() -> None:
    """A piece of the answer is lost in it; shown as text it would be rubbish in somebody's editor."""
    events = decode(sse({"content": "x"}, b'{"content":"y', {"content": "z"}))
    assert said(events) == "x"
    assert isinstance(events[-1], StreamError)
    assert events[-1].status == 502


def test_bare_text_may_begin_with_a_brace() -> None:
    assert said(decode(sse(b"{", b"  x", b"}"))) == "{  x}"


def test_what_an_answer_cost_is_estimated() -> None:
    events = decode(sse({"content": "four char"}, {"content": "acters each"}))
    assert UsageUpdate(Usage(output=4)) in events


@pytest.mark.parametrize(
    "data",
    [
        {"choices": [{"delta": {"content": "x"}}]},
        {"choices": [{"text": "x"}]},
        {"delta": {"content": "x"}},
        {"content_chunk": "x"},
        {"content": "x"},
        {"text": "x"},
        {"response": "x"},
        {"completion": "x"},
        b"x",
        b'"x"',
    ],
)
def test_where_the_text_of_an_event_is(data: object) -> None:
    assert said(decode(sse(data))) == "x"


def test_bare_numbers_are_text() -> None:
    assert said(decode(sse(b"42"))) == "42"


@pytest.mark.parametrize(
    "last",
    [
        b"[DONE]",
        {"done": True},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"finish_reason": "stop"},
    ],
)
def test_the_ways_to_end(last: object) -> None:
    events = decode(sse({"content": "x"}, last, {"content": "after the end"}))
    assert said(events) == "x"
    assert sum(isinstance(event, Finish) for event in events) == 1
    assert events[-1] == End()


def test_a_missing_terminator_is_supplied() -> None:
    assert decode(sse({"content": "x"}))[-1] == End()


def test_a_stream_without_anything_did_not_end_cleanly() -> None:
    assert decode(b": ping\n\n") == [End(clean=False)]


def test_the_upstreams_length_is_told() -> None:
    events = decode(sse({"choices": [{"text": "x", "finish_reason": "length"}]}))
    assert Finish(Ending(FinishReason.LENGTH, "length")) in events


@pytest.mark.parametrize("event", [{"error": "overloaded"}, ("error", {"message": "overloaded"})])
def test_an_error_event_ends_the_stream(event: object) -> None:
    events = decode(sse({"content": "x"}, event, {"content": "more"}))
    assert isinstance(events[-1], StreamError)
    assert events[-1].message == "overloaded"


# --- pieces or the whole text so far -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["a", "b", "c"], "abc"),
        (["a", "a", "a"], "aaa"),
        (["\n", "\n", " ", "x"], "\n\n x"),
        (["a", "ab", "x"], "aabx"),
        (["Hello", "Hello world", "Hello world!"], "Hello world!"),
        (["Hello", "Hello world", "Hello world!", "Hello world!"], "Hello world!"),
        (["a", "ab"], "aab"),
        (["def main() -> None:", "def main() -> None:\n    run()"], "def main() -> None:\n    run()"),
        (["", "a", "", "b"], "ab"),
        (["one", "one two", "one two three", "something else"], "one two threesomething else"),
    ],
)
def test_pieces_and_repetitions_give_the_same_text(texts: list[str], whole: str) -> None:
    assert said(decode(sse(*({"content": text} for text in texts)))) == whole


@given(st.lists(st.text(min_size=1, max_size=8), min_size=3, max_size=12))
def test_cumulative_streams_are_recognised(pieces: list[str]) -> None:
    flow = TextFlow()
    texts = ["".join(pieces[: end + 1]) for end in range(len(pieces))]
    assert "".join(flow.take(text) for text in texts) + flow.end() == texts[-1]


@given(st.lists(st.text(max_size=8), max_size=12))
def test_pieces_that_do_not_extend_each_other_are_joined(pieces: list[str]) -> None:
    marked = [f"{index % 10}{piece}" for index, piece in enumerate(pieces)]
    flow = TextFlow()
    assert "".join(flow.take(text) for text in marked) + flow.end() == "".join(marked)
    assert flow.manner in {Manner.UNKNOWN, Manner.PIECES}


# --- replaying a whole answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
@pytest.mark.parametrize("answer", ["Hello", "two\n\nlines", "\u2028 odd \u0085"])
def test_a_whole_answer_survives_as_a_stream(answer: str, reason: FinishReason) -> None:
    response = IRResponse(id="i", model="m", choices=[Choice([Text(answer)], Ending(reason))])
    encoder = RestStreamEncoder(context())
    frames = [frame for event in to_events(response) for frame in encoder.encode(event)]
    frames += encoder.finish()
    collector = Collector()
    for event in decode(b"".join(frame.raw for frame in frames)):
        collector.feed(event)
    choice = collector.result().choices[0]
    assert choice.parts == [Text(answer)]
    assert choice.ending.reason is reason


def test_an_error_is_written_as_an_event_that_is_read_as_one() -> None:
    failure = Failure(kind=Kind.UPSTREAM, scope=Scope.MODEL, message="broken")
    frames = RestStreamEncoder(context()).error(UpstreamError([failure]))
    assert isinstance(decode(frames[0].raw)[-1], StreamError)


@pytest.mark.parametrize(
    ("frame", "content", "terminal", "finished"),
    [
        (Frame(None, b"[DONE]", b""), False, True, True),
        (Frame(b"stream_end", b"{}", b""), False, True, True),
        (Frame(None, b'{"content":"x"}', b""), True, False, False),
        (Frame(None, b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', b""), False, False, True),
        (Frame(b"stream_start", b'{"metadata":{}}', b""), False, False, False),
    ],
)
def test_a_glimpse(frame: Frame, content: bool, terminal: bool, finished: bool) -> None:
    glimpse = inspect(frame)
    assert (glimpse.has_content, glimpse.is_terminal, glimpse.is_finished) == (content, terminal, finished)


def test_a_glimpse_of_an_error() -> None:
    assert inspect(Frame(None, b'{"error":"no"}', b"")).error is not None


@given(st.binary(max_size=200), st.integers(1, 7))
def test_any_cutting_of_any_bytes_gives_the_same_events(noise: bytes, size: int) -> None:
    raw = sse({"content": "x"}) + noise.replace(b"\r", b"") + sse({"content": "y"})
    parser, decoder = FrameParser(), RestStreamDecoder(context())
    events = []
    for start in range(0, len(raw), size):
        for frame in parser.feed(raw[start : start + size]):
            events += decoder.feed(frame)
    for frame in parser.finish():
        events += decoder.feed(frame)
    assert events + decoder.finish() == decode(raw)
