"""What is added to a forwarded stream, and what is left alone."""

from openai.types.responses import Response
from openai.types.responses.response_failed_event import ResponseFailedEvent

from cliproxy.dialects.openai_responses.mending import ResponsesMender
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.sse import Frame, make_frame
from support import grammar_responses

ANSWER = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
CREATED = {"response": {**ANSWER, "status": "in_progress", "output": []}}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}
USAGE = {
    "input_tokens": 3,
    "output_tokens": 4,
    "total_tokens": 7,
    "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 2},
}


def frame(kind, **members):
    return make_frame(dumps({"type": f"response.{kind}", **members}), f"response.{kind}".encode())


def mended(*frames):
    mender = ResponsesMender()
    return [out for each in frames for out in mender.mend(each)]


def ending(kind="completed", **members):
    return frame(kind, response={**ANSWER, "status": kind, "usage": USAGE, **members})


def response_of(made):
    return loads_object(made.data)["response"]


def test_stream_that_lacks_nothing_keeps_its_bytes():
    frames = [
        Frame(b"response.created", dumps({"type": "response.created", **CREATED}), b"raw of the first"),
        frame("output_text.delta", delta="x", logprobs=[], obfuscation="xyz"),
        frame("output_item.done", output_index=0, item=MESSAGE),
        make_frame(b'{"type":"codex.rate_limits"}'),
        make_frame(b"[DONE]"),
        ending(output=[MESSAGE]),
    ]
    assert mended(*frames) == frames


def test_last_event_gets_the_items_it_does_not_repeat():
    first = frame("output_item.done", output_index=1, item=CALL)
    second = frame("output_item.done", output_index=0, item=MESSAGE)
    *_, last = mended(frame("created", **CREATED), first, second, ending("incomplete", output=[], extra=1))
    assert response_of(last)["output"] == [MESSAGE, CALL]
    assert response_of(last)["extra"] == 1
    assert last.event == b"response.incomplete"
    assert last.raw == b"event: response.incomplete\ndata: " + last.data + b"\n\n"


def test_items_without_a_place_keep_their_order():
    items = [frame("output_item.done", item=item) for item in (MESSAGE, CALL)]
    assert response_of(mended(*items, ending())[-1])["output"] == [MESSAGE, CALL]


def test_answer_without_items_stays_empty():
    last = ending(output=[])
    assert mended(last) == [last]


def test_details_of_usage_are_always_there():
    usage = {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 1}, "cost": 2}
    (last,) = mended(ending(output=[MESSAGE], usage=usage))
    assert response_of(last)["usage"] == {**usage, "output_tokens_details": {"reasoning_tokens": 0}}


def test_frame_without_an_event_name_stays_without():
    data = dumps({"type": "response.completed", "response": {**ANSWER, "output": [], "usage": USAGE}})
    last = mended(frame("output_item.done", output_index=0, item=CALL), make_frame(data))[-1]
    assert last.event is None
    Response.model_validate(response_of(last))


def test_error_is_followed_by_the_end_that_the_command_line_client_understands():
    error = {"type": "error", "code": "server_error", "message": "broke", "sequence_number": 7}
    item = frame("output_item.done", output_index=0, item=CALL)
    *_, told, failed = mended(frame("created", **CREATED), item, make_frame(dumps(error), b"error"))
    assert loads_object(told.data) == error
    event = loads_object(failed.data)
    ResponseFailedEvent.model_validate(event)
    assert event["sequence_number"] == 8
    assert (event["response"]["id"], event["response"]["status"]) == ("resp_1", "failed")
    assert event["response"]["error"] == {"code": "server_error", "message": "broke"}
    assert event["response"]["output"] == [CALL]


def test_error_before_anything_else():
    told, failed = mended(make_frame(b'{"type":"error","error":{"message":"no"}}', b"error"))
    assert told.event == b"error"
    assert response_of(failed)["error"] == {"code": "server_error", "message": "no"}


def test_broken_event_is_left_alone():
    broken = Frame(b"response.completed", b"{", b"raw")
    assert mended(Frame(b"response.output_item.done", b"{", b"raw"), broken)[-1] == broken


def test_mended_stream_is_as_whole_as_one_of_ours():
    """The official package reads the answer from the last event."""
    last = mended(frame("output_item.done", output_index=0, item=CALL), ending(output=[], error=None))[-1]
    grammar_responses.MODELS["response.completed"].model_validate(
        {**loads_object(last.data), "sequence_number": 1}
    )
