"""xAI's form of the Responses API. Only upstreams speak it.

The wire is that of the Responses dialect, but the service knows functions and its own tools alone. Namespaces
are flattened, and tools that take free text become functions with one text, in the offer as in the history;
the answer is turned back by the names the exchange remembers, which is why it never passes through as it is.

A client of another dialect carries the whole conversation itself: nothing is to be stored, and reasoning
comes back encrypted, to be sent again. A client of the Responses API is believed about both.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import evolve

from cliproxy.dialects.base import RuleForm
from cliproxy.dialects.openai_responses import DIALECT as RESPONSES
from cliproxy.dialects.openai_responses.names import CLIENT_METADATA, NATIVE, flattened
from cliproxy.dialects.openai_responses.request import ENCRYPTED_REASONING, encode_body
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Tool, ToolKind
from cliproxy.ir.schema import FREE_TEXT
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps_text, items, text

__all__ = ["DIALECT", "XAI_ID"]

XAI_ID: Final = "xai"
KNOWN_TOOLS: Final = frozenset(
    {"web_search", "x_search", "code_interpreter", "file_search", "collections_search", "mcp"}
)
"""Tools of the service's own, by their type on the wire."""
_FUNCTION_ITEMS: Final[Mapping[str, str]] = {
    "custom_tool_call": "function_call",
    "custom_tool_call_output": "function_call_output",
}


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request for the service."""
    body = encode_body(evolve(request, tools=[*_tools(request.tools, ctx)]), ctx)
    body.pop(CLIENT_METADATA, None)
    body["input"] = [_item(item) for item in items(body, "input")]
    if not body.get("tools"):
        body.pop("tool_choice", None)
    if ctx.client_dialect not in NATIVE:
        body |= {"store": False, "include": [ENCRYPTED_REASONING]}
    return body


def _tools(tools: Iterable[Tool], ctx: ExchangeContext) -> Iterator[Tool]:
    for tool in tools:
        kind = text(tool.raw or {}, "type") or tool.name
        if tool.kind is ToolKind.FUNCTION:
            yield evolve(tool, namespace="", child_name="")
        elif tool.kind is ToolKind.CUSTOM:
            yield evolve(
                tool,
                kind=ToolKind.FUNCTION,
                schema=FREE_TEXT,
                strict=None,
                format=None,
                namespace="",
                child_name="",
            )
        elif tool.kind is ToolKind.WEB_SEARCH or kind in KNOWN_TOOLS:
            yield tool
        else:
            ctx.note(f"the service has no tool {kind[:40]}")


def _item(item: JsonValue) -> JsonValue:
    """Write a call, or its result, as one of a function by its flattened name."""
    if not isinstance(item, dict):
        return item
    kind = text(item, "type")
    plain = {key: value for key, value in item.items() if key != "namespace"}
    if "namespace" in item:
        plain["name"] = flattened(text(item, "namespace"), text(item, "name"))
    if kind not in _FUNCTION_ITEMS:
        return plain
    plain["type"] = _FUNCTION_ITEMS[kind]
    plain.pop("id", None)  # such ids belong to the kind
    if "input" in plain:
        plain["arguments"] = dumps_text({"input": plain.pop("input")})
    return plain


DIALECT = evolve(
    RESPONSES,
    id=XAI_ID,
    endpoints=(),
    encode_request=encode_request,
    answers_as="",
    payload=RuleForm(names=frozenset({XAI_ID, "codex", "openai-response"})),
)
