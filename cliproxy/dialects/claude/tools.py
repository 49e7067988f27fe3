"""Tools and the tool choice of the Claude dialect.

A tool with an ``input_schema`` is the client's own. A tool with a versioned type (``web_search_20250305``)
runs on the server; web search is the one such tool that other dialects have, too. Free-text tools do not
exist: they are declared with a single text argument, and the answer's encoder takes the text out again.
"""

from collections.abc import Iterator
from typing import Final

from cliproxy.dialects.claude.reading import ID, cache_mark, extras_of
from cliproxy.dialects.claude.writing import own_extras, with_cache
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Tool, ToolChoice, ToolKind
from cliproxy.ir.schema import FREE_TEXT, NO_ARGUMENTS
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, flag, objects, strings, text

WEB_SEARCH_TYPE: Final = "web_search_20250305"
_OWN_TYPES: Final = frozenset({"", "custom"})
_DOMAINS: Final = ("allowed_domains", "blocked_domains")
_PLACE: Final = ("city", "region", "country", "timezone")


# --- reading ------------------------------------------------------------------------------------------------


def read_tools(body: JsonObject, ctx: ExchangeContext) -> list[Tool]:
    """Read the tools of a request; what has no name cannot be called and is passed over."""
    tools: list[Tool] = []
    for wire in objects(body, "tools"):
        tool = _read_tool(wire)
        if tool.name or tool.kind is ToolKind.BUILTIN:
            tools.append(tool)
        else:
            ctx.note("a tool without a name was dropped")
    return tools


def _read_tool(wire: JsonObject) -> Tool:
    kind, name = text(wire, "type"), text(wire, "name")
    if kind not in _OWN_TYPES:
        is_search = kind.startswith("web_search_")
        return Tool(
            ToolKind.WEB_SEARCH if is_search else ToolKind.BUILTIN,
            name or ("web_search" if is_search else ""),
            raw=wire,
            dialect=ID,
            cache=cache_mark(wire),
        )
    schema = wire.get("input_schema")
    return Tool(
        ToolKind.FUNCTION,
        name,
        text(wire, "description"),
        schema if isinstance(schema, dict) else None,
        cache=cache_mark(wire),
        extras=extras_of(wire, "name", "description", "input_schema", "cache_control"),
    )


_MODES: Final[dict[str, ToolChoice]] = {mode: ToolChoice(mode) for mode in ("auto", "any", "none", "tool")}


def read_tool_choice(body: JsonObject) -> tuple[ToolChoice | None, bool | None]:
    """Read the tool choice, and whether calls may be parallel."""
    wire = child(body, "tool_choice")
    known = _MODES.get(text(wire, "type"))
    if known is None:
        return None, None
    is_serial = flag(wire, "disable_parallel_tool_use")
    name = text(wire, "name")
    choice = ToolChoice(
        known.mode,
        [name] if known.mode == "tool" and name else [],
        extras_of(wire, "type", "name", "disable_parallel_tool_use"),
    )
    return choice, None if is_serial is None else not is_serial


# --- writing ------------------------------------------------------------------------------------------------


def write_tools(request: IRRequest, ctx: ExchangeContext) -> list[JsonValue]:
    """Write the tools a request offers. A choice among some of them is made by offering no others."""
    choice = request.tool_choice
    among = frozenset(choice.names) if choice is not None and choice.mode in {"auto", "any"} else frozenset()
    offered = (tool for tool in request.tools if not among or tool.name in among)
    return list(_written(offered, ctx))


def _written(tools: Iterator[Tool], ctx: ExchangeContext) -> Iterator[JsonObject]:
    for tool in tools:
        match tool.kind:
            case ToolKind.FUNCTION:
                yield _write_tool(tool, tool.schema or NO_ARGUMENTS)
            case ToolKind.CUSTOM:
                yield _write_tool(tool, FREE_TEXT)
            case _ if tool.dialect == ID and tool.raw is not None:
                yield with_cache(tool.raw, tool.cache)
            case ToolKind.WEB_SEARCH:
                yield _write_web_search(tool)
            case _:
                ctx.note(f"the server-side tool {tool.name or text(tool.raw or {}, 'type')} was dropped")


def _write_tool(tool: Tool, schema: JsonObject) -> JsonObject:
    wire: JsonObject = {"name": tool.name}
    if tool.description:
        wire["description"] = tool.description
    wire["input_schema"] = schema
    return with_cache({**wire, **own_extras(tool.extras)}, tool.cache)


def _write_web_search(tool: Tool) -> JsonObject:
    """Write another dialect's web search; the names of its limits differ little."""
    wire = tool.raw or {}
    written: JsonObject = {"type": WEB_SEARCH_TYPE, "name": "web_search"}
    filters = {**wire, **child(wire, "filters")}
    domains = ((member, strings(filters, member)) for member in _DOMAINS)
    # Only one of the two lists is taken.
    for member, named in [(member, named) for member, named in domains if named][:1]:
        written[member] = [*named]
    location = child(wire, "user_location")
    place = child(location, "approximate") or location
    known: JsonObject = {member: text(place, member) for member in _PLACE if text(place, member)}
    if known:
        written["user_location"] = {"type": "approximate", **known}
    return with_cache(written, tool.cache)


def write_tool_choice(request: IRRequest) -> JsonObject | None:
    """Write the tool choice; forbidding parallel calls needs one to be written on."""
    choice = request.tool_choice
    is_serial = request.parallel_tool_calls is False
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if is_serial else None
    wire: JsonObject = {"type": choice.mode}
    if choice.mode == "tool":
        if not choice.names:
            return None
        wire["name"] = choice.names[0]
    if is_serial and choice.mode != "none":
        wire["disable_parallel_tool_use"] = True
    return {**wire, **own_extras(choice.extras)}
