"""How an answer of the Claude dialect ends, and what it cost.

``input_tokens`` of this dialect counts neither cached tokens nor those written to the cache, unlike in any
other; ``output_tokens`` includes thinking. In a stream the counts come twice: the prompt side at the start,
everything at the end. Some servers repeat the prompt side there as zeros, which must not wipe the first.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.dialects.claude.reading import ID, extras_of
from cliproxy.dialects.claude.writing import own_extras
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject, child, count, text

_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSE,
    "refusal": FinishReason.REFUSAL,
    "sensitive": FinishReason.CONTENT_FILTER,
}
_WORDS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "stop_sequence",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.PAUSE: "pause_turn",
    FinishReason.ERROR: "end_turn",
    FinishReason.CANCELLED: "end_turn",
}
_DONE: Final = frozenset({"end_turn", "tool_use"})
_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens_details",
    "thinking_tokens",
)
"""What is read of a ``usage`` object; service tier, searches, lifetimes of cached tokens are extras."""


def read_ending(obj: JsonObject) -> Ending:
    """Read ``stop_reason`` and ``stop_sequence``; a reason nobody knows is a plain stop."""
    word = text(obj, "stop_reason")
    return Ending(_REASONS.get(word, FinishReason.STOP), word, text(obj, "stop_sequence") or None)


def write_ending(ending: Ending, *, has_calls: bool, has_refusal: bool = False) -> JsonObject:
    """Write ``stop_reason`` and ``stop_sequence``.

    Calls were made if and only if they are there; what refuses in words says so in its reason, too.
    """
    is_native = _REASONS.get(ending.native) is ending.reason
    word = ending.native if is_native else _WORDS[ending.reason]
    if word in _DONE:
        word = "tool_use" if has_calls else "refusal" if has_refusal else "end_turn"
    return {"stop_reason": word, "stop_sequence": ending.stop_sequence if word == "stop_sequence" else None}


def read_usage(wire: JsonObject) -> Usage:
    """Read a ``usage`` object."""
    output = count(wire, "output_tokens")
    thinking = count(wire, "thinking_tokens")
    if thinking is None:
        thinking = count(child(wire, "output_tokens_details"), "thinking_tokens")
    if output is not None and thinking is not None:
        output = max(output - thinking, 0)
    return Usage(
        fresh_input=count(wire, "input_tokens"),
        cache_read=count(wire, "cache_read_input_tokens"),
        cache_write=_cache_write(wire),
        output=output,
        reasoning=thinking,
        extras=extras_of(wire, *_COUNTS),
    )


def _cache_write(wire: JsonObject) -> int | None:
    total = count(wire, "cache_creation_input_tokens")
    if total is not None:
        return total
    by_lifetime = child(wire, "cache_creation")
    return sum(count(by_lifetime, member) or 0 for member in by_lifetime) if by_lifetime else None


def read_later_usage(wire: JsonObject, known: Usage) -> Usage:
    """Read the ``usage`` at the end of a stream, of which the start is ``known``."""
    usage = read_usage(wire)
    for member in ("fresh_input", "cache_read", "cache_write"):
        if getattr(usage, member) == 0 and getattr(known, member):
            setattr(usage, member, None)
    if usage.extras and known.extras:
        usage.extras = {ID: {**own_extras(known.extras), **own_extras(usage.extras)}}
    return usage


def write_usage(usage: Usage) -> JsonObject:
    """Write a ``usage`` object. Cache counts are left out when nobody said anything about a cache."""
    wire: JsonObject = {"input_tokens": usage.fresh_input or 0}
    if usage.cache_write is not None:
        wire["cache_creation_input_tokens"] = usage.cache_write
    if usage.cache_read is not None:
        wire["cache_read_input_tokens"] = usage.cache_read
    wire["output_tokens"] = usage.output_total
    if usage.reasoning:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return {**wire, **own_extras(usage.extras)}
