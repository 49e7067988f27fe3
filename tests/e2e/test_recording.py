"""The recorder and its grammars: what they let pass, and that they can say no."""

import json

import httpx2 as httpx
import pytest

from support.recording import Recorded, Recorder, check

CHUNK = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}
USAGE = {**CHUNK, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


def streamed(*chunks: object, end: bytes = b"data: [DONE]\n\n") -> Recorded:
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    asked = {"stream_options": {"include_usage": True}}
    return Recorded("/v1/chat/completions", asked, 200, "text/event-stream", bytearray(data + end))


def test_a_good_stream_passes() -> None:
    check(streamed(CHUNK, USAGE), is_ours=True)


@pytest.mark.parametrize(
    "record",
    [
        streamed(CHUNK, USAGE, end=b""),
        streamed(USAGE, CHUNK),
        streamed(CHUNK),
        streamed(CHUNK, CHUNK, USAGE),
        Recorded("/v1/chat/completions", {}, 200, "text/html", bytearray(b"<html>")),
        Recorded("/v1/chat/completions", {}, 400, "application/json", bytearray(b'{"error": {}}')),
        Recorded("/v1/messages", {}, 200, "application/json", bytearray(b'{"type": "error"}')),
    ],
)
def test_what_no_package_complains_about_fails_here(record: Recorded) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check(record, is_ours=True)


def test_what_a_client_leaves_unread_is_recorded_all_the_same() -> None:
    pieces = [b"data: 1\n\n", b"data: 2\n\n"]

    class Stream(httpx.SyncByteStream):
        def __iter__(self):
            yield from pieces

    recorder = Recorder(httpx.MockTransport(lambda _request: httpx.Response(200, stream=Stream())))
    with (
        httpx.Client(transport=recorder) as client,
        client.stream("POST", "http://upstream/v1/messages", json={"model": "m"}) as answer,
    ):
        assert next(answer.iter_raw()) == pieces[0]
    (record,) = recorder.take()
    assert (record.path, record.asked, bytes(record.data)) == (
        "/v1/messages",
        {"model": "m"},
        b"".join(pieces),
    )
    assert recorder.take() == []
