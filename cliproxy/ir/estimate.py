"""A token count without a tokenizer, for upstreams that cannot count.

Tokenizers first cut a text into words, numbers, signs and white space, and then these into pieces they know.
So does this, with the usual number of characters in a piece in place of a vocabulary: most words are one
token, numbers have three digits in each, signs come alone, and a single space belongs to the word behind it.
Media counts a flat amount, and every message and tool has a small overhead.

``python -m benchmarks estimate`` compares it with what a vendor's tokenizer counts. The result is an estimate
and is only used where nothing better is to be had.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from math import ceil
from typing import Final

from cliproxy.ir.request import (
    Audio,
    Document,
    Image,
    Inline,
    IRRequest,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.wire.jsontext import JsonObject, child, dumps_text, integer

CHARACTERS_PER_TOKEN: Final = 4.0
"""Of a text of which only the length is known."""
_SHORT_WORD: Final = 8


def _of_word(length: int) -> float:
    return 1.0 if length <= _SHORT_WORD else length / 5


_RUNS: Final[tuple[tuple[re.Pattern[str], Callable[[int], float]], ...]] = (
    (re.compile(r"[A-Za-z]+"), _of_word),
    (re.compile(r"[0-9]+"), lambda length: -(-length // 3)),
    (re.compile(r"\s{2,}|[^\S ]"), lambda _length: 1.0),
    (re.compile(r"(?:[^\w\s\u2E80-\U0010FFFF]|_)+"), lambda length: max(1.0, length / 3)),
)
"""Runs of one kind of character → how many tokens one has, by its length."""
_RUNS_BEYOND_ASCII: Final[tuple[tuple[re.Pattern[str], Callable[[int], float]], ...]] = (
    # Scripts that do without spaces, and pictures; then all others.
    (re.compile(r"[\u2E80-\U0010FFFF]+"), lambda length: length * 0.75),
    (re.compile(r"[^\W0-9_A-Za-z\u2E80-\U0010FFFF]+"), lambda length: max(1.0, length / 4)),
)
_LONG_STRING: Final = 4096
_ENCODED: Final = re.compile(rb"[A-Za-z0-9+/_-]{256}")
_LONGEST_ANSWER: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens")
"""What the dialects call the most tokens an answer may have."""
_WRAPPERS: Final = ("generationConfig", "request")
"""Members that it may stand in."""
USUAL_OUTPUT: Final = 1024
"""Tokens of an answer that nobody has bounded."""
MOST_OUTPUT: Final = 4096
"""Tokens of an answer that are expected at most: agents allow for many times what they get."""
MESSAGE_OVERHEAD: Final = 4
TOOL_OVERHEAD: Final = 8
IMAGE_TOKENS: Final = 1200
MEDIA_BYTES_PER_TOKEN: Final = 60


def estimate_text(text: str) -> int:
    """Estimate the tokens of a text."""
    kinds = _RUNS if text.isascii() else _RUNS + _RUNS_BEYOND_ASCII
    total = 0.0
    for pattern, tokens_of in kinds:
        for length, times in Counter(map(len, pattern.findall(text))).items():
            total += times * tokens_of(length)
    return round(total)


def estimate_tokens(request: IRRequest) -> int:
    """Estimate the prompt tokens of a request; at least 1."""
    total = sum(estimate_text(system.text) + MESSAGE_OVERHEAD for system in request.system)
    for message in request.messages:
        total += MESSAGE_OVERHEAD + sum(_part(part) for part in message.parts)
    for tool in request.tools:
        described = estimate_text(tool.name) + estimate_text(tool.description)
        schema = tool.schema or tool.raw or {}
        total += TOOL_OVERHEAD + described + estimate_text(dumps_text(dict(schema)))
    return max(total, 1)


def _part(part: Part) -> int:
    match part:
        case Text() | Refusal():
            return estimate_text(part.text)
        case Thinking():
            return estimate_text(part.text)
        case ToolCall():
            return estimate_text(part.name) + estimate_text(part.arguments) + MESSAGE_OVERHEAD
        case ToolResult():
            value = estimate_text(dumps_text(part.value)) if part.value is not None else 0
            return value + sum(_part(inner) for inner in part.parts) + MESSAGE_OVERHEAD
        case Image():
            return IMAGE_TOKENS
        case (
            Document(source=Inline() as source)
            | Audio(source=Inline() as source)
            | Video(source=Inline() as source)
        ):
            return len(source.data) // MEDIA_BYTES_PER_TOKEN + 1
        case Opaque():
            return estimate_text(dumps_text(dict(part.raw)))
        case _:
            return IMAGE_TOKENS


def estimate_body(raw: bytes) -> int:
    """Estimate the prompt tokens of a request that nobody has decoded, in next to no time; at least 1.

    Long strings of what looks like encoded data count as a picture each.
    """
    length, media = len(raw), 0
    if length > _LONG_STRING:
        for string in raw.split(b'"'):
            if len(string) > _LONG_STRING and _ENCODED.match(string, len(string) // 2):
                length -= len(string)
                media += 1
    return max(ceil(length / CHARACTERS_PER_TOKEN), 1) + media * IMAGE_TOKENS


def estimate_output(body: JsonObject) -> int:
    """Guess the tokens of the answer to a request, from the bound that it sets."""
    return next((min(bound, MOST_OUTPUT) for bound in _bounds(body)), USUAL_OUTPUT)


def _bounds(body: JsonObject) -> Iterator[int]:
    for name in _LONGEST_ANSWER:
        bound = integer(body, name) if name in body else None
        if bound is not None and bound > 0:
            yield bound
    for name in _WRAPPERS:
        if name in body:
            yield from _bounds(child(body, name))
