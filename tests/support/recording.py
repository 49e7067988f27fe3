"""What a server sends to the vendors' packages, kept byte for byte and held against the vendors' grammars.

A :class:`Recorder` is the transport of the packages' HTTP client: it passes everything on and keeps a copy.
The grammars come from the vendors' documents, so that a package that forgives a mistake does not hide it.
Where client and upstream speak the same dialect the bytes are those of the upstream: its emulator is checked.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import httpx2 as httpx
from attrs import define, field, frozen
from openai.types.responses import Response as ResponsesAnswer

from cliproxy.wire.sse import Frame, FrameParser
from support import grammar_claude, grammar_gemini, grammar_openai, grammar_responses


@define
class Recorded:
    """One request and what came back."""

    path: str
    asked: dict[str, Any]
    status: int
    kind: str
    """The media type of the answer."""
    data: bytearray = field(factory=bytearray)

    def json(self) -> Any:
        """The answer as JSON."""
        return json.loads(self.data)

    def frames(self) -> list[Frame]:
        """The answer as a stream of events."""
        parser = FrameParser()
        frames = [*parser.feed(bytes(self.data)), *parser.finish()]
        return [frame for frame in frames if not frame.is_comment]


class _Tee(httpx.SyncByteStream):
    """Pass a body on and keep it; what the package does not care to read is read when it closes the body."""

    def __init__(self, inner: httpx.SyncByteStream, record: Recorded) -> None:
        self._inner = inner
        self._pieces = iter(inner)
        self._record = record

    def __iter__(self) -> Iterator[bytes]:
        for data in self._pieces:
            self._record.data += data
            yield data

    def close(self) -> None:
        for data in self._pieces:
            self._record.data += data
        self._inner.close()


class Recorder(httpx.BaseTransport):
    """A transport that keeps what passes."""

    def __init__(self, inner: httpx.BaseTransport | None = None) -> None:
        self.records: list[Recorded] = []
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and record its answer as it is read."""
        body = request.read()
        answer = self._inner.handle_request(request)
        assert "content-encoding" not in answer.headers, "nobody asked for a compressed answer"
        kind = answer.headers.get("content-type", "").partition(";")[0]
        record = Recorded(request.url.path, json.loads(body) if body else {}, answer.status_code, kind)
        self.records.append(record)
        assert isinstance(answer.stream, httpx.SyncByteStream)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Tee(answer.stream, record),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def take(self) -> list[Recorded]:
        """Return what was recorded, and begin anew."""
        taken, self.records = self.records, []
        return taken


# --- the grammars ------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Grammar:
    """How one dialect's answers are checked."""

    path: re.Pattern[str]
    answer: Callable[[Recorded], object]
    stream: Callable[[Recorded, bool], object]
    error: Callable[[Any], object]


def _claude_error(body: Any) -> None:
    assert body["type"] == "error"
    assert isinstance(body["error"]["type"], str)
    assert isinstance(body["error"]["message"], str)


def _gemini_stream(record: Recorded, is_ours: bool) -> None:
    grammar_gemini.check_stream([frame.data for frame in record.frames()], is_ours=is_ours)


def _responses_stream(record: Recorded, is_ours: bool) -> None:
    frames = record.frames()
    knows_codes = frames[-1].event != b"response.failed"  # the package's list of error codes has gaps
    grammar_responses.check(frames, typed=knows_codes, ours=is_ours)


def _claude_stream(record: Recorded, _is_ours: bool) -> None:
    grammar_claude.check_stream(record.frames())


def _chat_stream(record: Recorded, _is_ours: bool) -> None:
    asked = record.asked.get("stream_options", {}).get("include_usage", False)
    grammar_openai.check_chat_stream(record.frames(), include_usage=asked)


GRAMMARS: Final[Mapping[str, Grammar]] = {
    "chat": Grammar(
        path=re.compile(r"/v1/chat/completions"),
        answer=lambda record: grammar_openai.check_chat_response(record.json()),
        stream=_chat_stream,
        error=grammar_openai.check_error,
    ),
    "responses": Grammar(
        path=re.compile(r"/v1/responses"),
        answer=lambda record: ResponsesAnswer.model_validate(record.json()),
        stream=_responses_stream,
        error=grammar_openai.check_error,
    ),
    "claude": Grammar(
        path=re.compile(r"/v1/messages"),
        answer=lambda record: grammar_claude.check_message(record.json()),
        stream=_claude_stream,
        error=_claude_error,
    ),
    "gemini": Grammar(
        path=re.compile(r"/v1(?:beta)?/models/.+:(?:streamG|g)enerateContent"),
        answer=lambda record: grammar_gemini.check_answer(record.json()),
        stream=_gemini_stream,
        error=grammar_gemini.check_error,
    ),
}


def check(record: Recorded, *, is_ours: bool) -> None:
    """Hold one answer against the grammar of its path; fails with what the vendor promises otherwise.

    ``is_ours``: it was written here and not passed on.
    """
    (grammar,) = [each for each in GRAMMARS.values() if each.path.fullmatch(record.path)]
    if record.status >= 400:
        body = record.json()
        grammar.error(body[0] if isinstance(body, list) else body)
    elif record.kind == "text/event-stream":
        grammar.stream(record, is_ours)
    else:
        assert record.kind == "application/json", record.kind
        grammar.answer(record)
