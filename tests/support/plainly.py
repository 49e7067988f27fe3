"""The four client APIs without any package: what is sent, and what is made of the bytes that come back."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

HELLO: Final = [{"role": "user", "content": "Hello"}]
BODIES: Final[Mapping[str, dict[str, Any]]] = {
    "chat": {"messages": HELLO},
    "responses": {"input": "Hello"},
    "claude": {"messages": HELLO, "max_tokens": 100},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}
PATHS: Final[Mapping[str, str]] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "claude": "/v1/messages",
}


@frozen
class Way:
    """One API, streamed or not."""

    client: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.client}-{'stream' if self.stream else 'whole'}"

    def path(self, model: str) -> str:
        """Where to send a request."""
        if self.client == "gemini":
            action = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
            return f"/v1beta/models/{model}:{action}"
        return PATHS[self.client]

    def body(self, model: str) -> dict[str, Any]:
        """What to send."""
        body = BODIES[self.client]
        return body if self.client == "gemini" else {**body, "model": model, "stream": self.stream}

    def events(self, text: str) -> Iterator[tuple[str, Any]]:
        """The events of a stream, each as its name and its data."""
        for block in text.replace("\r\n", "\n").split("\n\n"):
            fields = dict(
                line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":"
            )
            if "data" in fields:
                data = fields["data"]
                yield fields.get("event", ""), data if data == "[DONE]" else json.loads(data)

    def said(self, text: str) -> str:
        """The words of an answer."""
        if not self.stream:
            return _said_whole(self.client, json.loads(text))
        return "".join(_said_in(self.client, data) for _, data in self.events(text) if isinstance(data, dict))

    def is_complete(self, text: str) -> bool:
        """Whether a stream has had its end."""
        return any(_is_end(self.client, name, data) for name, data in self.events(text))

    def errors(self, text: str) -> list[bool]:
        """Which events of a stream are errors."""
        return [_is_error(self.client, name, data) for name, data in self.events(text)]

    def is_refusal(self, status: int, text: str) -> bool:
        """Whether a body is an error as this API has it."""
        error = json.loads(text).get("error")
        if self.client == "gemini":
            return error["code"] == status and bool(error["status"]) and bool(error["message"])
        is_named = self.client != "claude" or json.loads(text)["type"] == "error"
        return is_named and bool(error["type"]) and bool(error["message"])


WAYS: Final = tuple(Way(client, stream) for client in BODIES for stream in (True, False))


def _said_whole(client: str, answer: Any) -> str:
    match client:
        case "chat":
            return answer["choices"][0]["message"]["content"]
        case "responses":
            return "".join(p["text"] for item in answer["output"] for p in item.get("content", ()))
        case "claude":
            return "".join(block.get("text", "") for block in answer["content"])
    return "".join(part.get("text", "") for part in answer["candidates"][0]["content"]["parts"])


def _said_in(client: str, data: Any) -> str:
    match client:
        case "chat":
            return "".join(choice["delta"].get("content") or "" for choice in data.get("choices", ()))
        case "responses":
            return data.get("delta", "") if data.get("type") == "response.output_text.delta" else ""
        case "claude":
            return (data.get("delta") or {}).get("text", "")
    parts = [p for c in data.get("candidates", ()) for p in c.get("content", {}).get("parts", ())]
    return "".join(part.get("text", "") for part in parts)


def _is_end(client: str, name: str, data: Any) -> bool:
    match client:
        case "chat":
            return data == "[DONE]"
        case "responses":
            return name in {"response.completed", "response.incomplete"}
        case "claude":
            return name == "message_stop"
    return any("finishReason" in candidate for candidate in data.get("candidates", ()))


def _is_error(client: str, name: str, data: Any) -> bool:
    if client in {"chat", "gemini"}:
        return isinstance(data, dict) and "error" in data
    # The Responses API tells the error first and then, in its last event, that the response has failed.
    return name == ("error" if client == "claude" else "response.failed")
