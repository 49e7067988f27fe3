"""A token count without a tokenizer, for upstreams that cannot count.

The rule of thumb of the vendors' own documents, four characters of English to a token, made a little finer:
characters of scripts without spaces count as one token each, media counts a flat amount, and every message
and tool has a small overhead. The result is an estimate and is only used where nothing better is to be had.
"""

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
from cliproxy.wire.jsontext import dumps_text

CHARACTERS_PER_TOKEN: Final = 4.0
DENSE_FROM: Final = 0x2E80
"""First code point of the scripts in which a character is about a token."""
MESSAGE_OVERHEAD: Final = 4
TOOL_OVERHEAD: Final = 8
IMAGE_TOKENS: Final = 1200
MEDIA_BYTES_PER_TOKEN: Final = 60


def estimate_text(text: str) -> int:
    """Estimate the tokens of a text."""
    if text.isascii():
        return round(len(text) / CHARACTERS_PER_TOKEN)
    dense = sum(1 for character in text if ord(character) >= DENSE_FROM)
    return round(dense + (len(text) - dense) / CHARACTERS_PER_TOKEN)


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
