"""The shape of a Messages request, facts about Claude models, and the vendor's error bodies."""

import re
from collections.abc import Mapping

from attrs import frozen

from emulators.check import (
    Anything,
    Bool,
    Either,
    List,
    Map,
    Num,
    Obj,
    Opt,
    Problem,
    Spec,
    Str,
    Tagged,
    dotted,
)
from emulators.values import Answer, HeaderList, JsonObject, Refusal, as_text, json_answer

TOOL_NAME = r"[a-zA-Z0-9_-]{1,128}"
TOOL_ID = r"[a-zA-Z0-9_-]+"
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
EFFORTS = ("low", "medium", "high", "xhigh", "max")

MAX_OUTPUT: Mapping[str, int] = {
    "claude-3-5-haiku-20241022": 8192,
    "claude-3-7-sonnet-20250219": 64000,
    "claude-sonnet-4-20250514": 64000,
    "claude-opus-4-20250514": 32000,
    "claude-opus-4-1-20250805": 32000,
    "claude-haiku-4-5-20251001": 64000,
    "claude-sonnet-4-5-20250929": 64000,
    "claude-opus-4-5-20251101": 64000,
    "claude-sonnet-4-6": 64000,
    "claude-opus-4-6": 128000,
    "claude-opus-4-7": 128000,
    "claude-opus-4-8": 128000,
    "claude-fable-5": 128000,
    "claude-fable-5-1": 128000,
    "claude-sonnet-5": 128000,
    "claude-opus-5": 128000,
}
ALIASES = {
    "claude-3-5-haiku-latest": "claude-3-5-haiku-20241022",
    "claude-opus-4-1": "claude-opus-4-1-20250805",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
}


@frozen
class Model:
    """Facts about one model, told from its name."""

    name: str

    @property
    def generation(self) -> tuple[int, int]:
        """Major and minor version: `claude-opus-4-7` is (4, 7), `claude-opus-4-20250514` is (4, 0)."""
        found = re.search(r"(?:opus|sonnet|haiku|fable)-(\d)(?:-(\d{1,2}))?(?!\d)", self.name)
        if found is None:
            old = re.search(r"claude-(\d)-(\d)-", self.name)
            return (int(old.group(1)), int(old.group(2))) if old else (5, 0)
        return int(found.group(1)), int(found.group(2) or 0)

    @property
    def max_output(self) -> int:
        """The most tokens one answer may have."""
        return MAX_OUTPUT.get(ALIASES.get(self.name, self.name), 64000)

    @property
    def thinks(self) -> bool:
        """Whether extended thinking exists at all."""
        return self.generation >= (3, 7)

    @property
    def takes_budget(self) -> bool:
        """Whether thinking is set by a budget of tokens."""
        return self.thinks and self.generation < (4, 7)

    @property
    def adapts(self) -> bool:
        """Whether thinking can be left to the model."""
        return self.generation >= (4, 6)

    @property
    def efforts(self) -> tuple[str, ...]:
        """Values of `output_config.effort`."""
        if self.generation >= (4, 7):
            return EFFORTS
        if self.generation >= (4, 6):
            return ("low", "medium", "high", "max")
        return ("low", "medium", "high") if self.name.startswith("claude-opus-4-5") else ()

    @property
    def one_sampling(self) -> bool:
        """Whether `temperature` and `top_p` exclude each other."""
        return self.generation >= (4, 1)

    @property
    def no_sampling(self) -> bool:
        """Whether `temperature`, `top_p` and `top_k` are gone."""
        return self.generation >= (4, 7)

    @property
    def takes_prefill(self) -> bool:
        """Whether the conversation may end with the beginning of the answer."""
        return self.generation < (4, 6)


_FREE = Anything()
CACHE = Opt(
    Obj({"type": Str(choices=("ephemeral",)), "ttl": Str(choices=("5m", "1h")), "scope": _FREE}, ("type",))
)
_CITED = Opt(Obj({"enabled": Bool()}))
_IMAGE_SOURCE = Tagged(
    "type",
    {
        "base64": Obj(
            {"type": Str(), "media_type": Str(choices=PICTURES), "data": Str(low=1)}, ("media_type", "data")
        ),
        "url": Obj({"type": Str(), "url": Str(low=1)}, ("url",)),
        "file": Obj({"type": Str(), "file_id": Str(low=1)}, ("file_id",)),
    },
)
_DOCUMENT_SOURCE = Tagged(
    "type",
    {
        "base64": Obj(
            {"type": Str(), "media_type": Str(choices=("application/pdf",)), "data": Str(low=1)},
            ("media_type", "data"),
        ),
        "text": Obj(
            {"type": Str(), "media_type": Str(choices=("text/plain",)), "data": Str()}, ("media_type", "data")
        ),
        "url": Obj({"type": Str(), "url": Str(low=1)}, ("url",)),
        "file": Obj({"type": Str(), "file_id": Str(low=1)}, ("file_id",)),
        "content": Obj({"type": Str(), "content": Either((Str(), List(Map())))}, ("content",)),
    },
)


def _block(required: tuple[str, ...], **fields: Spec) -> Obj:
    return Obj({"type": Str(), "cache_control": CACHE, **fields}, required)


_TEXT = _block(("text",), text=Str(), citations=Opt(List(Map())))
_IMAGE = _block(("source",), source=_IMAGE_SOURCE, transformations=_FREE)
_DOCUMENT = _block(
    ("source",), source=_DOCUMENT_SOURCE, title=Opt(Str()), context=Opt(Str()), citations=_CITED
)
_SEARCH = _block(
    ("source", "title", "content"), source=Str(), title=Str(), content=List(Map()), citations=_CITED
)
_RESULT_PART = Tagged(
    "type",
    {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "search_result": _SEARCH,
        "tool_reference": _block(("tool_name",), tool_name=Str()),
    },
)
_TOOL_RESULT = _block(
    ("tool_use_id",),
    tool_use_id=Str(pattern=TOOL_ID),
    content=Either((Str(), List(_RESULT_PART))),
    is_error=Bool(),
    toolset_name=Opt(Str()),
)
_TOOL_USE = _block(
    ("id", "name", "input"),
    id=Str(pattern=TOOL_ID),
    name=Str(low=1, high=200),
    input=Map(),
    caller=_FREE,
    toolset_name=Opt(Str()),
)
USER_BLOCK = Tagged(
    "type",
    {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "search_result": _SEARCH,
        "tool_result": _TOOL_RESULT,
        "container_upload": Map(),
    },
)
_SERVER_BLOCKS = (
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_use",
    "mcp_tool_result",
    "compaction",
)
ASSISTANT_BLOCK = Tagged(
    "type",
    {
        "text": _TEXT,
        "tool_use": _TOOL_USE,
        "thinking": Obj({"type": Str(), "thinking": Str(), "signature": Str()}, ("thinking", "signature")),
        "redacted_thinking": Obj({"type": Str(), "data": Str()}, ("data",)),
        **{name: Map() for name in _SERVER_BLOCKS},
    },
)
_SYSTEM_BLOCK = Tagged("type", {"text": _TEXT})
_CLIENT_TOOL = Obj(
    {
        "type": Opt(Str(choices=("custom",))),
        "name": Str(pattern=TOOL_NAME),
        "description": Str(),
        "input_schema": Map(),
        "cache_control": CACHE,
        "strict": Bool(),
        "input_examples": List(Map()),
        "defer_loading": Bool(),
        "eager_input_streaming": Opt(Bool()),
        "allowed_callers": List(Str()),
    },
    ("name", "input_schema"),
)
_PARALLEL = Bool()
_CHOICE = Tagged(
    "type",
    {
        "auto": Obj({"type": Str(), "disable_parallel_tool_use": _PARALLEL}),
        "any": Obj({"type": Str(), "disable_parallel_tool_use": _PARALLEL}),
        "tool": Obj({"type": Str(), "name": Str(), "disable_parallel_tool_use": _PARALLEL}, ("name",)),
        "none": Obj({"type": Str()}),
    },
)
_DISPLAY = Opt(Str(choices=("summarized", "omitted")))
_THINKING = Tagged(
    "type",
    {
        "enabled": Obj(
            {"type": Str(), "budget_tokens": Num(whole=True, low=1024), "display": _DISPLAY},
            ("budget_tokens",),
        ),
        "adaptive": Obj({"type": Str(), "display": _DISPLAY}),
        "disabled": Obj({"type": Str()}),
    },
)
_OUTPUT = Obj(
    {
        "effort": Opt(Str(choices=EFFORTS)),
        "format": Opt(
            Obj({"type": Str(choices=("json_schema",)), "schema": Map()}, ("type", "schema")),
        ),
    }
)
_SHARED: dict[str, Spec] = {
    "model": Str(low=1),
    "messages": List(Map(), low=1),
    "system": Either((Str(), List(_SYSTEM_BLOCK))),
    "tools": List(Map()),
    "tool_choice": _CHOICE,
    "thinking": _THINKING,
    "output_config": _OUTPUT,
    "cache_control": CACHE,
}
COUNT_BODY = Obj(_SHARED, ("model", "messages"))
BODY = Obj(
    {
        **_SHARED,
        "max_tokens": Num(whole=True, low=1),
        "stream": Bool(),
        "temperature": Num(low=0, high=1),
        "top_p": Num(low=0, high=1),
        "top_k": Num(whole=True, low=0),
        "stop_sequences": List(Str()),
        "metadata": Obj({"user_id": Opt(Str(high=512))}),
        "service_tier": Str(choices=("auto", "standard_only")),
        "container": _FREE,
        "inference_geo": Opt(Str()),
    },
    ("model", "messages", "max_tokens"),
)
BETA_FIELDS: Mapping[str, str] = {
    "context_management": "context-management-2025-06-27",
    "mcp_servers": "mcp-client-2025-11-20",
    "speed": "fast-mode-2026-02-01",
}
"""Body members that exist only with their beta."""


def check_tool(tool: JsonObject, at: int) -> None:
    """A tool of the client has a schema; one of the server has a dated type."""
    kind = as_text(tool.get("type"))
    path: tuple[str | int, ...] = ("tools", at)
    if kind not in {"", "custom"}:
        if not re.search(r"_\d{8}$", kind):
            raise Problem("choice", (*path, "type"), found=kind, choices=("custom", "bash_20250124"))
        return
    _CLIENT_TOOL.check(tool, (*path, "custom"))
    schema = tool["input_schema"]
    where = f"tools.{at}.custom.input_schema"
    if not isinstance(schema, dict) or "type" not in schema:
        raise refuse(f"{where}.type: Field required")
    if schema["type"] != "object":
        raise refuse(f"{where}.type: Input should be 'object'")
    if any(word in schema for word in ("oneOf", "allOf", "anyOf")):
        text = "input_schema does not support oneOf, allOf, or anyOf at the top level"
        raise refuse(f"{where}: {text}")


KINDS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES: Mapping[int, str] = {
    401: "invalid x-api-key",
    403: "Your API key does not have permission to use the specified resource.",
    404: "model: claude-unknown",
    429: "This request would exceed your organization's rate limit. Please try again later.",
    500: "Internal server error",
    529: "Overloaded",
}


def error_body(status: int, message: str, kind: str = "") -> JsonObject:
    """The error object of every Claude endpoint."""
    error: JsonObject = {"type": kind or KINDS.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": "req_emulated"}


def refuse(message: str, status: int = 400) -> Refusal:
    """A refusal with the vendor's error body."""
    answer = json_answer(error_body(status, message), status, (("request-id", "req_emulated"),))
    return Refusal(answer, message)


def failure(status: int, details: JsonObject) -> Answer:
    """The vendor's error reply for a status, with the rate limit headers of a 429."""
    message = as_text(details.get("message")) or _MESSAGES.get(status, "Internal server error")
    headers: HeaderList = (("request-id", "req_emulated"),)
    if status == 429:
        headers += (("anthropic-ratelimit-unified-status", "rejected"),)
    return json_answer(error_body(status, message, as_text(details.get("type"))), status, headers)


_TYPES = {
    "string": "a valid string",
    "integer": "a valid integer",
    "number": "a valid number",
    "boolean": "a valid boolean",
    "array": "a valid list",
    "object": "a valid dictionary",
}


def worded(problem: Problem) -> Refusal:
    """A structural problem in the vendor's words."""
    where, figures = dotted(problem.path), problem.figures
    match problem.kind:
        case "unknown":
            text = "Extra inputs are not permitted"
        case "missing":
            text = "Field required"
        case "type":
            text = f"Input should be {_TYPES.get(str(figures['expected']), 'a valid value')}"
        case "choice":
            choices = figures["choices"]
            names = [f"'{name}'" for name in choices] if isinstance(choices, tuple) else []
            text = f"Input should be {' or '.join(names)}"
        case "pattern":
            text = f"String should match pattern '^{figures['pattern']}$'"
        case "small":
            text = f"Input should be greater than or equal to {figures['low']}"
        case "big":
            text = f"Input should be less than or equal to {figures['high']}"
        case _:
            word = "at least" if problem.kind == "short" else "at most"
            bound = figures.get("low") if problem.kind == "short" else figures["high"]
            text = f"{figures['of']} should have {word} {bound} items or characters"
    return refuse(f"{where}: {text}")
