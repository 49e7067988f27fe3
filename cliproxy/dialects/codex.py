"""The Codex backend's narrower form of the Responses API. Only upstreams speak it; it always streams.

Everything is the Responses wire except what a request may say. The backend keeps nothing (``store`` is false,
reasoning comes back encrypted), takes no sampling or length settings, wants ``instructions`` even if they are
empty, and calls system messages ``developer``. A request that goes on from something kept is refused: the
rest of its conversation is missing.

=====================  ===================================================================================
member                 what is sent
=====================  ===================================================================================
stream, store          true, false
include                encrypted reasoning, and nothing else
instructions           a Responses client's own, else empty; other system text becomes developer messages
parallel_tool_calls    the client's word, else true
service_tier           ``priority`` or nothing
:data:`REFUSED`        never
=====================  ===================================================================================
"""

from typing import Final

from attrs import evolve

from cliproxy.dialects.openai_responses import DIALECT as RESPONSES
from cliproxy.dialects.openai_responses.names import CODEX_ID, KEPT_STATE
from cliproxy.dialects.openai_responses.request import ENCRYPTED_REASONING, encode_body
from cliproxy.dialects.openai_responses.tools import WEB_SEARCH
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, items, text

__all__ = ["DIALECT"]

REFUSED: Final = (
    *("max_output_tokens", "max_completion_tokens", "max_tokens", "temperature", "top_p", "truncation"),
    *("context_management", "user", "previous_response_id", "prompt_cache_retention", "safety_identifier"),
    *("prompt_cache_options", "generate", "metadata", "background", "conversation", "stop", "stop_sequences"),
)
"""Members the backend answers with an error, some of them because it keeps nothing."""

_PRIORITY: Final = frozenset({"priority", "fast"})
"""Two words of the public API for one tier, of which the backend knows the first."""
_PREVIEW: Final = "web_search_preview"
_SUMMARY_DELIVERY: Final = "reasoning_summary_delivery"
"""The one stream option the backend takes."""


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request for the Codex backend."""
    body = encode_body(request, ctx, as_developer_messages=True)
    for member in REFUSED:
        if body.pop(member, None) is not None:
            ctx.note(f"the upstream does not take {member}")
    body["stream"] = True
    body["store"] = False
    body["include"] = [ENCRYPTED_REASONING]
    body["parallel_tool_calls"] = request.parallel_tool_calls is not False
    body.setdefault("instructions", "")
    body["input"] = [_item(item) for item in items(body, "input") if not _is_reference(item, ctx)]
    _settle_tier(body)
    _settle_stream_options(body)
    _settle_web_search(body)
    return body


def _is_reference(item: JsonValue, ctx: ExchangeContext) -> bool:
    if not (isinstance(item, dict) and text(item, "type") == "item_reference"):
        return False
    ctx.note("a reference to stored reasoning was dropped: the upstream stores none")
    return True


def _item(item: JsonValue) -> JsonValue:
    """Rename the system's role, and take caching hints out of the content."""
    if not isinstance(item, dict) or text(item, "type") != "message":
        return item
    content: list[JsonValue] = [_without_hint(part) for part in items(item, "content")]
    renamed = {"role": "developer"} if text(item, "role") == "system" else {}
    return {**item, **renamed, "content": content}


def _without_hint(part: JsonValue) -> JsonValue:
    if not isinstance(part, dict) or "prompt_cache_breakpoint" not in part:
        return part
    return {key: value for key, value in part.items() if key != "prompt_cache_breakpoint"}


def _settle_tier(body: JsonObject) -> None:
    if body.pop("service_tier", None) in _PRIORITY:
        body["service_tier"] = "priority"


def _settle_stream_options(body: JsonObject) -> None:
    options = child(body, "stream_options")
    body.pop("stream_options", None)
    if _SUMMARY_DELIVERY in options:
        body["stream_options"] = {_SUMMARY_DELIVERY: options[_SUMMARY_DELIVERY]}


def _settle_web_search(body: JsonObject) -> None:
    """Call web search by its final name, in the tools and in the tool choice."""
    if "tools" in body:
        body["tools"] = [_final_name(tool) for tool in items(body, "tools")]
    choice = child(body, "tool_choice")
    if choice:
        allowed: list[JsonValue] = [_final_name(tool) for tool in items(choice, "tools")]
        body["tool_choice"] = _final_name({**choice, "tools": allowed} if allowed else choice)


def _final_name(tool: JsonValue) -> JsonValue:
    if isinstance(tool, dict) and text(tool, "type").startswith(_PREVIEW):
        return {**tool, "type": WEB_SEARCH}
    return tool


DIALECT = evolve(
    RESPONSES,
    id=CODEX_ID,
    endpoints=(),
    encode_request=encode_request,
    kept=None,
    rules=evolve(RESPONSES.rules, speaks=RESPONSES.rules.speaks - {KEPT_STATE}, drops_orphan_results=True),
)
