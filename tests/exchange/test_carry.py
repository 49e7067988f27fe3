"""Upstream bytes in, client bytes out: with the real dialects, without anything that waits."""

import json
from collections.abc import Iterator

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects import by_id
from cliproxy.dialects.base import Framing
from cliproxy.errors import FrameError, Kind, ProxyError
from cliproxy.exchange.carry import (
    CUT_OFF,
    Carrier,
    JsonArrayWriter,
    PassThrough,
    SseWriter,
    Step,
    Translate,
    WholeAnswer,
    carrier_for,
    writer_for,
)
from cliproxy.exchange.plan import Plan
from cliproxy.ir.events import StreamError
from cliproxy.wire.sse import FrameParser, make_frame, render
from support.exchange import ANSWER, DONE, WHOLE, FakeContract, chunk
from support.factories import make_context

LIMIT = 1_000_000
BUSY = ProxyError("busy", kind=Kind.OVERLOADED)
USAGE = chunk(usage={"prompt_tokens": 3, "completion_tokens": 2}, choices=[])


def plan_of(client: str, upstream: str, *, hides_usage: bool = False) -> Plan:
    """The plan of a streamed exchange between two dialects."""
    return Plan(
        client=by_id(client),
        upstream=by_id(upstream),
        contract=FakeContract(upstream),
        passes_through=client == upstream,
        body=b"",
        stream=True,
        context=make_context(client_dialect=client, upstream_dialect=upstream, stream=True),
        hides_usage=hides_usage,
    )


def carrier(client: str, upstream: str, framing: Framing = Framing.SSE, **settings: bool) -> Carrier:
    return carrier_for(plan_of(client, upstream, **settings), framing, LIMIT)


def gemini(text: str, finish: str = "") -> bytes:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return render(
        json.dumps({"candidates": [{**candidate, **({"finishReason": finish} if finish else {})}]}).encode()
    )


CLAUDE = tuple(
    render(json.dumps({"type": kind, **body}).encode(), kind.encode())
    for kind, body in (
        (
            "message_start",
            {
                "message": {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "model": "c",
                    "content": [],
                    "stop_reason": None,
                    "usage": {"input_tokens": 7, "output_tokens": 1},
                }
            },
        ),
        ("ping", {}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ("message_stop", {}),
    )
)
STREAMS = {
    "openai": ANSWER,
    "claude": CLAUDE,
    "gemini": (gemini("Hel"), gemini("lo", "STOP")),
}


def carried(subject: Carrier, pieces: Iterator[bytes] | tuple[bytes, ...]) -> tuple[bytes, list[Step]]:
    """Feed pieces as the pump does: to the terminal event or the end, then finish."""
    steps = []
    for piece in pieces:
        steps.append(subject.feed(piece))
        if steps[-1].is_terminal or steps[-1].error is not None:
            break
    if steps and steps[-1].error is not None:
        return b"".join(step.output for step in steps), steps
    steps.append(subject.finish())
    return b"".join(step.output for step in steps), steps


def texts(output: bytes) -> list[dict[str, object]]:
    """The JSON values of a stream of events."""
    parser = FrameParser()
    frames = [*parser.feed(output), *parser.finish()]
    return [json.loads(frame.data) for frame in frames if frame.data not in {b"", b"[DONE]"}]


# --- passing through ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", STREAMS)
@given(data=st.data())
def test_frames_pass_unchanged_however_they_are_cut(dialect: str, data: st.DataObject) -> None:
    whole = b": hello\n\n" + b"".join(STREAMS[dialect])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    output, steps = carried(carrier(dialect, dialect), tuple(pieces))
    assert output == whole
    assert steps[-1].is_terminal
    assert any(step.has_content for step in steps)


RESPONSES = tuple(
    render(json.dumps({"type": kind, **body}).encode(), kind.encode())
    for kind, body in (
        ("response.created", {"response": {"id": "resp_1", "status": "in_progress", "output": []}}),
        ("response.output_text.delta", {"output_index": 0, "delta": "Hel"}),
        ("response.output_text.delta", {"output_index": 0, "delta": "lo"}),
        ("response.output_item.done", {"output_index": 0, "item": {"type": "message", "id": "msg_1"}}),
        ("response.completed", {"response": {"id": "resp_1", "status": "completed", "output": []}}),
        ("error", {"message": "busy"}),
    )
)
ODD = (
    b": comment\n\n",
    b"data:\n\n",
    b"data: \n\n",
    b"\n",
    b"data: one\ndata: two\n\n",
    b"data: {}\r\n\r\n",
    b"data: {}\r\r",
    b"event: error\ndata: {}\n\n",
    b"id: 1\ndata: {}\n\n",
    b"retry: 1\n\n",
    b"data: [DONE]\n\n",
    b"data: [DONE]",
    b"\xef\xbb\xbf",
    b'data: {"error": {}}\n\n',
    b"event: response.x.delta\ndata: \n\n",
    b"event: content_block_delta\nevent: ping\ndata: {}\n\n",
)
FRAMES = {
    "openai": (*ANSWER, chunk(""), chunk(finish="length"), USAGE, chunk(tool_calls=[{"index": 0}]), DONE),
    "claude": CLAUDE,
    "openai-response": RESPONSES,
    "gemini": STREAMS["gemini"],
}


@pytest.mark.parametrize("hides_usage", [False, True])
@pytest.mark.parametrize("dialect", FRAMES)
@given(data=st.data())
def test_frames_that_are_passed_over_mean_what_they_mean_when_looked_at(
    dialect: str, hides_usage: bool, data: st.DataObject
) -> None:
    """A carrier that looks at every frame gives the same bytes, and says the same about every read."""
    frames = data.draw(st.lists(st.sampled_from((*FRAMES[dialect] * 3, *ODD)), max_size=12))
    whole = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = tuple(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True))
    plan = plan_of(dialect, dialect, hides_usage=hides_usage)
    slow = evolve(plan, client=evolve(plan.client, skim=None))
    quick, careful = (carrier_for(each, Framing.SSE, LIMIT) for each in (plan, slow))
    carried_quickly = carried(quick, pieces)
    assert carried_quickly == carried(careful, pieces)
    assert quick.usage == careful.usage
    if carried_quickly[1][-1].error not in (None, StreamError(Kind.UPSTREAM, CUT_OFF, 502)):
        assert quick.error(BUSY) == careful.error(BUSY)


def test_a_frame_over_the_limit_is_refused_also_among_small_ones() -> None:
    small, large = chunk("a"), chunk("a" * 1000)
    for piece in (small + large, small + large + small, small + large[:900]):
        with pytest.raises(FrameError):
            carrier_for(plan_of("openai", "openai"), Framing.SSE, 500).feed(piece)


@pytest.mark.parametrize(
    ("frame", "has_content"),
    [
        (b": ping\n\n", False),
        (b"retry: 10\n\n", False),
        (chunk(""), False),
        (chunk("x"), True),
        (chunk(finish="stop"), False),
        (chunk(finish="length"), True),
        (DONE, False),
        (b"data: not json\n\n", True),
    ],
)
def test_only_what_says_something_is_content(frame: bytes, has_content: bool) -> None:
    assert carrier("openai", "openai").feed(frame).has_content is has_content


def test_usage_that_was_not_asked_for_is_read_and_hidden() -> None:
    subject = carrier("openai", "openai", hides_usage=True)
    output, _ = carried(subject, (*ANSWER[:-1], USAGE, DONE))
    assert output == b"".join(ANSWER)
    assert (subject.usage.input_total, subject.usage.output_total) == (3, 2)


def test_usage_of_several_frames_is_merged() -> None:
    subject = carrier("claude", "claude")
    carried(subject, CLAUDE)
    assert (subject.usage.input_total, subject.usage.output_total) == (7, 5)


def test_nothing_follows_the_terminal_event() -> None:
    subject = carrier("openai", "openai")
    step = subject.feed(b"".join(ANSWER) + DONE + chunk("late"))
    assert step.is_terminal
    assert step.output + subject.feed(DONE).output + subject.finish().output == b"".join(ANSWER)


def test_an_error_ends_the_stream_with_the_upstreams_own_frame() -> None:
    error = b'data: {"error":{"message":"busy","type":"overloaded_error"}}\n\n'
    subject = carrier("openai", "openai")
    step = subject.feed(chunk("Hel") + error + chunk("lo"))
    assert step.output == chunk("Hel")
    assert step.error is not None
    assert step.error.message == "busy"
    assert subject.error(BUSY) == error


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        pytest.param(DONE[:-1], DONE, id="one newline short"),
        pytest.param(DONE[:-2], DONE, id="no newline"),
        pytest.param(DONE[:-2].replace(b"\n", b"\r\n"), DONE, id="carriage returns"),
        pytest.param(b"", DONE, id="no terminator"),
        pytest.param(DONE[:8], DONE, id="half a terminator"),
        pytest.param(USAGE[:30], DONE, id="half a frame after the finish"),
        pytest.param(USAGE[:-2], USAGE + DONE, id="a whole frame without its blank line"),
        pytest.param(b": ping", DONE, id="half a comment"),
    ],
)
def test_a_finished_answer_is_ended_properly(last: bytes, expected: bytes) -> None:
    """Whatever the upstream left out or began, the client sees whole frames and one terminator."""
    output, steps = carried(carrier("openai", "openai"), (*ANSWER[:-1], last))
    assert output == b"".join(ANSWER[:-1]) + expected
    assert steps[-1].error is None


@pytest.mark.parametrize("dialect", STREAMS)
def test_an_answer_cut_off_anywhere_before_its_finish_is_an_error(dialect: str) -> None:
    """And the error is a frame of its own, also behind half a frame."""
    whole = b"".join(STREAMS[dialect])
    finish = b"".join(STREAMS[dialect][: {"openai": 3, "claude": 5, "gemini": 1}[dialect]])
    for end in range(len(finish) + 3):
        subject = carrier(dialect, dialect)
        output, steps = carried(subject, (whole[:end],))
        assert steps[-1].error == StreamError(Kind.UPSTREAM, CUT_OFF, 502)
        shown = texts(output + subject.error(BUSY))
        assert "busy" in json.dumps(shown[-1])
        assert not any("busy" in json.dumps(value) for value in shown[:-1])


def test_a_frame_over_the_limit_is_refused() -> None:
    subject = PassThrough(plan_of("openai", "openai"), Framing.SSE, 100)
    with pytest.raises(FrameError, match="more than 100 bytes"):
        subject.feed(b"data: " + b"x" * 200)


# --- translating ----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", STREAMS)
@pytest.mark.parametrize("upstream", STREAMS)
@given(data=st.data())
def test_a_translation_does_not_depend_on_the_cutting(
    client: str, upstream: str, data: st.DataObject
) -> None:
    whole = b"".join(STREAMS[upstream])
    plan = plan_of(client, upstream)

    def translated(pieces: tuple[bytes, ...]) -> bytes:
        subject = Translate(plan_of(client, upstream), Framing.SSE, LIMIT)
        return carried(subject, pieces)[0]

    assert plan.client.id == client
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = tuple(whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True))
    output = translated(pieces)
    assert output == translated((whole,))
    said = json.dumps(texts(output))
    assert "Hel" in said
    assert "lo" in said


@pytest.mark.parametrize("client", STREAMS)
def test_a_translated_stream_ends_in_the_clients_way(client: str) -> None:
    subject = carrier(client, "claude" if client == "openai" else "openai")
    output, steps = carried(subject, CLAUDE if client == "openai" else ANSWER)
    assert steps[-1].is_terminal
    ends = {"openai": DONE, "claude": b'{"type":"message_stop"}\n\n', "gemini": b"\n\n"}
    assert output.endswith(ends[client])
    assert output.count(ends[client]) == 1 or client == "gemini"


def test_a_translation_reads_usage_and_tells_content_from_openings() -> None:
    subject = carrier("openai", "claude")
    contents = [subject.feed(frame).has_content for frame in CLAUDE]
    assert contents == [False, False, False, True, False, False, False]
    assert (subject.usage.input_total, subject.usage.output_total) == (7, 5)


def test_nothing_follows_the_end_of_a_translation() -> None:
    subject = carrier("openai", "claude")
    output, _ = carried(subject, (b"".join(CLAUDE) + b"".join(CLAUDE),))
    assert output.count(DONE) == 1
    assert subject.feed(CLAUDE[3]).output == b""


def test_an_error_inside_a_translated_stream_is_written_in_the_clients_dialect() -> None:
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    subject = carrier("openai", "claude")
    step = subject.feed(b"".join(CLAUDE[:4]) + error + CLAUDE[3])
    assert step.error is not None
    assert (step.error.kind, step.error.message) == (Kind.OVERLOADED, "busy")
    assert "Hello" in json.dumps(texts(step.output))
    [shown] = texts(subject.error(BUSY))
    assert shown["error"]["message"] == "busy"  # type: ignore[index]


def test_a_translated_stream_that_is_cut_off_is_an_error() -> None:
    step = carried(carrier("openai", "claude"), CLAUDE[:4])[1][-1]
    assert step.error is not None
    assert step.error.message == CUT_OFF
    assert not step.is_terminal


def test_a_finished_translation_needs_no_terminal_event() -> None:
    output, steps = carried(carrier("openai", "claude"), CLAUDE[:-1])
    assert steps[-1].error is None
    assert output.endswith(DONE)


def test_an_empty_answer_says_nothing() -> None:
    empty = (CLAUDE[0], CLAUDE[5], CLAUDE[6])
    assert not any(step.has_content for step in carried(carrier("openai", "claude"), empty)[1])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        {"type": "redacted_thinking", "data": "abc="},
    ],
)
def test_calls_say_something_before_their_arguments(block: dict[str, object]) -> None:
    subject = carrier("openai", "claude")
    subject.feed(CLAUDE[0])
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    step = subject.feed(render(json.dumps(start).encode(), b"content_block_start"))
    assert step.has_content is (block["type"] == "tool_use")


# --- framings -------------------------------------------------------------------------------------


def test_frames_become_the_elements_of_an_array() -> None:
    writer = JsonArrayWriter()
    frames = [make_frame(b'{"a":1}'), make_frame(b""), make_frame(b"{}")]
    parts = [writer.write([]), writer.write(frames[:1]), writer.write(frames[1:]), writer.close()]
    assert parts[0] == b""
    assert json.loads(b"".join(parts)) == [{"a": 1}, {}]
    assert JsonArrayWriter().close() == b"[]"


def test_writers_belong_to_framings() -> None:
    assert isinstance(writer_for(Framing.JSON_ARRAY), JsonArrayWriter)
    assert isinstance(writer_for(Framing.SSE), SseWriter)
    assert SseWriter().close() == b""


@pytest.mark.parametrize("upstream", STREAMS)
def test_an_array_is_legal_json_whoever_answers(upstream: str) -> None:
    subject = carrier("gemini", upstream, Framing.JSON_ARRAY)
    output, steps = carried(subject, (b": ping\n\n", *STREAMS[upstream]))
    assert steps[-1].is_terminal
    parts = [
        part["text"]
        for value in json.loads(output)
        for candidate in value.get("candidates", [])
        for part in candidate["content"].get("parts", [])
    ]
    assert "".join(parts) == "Hello"


@pytest.mark.parametrize("upstream", STREAMS)
@pytest.mark.parametrize("frames", [0, 1])
def test_an_array_is_legal_json_also_with_an_error_in_it(upstream: str, frames: int) -> None:
    subject = carrier("gemini", upstream, Framing.JSON_ARRAY)
    output = b"".join(subject.feed(frame).output for frame in STREAMS[upstream][: frames * 4])
    values = json.loads(output + subject.error(BUSY))
    assert values[-1]["error"]["message"] == "busy"


# --- whole answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [Framing.SSE, Framing.JSON_ARRAY])
def test_a_whole_answer_becomes_a_whole_stream(framing: Framing) -> None:
    plan = plan_of("gemini", "openai")
    subject = WholeAnswer(plan, framing, plan.upstream.decode_response(WHOLE, plan.context))
    step = subject.feed(b"anything")
    assert step.has_content
    assert step.is_terminal
    assert subject.finish() == Step(is_terminal=True)
    assert subject.usage.input_total == 3
    values = json.loads(step.output) if framing is Framing.JSON_ARRAY else texts(step.output)
    assert "Hello" in json.dumps(values)


def test_a_whole_answer_can_fail_in_the_clients_dialect() -> None:
    plan = plan_of("gemini", "openai")
    subject = WholeAnswer(plan, Framing.JSON_ARRAY, plan.upstream.decode_response(WHOLE, plan.context))
    assert json.loads(subject.error(BUSY))[0]["error"]["message"] == "busy"


# --- streams that pass though their request did not ----------------------------------------------------


def responses_events(*events: tuple[str, dict[str, object]]) -> list[bytes]:
    return [render(json.dumps({"type": kind, **body}).encode(), kind.encode()) for kind, body in events]


def through(client: str, upstream: str) -> Carrier:
    plan = evolve(plan_of(client, upstream), streams_through=True)
    return carrier_for(plan, Framing.SSE, LIMIT)


ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}
BEGUN = responses_events(
    ("response.created", {"response": {"id": "resp_1", "status": "in_progress", "output": []}}),
    ("response.web_search_call.searching", {"item_id": "ws_1", "output_index": 0, "future": True}),
    ("response.output_item.done", {"output_index": 0, "item": ITEM}),
)


def test_frames_of_a_related_dialect_keep_their_bytes_and_the_end_is_filled_in() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    response = {"id": "resp_1", "status": "completed", "output": [], "usage": usage}
    (end,) = responses_events(("response.completed", {"response": response}))
    carried = through("openai-response", "codex")
    step = carried.feed(b"".join(BEGUN) + end)
    assert step.is_terminal
    assert step.output.startswith(b"".join(BEGUN))
    (last,) = FrameParser().feed(step.output.removeprefix(b"".join(BEGUN)))
    assert json.loads(last.data)["response"]["output"] == [ITEM]
    assert carried.usage.fresh_input == 3


def test_an_error_of_a_related_dialect_is_forwarded_with_the_end_it_lacks() -> None:
    (error,) = responses_events(("error", {"code": "server_error", "message": "broke", "sequence_number": 3}))
    carried = through("openai-response", "codex")
    step = carried.feed(b"".join(BEGUN) + error)
    assert step.error is not None
    told, failed = FrameParser().feed(carried.error(BUSY))
    assert told.raw == error
    assert failed.event == b"response.failed"
