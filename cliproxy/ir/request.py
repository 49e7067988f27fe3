"""The intermediate representation of a generation request.

One shape that can carry what any dialect says. Three ideas keep it lossless where it matters:

* **extras**: every node has ``extras``, keyed by dialect id. A decoder puts the members it does not model
  there; an encoder writes back only those of its own dialect. Decoding and encoding within one dialect is
  therefore near-lossless.
* **opaque parts**: a content part, tool or history item that only one dialect knows is an :class:`Opaque`
  holding the wire object. On the way to a target that does not speak the dialect it is dropped with a note in
  the context; what must not be dropped is named in ``essentials``, and the request is refused.
* **arguments stay text**: tool arguments are the JSON text the model wrote; only dialects that need an object
  parse them.

Nodes are plain mutable attrs classes because millions are created; by convention nobody mutates a node he did
not create. Passes build new ones (``attrs.evolve``), and hand on those that need no change.
"""

from enum import StrEnum
from typing import Literal, TypeAlias

from attrs import define, field

from cliproxy.wire.jsontext import JsonObject, JsonValue

Extras: TypeAlias = dict[str, JsonObject]
"""Members a decoder did not model, keyed by the id of the dialect they belong to."""


class Family(StrEnum):
    """Who makes and verifies a reasoning signature."""

    CLAUDE = "claude"
    GEMINI = "gemini"
    GPT = "gpt"
    KIMI = "kimi"
    GROK = "grok"
    UNKNOWN = "unknown"


@define
class Signature:
    """An opaque proof that a piece of reasoning came from a certain family of models."""

    value: str
    family: Family


@define
class CacheMark:
    """A request to cache the prompt up to here (Claude's ``cache_control``); ``raw`` is the wire object."""

    raw: JsonObject


# --- media ---


@define
class Inline:
    """Media in the request itself: base64 text and its MIME type."""

    mime: str
    data: str


@define
class Remote:
    """Media at a URL; ``mime`` is empty when the source does not say."""

    url: str
    mime: str = ""


@define
class Stored:
    """Media uploaded to an upstream before, known there by id; meaningless to any other dialect than
    ``dialect``."""

    file_id: str
    dialect: str


MediaSource: TypeAlias = Inline | Remote | Stored


# --- content parts ---


@define
class Text:
    """Text said by its role."""

    text: str
    citations: list[JsonObject] = field(factory=list)
    """Citation or annotation objects, in the spelling of the dialect that ``citation_dialect`` names."""
    citation_dialect: str = ""
    signature: Signature | None = None
    """Gemini attaches signatures to text parts too."""
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)


@define
class Image:
    """An image, read or generated."""

    source: MediaSource
    detail: str = ""
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)
    signature: Signature | None = None


@define
class Document:
    """A file such as a PDF. A plain-text document is ``Inline("text/plain", <base64>)`` like any other."""

    source: MediaSource
    name: str = ""
    title: str = ""
    context: str = ""
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)


@define
class Audio:
    """Sound; the format is in the MIME type."""

    source: MediaSource
    extras: Extras = field(factory=dict)


@define
class Video:
    """Moving pictures."""

    source: MediaSource
    extras: Extras = field(factory=dict)


class CallKind(StrEnum):
    """How a tool takes its input."""

    FUNCTION = "function"
    """JSON arguments."""
    CUSTOM = "custom"
    """Free text."""


@define
class ToolCall:
    """The model asks for a tool. ``arguments`` is JSON text for functions (possibly empty or broken), free
    text for custom."""

    id: str
    name: str
    arguments: str
    kind: CallKind = CallKind.FUNCTION
    signature: Signature | None = None
    namespace: str = ""
    """The Responses dialect groups tools in namespaces; empty otherwise."""
    item_id: str = ""
    """The Responses dialect's id of the item, as opposed to the call."""
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)
    written: JsonObject | None = field(default=None, eq=False, repr=False)
    """What ``arguments`` says, where the source had an object instead of a text: it need not be read again.
    Not to be changed."""

    def known_as(self, call_id: str) -> "ToolCall":
        """Return this call with another id; see :meth:`Message.saying` for the form."""
        return ToolCall(
            call_id,
            self.name,
            self.arguments,
            self.kind,
            self.signature,
            self.namespace,
            self.item_id,
            self.cache,
            self.extras,
            self.written,
        )


@define
class ToolResult:
    """What a tool answered. Exactly one of ``parts`` and ``value`` is used: ``value`` when the source had a
    JSON object."""

    call_id: str
    parts: "list[Part]" = field(factory=list)
    value: JsonValue = None
    name: str = ""
    """Function name where the dialect says it (Gemini); filled in by the repair pass from the matching call
    otherwise."""
    is_error: bool | None = None
    kind: CallKind = CallKind.FUNCTION
    item_id: str = ""
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)

    def answering(self, call: ToolCall) -> "ToolResult":
        """Return this result as that of a call, whose name it gets if it has none; see :meth:`Message.saying`
        for the form."""
        return ToolResult(
            call.id,
            self.parts,
            self.value,
            self.name or call.name,
            self.is_error,
            call.kind,
            self.item_id,
            self.cache,
            self.extras,
        )


@define
class Thinking:
    """Reasoning shown or hidden. ``redacted`` holds the encrypted form when there is no readable text."""

    text: str = ""
    signature: Signature | None = None
    redacted: Signature | None = None
    summary: list[str] = field(factory=list)
    """Summary paragraphs when the source keeps them apart; ``text`` is then their concatenation with blank
    lines."""
    item_id: str = ""
    extras: Extras = field(factory=dict)


@define
class Refusal:
    """The model declined, in its own words."""

    text: str


@define
class Opaque:
    """A part only its own dialect understands, such as a server tool's call or result; ``kind`` is its wire
    type."""

    dialect: str
    kind: str
    raw: JsonObject


Part: TypeAlias = (
    Text | Image | Document | Audio | Video | ToolCall | ToolResult | Thinking | Refusal | Opaque
)

Role: TypeAlias = Literal["user", "assistant", "system"]
SystemKind: TypeAlias = Literal["system", "developer", "reminder"]
"""``reminder`` is a note in mid-conversation whose place matters (Claude's inline system messages)."""


@define
class Message:
    """One turn. Tool results are parts of a user message. Role ``system`` is a system text in mid-
    conversation."""

    role: Role
    parts: list[Part]
    system_kind: SystemKind = "system"
    extras: Extras = field(factory=dict)

    def saying(self, parts: list[Part]) -> "Message":
        """Return this message with other parts; conversations are long, and ``evolve`` is slow."""
        return Message(self.role, parts, self.system_kind, self.extras)


@define
class SystemText:
    """A leading instruction; the distinction system or developer matters to some upstreams."""

    text: str
    kind: SystemKind = "system"
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)


# --- tools ---


class ToolKind(StrEnum):
    """What kind of tool is offered."""

    FUNCTION = "function"
    CUSTOM = "custom"
    WEB_SEARCH = "web_search"
    """The one server-side tool with an equivalent in most dialects."""
    BUILTIN = "builtin"
    """Any other server-side tool; only the dialect in ``dialect`` can write it."""


@define
class Tool:
    """A tool offered to the model."""

    kind: ToolKind
    name: str
    description: str = ""
    schema: JsonObject | None = None
    """JSON Schema of the arguments; ``None`` when the source had none."""
    strict: bool | None = None
    namespace: str = ""
    """Set for tools flattened out of a namespace; ``name`` is then the flattened name and ``child_name`` the
    original."""
    child_name: str = ""
    format: JsonObject | None = None
    """Grammar of a custom tool."""
    raw: JsonObject | None = None
    """Wire object of a server-side tool."""
    dialect: str = ""
    cache: CacheMark | None = None
    extras: Extras = field(factory=dict)


@define
class ToolChoice:
    """Which tool the model may or must use. ``names`` restricts ``any`` and ``auto``; with ``tool`` it has
    one entry."""

    mode: Literal["auto", "none", "any", "tool"]
    names: list[str] = field(factory=list)
    extras: Extras = field(factory=dict)


# --- settings ---


@define
class Sampling:
    """Numbers that shape the answer; ``None`` means not said."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(factory=list)
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


@define
class OutputFormat:
    """Structured output."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str = ""
    description: str = ""
    schema: JsonObject | None = None
    strict: bool | None = None


@define
class Reasoning:
    """How much the model should think, in the words of the source; a pass turns it into the target's words.

    ``level`` is one of ``none minimal low medium high xhigh max auto``; ``budget`` is in tokens, 0 for off,
    -1 for dynamic. Both may be set; a budget is the more exact statement.
    """

    level: str | None = None
    budget: int | None = None
    adaptive: bool = False
    """The source asked for Claude's adaptive thinking (no amount of its own)."""
    visible: bool | None = None
    """Whether thoughts are to be shown; ``None`` means the dialect's default."""
    summary: str | None = None
    """The Responses dialect's wish for a summary: ``auto``, ``concise``, ``detailed``."""
    from_name: bool = False
    """The wish stood in the model's name. Budgets are then fitted to the model rather than refused."""


@define
class Meta:
    """Facts about the request rather than the conversation."""

    user: str | None = None
    metadata: JsonObject | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    verbosity: str | None = None
    modalities: list[str] = field(factory=list)
    """Wanted kinds of output in lower case: ``text``, ``image``, ``audio``."""
    image: JsonObject | None = None
    """``aspect_ratio`` and ``image_size`` of generated images."""
    safety_identifier: str | None = None
    """OpenAI's newer name for what tells end users apart; clients may send it beside ``user``."""


@define
class Essential:
    """Something only one dialect can carry and that must not be left out: it stands for a part of the
    conversation. A target that does not speak the dialect refuses the request."""

    dialect: str
    what: str
    """In words, for the message."""
    where: str
    """Its place in the body."""


@define(kw_only=True)
class IRRequest:
    """A generation request, independent of any wire dialect."""

    model: str
    messages: list[Message]
    system: list[SystemText] = field(factory=list)
    tools: list[Tool] = field(factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = field(factory=Sampling)
    output: OutputFormat | None = None
    reasoning: Reasoning | None = None
    meta: Meta = field(factory=Meta)
    stream: bool = False
    essentials: list[Essential] = field(factory=list)
    extras: Extras = field(factory=dict)
