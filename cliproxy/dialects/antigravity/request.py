"""Requests: a Gemini body in an envelope, in the habits of the service.

::

    {"model": "…", "userAgent": "antigravity", "requestType": "agent", "requestId": "agent-<uuid>",
     "request": {"contents": […], …, "sessionId": "-<digits>"}}

``project`` is not written here: the provider, which knows the credential, puts it into the finished body.
``sessionId`` is made of the first words of the user, so that the turns of a conversation share it and the
service finds what it has cached.

==================  =======================================  ==========================================
member              Claude models                            all others
==================  =======================================  ==========================================
function calling    mode ``VALIDATED`` unless it is off      as asked
maxOutputTokens     sent                                     left out: the service refuses it
thoughts            first in their turn, with a signature    as in Gemini
thinkingConfig      left out when a thought had to be        as asked
                    dropped, or the open calls were made
                    without one: Claude refuses to go on
==================  =======================================  ==========================================

For all models: declarations have ``parameters`` and structured answers a ``responseSchema``, media of a
result stand inside it, every call has its id, and there are no safety settings. A request for nothing but a
web search is another one: see :mod:`~cliproxy.dialects.antigravity.search`.
"""

import hashlib
from typing import Final

from attrs import evolve

from cliproxy.dialects.antigravity.search import is_search, search_body
from cliproxy.dialects.gemini.parts import CLIENTS
from cliproxy.dialects.gemini.request import Style, encode_body
from cliproxy.dialects.gemini.settings import CONFIG
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import Family, IRRequest, Message, Part, Text, Thinking, ToolCall, ToolResult
from cliproxy.ir.signatures import Replay, replay
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, objects, text

DIALECT_ID: Final = "antigravity"

STYLE: Final = Style(
    dialects=CLIENTS,
    schema_key="parameters",
    media_inside_results=True,
    writes_safety=False,
    writes_ids=True,
)
_DECLARATION: Final = frozenset(
    {
        "name",
        "description",
        "behavior",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
    }
)
_IMAGE: Final = "image"
"""What the names of models have in them that make images."""
_SIGN_BIT: Final = 1 << 63


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request with its envelope, which lacks the project."""
    if is_search(ctx.original, ctx):
        return _envelope(request.model, "web_search", f"agent-{_uuid(ctx)}", search_body(request, ctx))
    is_claude = ctx.upstream_family is Family.CLAUDE
    if is_claude:
        request = _thought_through(request, ctx)
    body = encode_body(request, ctx, STYLE)
    body.pop("safetySettings", None)
    config = child(body, CONFIG)
    if "responseJsonSchema" in config:
        config["responseSchema"] = config.pop("responseJsonSchema")
    _settle_tools(body, is_claude=is_claude)
    if not is_claude:
        _leave_length_open(body, ctx)
    if _IMAGE in request.model:
        return _envelope(request.model, "image_gen", _image_id(ctx), body)
    body["sessionId"] = session_id(request, ctx)
    return _envelope(request.model, "agent", f"agent-{_uuid(ctx)}", body)


def _envelope(model: str, kind: str, request_id: str, body: JsonObject) -> JsonObject:
    return {
        "model": model,
        "userAgent": DIALECT_ID,
        "requestType": kind,
        "requestId": request_id,
        "request": body,
    }


def _uuid(ctx: ExchangeContext) -> str:
    digits = ctx.random_hex(32)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _image_id(ctx: ExchangeContext) -> str:
    return f"image_gen/{int(ctx.now * 1000)}/{_uuid(ctx)}/12"


def session_id(request: IRRequest, ctx: ExchangeContext) -> str:
    """Return what the turns of a conversation have in common; without words it has nothing to go by."""
    words = (
        part.text
        for message in request.messages
        if message.role == "user"
        for part in message.parts
        if isinstance(part, Text) and part.text
    )
    first = next(words, None)
    if first is None:
        number = int(ctx.random_hex(16), 16)
    else:
        number = int.from_bytes(hashlib.sha256(first.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return f"-{number % _SIGN_BIT}"


# --- habits ---


def _settle_tools(body: JsonObject, *, is_claude: bool) -> None:
    """Leave in declarations what the service knows; a Claude model has to follow them to the letter."""
    has_functions = False
    for node in objects(body, "tools"):
        if "functionDeclarations" in node:
            has_functions = True
            declared: list[JsonValue] = [
                {key: value for key, value in declaration.items() if key in _DECLARATION}
                for declaration in objects(node, "functionDeclarations")
            ]
            node["functionDeclarations"] = declared
    if is_claude and has_functions:
        config = child(body, "toolConfig")
        calling = child(config, "functionCallingConfig")
        if text(calling, "mode") != "NONE":
            body["toolConfig"] = {**config, "functionCallingConfig": {**calling, "mode": "VALIDATED"}}


def _leave_length_open(body: JsonObject, ctx: ExchangeContext) -> None:
    config = child(body, CONFIG)
    if "maxOutputTokens" not in config:
        return
    ctx.note("max_tokens is not carried: the service takes it for Claude models only")
    rest: JsonObject = {name: value for name, value in config.items() if name != "maxOutputTokens"}
    if rest:
        body[CONFIG] = rest
    else:
        del body[CONFIG]


# --- thoughts of Claude models ---


def _thought_through(request: IRRequest, ctx: ExchangeContext) -> IRRequest:
    """Put thoughts first, drop those that the model would refuse, and settle whether it may think."""
    messages = [_with_thoughts_first(message) for message in request.messages]
    lost = sum(len(message.parts) for message in request.messages) - sum(
        len(message.parts) for message in messages
    )
    if lost:
        ctx.note("reasoning that the model cannot verify is not carried")
    request = evolve(request, messages=messages)
    if request.reasoning is not None and (lost or _has_thoughtless_loop(messages)):
        ctx.note("thinking was left out: thoughts of the history are missing")
        return evolve(request, reasoning=None)
    return request


def _with_thoughts_first(message: Message) -> Message:
    if message.role != "assistant":
        return message
    parts = [part for part in message.parts if not isinstance(part, Thinking) or _is_verifiable(part)]
    return evolve(message, parts=sorted(parts, key=lambda part: not isinstance(part, Thinking)))


def _is_verifiable(part: Part) -> bool:
    return isinstance(part, Thinking) and replay(part.signature, Family.CLAUDE) is Replay.KEEP


def _has_thoughtless_loop(messages: list[Message]) -> bool:
    """Tell whether the model is to go on with calls it made without thinking."""
    turns: list[Message] = []
    for message in reversed(messages):
        if message.role == "assistant":
            turns.append(message)
        elif not any(isinstance(part, ToolResult) for part in message.parts):
            break
    has_calls = any(isinstance(part, ToolCall) for turn in turns for part in turn.parts)
    return has_calls and not any(isinstance(part, Thinking) for turn in turns for part in turn.parts)
