"""A long conversation with tools, as a request of each dialect: what an agent sends after an hour of work.

Five hundred messages in one megabyte: a question, then turns of some words and a tool call, each answered by
what the tool read. The texts are prose and source code in equal parts, so that they have as many line ends
and quotes to be escaped as real ones. Written without the package under test.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

Json = dict[str, Any]

MESSAGES: Final = 500
SIZE: Final = 1_000_000
ROUNDS_PER_QUESTION: Final = 12
_PROSE: Final = (
    "The quick brown fox jumps over the lazy dog, and the dog - as far as one can tell - doesn't mind. "
)
_CODE: Final = '''\
def read_settings(path: Path) -> dict[str, str]:
    """Read \\"key = value\\" lines; '#' begins a comment."""
    settings = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        key, _, value = line.partition("=")
        if not key.strip().startswith("#"):
            settings[key.strip()] = value.strip() or "<empty>"
    return settings
'''
_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The file to read."},
        "first": {"type": "integer", "minimum": 1},
        "last": {"type": "integer", "minimum": 1},
    },
    "required": ["path"],
}
TOOL: Final = "read_file"
SYSTEM: Final = "You are a careful programmer. " + _PROSE * 20


@frozen
class Said:
    """A question of the user."""

    text: str


@frozen
class Round:
    """Words of the model with a call, and what the tool answered."""

    text: str
    call_id: str
    arguments: Json
    result: str


def turns(messages: int = MESSAGES, size: int = SIZE) -> Iterator[Said | Round]:
    """Yield a conversation with about this many messages and characters; a round is two messages."""
    share = size // messages
    count = 0
    while count < messages:
        if count % (2 * ROUNDS_PER_QUESTION + 1) == 0:
            yield Said(_filled(_PROSE, share))
            count += 1
        else:
            path = f"/home/somebody/project/src/module_{count}.py"
            arguments = {"path": path, "first": 1, "last": 200}
            result = _filled(_CODE if count % 4 else _PROSE + "\n", share * 3 // 2)
            yield Round(_filled(_PROSE, share // 3), f"call_{count:08d}", arguments, result)
            count += 2


def _filled(text: str, size: int) -> str:
    return (text * (size // len(text) + 1))[:size]


def chat(model: str) -> Json:
    """Return the request of an OpenAI Chat client."""
    messages: list[Json] = [{"role": "system", "content": SYSTEM}]
    for turn in turns():
        if isinstance(turn, Said):
            messages.append({"role": "user", "content": turn.text})
            continue
        function = {"name": TOOL, "arguments": json.dumps(turn.arguments)}
        call = {"id": turn.call_id, "type": "function", "function": function}
        messages.append({"role": "assistant", "content": turn.text, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": turn.call_id, "content": turn.result})
    function = {"name": TOOL, "description": "Reads a file.", "parameters": _SCHEMA}
    tools = [{"type": "function", "function": function}]
    return {"model": model, "max_tokens": 8000, "messages": messages, "tools": tools, "stream": True}


def responses(model: str) -> Json:
    """Return the request of an OpenAI Responses client."""
    items: list[Json] = []
    for turn in turns():
        if isinstance(turn, Said):
            content = [{"type": "input_text", "text": turn.text}]
            items.append({"type": "message", "role": "user", "content": content})
            continue
        content = [{"type": "output_text", "text": turn.text, "annotations": []}]
        items.append({"type": "message", "role": "assistant", "content": content})
        call = {"type": "function_call", "call_id": turn.call_id, "name": TOOL}
        items.append({**call, "arguments": json.dumps(turn.arguments)})
        items.append({"type": "function_call_output", "call_id": turn.call_id, "output": turn.result})
    tool = {"type": "function", "name": TOOL, "description": "Reads a file.", "parameters": _SCHEMA}
    body = {"model": model, "instructions": SYSTEM, "input": items, "tools": [tool]}
    return {**body, "max_output_tokens": 8000, "store": False, "stream": True}


def claude(model: str) -> Json:
    """Return the request of a Claude client."""
    messages: list[Json] = []
    for turn in turns():
        if isinstance(turn, Said):
            content: list[Json] = [{"type": "text", "text": turn.text}]
            if messages:
                messages[-1]["content"] += content
            else:
                messages.append({"role": "user", "content": content})
            continue
        call = {"type": "tool_use", "id": turn.call_id, "name": TOOL, "input": turn.arguments}
        result = {"type": "tool_result", "tool_use_id": turn.call_id, "content": turn.result}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.text}, call]})
        messages.append({"role": "user", "content": [result]})
    tool = {"name": TOOL, "description": "Reads a file.", "input_schema": _SCHEMA}
    body = {"model": model, "max_tokens": 8000, "system": [{"type": "text", "text": SYSTEM}], "tools": [tool]}
    return {**body, "messages": messages, "stream": True}


def gemini(_model: str) -> Json:
    """Return the request of a Gemini client."""
    contents: list[Json] = []
    for turn in turns():
        if isinstance(turn, Said):
            said = {"text": turn.text}
            if contents:
                contents[-1]["parts"].append(said)
            else:
                contents.append({"role": "user", "parts": [said]})
            continue
        call = {"name": TOOL, "args": turn.arguments}
        result = {"name": TOOL, "response": {"result": turn.result}}
        contents.append({"role": "model", "parts": [{"text": turn.text}, {"functionCall": call}]})
        contents.append({"role": "user", "parts": [{"functionResponse": result}]})
    tool = {"name": TOOL, "description": "Reads a file.", "parametersJsonSchema": _SCHEMA}
    return {
        "systemInstruction": {"parts": [{"text": SYSTEM}]},
        "contents": contents,
        "tools": [{"functionDeclarations": [tool]}],
        "generationConfig": {"maxOutputTokens": 8000},
    }


BODIES: Final[Mapping[str, Callable[[str], Json]]] = {
    "openai": chat,
    "openai-response": responses,
    "claude": claude,
    "gemini": gemini,
}


def request(dialect: str, model: str) -> bytes:
    """Return the request of a client of a dialect, as bytes."""
    return json.dumps(BODIES[dialect](model), ensure_ascii=False).encode()
