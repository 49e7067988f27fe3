"""Answers: Gemini's, in Code Assist's envelope, which Gemini's decoder takes off.

Strict models are given required properties that a tool does not have (see the profile ``antigravity`` of
:mod:`cliproxy.ir.schemaprofile`), and fill them in. The client never declared them, so they are taken out of
the arguments of calls.
"""

from cliproxy.dialects.antigravity.search import SearchStreamDecoder, is_search
from cliproxy.dialects.gemini.decoder import Clean, GeminiStreamDecoder
from cliproxy.dialects.gemini.response import decode_with
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.response import IRResponse
from cliproxy.ir.schema import without_placeholders
from cliproxy.wire.jsontext import JsonObject


def stream_decoder(ctx: ExchangeContext) -> GeminiStreamDecoder | SearchStreamDecoder:
    """Return a decoder for one answer."""
    if is_search(ctx.original, ctx):
        return SearchStreamDecoder(ctx)
    return GeminiStreamDecoder(ctx, cleaner(ctx))


def decode_response(body: JsonObject, ctx: ExchangeContext) -> IRResponse:
    """Read a whole answer. Raises :class:`~cliproxy.errors.DialectError` for one that is an error."""
    return decode_with(stream_decoder(ctx), body)


def cleaner(ctx: ExchangeContext) -> Clean:
    """Return what takes placeholders out of the arguments of a call."""
    declared = {tool.name: tool.schema for tool in ctx.original.tools} if ctx.original is not None else {}

    def clean(name: str, arguments: JsonObject) -> JsonObject:
        known = ctx.client_tool_name(name)
        return without_placeholders(arguments, declared[known]) if known in declared else arguments

    return clean
