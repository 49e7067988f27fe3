"""What whole answers and streamed ones have in common on their way to the client: names, calls, images,
citations."""

from typing import Final

from attrs import frozen

from cliproxy.dialects.openai_chat.names import (
    CUSTOM,
    DIALECT_ID,
    FUNCTION,
    FUNCTIONS,
    OLDER_CALL,
    RESPONSES_ID,
)
from cliproxy.ir.arguments import to_object
from cliproxy.ir.context import ExchangeContext
from cliproxy.wire.jsontext import JsonObject, child, flag, integer, text

ID_PREFIX: Final = "chatcmpl-"
CALL_PREFIX: Final = "call_"
OTHER_CALLS: Final = "all calls but the first were dropped: the client knows one"


def answer_id(upstream_id: str, ctx: ExchangeContext) -> str:
    """Return the id of the answer: the upstream's, if a client of this dialect may expect it."""
    is_native = ctx.upstream_dialect == DIALECT_ID and bool(upstream_id)
    return upstream_id if is_native or upstream_id.startswith(ID_PREFIX) else ctx.new_id(ID_PREFIX)


def answer_head(upstream_id: str, model: str, created: int, ctx: ExchangeContext) -> JsonObject:
    """Return the members every object of an answer begins with; the kind of object stands second."""
    return {
        "id": answer_id(upstream_id, ctx),
        "object": "",
        "created": created or int(ctx.now),
        "model": ctx.shown_model or model or ctx.upstream_model,
    }


@frozen(kw_only=True)
class ClientCall:
    """A call as the client knows it."""

    id: str
    name: str
    is_custom: bool
    is_wrapped: bool
    """The client's tool takes free text, and the upstream was told that it takes ``{"input": …}``."""

    @property
    def kind(self) -> str:
        """The type of the call, which is also the name of its inner object."""
        return CUSTOM if self.is_custom else FUNCTION

    @property
    def member(self) -> str:
        """The name of what the tool is called with."""
        return "input" if self.is_custom else "arguments"

    def opening(self, said: str) -> JsonObject:
        """Write the call with what is said so far."""
        return {"id": self.id, "type": self.kind, self.kind: {"name": self.name, self.member: said}}


def client_call(call_id: str, name: str, ctx: ExchangeContext, *, is_custom: bool) -> ClientCall:
    """Restore a call's name and id."""
    known = ctx.client_tool_name(name)
    takes_text = known in ctx.custom_tools
    return ClientCall(
        id=ctx.client_call_id(call_id) or ctx.new_id(CALL_PREFIX),
        name=known,
        is_custom=is_custom or takes_text,
        is_wrapped=takes_text and not is_custom,
    )


def knows_one_call(ctx: ExchangeContext) -> bool:
    """Whether the client declared its tools in the older form, of which an answer has one call at most."""
    said = ctx.original_body
    return ctx.client_dialect == DIALECT_ID and FUNCTIONS in said and "tools" not in said


def older_reason(reason: str, ctx: ExchangeContext) -> str:
    """Return a finish reason in the words of such a client."""
    return OLDER_CALL if reason == "tool_calls" and knows_one_call(ctx) else reason


def unwrapped(arguments: str) -> str:
    """Take the free text out of the arguments it was wrapped in; arguments of another shape stay."""
    value = to_object(arguments).get("input")
    return value if isinstance(value, str) else arguments


def image_entry(url: str, number: int) -> JsonObject:
    """Write a generated image."""
    return {"type": "image_url", "index": number, "image_url": {"url": url}}


def annotation(
    citation: JsonObject, dialect: str, ctx: ExchangeContext, *, offset: int = 0
) -> JsonObject | None:
    """Write a citation; ``None`` for one that is no link, which this dialect cannot say.

    ``offset`` is where the cited text begins in the message: other dialects count from the beginning of a
    part.
    """
    if dialect == DIALECT_ID:
        return citation
    inner = child(citation, "url_citation") or citation
    url = text(inner, "url") or text(inner, "uri")
    if not url:
        ctx.note("a citation that is no link was dropped")
        return None
    start, end = integer(inner, "start_index") or 0, integer(inner, "end_index") or 0
    if end:
        start, end = start + offset, end + offset
    link: JsonObject = {"url": url, "title": text(inner, "title"), "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": link}


def wants_usage(ctx: ExchangeContext) -> bool:
    """Whether the client of a stream asked for a usage chunk, also in a body of the vendor's other dialect
    that it posted to this one's address."""
    asked = flag(child(ctx.original_body, "stream_options"), "include_usage")
    return ctx.include_usage or (ctx.client_dialect == RESPONSES_ID and asked is True)
