"""The contract of a dialect: one API shape on the wire.

A dialect knows its wire and the intermediate representation, never another dialect, a provider, a clock or a
socket. It is declared as one :class:`Dialect` record whose functions are pure; streams are handled by two
kinds of *transducers*:

* a **stream decoder** takes frames in any cutting and returns events. ``finish`` is called once at the end of
  the transport and makes sure that the sequence ended with :class:`~cliproxy.ir.events.End` or
  :class:`~cliproxy.ir.events.StreamError` (an end without the dialect's terminal event gives
  ``End(clean=False)``). After an error or the terminal event it returns nothing more. Odd content is
  tolerated; unknown events are ignored.
* a **stream encoder** takes events and returns frames of its own grammar. It keeps the open or closed state
  of blocks itself, closes everything in ``finish`` (idempotent: called after ``End`` or instead of it),
  writes the dialect's terminator exactly once, and never trusts the decoder to be orderly. ``error`` closes
  nothing and writes the dialect's error frame; nothing may follow it.

Both live for one exchange, receive its :class:`~cliproxy.ir.context.ExchangeContext`, and never see a client
object.

Request decoders raise :class:`~cliproxy.errors.DialectError` for bodies that cannot be understood and for
nothing else. Encoders of requests raise it for what their dialect cannot carry and must not lose (naming the
field); losses that are acceptable are noted in the context.

**Pass-through.** When client and upstream speak the same dialect nothing is decoded. ``inspect`` then looks
at a frame just far enough to see usage, the end, or an error; ``patch_model`` says which top-level members of
the raw body carry the model. A stream can pass through though the request did not (``answers_as``); what it
lacks for its clients a ``stream_mender`` adds.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from attrs import field, frozen

from cliproxy.errors import DialectError, Kind, ProxyError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.embeddings import EmbeddingRequest, Embeddings
from cliproxy.ir.events import Event, StreamError
from cliproxy.ir.request import IRRequest, Reasoning
from cliproxy.ir.response import IRResponse, Usage
from cliproxy.ir.rules import TargetRules
from cliproxy.ir.thinking import ThinkingSupport
from cliproxy.wire.formdata import FormData
from cliproxy.wire.jsontext import Changes, Document, JsonObject, dumps, integer, loads_object, number
from cliproxy.wire.sse import Frame

Body: TypeAlias = Document | FormData
"""What a client sends: almost always JSON; a form where files go with it."""


class Action(StrEnum):
    """What a client wants of a model."""

    GENERATE = "generate"
    COUNT = "count"
    COMPACT = "compact"
    FILL_IN_THE_MIDDLE = "fill-in-the-middle"
    EMBED = "embed"
    IMAGE = "image"


class Framing(StrEnum):
    """How a streamed answer is cut into messages."""

    SSE = "sse"
    JSON_ARRAY = "json-array"
    """Gemini without ``alt=sse``: one JSON array, an element at a time."""
    WEBSOCKET = "websocket"
    WHOLE = "whole"
    """Not at all: the answer comes in one piece, whatever was asked for. Other contracts of the same
    credential are preferred for clients that want a stream."""


class StreamDecoder(Protocol):
    """Frames of an upstream's answer → events."""

    def feed(self, frame: Frame) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


def broken_event(frame: Frame) -> StreamError | None:
    """Return the error that a frame is which should be JSON and is not.

    A piece of the answer is lost in it. ``None`` for other text: some servers send it as a sign of life.
    """
    if not frame.data.lstrip().startswith((b"{", b"[{")):
        return None
    return StreamError(Kind.UPSTREAM, "the upstream sent an event that is not JSON", 502)


class StreamEncoder(Protocol):
    """Events → frames for the client."""

    def encode(self, event: Event) -> list[Frame]: ...

    def finish(self) -> list[Frame]: ...

    def error(self, error: ProxyError) -> list[Frame]: ...


class StreamMender(Protocol):
    """Looks after a stream that is forwarded as it is, and adds what clients need and it lacks."""

    def mend(self, frame: Frame) -> list[Frame]:
        """Return what to forward in place of a frame; the frame itself where nothing is amiss."""
        ...


@frozen(kw_only=True)
class Glimpse:
    """What a pass-through stream's frame, or a whole answer, reveals without being decoded."""

    usage: Usage | None = None
    has_content: bool = True
    """Whether the client learns something from it; a bare opening or a ping is no content."""
    is_terminal: bool = False
    is_finished: bool = False
    """A finish reason was seen: a transport that ends now lost nothing, even without the dialect's
    terminator."""
    error: StreamError | None = None
    answer_id: str = ""
    """What the answer is called by requests that go on from it; told at its end."""
    is_usage_only: bool = False
    """A frame that exists only because usage was asked for; not forwarded to a client that did not ask."""


@frozen(kw_only=True)
class ClientRequest:
    """A request as a client sent it, read just far enough to be routed."""

    dialect: str
    action: Action
    model: str
    """As the client wrote it, thinking suffix included."""
    stream: bool
    document: Body = field(repr=False)
    """The body, parsed once."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """Client headers in lower case, credentials removed."""
    query: Mapping[str, str] = field(factory=dict, repr=False)
    framing: Framing = Framing.SSE
    answer_dialect: str = ""
    """Dialect of the answer, where a body of another dialect was posted to its address; empty: the same."""
    request_id: str = ""
    client: str = ""
    """Masked name of the client key, for records."""
    client_id: str = ""
    """Stable id of the client key; empty without one."""


@frozen(kw_only=True)
class PathFacts:
    """What the URL says: path arguments, query and (lower-case) headers."""

    args: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Endpoint:
    """A client-facing route of a dialect.

    ``path`` uses ``{name}`` for one path segment and ``{name:path}`` for the rest. ``read`` makes the request
    out of the parsed body; it raises :class:`~cliproxy.errors.BadRequest` or
    :class:`~cliproxy.errors.NotFound`.
    """

    path: str
    read: Callable[[Document, PathFacts], ClientRequest]
    read_form: Callable[[FormData, PathFacts], ClientRequest] | None = None
    """The same for a body that is a form with files; ``None``: only JSON is taken."""
    method: str = "POST"
    is_local: bool = False
    """Only for programs on the same machine, which need no client key: in its place they send a token of
    their vendor's, which is not ours to check."""


@frozen(kw_only=True)
class SideCall:
    """A call that a dialect's clients make besides those for a model, and that is answered without asking
    anybody."""

    path: str
    answer: Callable[[JsonObject], JsonObject]
    """Body → answer; the body of a call that has none is empty."""
    method: str = "POST"
    is_local: bool = False
    """See :attr:`Endpoint.is_local`."""


@frozen(kw_only=True)
class ListedModel:
    """A model as it is shown in a list; absent facts are left out of the wire object."""

    id: str
    display_name: str = ""
    description: str = ""
    owned_by: str = ""
    created: int = 0
    """Unix seconds; 0 when unknown."""
    context_tokens: int | None = None
    output_tokens: int | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    thinking: ThinkingSupport | None = None
    """``None``: it is not known whether it thinks."""


@frozen(kw_only=True)
class ModelLists:
    """A dialect's way to show models."""

    paths: tuple[str, ...]
    """Routes of the list; one model is at ``<path>/{model:path}``. Dialects may share a path."""
    claims: Callable[[Mapping[str, str], Mapping[str, str]], bool]
    """(lower-case headers, query) → whether a request to a shared path wants this dialect's shape."""
    encode_list: Callable[[Sequence[ListedModel]], JsonObject]
    encode_one: Callable[[ListedModel], JsonObject]


@frozen(kw_only=True)
class Portions:
    """How the portions of an answer are counted and put together, where an upstream takes or gives only so
    many at a time. All functions see the client's own wire."""

    wanted: Callable[[JsonObject], int]
    """Raw request → how many the client asks for."""
    given: Callable[[JsonObject], int]
    """Answer → how many it holds."""
    only: Callable[[JsonObject, int, int], Changes]
    """(raw request, start, size) → members to replace so that it asks for this portion alone."""
    joined: Callable[[Sequence[JsonObject]], JsonObject]
    """Answers in order → one answer."""


@frozen(kw_only=True)
class EmbeddingForm:
    """How a dialect asks for embeddings and tells them. They pass through like everything else where both
    sides speak the same dialect; ``patch_model`` sees the raw body, which may name the model in many places.
    """

    decode_request: Callable[[JsonObject, ExchangeContext], EmbeddingRequest]
    encode_request: Callable[[EmbeddingRequest, ExchangeContext], JsonObject]
    """Takes as many of the inputs, from the first on, as the upstream takes at a time."""
    decode_response: Callable[[JsonObject], Embeddings]
    encode_response: Callable[[Embeddings, ExchangeContext], JsonObject]
    inspect_response: Callable[[JsonObject], Glimpse]
    patch_model: Callable[[str, JsonObject], Changes]
    portions: Portions


@frozen(kw_only=True)
class Kept:
    """Something an upstream keeps, as a request names it."""

    id: str
    where: str
    """The member of the body."""
    what: str
    """In the words of the vendor's error that says that it is not there."""
    code: str
    """Code of that error."""


@frozen(kw_only=True)
class KeptForm:
    """How requests of a dialect go on from what an upstream has kept of earlier ones."""

    named: Callable[[JsonObject], tuple[Kept, ...]]
    """Raw body → what it goes on from."""
    keeps: Callable[[JsonObject], bool]
    """Raw body → whether the answer to it will be kept."""


@frozen(kw_only=True)
class RuleForm:
    """How the owner's payload rules know a dialect."""

    names: frozenset[str]
    """What a rule may call it; related dialects share names."""
    envelope: str = ""
    """The member that holds the request which rules are written for; empty: the body itself."""


def as_json(body: JsonObject) -> tuple[bytes, str]:
    """Return a body as bytes, and its content type."""
    return dumps(body), Document.content_type


@frozen(kw_only=True)
class Dialect:
    """One wire shape, in functions. See the module's theory of operation."""

    id: str
    endpoints: tuple[Endpoint, ...] = ()
    side_calls: tuple[SideCall, ...] = ()
    decode_request: Callable[[JsonObject, ExchangeContext], IRRequest]
    encode_request: Callable[[IRRequest, ExchangeContext], JsonObject]
    decode_response: Callable[[JsonObject, ExchangeContext], IRResponse]
    encode_response: Callable[[IRResponse, ExchangeContext], JsonObject]
    stream_decoder: Callable[[ExchangeContext], StreamDecoder]
    stream_encoder: Callable[[ExchangeContext], StreamEncoder]
    encode_error: Callable[[ProxyError], JsonObject]
    decode_error: Callable[[int, JsonObject], StreamError]
    """(status, error body) → what it says; never raises."""
    inspect: Callable[[Frame], Glimpse]
    inspect_response: Callable[[JsonObject], Glimpse]
    patch_model: Callable[[str], Changes]
    """Top-level members that name the model in a raw body; empty where the URL does."""
    patch_reasoning: Callable[[Reasoning, JsonObject], Changes]
    """(normalised wish, raw body) → top-level members to replace, for a thinking suffix on a passed-through
    request."""
    skim: Callable[[bytes, int], int] | None = None
    """(bytes of a stream, where in them a frame begins) → how far complete frames follow of which ``inspect``
    would say no more than that they have content, and which the mender would pass over. It may stop early,
    never late. A stream that is passed through forwards these without cutting them apart. ``None``: every
    frame is looked at."""
    may_pass: Callable[[JsonObject, str], bool] | None = None
    """(raw body, upstream model) → whether an upstream of the same dialect takes it as it is; otherwise it is
    decoded and encoded, which repairs it. ``None``: always."""
    read_reasoning: Callable[[JsonObject], Reasoning | None] | None = None
    """Raw body → its wish to think, for dialects that say it in several forms of which a model knows one; a
    body in another form is decoded and encoded. ``None``: models understand every wish of the dialect."""
    patch_stream: Callable[[JsonObject], Changes] | None = None
    """Raw body → members to replace so that a passed-through stream reports usage."""
    patch_refused: Callable[[JsonObject, frozenset[str]], Changes] | None = None
    """(raw body, settings the model refuses) → members to replace in a passed-through request where the model
    knows the same under another name."""
    signature_faults: tuple[str, ...] = ()
    """Words of a refusal, in lower case, that are about a reasoning signature in the history, or the lack of
    one. Such a request is sent once more without any."""
    answers_as: str = ""
    """Id of the dialect whose clients understand a stream of this one as it is. Such a stream is forwarded
    even if the request had to be changed. Empty: only where the request passed through, too."""
    stream_mender: Callable[[], StreamMender] | None = None
    """Makes what looks after a forwarded stream. ``None``: clients take it as it is."""
    decode_count: Callable[[JsonObject], int | None] | None = None
    """The dialect's own answer to a token count request → the count."""
    encode_count: Callable[[int], JsonObject] | None = None
    """The dialect's answer to a token count request."""
    read_answer: Callable[[bytes], JsonObject] = loads_object
    """Bytes of a whole answer → what ``decode_response`` takes, for upstreams that answer with another JSON
    value than an object. Raises :class:`~cliproxy.wire.jsontext.JsonError`."""
    read_refusal: Callable[[bytes], JsonObject] = loads_object
    """Bytes of an error answer → what ``decode_error`` takes. Raises
    :class:`~cliproxy.wire.jsontext.JsonError`."""
    write_request: Callable[[JsonObject], tuple[bytes, str]] = as_json
    """What ``encode_request`` returned → bytes and their content type, for upstreams that take a form."""
    read_form: Callable[[FormData], JsonObject] | None = None
    """A form → the JSON body that says the same, which is what ``decode_request`` takes."""
    shows_model: bool = True
    """Whether answers name the model."""
    portions: Portions | None = None
    """``None``: an answer is whole as it comes."""
    embeddings: EmbeddingForm | None = None
    """``None``: the dialect has none."""
    kept: KeptForm | None = None
    """``None``: upstreams of the dialect keep nothing that requests can name."""
    rules: TargetRules = field(factory=TargetRules)
    payload: RuleForm | None = None
    """``None``: the owner's payload rules do not apply to requests of this dialect."""
    models: ModelLists | None = None
    statuses: Mapping[Kind, int] = field(factory=dict)
    """Statuses of error answers, by kind, where the API does not know the usual one."""
    terminator: bytes = b""
    """What a stream ends with besides its last event; supplied when a finished upstream stream omitted it."""
    keepalive: bytes = b": keep-alive\n\n"
    """What is written while the upstream is silent, after the head is committed."""


def checked_number(obj: JsonObject, key: str, holder: str = "") -> float | int | None:
    """Read a setting that must be a number if it is given; ``holder`` is where in the body the object stands.

    Raises :class:`~cliproxy.errors.DialectError`.
    """
    value = number(obj, key)
    if value is None and obj.get(key) is not None:
        raise DialectError(f"`{key}` must be a number", f"{holder}.{key}" if holder else key)
    return value


def checked_integer(obj: JsonObject, key: str, holder: str = "") -> int | None:
    """Read a setting that must be a whole number if it is given; see :func:`checked_number`."""
    value = integer(obj, key)
    if value is None and obj.get(key) is not None:
        raise DialectError(f"`{key}` must be a whole number", f"{holder}.{key}" if holder else key)
    return value
