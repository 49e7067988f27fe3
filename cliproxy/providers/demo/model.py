"""The demo model on the wire: request bytes in, a chat completion out, with the pauses a stream has.

Contract: the chat completion API of the ``openai`` dialect, as a stream of chunks or as one object. Ids are
made of a hash of the request and the time is fixed, so that equal requests get equal answers.
"""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

from attrs import field, frozen

from cliproxy.providers.demo.prompt import Prompt, PromptError, read_prompt, tokens_of
from cliproxy.providers.demo.reply import TALKER, DemoCall, Refusal, Reply, reply_to
from cliproxy.wire.http import Headers
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps
from cliproxy.wire.sse import render

CREATED: Final = 1_700_000_000
"""The time of every answer, in Unix seconds: this model has no clock."""

_ID_DIGITS: Final = 24
_ARGUMENT_PIECE: Final = 12
_PIECE: Final = re.compile(r"\s*\S+\s*\Z|\s*\S+")
_ERROR_TYPES: Final[dict[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_BREAKS_OFF: Final = "the built-in demo breaks off, as asked"
_RETRY_AFTER_S: Final = {429: "1", 503: "1"}


@frozen(kw_only=True)
class DemoAnswer:
    """An HTTP answer with its timing: each chunk of the body comes after a pause in seconds."""

    status: int
    headers: Headers
    chunks: Sequence[tuple[float, bytes]] = field(repr=False)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(data for _, data in self.chunks)


def demo_answer(body: bytes, *, stream: bool) -> DemoAnswer:
    """Answer a chat completion request."""
    try:
        prompt = read_prompt(body)
    except PromptError as exc:
        return _refused(Refusal(status=HTTPStatus.BAD_REQUEST, message=exc.message, param=exc.param))
    reply = reply_to(prompt)
    if isinstance(reply, Reply) and reply.ends and not stream:
        reply = Refusal(status=HTTPStatus.INTERNAL_SERVER_ERROR, message=_BREAKS_OFF)
    if isinstance(reply, Refusal):
        return _refused(reply)
    if stream:
        headers = Headers({"content-type": "text/event-stream"})
        return DemoAnswer(status=HTTPStatus.OK, headers=headers, chunks=tuple(_streamed(prompt, reply)))
    waiting_s = reply.pace_s * len(_pieces(reply.text, reply.words_per_piece))
    return _json_answer(HTTPStatus.OK, _completion(prompt, reply), waiting_s)


def _json_answer(status: int, value: JsonObject, waiting_s: float = 0.0) -> DemoAnswer:
    headers = Headers({"content-type": "application/json"})
    if status in _RETRY_AFTER_S:
        headers = headers.with_field("retry-after", _RETRY_AFTER_S[status])
    return DemoAnswer(status=status, headers=headers, chunks=((waiting_s, dumps(value)),))


def _error(status: int, message: str, param: str | None = None) -> JsonObject:
    fallback = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    kind = _ERROR_TYPES.get(status, fallback)
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}


def _refused(refusal: Refusal) -> DemoAnswer:
    return _json_answer(refusal.status, _error(refusal.status, refusal.message, refusal.param))


def _usage(prompt: Prompt, reply: Reply) -> JsonObject:
    thoughts = tokens_of(reply.thoughts)
    said = tokens_of(reply.text) + sum(tokens_of(call.arguments) for call in reply.calls)
    return {
        "prompt_tokens": prompt.prompt_tokens,
        "completion_tokens": said + thoughts,
        "total_tokens": prompt.prompt_tokens + said + thoughts,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }


def _finish_reason(reply: Reply) -> str:
    if reply.is_truncated:
        return "length"
    return "tool_calls" if reply.calls else "stop"


def _head(prompt: Prompt, kind: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{prompt.digest[:_ID_DIGITS]}",
        "object": kind,
        "created": CREATED,
        "model": prompt.model or TALKER,
    }


def _call_id(prompt: Prompt, index: int) -> str:
    start = (index + 1) * 8
    return f"call_{prompt.digest[start : start + _ID_DIGITS]}"


# --- in one piece ---


def _completion(prompt: Prompt, reply: Reply) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": reply.text or None}
    if reply.thoughts:
        message["reasoning_content"] = reply.thoughts
    if reply.calls:
        message["tool_calls"] = [
            _whole_call(call, _call_id(prompt, index)) for index, call in enumerate(reply.calls)
        ]
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
    return {**_head(prompt, "chat.completion"), "choices": [choice], "usage": _usage(prompt, reply)}


def _whole_call(call: DemoCall, call_id: str) -> JsonObject:
    if call.is_custom:
        return {"id": call_id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


# --- in a stream ---


def _streamed(prompt: Prompt, reply: Reply) -> Iterator[tuple[float, bytes]]:
    head = _head(prompt, "chat.completion.chunk")

    def chunk(delta: JsonObject, finish_reason: str | None = None) -> bytes:
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return render(dumps({**head, "choices": [choice]}))

    yield 0.0, chunk({"role": "assistant", "content": ""})
    for piece in _pieces(reply.thoughts, reply.words_per_piece):
        yield reply.pace_s, chunk({"reasoning_content": piece})
    for piece in _pieces(reply.text, reply.words_per_piece):
        yield reply.pace_s, chunk({"content": piece})
    for index, call in enumerate(reply.calls):
        for delta in _call_deltas(call, index, _call_id(prompt, index)):
            yield reply.pace_s, chunk({"tool_calls": [delta]})
    if reply.ends:
        if reply.ends == "error":
            yield 0.0, render(dumps(_error(HTTPStatus.INTERNAL_SERVER_ERROR, _BREAKS_OFF)))
        return
    yield 0.0, chunk({}, _finish_reason(reply))
    if prompt.wants_usage:
        yield 0.0, render(dumps({**head, "choices": [], "usage": _usage(prompt, reply)}))
    yield 0.0, render(b"[DONE]")


def _pieces(text: str, words: int) -> list[str]:
    """Cut a text after every few words; the pieces add up to the text."""
    found: list[str] = _PIECE.findall(text) or ([text] if text else [])
    return ["".join(found[start : start + words]) for start in range(0, len(found), words)]


def _call_deltas(call: DemoCall, index: int, call_id: str) -> Iterator[JsonObject]:
    kind, member = ("custom", "input") if call.is_custom else ("function", "arguments")
    opening: dict[str, JsonValue] = {"name": call.name, member: ""}
    yield {"index": index, "id": call_id, "type": kind, kind: opening}
    for start in range(0, len(call.arguments), _ARGUMENT_PIECE):
        yield {"index": index, kind: {member: call.arguments[start : start + _ARGUMENT_PIECE]}}
