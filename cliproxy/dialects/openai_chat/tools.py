"""Tools and the tool choice.

Contract: OpenAI API reference, "Create chat completion", ``tools`` (types ``function`` and ``custom``),
``tool_choice``, ``web_search_options``, and the older ``functions`` and ``function_call``. Tools the vendor
runs itself do not exist here; what clients send of them is kept for the dialects that know it.
"""

from collections.abc import Mapping
from typing import Final, Literal

from cliproxy.dialects.openai_chat.names import (
    CUSTOM,
    DIALECT_ID,
    FUNCTION,
    RESPONSES_ID,
    as_extras,
    is_from_chat,
    own,
    takes_free_text,
)
from cliproxy.dialects.openai_chat.parts import CACHE, cache_of
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Tool, ToolChoice, ToolKind
from cliproxy.ir.schema import FREE_TEXT, NO_ARGUMENTS
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, flag, objects, rest, text

SEARCH_OPTIONS: Final = "web_search_options"
WEB_SEARCH: Final = "web_search"

_GEMINI_KEYS: Final = ("google_search", "code_execution", "url_context")
"""Keys of tool objects that clients write for Gemini behind this dialect."""
_SEARCH_TYPES: Final = frozenset({WEB_SEARCH, "web_search_preview", "web_search_preview_2025_03_11"})
_MODES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "any",
    "any": "any",
}
_WORDS: Final[Mapping[str, str]] = {"auto": "auto", "none": "none", "any": "required"}


# --- reading ---


def decode_tools(body: JsonObject, ctx: ExchangeContext) -> list[Tool]:
    """Read what a request offers the model. Raises :class:`DialectError`."""
    tools = [_decode_tool(entry, where) for where, entry in _listed(body, "tools")]
    tools += [_function(entry, {}, where) for where, entry in _listed(body, "functions")]
    if isinstance(options := body.get(SEARCH_OPTIONS), dict):
        tools.append(
            Tool(ToolKind.WEB_SEARCH, WEB_SEARCH, raw=options, dialect=DIALECT_ID, extras=_AS_OPTIONS)
        )
    ctx.custom_tools |= {tool.name for tool in tools if tool.kind is ToolKind.CUSTOM}
    return tools


_AS_OPTIONS: Final = as_extras({SEARCH_OPTIONS: True})
"""Marks a search that stood in a member of its own rather than among the tools."""


def _listed(body: JsonObject, key: str) -> list[tuple[str, JsonObject]]:
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise DialectError(f"`{key}` must be a list", key)
    entries: list[tuple[str, JsonObject]] = []
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise DialectError(f"`{key}[{index}]` must be an object", f"{key}[{index}]")
        entries.append((f"{key}[{index}]", entry))
    return entries


def _decode_tool(entry: JsonObject, where: str) -> Tool:
    kind = text(entry, "type")
    if kind == CUSTOM:
        return _custom(entry, where)
    if kind == FUNCTION or FUNCTION in entry:
        described = child(entry, FUNCTION)
        # Without the inner object it is the flat form of the vendor's other dialect.
        return _function(described or entry, rest(entry, FUNCTION) if described else {}, where)
    for key in _GEMINI_KEYS:
        if key in entry:
            return Tool(ToolKind.BUILTIN, key, raw=entry, dialect="gemini")
    if kind in _SEARCH_TYPES:
        return Tool(ToolKind.WEB_SEARCH, WEB_SEARCH, raw=entry, dialect=RESPONSES_ID)
    if not kind:
        raise DialectError(f"`{where}.type` is missing", f"{where}.type")
    return Tool(ToolKind.BUILTIN, text(entry, "name") or kind, raw=entry, dialect=RESPONSES_ID)


def _name(described: JsonObject, where: str) -> str:
    name = text(described, "name")
    if not name:
        raise DialectError(f"`{where}.name` is missing", f"{where}.name")
    return name


def _function(described: JsonObject, around: JsonObject, where: str) -> Tool:
    schema = described.get("parameters", described.get("parametersJsonSchema"))
    known = ("type", "name", "description", "parameters", "parametersJsonSchema", "strict", CACHE)
    more = {**rest(around, "type", CACHE), **rest(described, *known)}
    return Tool(
        ToolKind.FUNCTION,
        _name(described, f"{where}.function" if around else where),
        text(described, "description"),
        schema if isinstance(schema, dict) else None,
        flag(described, "strict"),
        cache=cache_of(around) or cache_of(described),
        extras=as_extras(more),
    )


def _custom(entry: JsonObject, where: str) -> Tool:
    described = child(entry, CUSTOM) or entry
    return Tool(
        ToolKind.CUSTOM,
        _name(described, where),
        text(described, "description"),
        format=_flat_format(child(described, "format")) or None,
        extras=as_extras(rest(described, "type", "name", "description", "format")),
    )


def _flat_format(described: JsonObject) -> JsonObject:
    """Read a grammar, which this dialect nests and the vendor's other dialect has flat: the hub's form."""
    return {**rest(described, "grammar"), **child(described, "grammar")}


def decode_choice(body: JsonObject) -> ToolChoice | None:
    """Read the tool choice. Raises :class:`DialectError` for one that is none."""
    value = body.get("tool_choice", body.get("function_call"))
    if value is None:
        return None
    if isinstance(value, str) and value in _MODES:
        return ToolChoice(_MODES[value])
    if not isinstance(value, dict):
        raise DialectError("`tool_choice` must be `none`, `auto`, `required` or an object", "tool_choice")
    kind = text(value, "type")
    if kind in _MODES:
        return ToolChoice(_MODES[kind])
    if kind == "allowed_tools":
        return _allowed(child(value, kind) or value)
    if name := _chosen(value):
        return ToolChoice("tool", [name])
    if kind in {"", FUNCTION, CUSTOM}:
        raise DialectError("`tool_choice` names no tool", "tool_choice")
    return ToolChoice("tool", [WEB_SEARCH if kind in _SEARCH_TYPES else kind])


def _chosen(value: JsonObject) -> str:
    described = child(value, FUNCTION) or child(value, CUSTOM) or value
    return text(described, "name")


def _allowed(value: JsonObject) -> ToolChoice:
    names = [name for tool in objects(value, "tools") if (name := _chosen(tool))]
    return ToolChoice("any" if text(value, "mode") == "required" else "auto", names)


# --- writing ---


def encode_tools(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write everything a request says of tools, as members of the body."""
    body: JsonObject = {}
    written: list[JsonValue] = []
    for tool in request.tools:
        if own(tool.extras).get(SEARCH_OPTIONS) is True:
            body[SEARCH_OPTIONS] = tool.raw
        elif (entry := _encode_tool(tool, ctx)) is not None:
            written.append(entry)
        else:
            ctx.note(f"the built-in tool {tool.name} was dropped")
    if not written:
        return body  # servers refuse a choice among nothing
    body["tools"] = written
    if (choice := _encode_choice(request, ctx)) is not None:
        body["tool_choice"] = choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _encode_tool(tool: Tool, ctx: ExchangeContext) -> JsonObject | None:
    described: JsonObject = {"name": tool.name}
    if tool.description:
        described["description"] = tool.description
    match tool.kind:
        case ToolKind.FUNCTION:
            described["parameters"] = NO_ARGUMENTS if tool.schema is None else tool.schema
            if tool.strict is not None:
                described["strict"] = tool.strict
            written: JsonObject = {"type": FUNCTION, FUNCTION: {**described, **own(tool.extras)}}
            if tool.cache is not None and is_from_chat(ctx):
                written[CACHE] = tool.cache.raw
            return written
        case ToolKind.CUSTOM if not takes_free_text(ctx):
            return {"type": FUNCTION, FUNCTION: {**described, "parameters": FREE_TEXT}}
        case ToolKind.CUSTOM:
            if tool.format is not None:
                described["format"] = _nested_format(tool.format)
            return {"type": CUSTOM, CUSTOM: {**described, **own(tool.extras)}}
        case _:
            # Only a client of this dialect can have meant it for an upstream of this dialect.
            return tool.raw if is_from_chat(ctx) else None


def _nested_format(described: JsonObject) -> JsonObject:
    if text(described, "type") != "grammar":
        return described
    return {"type": "grammar", "grammar": rest(described, "type")}


def _encode_choice(request: IRRequest, ctx: ExchangeContext) -> JsonValue:
    choice = request.tool_choice
    if choice is None:
        return None
    kinds = {tool.name: tool.kind for tool in request.tools}
    usable = (ToolKind.FUNCTION, ToolKind.CUSTOM)
    names = [name for name in choice.names if kinds.get(name, ToolKind.FUNCTION) in usable]
    free = {name for name in names if kinds.get(name) is ToolKind.CUSTOM and takes_free_text(ctx)}
    named = [_named(CUSTOM if name in free else FUNCTION, name) for name in names]
    if choice.mode == "tool":
        return named[0] if named else None
    if not named:
        return _WORDS[choice.mode]
    mode = "required" if choice.mode == "any" else "auto"
    allowed: JsonObject = {"mode": mode, "tools": [*named]}
    return {"type": "allowed_tools", "allowed_tools": allowed}


def _named(kind: str, name: str) -> JsonObject:
    return {"type": kind, kind: {"name": name}}
