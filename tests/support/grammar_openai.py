"""What OpenAI's API reference promises about chat completions, as checks.

Written from the vendor's description of "The chat completion object" and "The chat completion chunk object",
not from our encoder. A check raises ``AssertionError`` that says which promise was broken.
"""

import json
from collections.abc import Sequence

from attrs import define, field

from cliproxy.wire.sse import Frame

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}
CALL_KINDS = {"function": "arguments", "custom": "input"}


@define
class SeenCall:
    """A call, added up."""

    id: str
    kind: str
    name: str
    said: str = ""


@define
class SeenChoice:
    """A choice, added up."""

    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[SeenCall] = field(factory=list)
    images: list[str] = field(factory=list)
    finish_reason: str | None = None


@define
class SeenStream:
    """What a client would make of a stream."""

    choices: dict[int, SeenChoice] = field(factory=dict)
    usage: dict | None = None
    error: dict | None = None
    head: dict | None = None


def check_chat_stream(frames: Sequence[Frame], *, include_usage: bool = False) -> SeenStream:
    """Check a complete stream and add it up."""
    seen = SeenStream()
    assert frames, "a stream is never empty"
    for frame in frames:
        assert frame.event is None, "chat frames have no event name"
        assert frame.raw == b"data: " + frame.data + b"\n\n"
        assert b"\n" not in frame.data
    *chunks, last = frames
    if last.data == b"[DONE]":
        values = [json.loads(chunk.data) for chunk in chunks]
    else:
        values = [json.loads(frame.data) for frame in frames]
        assert "error" in values[-1], "a stream ends with [DONE] or with an error"
    for value in values:
        assert seen.error is None, "nothing follows an error"
        assert seen.usage is None or not include_usage, "the usage chunk is the last one"
        if "error" in value:
            seen.error = check_error(value)
        else:
            _check_chunk(value, seen, include_usage=include_usage)
    if seen.error is None:
        assert seen.choices, "an answer has a choice"
        assert all(choice.finish_reason for choice in seen.choices.values()), "every choice ends"
        assert not include_usage or seen.usage is not None, "the usage that was asked for is missing"
    return seen


def check_error(value: dict) -> dict:
    """Check an error body and return the error."""
    assert set(value) == {"error"}
    error = value["error"]
    assert isinstance(error["message"], str)
    assert isinstance(error["type"], str)
    assert {"param", "code"} <= set(error)
    return error


def _check_chunk(chunk: dict, seen: SeenStream, *, include_usage: bool) -> None:
    head = {key: chunk[key] for key in ("id", "object", "created", "model")}
    assert head["object"] == "chat.completion.chunk"
    assert head["id"]
    assert isinstance(head["created"], int)
    assert seen.head is None or seen.head == head, "the head does not change"
    seen.head = head
    if chunk.get("usage") is not None:
        seen.usage = check_usage(chunk["usage"])
        assert include_usage == (chunk["choices"] == []), "usage stands apart exactly if it was asked for"
    else:
        assert chunk["choices"], "a chunk without choices carries usage"
    for entry in chunk["choices"]:
        _check_entry(entry, seen)


def check_usage(usage: dict) -> dict:
    """Check counts."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    assert usage["total_tokens"] == prompt + completion
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    reasoning = usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    assert 0 <= cached <= prompt, "cached tokens are prompt tokens"
    assert 0 <= reasoning <= completion, "reasoning tokens are completion tokens"
    return usage


def _check_entry(entry: dict, seen: SeenStream) -> None:
    index, delta = entry["index"], entry["delta"]
    is_new = index not in seen.choices
    assert ("role" in delta) == is_new, "the role comes once, first"
    choice = seen.choices.setdefault(index, SeenChoice())
    assert choice.finish_reason is None, "nothing follows the finish reason"
    if is_new:
        assert delta["role"] == "assistant"
    for member, value in delta.items():
        if member != "role" and value is not None:
            _add(choice, member, value)
    choice.finish_reason = entry["finish_reason"]
    assert choice.finish_reason in FINISH_REASONS | {None}


def _add(choice: SeenChoice, member: str, value: object) -> None:
    match member:
        case "content":
            choice.content += value
        case "reasoning_content":
            choice.reasoning += value
        case "refusal":
            choice.refusal += value
        case "tool_calls":
            for call in value:
                _check_call(call, choice)
        case "images":
            for image in value:
                assert image["index"] == len(choice.images), "images are numbered"
                choice.images.append(image["image_url"]["url"])
        case "annotations":
            assert all(isinstance(citation, dict) for citation in value)
        case _:
            raise AssertionError(f"unknown member of a delta: {member}")


def _check_call(call: dict, choice: SeenChoice) -> None:
    number = call["index"]
    if number == len(choice.calls):
        kind = call["type"]
        described = call[kind]
        assert call["id"], "a call has an id"
        assert described["name"], "a call has a name"
        choice.calls.append(SeenCall(call["id"], kind, described["name"], described[CALL_KINDS[kind]]))
        return
    assert 0 <= number < len(choice.calls), "calls are numbered from 0 without gaps"
    known = choice.calls[number]
    assert "id" not in call, "the id of a call comes once"
    assert set(call) <= {"index", known.kind, "extra_content"}
    if known.kind in call:
        assert set(call[known.kind]) == {CALL_KINDS[known.kind]}
        known.said += call[known.kind][CALL_KINDS[known.kind]]


def check_chat_response(body: dict) -> dict:
    """Check a whole answer."""
    assert body["object"] == "chat.completion"
    assert body["id"]
    assert isinstance(body["created"], int)
    assert isinstance(body["model"], str)
    if "usage" in body:
        check_usage(body["usage"])
    for choice in body["choices"]:
        message = choice["message"]
        assert isinstance(choice["index"], int)
        assert message["role"] == "assistant"
        assert isinstance(message["content"], str | None)
        assert choice["finish_reason"] in FINISH_REASONS
        for call in message.get("tool_calls", ()):
            assert call["id"]
            assert isinstance(call[call["type"]][CALL_KINDS[call["type"]]], str)
        said = [message.get(key) for key in ("tool_calls", "refusal", "audio")]
        assert message["content"] is not None or any(said), "content is null only if something else is there"
    return body


def check_text_stream(frames: Sequence[Frame], *, include_usage: bool = False) -> dict[int, str]:
    """Check a stream of legacy completions; return the text of each choice."""
    assert frames[-1].data == b"[DONE]"
    texts: dict[int, str] = {}
    ended: set[int] = set()
    has_usage = False
    for frame in frames[:-1]:
        assert frame.event is None
        chunk = json.loads(frame.data)
        assert chunk["object"] == "text_completion"
        assert not (include_usage and has_usage), "the usage chunk is the last one"
        if chunk.get("usage") is not None:
            check_usage(chunk["usage"])
            has_usage = True
            assert include_usage == (chunk["choices"] == [])
        for choice in chunk["choices"]:
            assert set(choice) == {"index", "text", "finish_reason", "logprobs"}
            assert choice["index"] not in ended, "nothing follows the finish reason"
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
            assert choice["finish_reason"] in FINISH_REASONS | {None}
            if choice["finish_reason"]:
                ended.add(choice["index"])
    assert ended == set(texts), "every choice ends"
    assert has_usage or not include_usage
    return texts
