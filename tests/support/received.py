"""What an upstream was asked, read from its own wire: the same facts whatever the dialect.

Independent of the code under test: each reader knows where its vendor's reference puts a thing. A test
compares facts (``received.tools == {"get_weather"}``) and need not know the dialect of the cell it runs in.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import define, field

JSON = dict[str, Any]


@define
class Received:
    """One request."""

    model: str = ""
    is_streamed: bool = False
    system: list[str] = field(factory=list)
    texts: list[tuple[str, str]] = field(factory=list)
    """Role (``user`` or ``assistant``) and text, in order."""
    media: list[tuple[str, bytes]] = field(factory=list)
    tools: dict[str, JSON] = field(factory=dict)
    """Name → schema."""
    forced: str = ""
    calls: list[tuple[str, JSON]] = field(factory=list)
    """Name and arguments."""
    results: list[tuple[str, str]] = field(factory=list)
    """The name of the tool that was called, and what it gave."""
    errors: int = 0
    """How many results are marked as errors."""
    limit: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(factory=list)
    thinks: bool | None = None
    """Whether reasoning was asked for; ``None``: nothing was said."""
    schema: JSON | None = None
    """What the answer must fit."""

    def say(self, role: str, text: str) -> None:
        """Add a text; the pieces that a package kept of a stream are one text."""
        if self.texts and self.texts[-1][0] == role == "assistant":
            text = self.texts.pop()[1] + text
        self.texts.append((role, text))


def _parts(content: Any) -> list[Any]:
    """Content as a list, whether it was written as one or as a text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _data(url: str) -> tuple[str, bytes]:
    """The type and bytes of a data URL."""
    head, _, data = url.removeprefix("data:").partition(";base64,")
    return head, base64.b64decode(data)


# --- OpenAI's chat -----------------------------------------------------------------------------------------


def read_chat(_path: str, body: JSON) -> Received:
    """Read chat completions."""
    seen = Received(model=body["model"], is_streamed=body.get("stream") is True)
    names: dict[str, str] = {}
    for message in body["messages"]:
        for call in message.get("tool_calls") or []:
            names[call["id"]] = call["function"]["name"]
            seen.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
        for part in _parts(message.get("content")):
            _add_chat_part(seen, message, part, names)
    for tool in body.get("tools", []):
        seen.tools[tool["function"]["name"]] = tool["function"].get("parameters", {})
    choice = body.get("tool_choice")
    seen.forced = choice["function"]["name"] if isinstance(choice, dict) else ""
    seen.limit = body.get("max_completion_tokens", body.get("max_tokens"))
    seen.stop = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
    effort = body.get("reasoning_effort")
    seen.thinks = None if effort is None else effort != "none"
    seen.schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return seen


def _add_chat_part(seen: Received, message: JSON, part: JSON, names: Mapping[str, str]) -> None:
    match message["role"], part:
        case ("system" | "developer", {"text": text}):
            seen.system.append(text)
        case ("tool", {"text": text}):
            seen.results.append((names[message["tool_call_id"]], text))
        case (role, {"text": text}):
            seen.say(role, text)
        case (_, {"image_url": {"url": url}}):
            seen.media.append(_data(url))
        case (_, {"file": {"file_data": url}}):
            seen.media.append(_data(url))


# --- OpenAI's responses ------------------------------------------------------------------------------------


def read_responses(_path: str, body: JSON) -> Received:
    """Read responses."""
    seen = Received(model=body["model"], is_streamed=body.get("stream") is True)
    seen.system += [body["instructions"]] if body.get("instructions") else []
    names: dict[str, str] = {}
    for item in body["input"] if isinstance(body["input"], list) else [_said(body["input"])]:
        match item:
            case {"type": "function_call", "name": name, "call_id": call_id, "arguments": arguments}:
                names[call_id] = name
                seen.calls.append((name, json.loads(arguments)))
            case {"type": "function_call_output", "call_id": call_id, "output": output}:
                text = "".join(part.get("text", "") for part in _parts(output))
                seen.results.append((names[call_id], text))
            case {"role": role, "content": content}:
                for part in _parts(content):
                    _add_responses_part(seen, role, part)
    for tool in body.get("tools", []):
        seen.tools |= {tool["name"]: tool.get("parameters", {})} if tool["type"] == "function" else {}
    choice = body.get("tool_choice")
    seen.forced = choice.get("name", "") if isinstance(choice, dict) else ""
    seen.limit = body.get("max_output_tokens")
    effort = body.get("reasoning", {}).get("effort")
    seen.thinks = None if effort is None else effort != "none"
    seen.schema = body.get("text", {}).get("format", {}).get("schema")
    return seen


def _said(text: str) -> JSON:
    return {"role": "user", "content": text}


def _add_responses_part(seen: Received, role: str, part: JSON) -> None:
    match part:
        case {"text": text} if role in {"system", "developer"}:
            seen.system.append(text)
        case {"text": text}:
            seen.say(role, text)
        case {"type": "input_image", "image_url": url}:
            seen.media.append(_data(url))
        case {"type": "input_file", "file_data": url}:
            seen.media.append(_data(url))


# --- Claude ------------------------------------------------------------------------------------------------


def read_claude(_path: str, body: JSON) -> Received:
    """Read Claude's messages."""
    seen = Received(model=body["model"], is_streamed=body.get("stream") is True)
    seen.system += [block["text"] for block in _parts(body.get("system"))]
    names: dict[str, str] = {}
    for message in body["messages"]:
        for block in _parts(message["content"]):
            _add_claude_block(seen, message["role"], block, names)
    for tool in body.get("tools", []):
        seen.tools |= {tool["name"]: tool["input_schema"]} if "input_schema" in tool else {}
    seen.forced = body.get("tool_choice", {}).get("name", "")
    seen.limit = body["max_tokens"]
    seen.stop = body.get("stop_sequences", [])
    thinking = body.get("thinking")
    seen.thinks = None if thinking is None else thinking["type"] != "disabled"
    seen.schema = body.get("output_config", {}).get("format", {}).get("schema")
    return seen


def _add_claude_block(seen: Received, role: str, block: JSON, names: dict[str, str]) -> None:
    match block:
        case {"type": "text", "text": text} if role == "system":
            seen.system.append(text)
        case {"type": "text", "text": text}:
            seen.say(role, text)
        case {"type": "tool_use", "id": call_id, "name": name, "input": arguments}:
            names[call_id] = name
            seen.calls.append((name, arguments))
        case {"type": "tool_result", "tool_use_id": call_id}:
            text = "".join(part.get("text", "") for part in _parts(block.get("content")))
            seen.results.append((names[call_id], text))
            seen.errors += block.get("is_error") is True
        case {"source": {"type": "base64", "media_type": kind, "data": data}}:
            seen.media.append((kind, base64.b64decode(data)))


# --- Gemini ------------------------------------------------------------------------------------------------


_FREE: Final = frozenset({"args", "response", "parametersJsonSchema", "parameters", "responseJsonSchema"})
"""Members whose content is the client's own."""


def _camel(value: Any) -> Any:
    """Spell all names in camel case: Google's services take snake case as well, and its package writes it."""
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    spelled = {re.sub(r"_(\w)", lambda found: found[1].upper(), name): each for name, each in value.items()}
    return {name: each if name in _FREE else _camel(each) for name, each in spelled.items()}


def read_gemini(path: str, body: JSON) -> Received:
    """Read Gemini's generateContent."""
    body = _camel(body)
    model, _, method = path.rpartition("/")[2].partition(":")
    seen = Received(model=model, is_streamed=method.startswith("stream"))
    seen.system += [part["text"] for part in body.get("systemInstruction", {}).get("parts", [])]
    for content in body["contents"]:
        for part in content["parts"]:
            _add_gemini_part(seen, "assistant" if content.get("role") == "model" else "user", part)
    for tool in body.get("tools", []):
        for each in tool.get("functionDeclarations", []):
            seen.tools[each["name"]] = each.get("parametersJsonSchema", each.get("parameters", {}))
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    seen.forced = "".join(calling.get("allowedFunctionNames", []))
    settings = body.get("generationConfig", {})
    seen.limit, seen.stop = settings.get("maxOutputTokens"), settings.get("stopSequences", [])
    seen.temperature = settings.get("temperature")
    seen.top_p, seen.top_k = settings.get("topP"), settings.get("topK")
    thinking = settings.get("thinkingConfig", {})
    told = [thinking[name] for name in ("thinkingBudget", "thinkingLevel") if name in thinking]
    seen.thinks = told[0] != 0 if told else None
    seen.schema = settings.get("responseJsonSchema", settings.get("responseSchema"))
    return seen


def _add_gemini_part(seen: Received, role: str, part: JSON) -> None:
    match part:
        case {"text": text} if not part.get("thought") and text:
            seen.say(role, text)
        case {"functionCall": {"name": name, **call}}:
            seen.calls.append((name, call.get("args", {})))
        case {"functionResponse": {"name": name, "response": response}}:
            seen.errors += "error" in response
            told = next((response[key] for key in ("error", "result", "output") if key in response), response)
            seen.results.append((name, told if isinstance(told, str) else json.dumps(told)))
        case {"inlineData": {"mimeType": kind, "data": data}}:
            padded = data + "=" * (-len(data) % 4)
            seen.media.append((kind, base64.urlsafe_b64decode(padded.replace("+", "-").replace("/", "_"))))


# --- GitLab's text endpoints -------------------------------------------------------------------------------


def read_gitlab(path: str, body: JSON) -> Received:
    """Read Duo Chat or Code Suggestions, which take an instruction and context."""
    if path.endswith("/chat/completions"):
        seen = Received(texts=[("user", body["content"])])
        told = [(piece["id"], piece["content"]) for piece in body.get("additional_context", [])]
    else:
        seen = Received(is_streamed=body["stream"])
        told = [(piece["name"], piece["content"]) for piece in body.get("context", [])]
        above = body["current_file"]["content_above_cursor"].split("\n\n")
        assert above[-1] in {f"User:\n{body['user_instruction']}", body["user_instruction"]}
        seen.texts.append(("user", body["user_instruction"]))
    context = [(name.rpartition("-")[0], text) for name, text in told]
    seen.system += [text for role, text in context if role == "system"]
    seen.texts[:0] = [
        (role, text) for role, text in context if role != "system" and text != seen.texts[-1][1]
    ]
    return seen


READERS: Final[Mapping[str, Callable[[str, JSON], Received]]] = {
    "/chat/completions": read_chat,
    "/responses": read_responses,
    "/messages": read_claude,
    ":generateContent": read_gemini,
    ":streamGenerateContent": read_gemini,
    "/api/v4/chat/completions": read_gitlab,
    "/api/v4/code_suggestions/completions": read_gitlab,
}
"""The end of a path → how the requests to it are read; the longest one fits."""


def is_question(path: str) -> bool:
    """Whether a path is one where answers are asked for."""
    return any(_fitting(path))


def read(path: str, body: JSON) -> Received:
    """Read a request, whatever its dialect."""
    seen = READERS[max(_fitting(path), key=len)](path, body)
    seen.temperature = body.get("temperature", seen.temperature)
    seen.top_p, seen.top_k = body.get("top_p", seen.top_p), body.get("top_k", seen.top_k)
    return seen


def _fitting(path: str) -> Iterator[str]:
    return (end for end in READERS if path.endswith(end))
