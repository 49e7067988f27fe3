"""Claude's web search, done with Google's.

Claude's API has a tool of its own for searching the web, which a client such as Claude Code offers alone, in
a request made for one search. The service has no such tool, but a kind of request that searches: so the words
of the user go into a request of that kind, and what its answer rests on becomes the blocks a Claude client
expects::

    groundingMetadata               blocks of the answer
    webSearchQueries                server_tool_use
    groundingChunks                 web_search_tool_result
    groundingSupports               the text, cut where a statement begins or ends that rests on pages

The metadata comes at the end, and the blocks before the text, so the answer is held back until it is whole.
Offsets in the metadata count bytes of UTF-8. Everything here is in the spelling of Claude's API, because the
tool is: see :data:`SPELLING`.
"""

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from cliproxy.dialects.gemini.decoder import GeminiStreamDecoder
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    Annotation,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    Finish,
    OpaqueBlock,
    Start,
    StreamError,
    TextDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Family, IRRequest, Opaque, Text, ToolKind
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, integer, items, objects, strings, text
from cliproxy.wire.sse import Frame

SPELLING: Final = "claude"
"""The dialect whose tool this is, and in whose words the result is told."""

_INSTRUCTION: Final = (
    "You are a search engine. Search the web for what the user asks, and answer with the facts you found, "
    "in full sentences that each rest on a page."
)
_MAX_RESULTS: Final = 5
_TOOL: Final = "web_search"
_CHOICES: Final = frozenset({"auto", "any", "tool"})
_CONTINUES: Final = 0b10
"""The two highest bits of a byte that continues a character of UTF-8."""


def is_search(request: IRRequest | None, ctx: ExchangeContext) -> bool:
    """Tell whether a request, as the client made it, is for a search and the model can do one."""
    if request is None or not request.tools or ctx.upstream_family is not Family.GEMINI:
        return False
    choice = request.tool_choice
    return all(tool.kind is ToolKind.WEB_SEARCH and tool.dialect == SPELLING for tool in request.tools) and (
        choice is None or choice.mode in _CHOICES
    )


def search_body(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write the body of a search for what the user said last."""
    users = [message for message in request.messages if message.role == "user"]
    words = [part.text for part in (users[-1].parts if users else []) if isinstance(part, Text)]
    if len(request.messages) > 1 or request.system:
        ctx.note("a web search is made of the user's last words alone")
    limits = request.tools[0].raw or {}
    search: JsonObject = {
        "enhancedContent": {
            "imageSearch": {"maxResultCount": integer(limits, "max_uses") or _MAX_RESULTS},
        }
    }
    if domains := strings(limits, "allowed_domains"):
        search["includedDomains"] = list[JsonValue](domains)
    return {
        "contents": [{"role": "user", "parts": [{"text": "\n".join(words)}]}],
        "systemInstruction": {"role": "user", "parts": [{"text": _INSTRUCTION}]},
        "tools": [{"googleSearch": search}],
        "generationConfig": {"candidateCount": 1},
    }


class SearchStreamDecoder:
    """Decodes the answer to a search: holds back what is said until it is known what it rests on."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._inner = GeminiStreamDecoder(ctx, keeps_metadata=True)
        self._texts: set[int] = set()
        self._said: list[str] = []
        self._grounding: JsonObject = {}
        self._endings: list[Finish] = []

    def __repr__(self) -> str:
        return f"<SearchStreamDecoder, {len(self._said)} pieces of text>"

    def feed(self, frame: Frame) -> list[Event]:
        """Decode a frame."""
        return [*self._taken(self._inner.feed(frame))]

    def read(self, value: JsonValue) -> list[Event]:
        """Decode a whole answer."""
        return [*self._taken(self._inner.read(value))]

    def finish(self) -> list[Event]:
        """Take the end of the transport, and tell everything."""
        return [*self._taken(self._inner.finish())]

    def _taken(self, events: list[Event]) -> Iterator[Event]:
        for event in events:
            match event:
                case Start() | UsageUpdate() | StreamError():
                    yield event
                case BlockStart(index=index, kind=BlockKind.TEXT):
                    self._texts.add(index)
                case TextDelta(index=index, text=said) if index in self._texts:
                    self._said.append(said)
                case Annotation(citation=citation):
                    self._grounding |= child(citation, "groundingMetadata")
                case Finish():
                    self._endings.append(event)
                case End():
                    yield from _blocks("".join(self._said), self._grounding, self._ctx)
                    yield from self._endings
                    yield event
                case _:
                    pass  # thoughts, and what else does not belong to the result of a search


def _blocks(said: str, grounding: JsonObject, ctx: ExchangeContext) -> Iterator[Event]:
    pages = [child(chunk, "web") for chunk in objects(grounding, "groundingChunks")]
    number = 0
    if grounding:
        for part in _search_blocks(grounding, pages, ctx):
            yield BlockStart(number, BlockKind.OPAQUE)
            yield OpaqueBlock(number, part)
            yield BlockStop(number)
            number += 1
    for passage in passages(said, grounding):
        yield BlockStart(number, BlockKind.TEXT)
        for index in passage.pages:
            if index < len(pages) and text(pages[index], "uri"):
                yield Annotation(number, _citation(pages[index], passage.said), SPELLING)
        yield TextDelta(number, passage.said)
        yield BlockStop(number)
        number += 1


def _search_blocks(
    grounding: JsonObject, pages: list[JsonObject], ctx: ExchangeContext
) -> tuple[Opaque, Opaque]:
    call = ctx.new_id("srvtoolu_")
    query = next(iter(strings(grounding, "webSearchQueries")), "")
    use: JsonObject = {"type": "server_tool_use", "id": call, "name": _TOOL, "input": {"query": query}}
    found: dict[str, JsonValue] = {
        address: {
            "type": "web_search_result",
            "title": text(page, "title") or address,
            "url": address,
            "page_age": None,
        }
        for page in pages
        if (address := text(page, "uri"))
    }
    result: JsonObject = {
        "type": "web_search_tool_result",
        "tool_use_id": call,
        "content": [*found.values()],
    }
    return Opaque(SPELLING, "server_tool_use", use), Opaque(SPELLING, "web_search_tool_result", result)


def _citation(page: JsonObject, said: str) -> JsonObject:
    address = text(page, "uri")
    return {
        "type": "web_search_result_location",
        "cited_text": said,
        "url": address,
        "title": text(page, "title") or address,
    }


@frozen
class Passage:
    """A piece of the text, and the numbers of the pages it rests on."""

    said: str
    pages: tuple[int, ...] = ()


def passages(said: str, grounding: JsonObject) -> Iterator[Passage]:
    """Cut a text where the metadata says; what does not fit the text is left alone."""
    data = said.encode("utf-8", "surrogatepass")
    at = 0
    for support in sorted(objects(grounding, "groundingSupports"), key=_start_of):
        start, end = _start_of(support), integer(child(support, "segment"), "endIndex") or 0
        if not (at <= start < end <= len(data) and _is_between(data, start) and _is_between(data, end)):
            continue
        if at < start:
            yield Passage(data[at:start].decode("utf-8", "surrogatepass"))
        numbers = [number for number in items(support, "groundingChunkIndices") if isinstance(number, int)]
        cited = data[start:end].decode("utf-8", "surrogatepass")
        yield Passage(cited, tuple(number for number in numbers if number >= 0))
        at = end
    if at < len(data):
        yield Passage(data[at:].decode("utf-8", "surrogatepass"))


def _start_of(support: JsonObject) -> int:
    return integer(child(support, "segment"), "startIndex") or 0


def _is_between(data: bytes, at: int) -> bool:
    """Tell whether an offset is between two characters."""
    return at == len(data) or data[at] >> 6 != _CONTINUES
