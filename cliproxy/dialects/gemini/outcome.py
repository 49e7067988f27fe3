"""How an answer ended and what it cost: finish reasons and token counts.

Gemini has no finish reason for calls: an answer with a ``functionCall`` in it ends with ``STOP``, and the
call itself is the reason. Counts are split differently from everybody's: thoughts are *not* part of
``candidatesTokenCount``, cached tokens *are* part of ``promptTokenCount``.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.dialects.gemini.parts import DIALECT_ID
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject, count

_REASONS: Final[Mapping[str, FinishReason]] = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "OTHER": FinishReason.ERROR,
    "MALFORMED_FUNCTION_CALL": FinishReason.ERROR,
    "UNEXPECTED_TOOL_CALL": FinishReason.ERROR,
    "TOO_MANY_TOOL_CALLS": FinishReason.ERROR,
    "MISSING_THOUGHT_SIGNATURE": FinishReason.ERROR,
    "MALFORMED_RESPONSE": FinishReason.ERROR,
    "NO_IMAGE": FinishReason.ERROR,
    "IMAGE_OTHER": FinishReason.ERROR,
}

_WORDS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "STOP",
    FinishReason.STOP_SEQUENCE: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.TOOL_CALLS: "STOP",
    FinishReason.CONTENT_FILTER: "SAFETY",
    FinishReason.REFUSAL: "SAFETY",
    FinishReason.PAUSE: "STOP",
    FinishReason.ERROR: "OTHER",
    FinishReason.CANCELLED: "OTHER",
}
_COUNTS: Final = frozenset(
    {
        "promptTokenCount",
        "toolUsePromptTokenCount",
        "cachedContentTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "totalTokenCount",
    }
)
CUT_OFF: Final = "OTHER"
"""The word for an answer that ended without giving a reason."""


def decode_ending(word: str, *, has_call: bool) -> Ending:
    """Read a finish reason; a complete call makes it the reason."""
    reason = FinishReason.TOOL_CALLS if has_call else _REASONS.get(word, FinishReason.STOP)
    return Ending(reason, native=word)


def is_reason_for_silence(word: str) -> bool:
    """Tell whether an answer that ended for this reason may be empty."""
    return _REASONS.get(word, FinishReason.STOP) is not FinishReason.STOP


def blocked(word: str) -> Ending:
    """The prompt itself was refused: there are no candidates."""
    return Ending(FinishReason.CONTENT_FILTER, native=word)


def encode_ending(ending: Ending) -> str:
    """Write a finish reason; one of our own words that means the same is kept."""
    if _REASONS.get(ending.native) is ending.reason:
        return ending.native
    return _WORDS[ending.reason]


def decode_usage(raw: JsonObject) -> Usage:
    """Split the counts into disjoint ones."""
    node = camel(raw)
    prompt = count(node, "promptTokenCount")
    for_tools = count(node, "toolUsePromptTokenCount")
    cached = count(node, "cachedContentTokenCount")
    thoughts = count(node, "thoughtsTokenCount")
    total = count(node, "totalTokenCount")
    written = count(node, "candidatesTokenCount")
    if not written and total:
        # Some upstreams of this shape leave the count out and mean it in the total.
        written = max(total - (prompt or 0) - (for_tools or 0) - (thoughts or 0), 0)
    known = prompt is not None or for_tools is not None
    more: JsonObject = {name: value for name, value in node.items() if name not in _COUNTS}
    return Usage(
        fresh_input=max((prompt or 0) + (for_tools or 0) - (cached or 0), 0) if known else None,
        cache_read=cached,
        output=written,
        reasoning=thoughts,
        reported_total=total,
        extras={DIALECT_ID: more} if more else {},
    )


def encode_usage(usage: Usage) -> JsonObject:
    """Write the counts; empty when nothing is known."""
    if usage == Usage():
        return {}
    counts: JsonObject = {"promptTokenCount": usage.input_total, "candidatesTokenCount": usage.output or 0}
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        counts["cachedContentTokenCount"] = usage.cache_read
    counts["totalTokenCount"] = usage.total
    return {**counts, **usage.extras.get(DIALECT_ID, {})}
