"""Tool names: made to fit the target, and restored in the answer.

Targets differ in which characters a name may have and how long it may be. A rule set is data
(:data:`PROFILES`); applying it renames declared tools, the tool choice, and the calls and results of the
history alike. Names are made unique in the order of declaration, so that a conversation keeps its names from
turn to turn. Renames go into the context, where
:meth:`~cliproxy.ir.context.ExchangeContext.client_tool_name` finds the way back.

The way back also forgives a model that writes ``_read`` for ``Read``: the context knows the plain form of
every declared name, as long as no two tools share it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from attrs import evolve, field, frozen

from cliproxy.ir.context import ExchangeContext, plain_tool_name
from cliproxy.ir.request import IRRequest, Message, Part, Tool, ToolCall, ToolKind, ToolResult

_HASH_DIGITS: Final = 12
_MCP_PREFIX: Final = "mcp__"
_NAME_OF_NOTHING: Final = "tool"
_NAMED: Final = frozenset({ToolCall, ToolResult})
_CLIENT_SIDE: Final = frozenset({ToolKind.FUNCTION, ToolKind.CUSTOM})
"""Tools that the client carries out; server-side tools have names the target knows."""


@frozen(kw_only=True)
class NameProfile:
    """What a target allows as the name of a tool."""

    max_length: int
    forbidden: re.Pattern[str]
    """Matches each character that must be replaced."""
    first: re.Pattern[str] | None = None
    """What a name must begin with; ``None``: anything."""
    keeps_mcp_tail: bool = False
    """A long ``mcp__server__tool`` loses its middle rather than its end."""
    suffix: Literal["number", "hash"] = "hash"
    """How two names that became equal are told apart."""


PROFILES: Final[Mapping[str, NameProfile]] = {
    "openai64": NameProfile(
        max_length=64, forbidden=re.compile(r"[^A-Za-z0-9_-]"), keeps_mcp_tail=True, suffix="number"
    ),
    "gemini": NameProfile(
        max_length=64, forbidden=re.compile(r"[^A-Za-z0-9_.:-]"), first=re.compile(r"[A-Za-z_]")
    ),
    "claude": NameProfile(max_length=128, forbidden=re.compile(r"[^A-Za-z0-9_-]")),
}


def fit_tool_names(request: IRRequest, profile: str, ctx: ExchangeContext) -> IRRequest:
    """Rename tools to what a target allows, everywhere in a request. An empty profile allows everything."""
    names = _declared_names(request, PROFILES[profile]) if profile else {}
    _remember(request, names, ctx)
    if not profile:
        return request
    server_side = frozenset(tool.name for tool in request.tools if tool.kind not in _CLIENT_SIDE)
    renamer = _Renamer(PROFILES[profile], names, server_side)
    choice = request.tool_choice
    return evolve(
        request,
        tools=[renamer.tool(tool) for tool in request.tools],
        tool_choice=choice and evolve(choice, names=[renamer.chosen(name) for name in choice.names]),
        messages=renamer.messages(request.messages),
    )


def _client_tools(request: IRRequest) -> Iterator[Tool]:
    return (tool for tool in request.tools if tool.kind in _CLIENT_SIDE)


def _declared_names(request: IRRequest, profile: NameProfile) -> dict[str, str]:
    """Return client name → upstream name of every declared tool, all different."""
    names: dict[str, str] = {}
    taken = {tool.name: 0 for tool in request.tools if tool.kind not in _CLIENT_SIDE}
    for tool in _client_tools(request):
        if tool.name not in names:
            names[tool.name] = _unique(tool.name, profile, taken)
    return names


def _remember(request: IRRequest, names: Mapping[str, str], ctx: ExchangeContext) -> None:
    """Note in the context what the answer needs."""
    spellings: dict[str, set[str]] = {}
    known = dict(ctx.tool_names)
    for tool in _client_tools(request):
        upstream = names.get(tool.name, tool.name)
        client = known.get(tool.name, tool.name)
        if upstream != client:
            ctx.tool_names[upstream] = client
        spellings.setdefault(plain_tool_name(upstream), set()).add(client)
        if tool.kind is ToolKind.CUSTOM:
            ctx.custom_tools.add(client)
        if tool.namespace:
            ctx.namespaces[client] = (tool.namespace, tool.child_name or tool.name)
    ctx.tool_spellings = {plain: next(iter(same)) for plain, same in spellings.items() if len(same) == 1}


def _candidate(name: str, profile: NameProfile) -> str:
    """Return the allowed name nearest to a name, whatever other names there are."""
    limit = profile.max_length
    fitting = profile.forbidden.sub("_", name) or _NAME_OF_NOTHING
    if profile.first is not None and not profile.first.match(fitting):
        fitting = "_" + fitting[: limit - 1]
    if len(fitting) <= limit:
        return fitting
    head, _, tail = fitting.rpartition("__")
    if profile.keeps_mcp_tail and head.startswith(_MCP_PREFIX):
        fitting = _MCP_PREFIX + tail
    return fitting[:limit]


def _unique(name: str, profile: NameProfile, taken: dict[str, int]) -> str:
    """Return an allowed name that is not taken; ``taken`` counts the attempts, so that none is made twice."""
    candidate = found = _candidate(name, profile)
    attempt = taken.get(candidate, 0)
    while found in taken:
        attempt += 1
        found = _suffixed(name, candidate, attempt, profile)
    taken[candidate] = attempt
    taken.setdefault(found, 0)
    return found


def _suffixed(name: str, candidate: str, attempt: int, profile: NameProfile) -> str:
    suffix = f"_{attempt}"
    if profile.suffix == "hash":
        digest = hashlib.sha256(f"{name}\0{attempt}".encode("utf-8", "surrogatepass"))
        suffix = f"_{digest.hexdigest()[:_HASH_DIGITS]}"
    return candidate[: profile.max_length - len(suffix)] + suffix


@frozen
class _Renamer:
    """Applies a set of names to the nodes of a request."""

    profile: NameProfile
    names: Mapping[str, str]
    server_side: frozenset[str]
    _undeclared: dict[str, str] = field(factory=dict, init=False)

    def name(self, name: str) -> str:
        """Return the upstream name; one that was never declared only has to be allowed."""
        fitting = self.names.get(name) or self._undeclared.get(name)
        if fitting is None:
            fitting = self._undeclared[name] = _candidate(name, self.profile)
        return fitting

    def chosen(self, name: str) -> str:
        """Return the upstream name of a tool in the tool choice, which may be a server-side one."""
        return name if name in self.server_side and name not in self.names else self.name(name)

    def tool(self, tool: Tool) -> Tool:
        return evolve(tool, name=self.names[tool.name]) if tool.kind in _CLIENT_SIDE else tool

    def messages(self, messages: list[Message]) -> list[Message]:
        """Rename calls and results. Conversations are long but say few names, which mostly fit."""
        said = {
            part.name
            for message in messages
            for part in message.parts
            if isinstance(part, ToolCall) or (isinstance(part, ToolResult) and part.name)
        }
        if all(self.name(name) == name for name in said):
            return messages
        return [self.message(message) for message in messages]

    def message(self, message: Message) -> Message:
        if _NAMED.isdisjoint(map(type, message.parts)):
            return message
        return message.saying([self.part(part) for part in message.parts])

    def part(self, part: Part) -> Part:
        if isinstance(part, ToolCall) or (isinstance(part, ToolResult) and part.name):
            fitting = self.name(part.name)
            return part if fitting == part.name else evolve(part, name=fitting)
        return part
