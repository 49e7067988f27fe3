"""The four dialects as the benchmark speaks them: requests, prebuilt answers, and how to read the text back.

Written without the package under test, from the shapes the vendors document, so that a wrong translation
cannot agree with itself. A stream's text is made of *stamps*: ``t`` and nineteen digits, a number that grows
from event to event. In a paced stream it is the time at which the event was sent, which is how the load
client knows the delay of every single event; elsewhere it is a counter. A stamp survives translation, because
it is text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

Json = dict[str, Any]

EVENTS: Final = 100
"""Text events in one stream."""
STAMP: Final = re.compile(rb"t(\d{19}) ")
UNARY_TEXT: Final = "All happy families are alike. " * 16
MODES: Final = ("unary", "coalesced", "burst", "paced", "idle")
MODE_IN_REQUEST: Final = re.compile(rb"bench-[a-z-]+-(" + "|".join(MODES).encode() + rb")")
_PARAGRAPH: Final = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. " * 13
_USAGE_IN: Final = 250


def stamp(number: int) -> bytes:
    """Return the text of one event."""
    return b"t%019d " % number


def model_name(upstream: str, mode: str) -> str:
    """Return the model that makes an upstream of this dialect behave in this way."""
    return f"bench-{upstream}-{mode}"


@frozen(kw_only=True)
class Script:
    """The stream of a dialect in three parts, as bytes on the wire."""

    opening: bytes
    delta: bytes
    """Template with ``%(text)s`` and, where the dialect counts its events, ``%(number)d``."""
    closing: Callable[[str], bytes] = field(repr=False)
    """Gives the rest of the stream for its whole text."""

    def event(self, number: int, text: bytes) -> bytes:
        """Return one text event."""
        return self.delta % {b"text": text, b"number": number + 4}

    def events(self) -> list[bytes]:
        """Return a whole stream whose stamps are counters; the first and the last item are the frame around
        the text."""
        texts = [stamp(number) for number in range(EVENTS)]
        events = [self.event(number, text) for number, text in enumerate(texts)]
        return [self.opening, *events, self.closing(b"".join(texts).decode())]


@frozen(kw_only=True)
class Dialect:
    """One API shape, as far as the benchmark needs it."""

    id: str
    path: str
    stream_path: str
    config_key: str
    """The list of the server's configuration that names upstreams of this dialect."""
    is_always_streamed: bool = False
    """Whether the server asks such an upstream for a stream even if the client wants one body."""
    base_path: str
    """What of the path belongs to the configured base address."""
    upstream_path: re.Pattern[bytes]
    """Recognises requests of this dialect at the upstream."""
    body: Callable[[str, list[str], bool], Json] = field(repr=False)
    """Builds a request from model, texts that alternate between user and assistant, and whether to stream."""
    unary: bytes = field(repr=False)
    script: Script = field(repr=False)
    read_unary: Callable[[Json], str] = field(repr=False)
    read_event: Callable[[Json], str] = field(repr=False)
    end_mark: bytes
    """Occurs in complete streams only, close to their end."""

    def request(self, model: str, *, stream: bool, turns: int = 1) -> tuple[str, bytes]:
        """Return path and body of a request with this many kilobytes of conversation."""
        path = (self.stream_path if stream else self.path).format(model=model)
        return path, json.dumps(self.body(model, [_PARAGRAPH] * turns, stream)).encode()

    def stream_text(self, body: bytes) -> str:
        """Return the text a client would read from a whole stream."""
        return "".join(self.read_event(event) for event in events_in(body))


def events_in(body: bytes) -> Iterator[Json]:
    """Yield the events of a stream whose data are objects."""
    for line in body.splitlines():
        if line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
            yield json.loads(data)


def _frame(value: Json, *, named: bool = False, end: bytes = b"\n\n") -> bytes:
    head = f"event: {value['type']}\n".encode() if named else b""
    return head + b"data: " + _compact(value) + end


def _named(value: Json) -> bytes:
    return _frame(value, named=True)


def _compact(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _template(frame: bytes) -> bytes:
    """Make a frame with the text ``TEXT`` and the number 987654 a template."""
    return frame.replace(b"TEXT", b"%(text)s").replace(b"987654", b"%(number)d")


# ----------------------------------------------------------------------------------------------- OpenAI Chat

_CHAT: Final[Json] = {"id": "chatcmpl-bench0000000000000000000000", "created": 1700000000, "model": "bench"}
_CHAT_USAGE: Final = {"prompt_tokens": _USAGE_IN, "completion_tokens": EVENTS, "total_tokens": 350}


def _turns(texts: list[str]) -> list[Json]:
    return [
        {"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(texts)
    ]


def _chat_body(model: str, texts: list[str], stream: bool) -> Json:
    body: Json = {"model": model, "max_tokens": 1000, "messages": _turns(texts)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _chat_chunk(delta: Json, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _frame({**_CHAT, "object": "chat.completion.chunk", "choices": [choice], "usage": None})


def _chat_closing(_text: str) -> bytes:
    usage = _frame({**_CHAT, "object": "chat.completion.chunk", "choices": [], "usage": _CHAT_USAGE})
    return _chat_chunk({}, "stop") + usage + b"data: [DONE]\n\n"


OPENAI: Final = Dialect(
    id="openai",
    path="/v1/chat/completions",
    stream_path="/v1/chat/completions",
    config_key="openai-compatibility",
    base_path="/v1",
    upstream_path=re.compile(rb"/chat/completions$"),
    body=_chat_body,
    unary=_compact(
        {
            **_CHAT,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": UNARY_TEXT, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _CHAT_USAGE,
        }
    ),
    script=Script(
        opening=_chat_chunk({"role": "assistant", "content": ""}),
        delta=_template(_chat_chunk({"content": "TEXT"})),
        closing=_chat_closing,
    ),
    read_unary=lambda answer: str(answer["choices"][0]["message"]["content"]),
    read_event=lambda event: "".join(choice["delta"].get("content") or "" for choice in event["choices"]),
    end_mark=b"[DONE]",
)

# ------------------------------------------------------------------------------------------- Claude Messages

_MESSAGE: Final[Json] = {
    "id": "msg_bench00000000000000000000",
    "type": "message",
    "role": "assistant",
    "model": "bench",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": _USAGE_IN, "output_tokens": 1},
}


def _claude_body(model: str, texts: list[str], stream: bool) -> Json:
    return {"model": model, "max_tokens": 1000, "messages": _turns(texts), "stream": stream}


def _claude_closing(_text: str) -> bytes:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return (
        _named({"type": "content_block_stop", "index": 0})
        + _named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": EVENTS}})
        + _named({"type": "message_stop"})
    )


CLAUDE: Final = Dialect(
    id="claude",
    path="/v1/messages",
    stream_path="/v1/messages",
    config_key="claude-api-key",
    base_path="",
    upstream_path=re.compile(rb"/v1/messages$"),
    body=_claude_body,
    unary=_compact(
        {
            **_MESSAGE,
            "content": [{"type": "text", "text": UNARY_TEXT}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": _USAGE_IN, "output_tokens": EVENTS},
        }
    ),
    script=Script(
        opening=_named({"type": "message_start", "message": _MESSAGE})
        + _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        + _named({"type": "ping"}),
        delta=_template(
            _named(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "TEXT"}}
            )
        ),
        closing=_claude_closing,
    ),
    read_unary=lambda answer: "".join(block.get("text", "") for block in answer["content"]),
    read_event=lambda event: str(event["delta"]["text"] if event["type"] == "content_block_delta" else ""),
    end_mark=b"message_stop",
)

# ------------------------------------------------------------------------------------------ OpenAI Responses


def _response(status: str, text: str | None) -> Json:
    item = _item("completed", text) if text is not None else None
    usage = {
        "input_tokens": _USAGE_IN,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": EVENTS,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 350,
    }
    return {
        "id": "resp_bench000000000000000000",
        "object": "response",
        "created_at": 1700000000,
        "status": status,
        "model": "bench",
        "output": [item] if item else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": usage if item else None,
    }


def _item(status: str, text: str | None) -> Json:
    content = [_text_part(text)] if text is not None else []
    return {"id": "msg_bench0", "type": "message", "status": status, "role": "assistant", "content": content}


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": []}


def _responses_body(model: str, texts: list[str], stream: bool) -> Json:
    turns = [
        {
            "type": "message",
            "role": turn["role"],
            "content": [
                {
                    "type": "output_text" if turn["role"] == "assistant" else "input_text",
                    "text": turn["content"],
                }
            ],
        }
        for turn in _turns(texts)
    ]
    return {"model": model, "max_output_tokens": 1000, "input": turns, "stream": stream}


_PLACE: Final[Json] = {"item_id": "msg_bench0", "output_index": 0, "content_index": 0}


def _responses_closing(text: str) -> bytes:
    done = _item("completed", text)
    events: tuple[Json, ...] = (
        {"type": "response.output_text.done", **_PLACE, "text": text},
        {"type": "response.content_part.done", **_PLACE, "part": _text_part(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": _response("completed", text)},
    )
    return b"".join(
        _named({**event, "sequence_number": number}) for number, event in enumerate(events, EVENTS + 4)
    )


def _responses_opening() -> bytes:
    events: tuple[Json, ...] = (
        {"type": "response.created", "response": _response("in_progress", None)},
        {"type": "response.in_progress", "response": _response("in_progress", None)},
        {"type": "response.output_item.added", "output_index": 0, "item": _item("in_progress", None)},
        {"type": "response.content_part.added", **_PLACE, "part": _text_part("")},
    )
    return b"".join(_named({**event, "sequence_number": number}) for number, event in enumerate(events))


OPENAI_RESPONSE: Final = Dialect(
    id="openai-response",
    path="/v1/responses",
    stream_path="/v1/responses",
    config_key="codex-api-key",
    is_always_streamed=True,
    base_path="/v1",
    upstream_path=re.compile(rb"/responses$"),
    body=_responses_body,
    unary=_compact(_response("completed", UNARY_TEXT)),
    script=Script(
        opening=_responses_opening(),
        delta=_template(
            _named(
                {
                    "type": "response.output_text.delta",
                    **_PLACE,
                    "delta": "TEXT",
                    "sequence_number": 987654,
                    "logprobs": [],
                }
            )
        ),
        closing=_responses_closing,
    ),
    read_unary=lambda answer: "".join(
        part["text"] for item in answer["output"] for part in item.get("content", [])
    ),
    read_event=lambda event: str(event["delta"] if event["type"] == "response.output_text.delta" else ""),
    end_mark=b"response.completed",
)

# ---------------------------------------------------------------------------------------------------- Gemini

_GEMINI_USAGE: Final = {
    "promptTokenCount": _USAGE_IN,
    "candidatesTokenCount": EVENTS,
    "totalTokenCount": 350,
}


def _gemini_body(_model: str, texts: list[str], _stream: bool) -> Json:
    contents = [
        {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}
        for turn in _turns(texts)
    ]
    return {"contents": contents, "generationConfig": {"maxOutputTokens": 1000}}


def _gemini_answer(text: str, finish_reason: str | None) -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    return {
        "candidates": [candidate],
        "usageMetadata": _GEMINI_USAGE,
        "modelVersion": "bench",
        "responseId": "bench0000000000000000",
    }


def _gemini_text(answer: Json) -> str:
    return "".join(
        part.get("text", "")
        for candidate in answer.get("candidates", [])
        for part in candidate.get("content", {}).get("parts", [])
    )


def _gemini_event(text: str, finish_reason: str | None = None) -> bytes:
    return _frame(_gemini_answer(text, finish_reason), end=b"\r\n\r\n")


GEMINI: Final = Dialect(
    id="gemini",
    path="/v1beta/models/{model}:generateContent",
    stream_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
    config_key="gemini-api-key",
    base_path="",
    upstream_path=re.compile(rb":(?:streamG|g)enerateContent(?:\?|$)"),
    body=_gemini_body,
    unary=_compact(_gemini_answer(UNARY_TEXT, "STOP")),
    script=Script(
        opening=b"",
        delta=_template(_gemini_event("TEXT")),
        closing=lambda _text: _gemini_event("", "STOP"),
    ),
    read_unary=_gemini_text,
    read_event=_gemini_text,
    end_mark=b'"finishReason"',
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.id: dialect for dialect in (OPENAI, OPENAI_RESPONSE, CLAUDE, GEMINI)
}
