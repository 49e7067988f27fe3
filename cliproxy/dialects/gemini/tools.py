"""Tools and the choice among them.

``tools`` is a list of nodes, each of which may hold function declarations and built-in tools side by side; it
is written as one node with all functions and one node for each built-in. A declaration's schema comes in
``parameters`` (an OpenAPI subset with types in upper case) or in ``parametersJsonSchema``; it is written to
the latter.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from cliproxy.dialects.gemini.parts import DIALECT_ID
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Tool, ToolChoice, ToolKind
from cliproxy.ir.schema import FREE_TEXT, NO_ARGUMENTS, from_openapi
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, items, strings, text

_CALLABLE: Final = frozenset({ToolKind.FUNCTION, ToolKind.CUSTOM})
_SEARCHES: Final = frozenset({"googleSearch", "googleSearchRetrieval"})
_DECLARATION: Final = frozenset({"name", "description", "parameters", "parametersJsonSchema"})


# --- reading ---


def decode_tools(body: JsonObject) -> list[Tool]:
    """Read the tools of a request. Raises :class:`~cliproxy.errors.DialectError`."""
    raw_nodes = body.get("tools")
    nodes = [raw_nodes] if isinstance(raw_nodes, dict) else items(body, "tools")
    if raw_nodes is not None and not isinstance(raw_nodes, dict | list):
        raise DialectError("`tools` must be a list", "tools")
    tools: list[Tool] = []
    for number, raw in enumerate(nodes):
        if not isinstance(raw, dict):
            raise DialectError(f"`tools[{number}]` must be an object", f"tools[{number}]")
        tools += _decode_node(camel(raw), f"tools[{number}]")
    return tools


def _decode_node(node: JsonObject, where: str) -> Iterator[Tool]:
    for key, value in node.items():
        if key == "functionDeclarations":
            for number, raw in enumerate(items(node, key)):
                yield _decode_declaration(raw, f"{where}.{key}[{number}]")
        else:
            kind = ToolKind.WEB_SEARCH if key in _SEARCHES else ToolKind.BUILTIN
            yield Tool(kind, key, raw={key: value}, dialect=DIALECT_ID)


def _decode_declaration(raw: JsonValue, where: str) -> Tool:
    node = camel(raw) if isinstance(raw, dict) else {}
    name = text(node, "name")
    if not name:
        raise DialectError(f"`{where}.name` is required", f"{where}.name")
    schema = node.get("parametersJsonSchema")
    if not isinstance(schema, dict):
        openapi = node.get("parameters")
        schema = from_openapi(openapi) if isinstance(openapi, dict) else None
    rest = {key: value for key, value in node.items() if key not in _DECLARATION}
    return Tool(
        ToolKind.FUNCTION,
        name,
        text(node, "description"),
        schema,
        extras={DIALECT_ID: rest} if rest else {},
    )


def decode_choice(config: JsonObject) -> ToolChoice | None:
    """Read ``toolConfig``."""
    calling = camel(child(config, "functionCallingConfig"))
    mode = text(calling, "mode").upper()
    names = strings(calling, "allowedFunctionNames")
    rest = {key: value for key, value in calling.items() if key not in {"mode", "allowedFunctionNames"}}
    match mode:
        case "NONE":
            choice = ToolChoice("none")
        case "ANY" if len(names) == 1:
            choice = ToolChoice("tool", names)
        case "ANY":
            choice = ToolChoice("any", names)
        case "AUTO":
            choice = ToolChoice("auto", names)
        case "VALIDATED":
            choice = ToolChoice("auto", names)
            rest["mode"] = mode
        case _ if rest:
            choice = ToolChoice("auto")
        case _:
            return None
    if rest:
        choice.extras = {DIALECT_ID: rest}
    return choice


# --- writing ---


def encode_tools(request: IRRequest, schema_key: str, ctx: ExchangeContext) -> list[JsonValue]:
    """Write the tools of a request."""
    functions = [_declaration(tool, schema_key) for tool in request.tools if tool.kind in _CALLABLE]
    nodes: list[JsonValue] = [{"functionDeclarations": list[JsonValue](functions)}] if functions else []
    for tool in request.tools:
        if tool.kind in _CALLABLE:
            continue
        if tool.dialect == DIALECT_ID and tool.raw is not None:
            nodes.append(camel(tool.raw))
        elif tool.kind is ToolKind.WEB_SEARCH and not functions:
            nodes.append({"googleSearch": {}})
        else:
            # Older models refuse a search beside functions.
            ctx.note(f"tools: a server tool ({tool.name}) is not carried")
    return nodes


def _declaration(tool: Tool, schema_key: str) -> JsonObject:
    declaration: JsonObject = {"name": tool.name}
    if tool.description:
        declaration["description"] = tool.description
    if tool.kind is ToolKind.CUSTOM:
        declaration[schema_key] = FREE_TEXT
    else:
        declaration[schema_key] = tool.schema or NO_ARGUMENTS
    return {**tool.extras.get(DIALECT_ID, {}), **declaration}


_MODES: Final[Mapping[str, str]] = {"auto": "AUTO", "none": "NONE", "any": "ANY", "tool": "ANY"}


def encode_choice(request: IRRequest) -> JsonObject:
    """Write the function calling configuration; empty when there is nothing to choose."""
    choice = request.tool_choice
    served = {tool.name for tool in request.tools if tool.kind not in _CALLABLE}
    if choice is None or all(tool.kind not in _CALLABLE for tool in request.tools):
        return {}
    names = [name for name in choice.names if name not in served]
    if choice.names and not names:
        return {}  # a server tool: it can be offered here, but not demanded
    own = choice.extras.get(DIALECT_ID, {})
    config: JsonObject = {**own, "mode": text(own, "mode") or _MODES[choice.mode]}
    if names and choice.mode != "none":
        config["allowedFunctionNames"] = list[JsonValue](names)
        if choice.mode == "auto":
            # Names can be restricted in the modes ANY and VALIDATED only.
            config["mode"] = "VALIDATED"
    return config
