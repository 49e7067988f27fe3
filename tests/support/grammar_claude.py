"""What the Claude API accepts and promises, as checkers that fail with a sentence.

Written from the public reference ("Messages", "Streaming messages", "Tool use", "Prompt caching", "Extended
thinking"), not from our code. :func:`check_request` holds a request body against the rules whose violation
is a 400, :func:`check_message` a whole answer, :func:`check_stream` a stream of frames.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from cliproxy.wire.sse import Frame

ID = re.compile(r"[A-Za-z0-9_-]+")
TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
STOP_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}
DELTAS = {
    "text_delta": ("text", "text"),
    "citations_delta": ("text", "citation"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use server_tool_use mcp_tool_use", "partial_json"),
}
MOST_CACHE_MARKS = 4


# --- requests ---


def check_request(body: dict[str, Any]) -> None:
    """Hold a request for an answer against the API's rules."""
    assert isinstance(body.get("model"), str)
    assert body["model"]
    assert isinstance(body.get("max_tokens"), int)
    assert body["max_tokens"] > 0
    _check_system(body.get("system", []))
    _check_conversation(body["messages"])
    tools = body.get("tools")
    names = [_check_tool(tool) for tool in tools or []]
    assert len(names) == len(set(names)), "tool names must be unique"
    _check_choice(body, names)
    _check_thinking(body)
    _check_sampling(body)
    _check_cache(body)


def _check_system(system: str | list[dict[str, Any]]) -> None:
    if isinstance(system, str):
        return
    assert all(block["type"] == "text" and block["text"].strip() for block in system)


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    assert messages, "at least one message"
    assert messages[0]["role"] == "user", "the user speaks first"
    used: set[str] = set()
    for number, message in enumerate(messages):
        assert message["role"] in {"user", "assistant", "system"}
        blocks = message["content"]
        assert isinstance(blocks, list), "content blocks"
        assert blocks, "no empty message"
        for block in blocks:
            _check_block(block, message["role"])
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        assert not used & set(calls), "tool_use ids must be unique"
        assert len(calls) == len(set(calls)), "tool_use ids must be unique"
        used |= set(calls)
        _check_results(messages, number, calls)


def _check_results(messages: list[dict[str, Any]], number: int, calls: list[str]) -> None:
    """The message behind a turn with calls begins with exactly their results."""
    if number + 1 == len(messages):
        return
    following = messages[number + 1]["content"]
    answers = [block["tool_use_id"] for block in following if block["type"] == "tool_result"]
    assert sorted(answers) == sorted(calls), "every tool_use needs its tool_result right behind it"
    kinds = [block["type"] == "tool_result" for block in following]
    assert kinds == sorted(kinds, reverse=True), "tool_result blocks come first"


def _check_block(block: dict[str, Any], role: str) -> None:
    match block["type"]:
        case "text":
            assert block["text"].strip(), "text must not be blank"
        case "tool_use":
            assert role == "assistant"
            assert ID.fullmatch(block["id"])
            assert TOOL_NAME.fullmatch(block["name"])
            assert isinstance(block["input"], dict)
        case "tool_result":
            assert role == "user"
            assert ID.fullmatch(block["tool_use_id"])
            if isinstance(block["content"], list):
                for inner in block["content"]:
                    assert inner["type"] in {"text", "image", "document", "search_result", "tool_reference"}
                    _check_block(inner, role)
        case "thinking":
            assert role == "assistant"
            assert block["signature"], "a thinking block is replayed with its signature"
            assert "cache_control" not in block
        case "redacted_thinking":
            assert role == "assistant"
            assert block["data"]
        case "image":
            assert role == "user"
            _check_source(block["source"])
        case "document":
            assert role == "user"


def _check_source(source: dict[str, Any]) -> None:
    if source["type"] == "base64":
        assert not source["media_type"].startswith("image/") or source["media_type"] in {
            "image/png",
            "image/jpeg",
            "image/gif",
            "image/webp",
        }
    else:
        assert source["type"] in {"url", "file"}


def _check_tool(tool: dict[str, Any]) -> str:
    assert TOOL_NAME.fullmatch(tool["name"])
    if tool.get("type", "custom") == "custom":
        schema = tool["input_schema"]
        assert schema["type"] == "object"
        assert not {"anyOf", "oneOf", "allOf"} & set(schema)
    name: str = tool["name"]
    return name


def _check_choice(body: dict[str, Any], names: list[str]) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    assert names, "a tool choice needs tools"
    assert choice["type"] in {"auto", "any", "tool", "none"}
    assert (choice["type"] == "tool") == ("name" in choice)
    assert choice.get("name", names[0]) in names
    if choice["type"] in {"any", "tool"}:
        assert body.get("thinking", {}).get("type", "disabled") == "disabled"


def _check_thinking(body: dict[str, Any]) -> None:
    thinking = body.get("thinking")
    if thinking is not None:
        assert thinking["type"] in {"enabled", "adaptive", "disabled"}
        assert thinking["type"] != "disabled" or set(thinking) == {"type"}


def _check_sampling(body: dict[str, Any]) -> None:
    if "temperature" in body:
        assert 0 <= body["temperature"] <= 1
        assert "top_p" not in body or body.get("thinking", {}).get("type") != "disabled"
    assert all(sequence.strip() for sequence in body.get("stop_sequences", []))


def _check_cache(body: dict[str, Any]) -> None:
    holders = [*body.get("tools", [])]
    if isinstance(body.get("system"), list):
        holders += body["system"]
    holders += [block for message in body["messages"] for block in message["content"]]
    marks = [holder["cache_control"] for holder in holders if "cache_control" in holder]
    assert len(marks) <= MOST_CACHE_MARKS
    lifetimes = [mark.get("ttl", "5m") for mark in marks]
    assert lifetimes == sorted(lifetimes, key=lambda ttl: ttl != "1h"), "an hour must not follow five minutes"


# --- answers ---


def check_message(body: dict[str, Any]) -> None:
    """Hold a whole answer against what the SDKs expect."""
    assert body["type"] == "message"
    assert body["role"] == "assistant"
    assert ID.fullmatch(body["id"])
    assert body["id"].startswith("msg_")
    assert isinstance(body["model"], str)
    assert body["stop_reason"] in STOP_REASONS
    assert (body["stop_reason"] == "stop_sequence") or body["stop_sequence"] is None
    assert isinstance(body["usage"]["input_tokens"], int)
    assert isinstance(body["usage"]["output_tokens"], int)
    kinds = [_check_answer_block(block) for block in body["content"]]
    assert body["stop_reason"] != "tool_use" or "tool_use" in kinds
    assert body["stop_reason"] != "end_turn" or "tool_use" not in kinds


def _check_answer_block(block: dict[str, Any]) -> str:
    kind: str = block["type"]
    match kind:
        case "text":
            assert block["text"]
        case "tool_use":
            assert ID.fullmatch(block["id"])
            assert isinstance(block["name"], str)
            assert isinstance(block["input"], dict)
        case "thinking":
            assert isinstance(block["thinking"], str)
            assert block["thinking"] or block["signature"]
        case "redacted_thinking":
            assert isinstance(block["data"], str)
    return kind


# --- streams ---


def check_stream(frames: Iterable[Frame], *, parses_input: bool = True) -> list[dict[str, Any]]:
    """Hold a complete stream against the grammar and return the data of its events, pings left out.

    ``parses_input`` says that the arguments of calls are known to be JSON objects.
    """
    checker = _StreamChecker(parses_input=parses_input)
    for frame in frames:
        checker.take(frame)
    assert checker.state in {"stopped", "failed"}, "a stream ends with message_stop or an error"
    return checker.seen


class _StreamChecker:
    """One state, one open block, one count."""

    def __init__(self, *, parses_input: bool) -> None:
        self.seen: list[dict[str, Any]] = []
        self.state = "new"
        self._parses_input = parses_input
        self._count = 0
        self._open: dict[str, Any] | None = None
        self._pieces: list[str] = []
        self._last_delta = ""
        self._has_calls = False

    def take(self, frame: Frame) -> None:
        data = json.loads(frame.data)
        kind = data["type"]
        assert frame.event == kind.encode(), "the event is named as its data is"
        assert frame.raw == b"event: " + kind.encode() + b"\ndata: " + frame.data + b"\n\n"
        if kind == "ping":
            assert self.state == "open"
            return
        assert self.state not in {"stopped", "failed"}, "nothing follows the end"
        self.seen.append(data)
        getattr(self, f"_on_{kind}")(data)

    def _on_message_start(self, data: dict[str, Any]) -> None:
        assert self.state == "new"
        self.state = "open"
        message = data["message"]
        assert message["type"] == "message"
        assert message["role"] == "assistant"
        assert message["content"] == []
        assert message["stop_reason"] is None
        assert message["stop_sequence"] is None
        assert message["id"].startswith("msg_")
        assert {"input_tokens", "output_tokens"} <= set(message["usage"])

    def _on_content_block_start(self, data: dict[str, Any]) -> None:
        assert self.state == "open"
        assert self._open is None, "one block at a time"
        assert data["index"] == self._count, "blocks are numbered without gaps"
        self._open = data["content_block"]
        self._pieces, self._last_delta = [], ""
        kind = self._open["type"]
        if kind == "tool_use":
            self._has_calls = True
            assert ID.fullmatch(self._open["id"])
            assert isinstance(self._open["name"], str)
        if kind in {"tool_use", "server_tool_use"}:
            assert self._open["input"] == {}
        if kind in {"text", "thinking"}:
            assert self._open[kind] == ""

    def _on_content_block_delta(self, data: dict[str, Any]) -> None:
        assert self._open is not None
        assert data["index"] == self._count
        delta = data["delta"]
        kinds, member = DELTAS[delta["type"]]
        assert self._open["type"] in kinds.split()
        is_piece_of_json = delta["type"] == "input_json_delta"  # the API begins them with an empty one
        assert delta[member] or is_piece_of_json, "a delta says something"
        assert self._last_delta != "signature_delta", "the signature is the last delta"
        self._last_delta = delta["type"]
        if delta["type"] in {"input_json_delta", "text_delta"}:
            self._pieces.append(delta[member])

    def _on_content_block_stop(self, data: dict[str, Any]) -> None:
        assert self._open is not None
        assert data["index"] == self._count
        kind = self._open["type"]
        if kind == "text":
            assert self._last_delta, "no empty text"
        if kind.endswith("tool_use") and self._parses_input:
            assert isinstance(json.loads("".join(self._pieces) or "{}"), dict)
        self._open = None
        self._count += 1

    def _on_message_delta(self, data: dict[str, Any]) -> None:
        assert self.state == "open"
        assert self._open is None, "every block is closed"
        self.state = "ending"
        reason = data["delta"]["stop_reason"]
        assert reason in STOP_REASONS
        assert "stop_sequence" in data["delta"]
        assert reason != "tool_use" or self._has_calls
        assert reason != "end_turn" or not self._has_calls
        assert isinstance(data["usage"]["output_tokens"], int)

    def _on_message_stop(self, data: dict[str, Any]) -> None:
        assert self.state == "ending"
        self.state = "stopped"

    def _on_error(self, data: dict[str, Any]) -> None:
        assert self.state != "ending"
        self.state = "failed"
        assert isinstance(data["error"]["type"], str)
        assert isinstance(data["error"]["message"], str)
