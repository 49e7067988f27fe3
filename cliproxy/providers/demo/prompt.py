"""What the demo model looks at in a request: what the user said last, and what the answer may consist of."""

import hashlib
import re
from typing import Final

from attrs import field, frozen

from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    child,
    dumps_text,
    flag,
    integer,
    loads_object,
    objects,
    text,
)

CHARACTERS_PER_TOKEN: Final = 4
_CUSTOM: Final = "custom"
_PLAIN_WORD: Final = re.compile(r"[A-Za-z][a-z]*")
_NOTE: Final = "<system-reminder>"
"""What coding clients begin the notes with that they put around the user's words."""
_ASKS_FOR_TOOL: Final = re.compile(r"\b(?:tools?|call|use)\b", re.IGNORECASE)


class PromptError(ValueError):
    """A request that a real upstream would refuse; ``param`` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


@frozen(kw_only=True)
class DemoTool:
    """A tool the client declared."""

    name: str
    schema: JsonObject = field(factory=dict)
    is_custom: bool = False
    """It takes free text instead of arguments."""


@frozen(kw_only=True)
class Prompt:
    """A request, read."""

    model: str
    text: str
    """The last thing the user said; empty where a tool spoke last."""
    results: tuple[str, ...] = ()
    """What the tools answered, if that is what the request is about."""
    tools: tuple[DemoTool, ...] = ()
    forced_tool: str = ""
    """Name of the tool that must be called; ``*`` for any."""
    schema: JsonObject | None = None
    """Of the wanted structured output; an empty one for any JSON object."""
    wants_thoughts: bool = False
    wants_usage: bool = False
    max_tokens: int | None = None
    prompt_tokens: int = 0
    digest: str = ""
    """Stands for the whole request: what ids are made of."""

    def words(self) -> list[str]:
        """Return the user's words in lower case."""
        return self.text.lower().split()

    def mentioned_tools(self) -> list[DemoTool]:
        """Return the tools the user names, in the order of declaration.

        A name that is an ordinary word ("Write a poem") counts only if the user speaks of tools.
        """
        speaks_of_tools = _ASKS_FOR_TOOL.search(self.text) is not None
        return [
            tool
            for tool in self.tools
            if (speaks_of_tools or not _PLAIN_WORD.fullmatch(tool.name))
            and re.search(rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])", self.text)
        ]

    def literal_arguments(self) -> str:
        """Return the JSON object the user wrote out, if any: it is what the tool is called with."""
        start, end = self.text.find("{"), self.text.rfind("}")
        written = self.text[start : end + 1] if 0 <= start < end else ""
        try:
            loads_object(written)
        except JsonError:
            return ""
        return written


def tokens_of(text: str) -> int:
    """Count tokens the way this model does."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def read_prompt(body: bytes) -> Prompt:
    """Read a chat completion request. Raises :class:`PromptError`."""
    try:
        request = loads_object(body)
    except JsonError as exc:
        raise PromptError(f"the body is not a JSON object: {exc}") from exc
    messages = list(objects(request, "messages"))
    if not messages:
        raise PromptError("`messages` must be a list that is not empty", "messages")
    results = _trailing_results(messages)
    limit = integer(request, "max_completion_tokens") or integer(request, "max_tokens")
    effort = text(request, "reasoning_effort")
    return Prompt(
        model=text(request, "model"),
        text="" if results else _last_said(messages),
        results=results,
        tools=_tools(request),
        forced_tool=_forced_tool(request),
        schema=_schema(request),
        wants_thoughts=effort not in {"", "none"},
        wants_usage=flag(child(request, "stream_options"), "include_usage") is True,
        max_tokens=limit,
        prompt_tokens=tokens_of(dumps_text(list(messages))) + tokens_of(dumps_text(request.get("tools"))),
        digest=hashlib.sha256(body).hexdigest(),
    )


def _said(message: JsonObject) -> list[str]:
    """Return the texts of a message, part by part."""
    content = message.get("content")
    said = (
        [content]
        if isinstance(content, str)
        else [text(part, "text") for part in objects(message, "content")]
    )
    return [piece.strip() for piece in said if piece.strip()]


def _last_said(messages: list[JsonObject]) -> str:
    """Return the last part of what the user said last, which is no note of the client's own."""
    for message in reversed(messages):
        said = [piece for piece in _said(message) if not piece.startswith(_NOTE)]
        if text(message, "role") == "user" and said:
            return said[-1]
    return ""


def _is_note(message: JsonObject) -> bool:
    """Tell whether a message has nothing but notes of the client."""
    said = _said(message)
    is_users = text(message, "role") == "user"
    return is_users and bool(said) and all(piece.startswith(_NOTE) for piece in said)


def _trailing_results(messages: list[JsonObject]) -> tuple[str, ...]:
    """Return the tool results that stand at the end of the conversation."""
    results: list[str] = []
    for message in reversed(messages):
        if text(message, "role") == "tool":
            results.append("\n".join(_said(message)))
        elif not _is_note(message):
            break
    return tuple(reversed(results))


def _tools(request: JsonObject) -> tuple[DemoTool, ...]:
    if request.get("tool_choice") == "none":
        return ()
    declared = []
    for tool in objects(request, "tools"):
        is_custom = text(tool, "type") == _CUSTOM
        described = child(tool, _CUSTOM if is_custom else "function")
        if name := text(described, "name"):
            declared.append(DemoTool(name=name, schema=child(described, "parameters"), is_custom=is_custom))
    return tuple(declared)


def _forced_tool(request: JsonObject) -> str:
    choice = request.get("tool_choice")
    if choice == "required":
        return "*"
    named = child(request, "tool_choice")
    return text(child(named, "function"), "name") or text(child(named, _CUSTOM), "name")


def _schema(request: JsonObject) -> JsonObject | None:
    wanted = child(request, "response_format")
    match text(wanted, "type"):
        case "json_schema":
            return child(child(wanted, "json_schema"), "schema")
        case "json_object":
            return {}
        case _:
            return None
