"""Requests: ``contents``, ``systemInstruction``, ``tools`` and ``generationConfig``, in both directions.

**Signatures.** Gemini refuses a history in which the first function call of a model turn is unsigned, and
accepts a published placeholder where nobody has a signature. So the first call of each turn is written with
its own signature or the placeholder, later calls with their own or none, and visible text keeps its own.
Newer models that draw want every image of theirs signed, which the placeholder does as well.
A thought is only worth sending back with a signature that the target can verify, or when the client, speaking
this dialect, sent it unsigned itself.

**Relatives.** Code Assist and its kin wrap the same body in an envelope and differ in a few habits;
:class:`Style` names them, so that their dialects can reuse :func:`encode_body`.
"""

import re
from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field, frozen

from cliproxy.dialects.gemini.parts import (
    CLIENTS,
    DIALECT_ID,
    TEXTS,
    Media,
    decode_parts,
    encode_call,
    encode_media,
    encode_result,
    with_extras,
)
from cliproxy.dialects.gemini.settings import CONFIG, decode_settings, encode_settings
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.dialects.gemini.tools import decode_choice, decode_tools, encode_choice, encode_tools
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    Audio,
    Document,
    Essential,
    Family,
    Image,
    IRRequest,
    Message,
    Meta,
    Opaque,
    Part,
    Refusal,
    Role,
    Signature,
    SystemText,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.ir.signatures import GEMINI_PLACEHOLDER, Replay, read, replay
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, objects, rest, text

_ROLES: Final[dict[str, Role]] = {"model": "assistant", "user": "user", "function": "user", "tool": "user"}
_MODELLED: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", CONFIG, "model", "generateContentRequest"}
)
_PLAIN_CONTENT: Final = frozenset({"role", "parts"})
"""All that most contents have."""

SAFETY_OFF: Final[list[JsonValue]] = [
    {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"},
    {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "OFF"},
    {"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "threshold": "OFF"},
    {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "OFF"},
    {"category": "HARM_CATEGORY_CIVIC_INTEGRITY", "threshold": "BLOCK_NONE"},
]
"""For clients of dialects that cannot say anything about it and expect the model's own judgement."""

_OLD_GENERATION: Final = re.compile(r"gemini-(?:1|2)(?:\.\d+)?-|gemini-pro")
"""Models that pair results with calls by name and order, and check no signatures."""


@frozen(kw_only=True)
class Style:
    """The habits in which relatives of this dialect differ."""

    dialects: frozenset[str] = CLIENTS
    """Client dialects that say everything this one can say."""
    schema_key: str = "parametersJsonSchema"
    media_inside_results: bool = False
    """Media of a tool's answer go into the ``functionResponse`` rather than beside it."""
    writes_safety: bool = True
    writes_ids: bool = False
    """Every call carries its id; otherwise only where the model reads them."""


API_STYLE: Final = Style()


# --- reading ---


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request, or the request inside a token count. Raises :class:`~cliproxy.errors.DialectError`."""
    node = camel(body)
    if isinstance(node.get("generateContentRequest"), dict):
        node = camel(child(node, "generateContentRequest"))
    config = node.get(CONFIG)
    if config is not None and not isinstance(config, dict):
        raise DialectError(f"`{CONFIG}` must be an object", CONFIG)
    settings = decode_settings(child(node, CONFIG))
    tool_config = camel(child(node, "toolConfig"))
    extras = {key: value for key, value in node.items() if key not in _MODELLED}
    if unread := rest(tool_config, "functionCallingConfig"):
        extras["toolConfig"] = unread
    if settings.rest:
        extras[CONFIG] = settings.rest
    return IRRequest(
        model=ctx.requested_model or text(node, "model").removeprefix("models/"),
        messages=_decode_contents(node),
        system=_decode_system(node.get("systemInstruction")),
        essentials=_essentials(node),
        tools=decode_tools(node),
        tool_choice=decode_choice(tool_config),
        sampling=settings.sampling,
        output=settings.output,
        reasoning=settings.reasoning,
        meta=Meta(modalities=settings.modalities, image=settings.image),
        extras={DIALECT_ID: extras} if extras else {},
    )


def _essentials(node: JsonObject) -> list[Essential]:
    """Name what the conversation cannot do without and only this API can look up."""
    return [Essential(DIALECT_ID, "cached content", "cachedContent")] if node.get("cachedContent") else []


def _decode_contents(node: JsonObject) -> list[Message]:
    contents = node.get("contents")
    if contents is None:
        raise DialectError("`contents` is required", "contents")
    if isinstance(contents, dict | str):
        contents = [contents]
    if not isinstance(contents, list):
        raise DialectError("`contents` must be a list", "contents")
    messages: list[Message] = []
    previous: Role = "assistant"
    for number, raw in enumerate(contents):
        message = _decode_content(raw, number, previous)
        if messages and previous == message.role == "assistant":
            messages[-1] = _continued(messages[-1], message)
        else:
            messages.append(message)
        previous = message.role
    return [_whole(message) if message.role == "assistant" else message for message in messages]


def _continued(turn: Message, more: Message) -> Message:
    """Put two contents of the model together."""
    return evolve(turn, parts=[*turn.parts, *more.parts], extras={**turn.extras, **more.extras})


def _whole(turn: Message) -> Message:
    """Put the pieces of a text of the model together.

    The vendor's Python client keeps every chunk of a stream, as a part or as a content of its own, and sends
    them back like that: a thought in pieces, and its signature, which covers all of them, in a further one.
    """
    texts = [part for part in turn.parts if isinstance(part, TEXTS)]
    if len(texts) < 2:  # noqa: PLR2004 - no pieces
        return turn
    parts: list[Part] = []
    for part in turn.parts:
        if parts and (joined := _joined(parts[-1], part)) is not None:
            parts[-1] = joined
        else:
            parts.append(part)
    return evolve(turn, parts=parts) if len(parts) < len(turn.parts) else turn


def _joined(last: Part, piece: Part) -> Part | None:
    if (
        not isinstance(last, Text | Thinking)
        or type(last) is not type(piece)
        or last.signature
        or last.extras
    ):
        return None
    assert isinstance(piece, Text | Thinking)
    return evolve(piece, text=last.text + piece.text)


def _decode_content(raw: JsonValue, number: int, previous: Role) -> Message:
    if isinstance(raw, str):
        return Message("user", [Text(raw)])
    if not isinstance(raw, dict):
        raise DialectError(f"`contents[{number}]` must be an object", f"contents[{number}]")
    given = raw.get("role")
    if given is not None and not isinstance(given, str):
        where = f"contents[{number}].role"
        raise DialectError(f"`{where}` must be a string", where)
    # A role that is missing or unknown: turns alternate, and the user begins.
    role = _ROLES.get(given or "", "user" if previous == "assistant" else "assistant")
    where = f"contents[{number}].parts"
    message = Message(role, decode_parts(_parts_of(raw, where), where))
    if not _PLAIN_CONTENT.issuperset(raw):
        message.extras = _own(rest(raw, "role", "parts"))
    return message


def _parts_of(raw: JsonObject, where: str) -> list[JsonValue]:
    parts = raw.get("parts")
    if isinstance(parts, list):
        return parts
    if parts is None:
        return []
    if isinstance(parts, dict | str):
        return [parts]
    raise DialectError(f"`{where}` must be a list", where)


def _own(extras: JsonObject) -> dict[str, JsonObject]:
    return {DIALECT_ID: extras} if extras else {}


def _decode_system(raw: JsonValue) -> list[SystemText]:
    match raw:
        case None:
            return []
        case str():
            said: list[JsonValue] = [raw]
        case dict():
            said = _parts_of(raw, "systemInstruction.parts")
        case list():
            said = raw
        case _:
            raise DialectError("`systemInstruction` must be an object", "systemInstruction")
    parts = decode_parts(said, "systemInstruction.parts")
    return [SystemText(part.text) for part in parts if isinstance(part, Text) and part.text.strip()]


# --- writing ---


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request. The model's name is not part of it: it stands in the address."""
    return encode_body(request, ctx, API_STYLE)


def may_pass(body: JsonObject, model: str) -> bool:
    """Tell whether a raw body can go to an upstream of this dialect as it is.

    It cannot when the upstream would refuse it for something that decoding and encoding repairs: a content
    without a role, a result without a name or with a signature, a signature of another family or, for newer
    models, a turn whose first call or whose images are not signed. Clients that were answered from other
    upstreams before send such histories.
    """
    contents = camel(child(body, "generateContentRequest") or body).get("contents")
    if not isinstance(contents, list):
        return True
    role: JsonValue = None
    is_signed = is_old = is_old_generation(model)
    for content in contents:
        if not isinstance(content, dict):
            return False
        # Contents of the model that follow one another are one turn.
        is_signed = is_old or (is_signed and content.get("role") == role)
        role = content.get("role")
        if not _is_in_order(content, needs_signature=not is_signed, is_old=is_old):
            return False
        is_signed = is_signed or any("functionCall" in camel(part) for part in objects(content, "parts"))
    return True


def is_old_generation(model: str) -> bool:
    """Tell whether a model is older than signatures and ids of calls."""
    return _OLD_GENERATION.match(model.rpartition("/")[2]) is not None


def _is_in_order(content: JsonObject, *, needs_signature: bool, is_old: bool) -> bool:
    parts = [camel(part) for part in objects(content, "parts")]
    calls = [part for part in parts if "functionCall" in part]
    results = [child(part, "functionResponse") for part in parts if "functionResponse" in part]
    signatures = [value for part in parts if (value := text(part, "thoughtSignature"))]
    drawn = [part for part in parts if "inlineData" in part and content.get("role") == "model"]
    return (
        content.get("role") in _ROLES
        and not (needs_signature and calls and not text(calls[0], "thoughtSignature"))
        and (is_old or all(text(part, "thoughtSignature") for part in drawn))
        and all(text(result, "name") for result in results)
        and not any("functionResponse" in part and "thoughtSignature" in part for part in parts)
        and all(read(value, Family.GEMINI) == Signature(value, Family.GEMINI) for value in signatures)
    )


def encode_body(request: IRRequest, ctx: ExchangeContext, style: Style) -> JsonObject:
    """Write a request in the style of this dialect or a relative."""
    own = dict(request.extras.get(DIALECT_ID, {}))
    own.pop(CONFIG, None)
    body: JsonObject = {"contents": list[JsonValue](_Contents(request, ctx, style).written())}
    if request.system:
        parts: list[JsonValue] = [{"text": said.text} for said in request.system]
        body["systemInstruction"] = {"role": "user", "parts": parts}
    if tools := encode_tools(request, style.schema_key, ctx):
        body["tools"] = tools
    tool_config = {**child(own, "toolConfig")}
    if calling := encode_choice(request):
        tool_config["functionCallingConfig"] = calling
    own.pop("toolConfig", None)
    if tool_config and "tools" in body:
        body["toolConfig"] = tool_config
    if config := encode_settings(request, ctx):
        body[CONFIG] = config
    if style.writes_safety and ctx.client_dialect not in style.dialects:
        body["safetySettings"] = list(SAFETY_OFF)
    _note_losses(request, ctx)
    return {**body, **own}


def _note_losses(request: IRRequest, ctx: ExchangeContext) -> None:
    if request.parallel_tool_calls is False:
        ctx.note("parallel_tool_calls is not carried")
    for name in ("user", "metadata", "service_tier", "prompt_cache_key", "verbosity"):
        if getattr(request.meta, name) is not None:
            ctx.note(f"{name} is not carried")


@define(eq=False)
class _Contents:
    """Writes the conversation of one request."""

    request: IRRequest
    ctx: ExchangeContext
    style: Style
    _family: Family = field(init=False)
    _names: dict[str, str] | None = field(default=None, init=False)
    """Call id → function name."""
    _is_old: bool = field(init=False)
    _writes_ids: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        family = self.ctx.upstream_family
        self._family = Family.GEMINI if family is Family.UNKNOWN else family
        self._is_old = is_old_generation(self.ctx.upstream_model)
        self._writes_ids = self.style.writes_ids or self._speaks_our_language() or not self._is_old

    def written(self) -> Iterator[JsonObject]:
        """Yield the contents that have parts."""
        for message in self.request.messages:
            parts = self._turn(message) if message.role == "assistant" else self._said(message)
            if parts:
                role = "model" if message.role == "assistant" else "user"
                content: JsonObject = {"role": role, "parts": [*parts]}
                yield with_extras(content, message.extras)

    def _speaks_our_language(self) -> bool:
        return self.ctx.client_dialect in self.style.dialects

    def _turn(self, message: Message) -> list[JsonObject]:
        """Write a model turn: its first call is signed, come what may."""
        parts: list[JsonObject] = []
        is_first = self._family is Family.GEMINI
        for part in message.parts:
            if isinstance(part, ToolCall):
                parts.append(self._call(part, needs_signature=is_first))
                is_first = False
            elif isinstance(part, Image):
                parts += self._drawn(part)
            else:
                parts += self._part(part)
        return parts

    def _said(self, message: Message) -> list[JsonObject]:
        """Write a user turn: results first and together, media of them right behind."""
        parts: list[JsonObject] = []
        beside: list[JsonObject] = []
        others: list[JsonObject] = []
        for part in message.parts:
            if isinstance(part, ToolResult):
                written, media = self._result(part)
                parts.append(written)
                beside += media
            else:
                others += self._part(part)
        return [*parts, *beside, *others]

    def _part(self, part: Part) -> list[JsonObject]:
        match part:
            case Text() | Refusal():
                return self._text(part)
            case Thinking():
                return self._thought(part)
            case Image() | Document() | Audio() | Video():
                return self._media(part)
            case Opaque(dialect=dialect, raw=raw) if dialect in self.style.dialects:
                return [raw]
            case ToolCall():
                return [self._call(part, needs_signature=self._family is Family.GEMINI)]
            case ToolResult():
                written, media = self._result(part)
                return [written, *media]
            case _:
                self.ctx.note(f"a part of kind {part.kind} ({part.dialect}) is not carried")
                return []

    def _text(self, part: Text | Refusal) -> list[JsonObject]:
        signature = self._kept(part.signature) if isinstance(part, Text) else ""
        if not part.text and not signature:
            return []
        node: JsonObject = {"text": part.text}
        if signature:
            node["thoughtSignature"] = signature
        return [with_extras(node, part.extras) if isinstance(part, Text) else node]

    def _thought(self, part: Thinking) -> list[JsonObject]:
        signature = self._kept(part.signature or part.redacted)
        if part.redacted is not None and not part.text:
            return [{"text": "", "thoughtSignature": signature}] if signature else []
        unsigned_own = part.text and self._speaks_our_language()
        if not signature and not unsigned_own:
            self.ctx.note("reasoning that the model cannot verify is not carried")
            return []
        node: JsonObject = {"text": part.text, "thought": True}
        if signature:
            node["thoughtSignature"] = signature
        return [with_extras(node, part.extras)]

    def _media(self, part: Media) -> list[JsonObject]:
        node = encode_media(part)
        if node is None:
            self.ctx.note("media at an address that the upstream does not fetch from is not carried")
            return []
        signature = self._kept(part.signature) if isinstance(part, Image) else ""
        return [{**node, "thoughtSignature": signature}] if signature else [node]

    def _drawn(self, part: Image) -> list[JsonObject]:
        """Write an image that the model made; newer models want it signed to go on drawing."""
        nodes = self._media(part)
        if self._family is not Family.GEMINI or self._is_old:
            return nodes
        return [{"thoughtSignature": GEMINI_PLACEHOLDER, **node} for node in nodes]

    def _call(self, part: ToolCall, *, needs_signature: bool) -> JsonObject:
        node = encode_call(part, id=part.id) if part.id and self._writes_ids else encode_call(part)
        signature = self._kept(part.signature) or (GEMINI_PLACEHOLDER if needs_signature else "")
        return node | {"thoughtSignature": signature} if signature else node

    def _result(self, part: ToolResult) -> tuple[JsonObject, list[JsonObject]]:
        head: JsonObject = {"id": part.call_id} if part.call_id and self._writes_ids else {}
        name = part.name or self._name_of(part.call_id) or part.call_id or "unknown"
        node, media = encode_result(part, **head, name=name)
        written = [encoded for medium in media for encoded in self._media(medium)]
        if written and self.style.media_inside_results:
            node["functionResponse"] = {**child(node, "functionResponse"), "parts": [*written]}
            written = []
        return node, written

    def _name_of(self, call_id: str) -> str:
        """Return the name of a call, for a result that does not say it; repaired ones do."""
        if self._names is None:
            parts = [part for message in self.request.messages for part in message.parts]
            self._names = {part.id: part.name for part in parts if isinstance(part, ToolCall)}
        return self._names.get(call_id, "")

    def _kept(self, signature: Signature | None) -> str:
        """Return the signature if the model can verify it."""
        if signature is not None and replay(signature, self._family) is Replay.KEEP:
            return signature.value
        return ""
