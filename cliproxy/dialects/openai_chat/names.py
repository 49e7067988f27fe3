"""Words of the chat wire that several modules share."""

from typing import Final

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import Extras, Family
from cliproxy.wire.jsontext import JsonObject

DIALECT_ID: Final = "openai"
RESPONSES_ID: Final = "openai-response"
"""The vendor's other dialect: built-in tools, uploaded files and service tiers mean the same in both."""

CHAT_CLIENTS: Final = frozenset({DIALECT_ID, "completions"})
"""Clients whose requests are written in this dialect's words."""
VENDOR_CLIENTS: Final = frozenset({*CHAT_CLIENTS, RESPONSES_ID, "codex"})

CUSTOM: Final = "custom"
FUNCTION: Final = "function"
FUNCTIONS: Final = "functions"
OLDER_CALL: Final = "function_call"
"""What a call was before there were several of them: member of messages, of requests and finish reason."""

MESSAGE: Final = "message"
"""In the extras of a choice: members of its message, or of a delta of it, that are not modelled."""
AUDIO: Final = "audio"
"""Kind of the opaque part that holds generated sound, and the member it stands in."""
IMAGE_URL: Final = "image_url"
"""Kind of the opaque part that holds a generated image which is not inline."""

DONE: Final = b"[DONE]"
"""The data of the frame that ends a stream."""


def own(extras: Extras) -> JsonObject:
    """Return what the decoder of this dialect left in a node."""
    return extras.get(DIALECT_ID, {})


def as_extras(members: JsonObject) -> Extras:
    """Wrap members of this dialect as extras; nothing when there are none."""
    return {DIALECT_ID: members} if members else {}


def is_from_chat(ctx: ExchangeContext) -> bool:
    """Whether the client speaks this dialect, so that what it said may be said again word for word."""
    return ctx.client_dialect in CHAT_CLIENTS


def is_vendors_own(ctx: ExchangeContext) -> bool:
    """Whether the model is one of the vendor's, whose API refuses what compatible servers have added."""
    return ctx.upstream_family is Family.GPT


def takes_free_text(ctx: ExchangeContext) -> bool:
    """Whether the upstream knows tools that take free text: the vendor's API, or one that a client of this
    dialect has written them for. Other servers refuse them; there they are functions with one text."""
    return is_vendors_own(ctx) or is_from_chat(ctx)
