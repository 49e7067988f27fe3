"""Words of the Responses wire that several modules share, and the rules for ids.

Two dialect ids speak this wire: ``openai-response`` and its restriction ``codex``. What a decoder of one left
in extras, an encoder of the other may write: both keep theirs under :data:`DIALECT_ID`.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import CacheMark, Extras
from cliproxy.wire.jsontext import JsonObject, child, text

DIALECT_ID: Final = "openai-response"
CODEX_ID: Final = "codex"
KEPT_STATE: Final = "openai-response: kept"
"""The part of the API that is about what the vendor keeps between requests; not everybody who speaks the rest
speaks it."""
NATIVE: Final = frozenset({DIALECT_ID, CODEX_ID})

MAX_ID_LENGTH: Final = 64
ID_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fc",
    "custom_tool_call": "ctc_",
    "image_generation_call": "ig_",
}
"""Item type → what the ids of such items begin with; the vendor refuses others."""

REDACTED_PREFIX: Final = "claude-redacted-thinking:"
"""Marks encrypted content that is a Claude model's redacted thinking."""

CLIENT_METADATA: Final = "client_metadata"
"""What Codex says about itself; of all upstreams only its own backend knows the member."""

CACHE: Final = "cache_control"
"""Claude's wish to cache the prompt up to here. Some clients write it here, too, for models of that vendor;
the vendor of this wire does not take it."""

NAMESPACE_MARK: Final = "__"


def is_usable_id(item_type: str, item_id: str) -> bool:
    """Tell whether an upstream would accept the id of an item."""
    return 0 < len(item_id) <= MAX_ID_LENGTH and item_id.startswith(ID_PREFIXES.get(item_type, ""))


def flattened(namespace: str, child: str) -> str:
    """Return the one name that a tool inside a namespace has for dialects without namespaces."""
    if not namespace or child.startswith(("mcp__", namespace + NAMESPACE_MARK)):
        return child
    return namespace + child if namespace.endswith(NAMESPACE_MARK) else namespace + NAMESPACE_MARK + child


def split_name(name: str, namespace: str, ctx: ExchangeContext) -> tuple[str, str]:
    """Return (namespace, name inside it) of a tool known by its flattened client name."""
    known = ctx.namespaces.get(name)
    if known is not None:
        return known
    prefix = namespace if namespace.endswith(NAMESPACE_MARK) else namespace + NAMESPACE_MARK
    return namespace, name.removeprefix(prefix) if namespace else name


def native_extras(extras: Extras) -> JsonObject:
    """Return what a decoder of this wire left in a node."""
    return extras.get(DIALECT_ID, {})


def as_extras(members: JsonObject) -> Extras:
    """Wrap members of this wire as extras; nothing when there are none."""
    return {DIALECT_ID: members} if members else {}


def cache_of(node: JsonObject) -> CacheMark | None:
    """Read the wish to cache the prompt up to here."""
    mark = child(node, CACHE)
    return CacheMark(mark) if mark else None


def item_type(item: JsonObject) -> str:
    """Return the type of an item; an untyped item with a role is a message."""
    return text(item, "type") or ("message" if "role" in item else "")
