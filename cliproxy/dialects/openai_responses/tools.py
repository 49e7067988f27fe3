"""Tools and the tool choice.

Contract: the OpenAI API reference, "Create a model response", ``tools`` and ``tool_choice``. Function tools
are flat here (a nested ``function`` object is accepted, since clients of the chat dialect send it);
``custom`` tools take free text; a ``namespace`` groups tools of both kinds. Every other type is a tool the
vendor runs itself, of which only web search has a counterpart elsewhere.

Namespaces exist in this dialect only. The hub sees their tools flattened, ``namespace__name``, and
``ctx.namespaces`` remembers where each belongs; written to this wire they are grouped again.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from cliproxy.dialects.openai_responses.names import (
    CACHE,
    DIALECT_ID,
    NATIVE,
    as_extras,
    cache_of,
    flattened,
    native_extras,
)
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Tool, ToolChoice, ToolKind
from cliproxy.ir.schema import NO_ARGUMENTS
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, flag, objects, rest, strings, text

WEB_SEARCH: Final = "web_search"
_WEB_SEARCH_TYPES: Final = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
_SEARCH_LIMITS: Final = frozenset({"max_uses", "blocked_domains"})
"""What other dialects say about a web search and this one cannot."""
ADDITIONAL: Final = "additional"
"""Marks, in extras, a tool declared by an item of the conversation: that item declares it again."""
_NAMESPACE: Final = "namespace"
"""In the extras of a tool: what was said about its namespace."""

_MODES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "any",
}
_MODE_WORDS: Final[Mapping[str, str]] = {"auto": "auto", "none": "none", "any": "required"}


# --- reading ----------------------------------------------------------------------------------------------


def decode_tools(value: JsonValue, ctx: ExchangeContext, param: str = "tools") -> list[Tool]:
    """Read a list of tools; what they are called in which namespace goes into the context."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise DialectError(f"`{param}` must be a list", param)
    tools: list[Tool] = []
    for index, entry in enumerate(value):
        where = f"{param}[{index}]"
        if not isinstance(entry, dict):
            raise DialectError(f"`{where}` must be an object", where)
        tools += _decode_tool(entry, where)
    for tool in tools:
        _remember(tool, ctx)
    return tools


def _remember(tool: Tool, ctx: ExchangeContext) -> None:
    if tool.kind is ToolKind.CUSTOM:
        ctx.custom_tools.add(tool.name)
    if tool.namespace:
        ctx.namespaces.setdefault(tool.name, (tool.namespace, tool.child_name))


def _decode_tool(entry: JsonObject, where: str) -> list[Tool]:
    kind = text(entry, "type")
    match kind:
        case "function":
            return [_function(entry, where)]
        case "custom":
            return [_custom(entry, where)]
        case "namespace":
            return _children(entry, where)
        case _ if kind in _WEB_SEARCH_TYPES:
            return [Tool(ToolKind.WEB_SEARCH, WEB_SEARCH, raw=entry, dialect=DIALECT_ID)]
        case "":
            raise DialectError(f"`{where}.type` is missing", f"{where}.type")
        case _:
            return [Tool(ToolKind.BUILTIN, text(entry, "name") or kind, raw=entry, dialect=DIALECT_ID)]


def _name(entry: JsonObject, where: str) -> str:
    name = text(entry, "name")
    if not name:
        raise DialectError(f"`{where}.name` is missing", f"{where}.name")
    return name


def _function(entry: JsonObject, where: str) -> Tool:
    nested = child(entry, "function")
    entry = {**rest(entry, "function"), **nested} if nested else entry
    schema = entry.get("parameters", entry.get("parametersJsonSchema"))
    known = ("type", "name", "description", "parameters", "parametersJsonSchema", "strict", CACHE)
    return Tool(
        ToolKind.FUNCTION,
        _name(entry, where),
        text(entry, "description"),
        schema if isinstance(schema, dict) else None,
        flag(entry, "strict"),
        cache=cache_of(entry),
        extras=as_extras(rest(entry, *known)),
    )


def _custom(entry: JsonObject, where: str) -> Tool:
    nested = child(entry, "custom")
    entry = {**rest(entry, "custom"), **nested} if nested else entry
    return Tool(
        ToolKind.CUSTOM,
        _name(entry, where),
        text(entry, "description"),
        format=child(entry, "format") or None,
        cache=cache_of(entry),
        extras=as_extras(rest(entry, "type", "name", "description", "format", CACHE)),
    )


def _children(entry: JsonObject, where: str) -> list[Tool]:
    namespace = _name(entry, where)
    about = rest(entry, "type", "name", "tools")
    tools: list[Tool] = []
    for index, inner in enumerate(objects(entry, "tools")):
        place = f"{where}.tools[{index}]"
        tool = _custom(inner, place) if text(inner, "type") == "custom" else _function(inner, place)
        tool.namespace, tool.child_name = namespace, tool.name
        tool.name = flattened(namespace, tool.child_name)
        tool.extras = as_extras({**native_extras(tool.extras), _NAMESPACE: about})
        tools.append(tool)
    return tools


def without_duplicates(tools: Iterable[Tool]) -> list[Tool]:
    """Keep one tool of each name: one of its own before one of a namespace, else the first."""
    kept: dict[tuple[str, str], Tool] = {}
    for tool in tools:
        key = ("", tool.name) if tool.kind in {ToolKind.FUNCTION, ToolKind.CUSTOM} else (tool.kind, tool.name)
        other = kept.get(key)
        if other is None or (other.namespace and not tool.namespace):
            kept[key] = tool
    return list(kept.values())


def decode_tool_choice(value: JsonValue, ctx: ExchangeContext) -> ToolChoice | None:
    """Read a tool choice. Raises :class:`DialectError` for one that is none."""
    if value is None:
        return None
    if isinstance(value, str) and value in _MODES:
        return ToolChoice(_MODES[value])
    if not isinstance(value, dict) or not text(value, "type"):
        raise DialectError("`tool_choice` must be `none`, `auto`, `required` or an object", "tool_choice")
    kind = text(value, "type")
    if kind in {"function", "custom"}:
        return ToolChoice("tool", [_chosen(value, ctx, "tool_choice")])
    if kind == "allowed_tools":
        return _decode_allowed(child(value, "allowed_tools") or value, ctx)
    name = WEB_SEARCH if kind in _WEB_SEARCH_TYPES else text(value, "name") or kind
    return ToolChoice("tool", [name], extras=as_extras({"raw": value}))


def _chosen(value: JsonObject, ctx: ExchangeContext, where: str) -> str:
    """Return the flattened name of the tool an object names."""
    inner = child(value, text(value, "type")) or value
    name = _name(inner, where)
    namespace = text(inner, "namespace")
    if namespace:
        return flattened(namespace, name)
    children = [full for full, (_, inside) in ctx.namespaces.items() if inside == name]
    return children[0] if len(children) == 1 and name not in ctx.namespaces else name


def _decode_allowed(value: JsonObject, ctx: ExchangeContext) -> ToolChoice:
    mode: Literal["auto", "any"] = "any" if text(value, "mode") == "required" else "auto"
    names = [
        _chosen(tool, ctx, "tool_choice.tools")
        if text(tool, "type") in {"function", "custom"}
        else _plain(tool)
        for tool in objects(value, "tools")
    ]
    return ToolChoice(mode, names, extras=as_extras({"raw": {"type": "allowed_tools", **value}}))


def _plain(tool: JsonObject) -> str:
    kind = text(tool, "type")
    return WEB_SEARCH if kind in _WEB_SEARCH_TYPES else text(tool, "name") or kind


# --- writing ----------------------------------------------------------------------------------------------


def encode_tools(request: IRRequest, ctx: ExchangeContext) -> list[JsonValue]:
    """Write the tools; those of a namespace stand in it, where its first one stood."""
    written: list[JsonValue] = []
    groups: dict[str, list[JsonValue]] = {}
    for tool in request.tools:
        if native_extras(tool.extras).get(ADDITIONAL):
            continue
        one = _encode_tool(tool, ctx)
        if one is None:
            continue
        if not tool.namespace:
            written.append(one)
        elif tool.namespace in groups:
            groups[tool.namespace].append(one)
        else:
            inner: list[JsonValue] = [one]
            groups[tool.namespace] = inner
            about = child(native_extras(tool.extras), _NAMESPACE)
            written.append({"type": "namespace", "name": tool.namespace, **about, "tools": inner})
    return written


def _encode_tool(tool: Tool, ctx: ExchangeContext) -> JsonObject | None:
    match tool.kind:
        case ToolKind.FUNCTION:
            return _encode_function(tool, ctx)
        case ToolKind.CUSTOM:
            written = _described("custom", tool)
            if tool.format is not None:
                written["format"] = tool.format
            return {**written, **_more(tool)}
        case ToolKind.WEB_SEARCH:
            return tool.raw if tool.dialect in NATIVE and tool.raw else _encode_web_search(tool, ctx)
        case _:
            if tool.dialect in NATIVE and tool.raw:
                return tool.raw
            ctx.note(f"the server-side tool {tool.name} was dropped")
            return None


def _described(kind: str, tool: Tool) -> JsonObject:
    written: JsonObject = {"type": kind, "name": tool.child_name if tool.namespace else tool.name}
    if tool.description:
        written["description"] = tool.description
    return written


def _more(tool: Tool) -> JsonObject:
    return rest(native_extras(tool.extras), _NAMESPACE, ADDITIONAL)


def _encode_function(tool: Tool, ctx: ExchangeContext) -> JsonObject:
    written = _described("function", tool)
    written["parameters"] = NO_ARGUMENTS if tool.schema is None else tool.schema
    if tool.strict is not None:
        written["strict"] = tool.strict
    elif ctx.client_dialect not in NATIVE:
        # Without a word the vendor assumes `strict`, which schemas of other dialects were not written for.
        written["strict"] = False
    return {**written, **_more(tool)}


def _encode_web_search(tool: Tool, ctx: ExchangeContext) -> JsonObject:
    """Write another dialect's web search with what it says about domains and place."""
    raw = tool.raw or {}
    for limit in _SEARCH_LIMITS & raw.keys():
        ctx.note(f"{limit} of the web search has no counterpart in the Responses API")
    written: JsonObject = {"type": WEB_SEARCH}
    domains = strings(raw, "allowed_domains")
    if domains:
        written["filters"] = {"allowed_domains": [*domains]}
    location = child(raw, "user_location")
    place = child(location, "approximate") or rest(location, "type")
    if place:
        written["user_location"] = {"type": "approximate", **place}
    size = text(raw, "search_context_size")
    if size:
        written["search_context_size"] = size
    return written


def encode_tool_choice(request: IRRequest) -> JsonValue:
    """Write the tool choice; ``None`` when there is nothing to say."""
    choice = request.tool_choice
    if choice is None:
        return None
    tools = {tool.name: tool for tool in request.tools}
    named = [_encode_named(name, tools.get(name)) for name in choice.names]
    if choice.mode == "tool":
        raw = child(native_extras(choice.extras), "raw")
        return raw or (named[0] if named else "required")
    if not named:
        return _MODE_WORDS[choice.mode]
    mode = "required" if choice.mode == "any" else "auto"
    return {"type": "allowed_tools", "mode": mode, "tools": [*named]}


def _encode_named(name: str, tool: Tool | None) -> JsonObject:
    if tool is None:
        return {"type": "function", "name": name}
    match tool.kind:
        case ToolKind.FUNCTION | ToolKind.CUSTOM:
            inner = tool.child_name if tool.namespace else tool.name
            return {"type": "custom" if tool.kind is ToolKind.CUSTOM else "function", "name": inner}
        case ToolKind.WEB_SEARCH:
            return {"type": text(tool.raw or {}, "type") if tool.dialect in NATIVE else WEB_SEARCH}
        case _:
            return {"type": text(tool.raw or {}, "type") or name}
