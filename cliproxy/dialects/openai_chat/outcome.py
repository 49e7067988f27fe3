"""Why an answer ended, and what it cost: finish reasons and usage, both ways.

Contract: OpenAI API reference, "The chat completion object": ``finish_reason`` is one of ``stop``,
``length``, ``tool_calls``, ``content_filter`` and the older ``function_call``; ``prompt_tokens`` includes
cached tokens, ``completion_tokens`` includes reasoning. Compatible servers use further words, and some of
them do not count reasoning as part of the completion, which their totals betray. What is a part of the counts
(tokens of sound, of accepted predictions) or stands beside them (a price, durations) is kept for clients of
this dialect.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.dialects.openai_chat.names import as_extras, own
from cliproxy.ir.collect import grow
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject, child, integer, objects

_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.REFUSAL,
    "error": FinishReason.ERROR,
    "network_error": FinishReason.ERROR,
    "insufficient_system_resource": FinishReason.ERROR,
}
_WORDS: Final[Mapping[FinishReason, str]] = {
    FinishReason.LENGTH: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
}


def decode_ending(word: str, *, has_calls: bool, has_refusal: bool = False) -> Ending:
    """Read a finish reason, corrected by what the answer really holds."""
    reason = _REASONS.get(word.lower(), FinishReason.STOP)
    if reason is FinishReason.TOOL_CALLS and not has_calls:
        reason = FinishReason.STOP
    elif reason is FinishReason.STOP and has_calls:
        reason = FinishReason.TOOL_CALLS
    elif reason is FinishReason.STOP and has_refusal:
        reason = FinishReason.REFUSAL
    return Ending(reason, native=word)


def weight(word: str) -> int:
    """Return how much a finish reason says: where several come, the most telling one counts."""
    reason = _REASONS.get(word.lower(), FinishReason.STOP)
    return {FinishReason.STOP: 0, FinishReason.TOOL_CALLS: 1}.get(reason, 2)


def encode_reason(ending: Ending, *, has_calls: bool, has_refusal: bool = False) -> str:
    """Write a finish reason. A refusal in words is an ordinary stop here."""
    reason = ending.reason
    if reason is FinishReason.TOOL_CALLS and not has_calls:
        return "stop"
    if reason is FinishReason.REFUSAL and has_refusal:
        return "stop"
    return _WORDS.get(reason, "tool_calls" if has_calls and reason is FinishReason.STOP else "stop")


# --- usage ---

_INSIDE: Final = "prompt_tokens_details"
_OUTSIDE: Final = "completion_tokens_details"
_WRITTEN: Final = ("cached_creation_tokens", "cache_write_tokens", "cache_creation_tokens")
_COUNTS: Final = frozenset(
    {
        *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"),
        *(_INSIDE, _OUTSIDE, "input_tokens_details", "output_tokens_details"),
    }
)
_PARTS: Final = frozenset({"cached_tokens", "reasoning_tokens", *_WRITTEN})


def _first(obj: JsonObject, *keys: str) -> int | None:
    """Return the first of some counts that is there; a negative one is not a count."""
    for key in keys:
        value = integer(obj, key)
        if value is not None:
            return max(value, 0)
    return None


def usage_of(chunk: JsonObject) -> JsonObject:
    """Return the counts in a chunk, which some servers put into a choice."""
    return child(chunk, "usage") or next(
        (usage for entry in objects(chunk, "choices") if (usage := child(entry, "usage"))), {}
    )


def decode_usage(usage: JsonObject) -> Usage | None:
    """Split the wire's counts into disjoint ones; ``None`` when there are none."""
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    completion = _first(usage, "completion_tokens", "output_tokens")
    total = _first(usage, "total_tokens")
    if prompt is None and completion is None:
        return Usage(reported_total=total) if total else None
    inside = child(usage, _INSIDE) or child(usage, "input_tokens_details")
    outside = child(usage, _OUTSIDE) or child(usage, "output_tokens_details")
    read = _first(inside, "cached_tokens")
    if read is None:
        read = _first(usage, "prompt_cache_hit_tokens", "cached_tokens")
    write = _first(inside, *_WRITTEN)
    reasoning = _first(outside, "reasoning_tokens")
    if reasoning is None:
        reasoning = _first(usage, "reasoning_tokens")
    return Usage(
        fresh_input=None if prompt is None else max(prompt - (read or 0) - (write or 0), 0),
        cache_read=read,
        cache_write=write,
        output=_spoken(completion, reasoning, prompt, total),
        reasoning=reasoning,
        reported_total=total,
        extras=as_extras(_details(usage)),
    )


def _details(usage: JsonObject) -> JsonObject:
    """Return what is not modelled of the counts."""
    more = {key: value for key, value in usage.items() if key not in _COUNTS}
    for key in (_INSIDE, _OUTSIDE):
        if kept := {name: count for name, count in child(usage, key).items() if name not in _PARTS}:
            more[key] = kept
    return more


def _spoken(
    completion: int | None, reasoning: int | None, prompt: int | None, total: int | None
) -> int | None:
    """Return the generated tokens without reasoning."""
    if completion is None or not reasoning:
        return completion
    counts_apart = total is not None and total == (prompt or 0) + completion + reasoning
    if counts_apart or reasoning > completion:
        return completion
    return completion - reasoning


def is_known(usage: Usage) -> bool:
    """Whether an upstream said anything about its tokens."""
    return usage != Usage()


def encode_usage(usage: Usage) -> JsonObject:
    """Write disjoint counts as the wire's overlapping ones."""
    written: JsonObject = {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.total,
    }
    inside: JsonObject = {}
    if usage.cache_read is not None:
        inside["cached_tokens"] = usage.cache_read
    if usage.cache_write is not None:
        inside["cached_creation_tokens"] = usage.cache_write
    if inside:
        written[_INSIDE] = inside
    if usage.reasoning is not None:
        written[_OUTSIDE] = {"reasoning_tokens": usage.reasoning}
    grow(written, own(usage.extras))
    return written
