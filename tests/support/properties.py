"""What must hold of every input: the properties that the fuzzer tries and the corpus replays.

A :class:`Target` is one way into the program for bytes that somebody else wrote: requests, answers and
streams of each dialect, credential files, the configuration, schemas. Its ``check`` takes bytes of any kind
and returns quietly, unless the program breaks a promise:

* only the error that the function declares comes out, whatever goes in;
* what was understood can be said in every other dialect, or is refused with that error;
* what is written keeps the grammar of its dialect;
* how the bytes were cut makes no difference.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from attrs import frozen

from cliproxy.config.load import examine, load_config
from cliproxy.credentials.files import codec_table, decode_credential
from cliproxy.dialects import DIALECTS, Dialect
from cliproxy.errors import ConfigError, CredentialError, DialectError, FrameError, Kind, ProxyError
from cliproxy.ir.collect import to_events
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import BlockKind, BlockStart, End, Event, Finish, ImageDone, StreamError
from cliproxy.ir.repair import normalise
from cliproxy.ir.request import Family, IRRequest
from cliproxy.ir.schema import clean_schemas, fit_arguments, fit_output
from cliproxy.ir.schemaprofile import PROFILES
from cliproxy.ir.thinking import apply_thinking
from cliproxy.providers import PROVIDERS
from cliproxy.wire.jsontext import JsonError, JsonObject, dumps, loads, loads_object
from cliproxy.wire.sse import Frame, FrameParser
from support import grammar_claude, grammar_gemini, grammar_openai, grammar_responses
from support.factories import make_context
from support.frames import decode
from support.schemas import check_fits

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
PIECES: Final = (1, 7, 64)
"""Sizes of the pieces in which streams arrive a second time."""
FAMILIES: Final[Mapping[str, Family]] = {
    "claude": Family.CLAUDE,
    "gemini": Family.GEMINI,
    "gemini-cli": Family.GEMINI,
    "antigravity": Family.GEMINI,
    "openai-response": Family.GPT,
    "codex": Family.GPT,
}
CLIENTS: Final = tuple(dialect for dialect in DIALECTS if dialect.endpoints and dialect.id != "openai-images")
"""Dialects in which clients ask for conversations."""


def context_of(client: str, upstream: str, **overrides: object) -> ExchangeContext:
    """Return the context of an exchange between two dialects."""
    family = FAMILIES.get(upstream, Family.UNKNOWN)
    return make_context(client_dialect=client, upstream_dialect=upstream, upstream_family=family, **overrides)


# --- grammars ---------------------------------------------------------------------------------------------


def _unwrapped(body: JsonObject) -> JsonObject:
    inner = body.get("response")
    assert isinstance(inner, dict), "the envelope is missing"
    return inner


def _check_gemini_stream(frames: Sequence[Frame]) -> None:
    grammar_gemini.check_stream([frame.data for frame in frames])


def _check_enveloped_stream(frames: Sequence[Frame]) -> None:
    grammar_gemini.check_stream([dumps(_unwrapped(loads_object(frame.data))) for frame in frames])


STREAM_GRAMMARS: Final[Mapping[str, Callable[[Sequence[Frame]], object]]] = {
    "openai": partial(grammar_openai.check_chat_stream, include_usage=True),
    "completions": partial(grammar_openai.check_text_stream, include_usage=True),
    "openai-response": partial(grammar_responses.check, typed=False),
    "codex": partial(grammar_responses.check, typed=False),
    "claude": partial(grammar_claude.check_stream, parses_input=False),
    "gemini": _check_gemini_stream,
    "gemini-cli": _check_enveloped_stream,
    "antigravity": _check_enveloped_stream,
}
ANSWER_GRAMMARS: Final[Mapping[str, Callable[[JsonObject], object]]] = {
    "openai": grammar_openai.check_chat_response,
    "claude": grammar_claude.check_message,
    "gemini": grammar_gemini.check_answer,
    "gemini-cli": lambda body: grammar_gemini.check_answer(_unwrapped(body)),
    "antigravity": lambda body: grammar_gemini.check_answer(_unwrapped(body)),
}
REQUEST_GRAMMARS: Final[Mapping[str, Callable[[JsonObject], object]]] = {
    "claude": grammar_claude.check_request,
    "gemini": grammar_gemini.check_request,
}
RELATED: Final = (
    frozenset({"openai", "completions", "openai-images"}),
    frozenset({"openai-response", "codex"}),
    frozenset({"gemini", "gemini-cli", "antigravity"}),
)
"""Dialects that hand each other what they do not understand, wrong values included."""


def are_strangers(one: str, other: str) -> bool:
    """Tell whether nothing of one dialect's wire reaches the other's unread."""
    return one != other and not any({one, other} <= relatives for relatives in RELATED)


# --- one way through --------------------------------------------------------------------------------------


def prepared(request: IRRequest, upstream: Dialect, context: ExchangeContext) -> IRRequest:
    """Run the passes between decoding and encoding. Raises :class:`DialectError`."""
    request = apply_thinking(request, None, upstream.id, source=context.client_dialect)
    request = normalise(request, upstream.rules, context)
    return clean_schemas(request, upstream.rules.schemas, context)


def asked(request: IRRequest, upstream: Dialect, context: ExchangeContext) -> JsonObject:
    """Write a decoded request for an upstream. Raises :class:`DialectError`."""
    return upstream.encode_request(prepared(request, upstream, context), context)


def told(events: Sequence[Event], client: Dialect, context: ExchangeContext) -> tuple[list[Frame], bool]:
    """Write events for a client as the exchange does; tell whether the answer ended well."""
    encoder = client.stream_encoder(context)
    frames: list[Frame] = []
    is_finished = False
    for event in events:
        is_finished = is_finished or isinstance(event, Finish)
        is_cut = isinstance(event, End) and not (event.clean or is_finished)
        if is_cut or isinstance(event, StreamError):
            error = encoder.error(ProxyError("the upstream failed", kind=Kind.UPSTREAM))
            return frames + error, False
        frames += encoder.encode(event)
    return frames + encoder.finish(), True


def check_told(events: Sequence[Event], client: Dialect, context: ExchangeContext) -> None:
    """Check that what a client is told keeps the grammar of its dialect."""
    frames, is_whole = told(events, client, context)
    for frame in frames:
        assert frame.raw.endswith(b"\n\n")
    grammar = STREAM_GRAMMARS.get(client.id)
    if is_whole and grammar is not None and all(map(is_sound, events)):
        grammar(frames)


def is_sound(event: Event) -> bool:
    """Tell whether an event says something that every dialect can say.

    A call without a name and a picture that is none are handed on: only the client can judge them.
    """
    match event:
        case BlockStart(kind=BlockKind.TOOL_CALL | BlockKind.CUSTOM_TOOL_CALL, name=name):
            return bool(name)
        case ImageDone(data=data):
            return _BASE64.fullmatch(data) is not None
    return True


def promised(kept: bool, promise: str) -> None:
    """Fail if a promise is not kept."""
    assert kept, promise


# --- requests, answers, streams ---------------------------------------------------------------------------


def check_request(client: Dialect, data: bytes) -> None:
    """A request is understood and carried to every upstream, or refused by name."""
    body = _object_in(data)
    if body is None:
        return
    for upstream in DIALECTS:
        context = context_of(client.id, upstream.id)
        try:
            request = client.decode_request(body, context)
            written = asked(request, upstream, context)
        except DialectError as exc:
            promised(exc.message != "", "an error says what is wrong")
            continue
        assert loads(dumps(written)) == written
        assert not context.notes or all(context.notes)


def check_answer(upstream: Dialect, data: bytes) -> None:
    """An answer is told to every client, whole and as a stream."""
    body = _object_in(data)
    if body is None:
        return
    upstream.inspect_response(body)
    for client in CLIENTS:
        context = context_of(client.id, upstream.id, include_usage=True)
        try:
            response = upstream.decode_response(body, context)
        except DialectError:
            return
        written = client.encode_response(response, context)
        assert loads(dumps(written)) == written
        if are_strangers(client.id, upstream.id):
            events = [*to_events(response)]
            if client.id in ANSWER_GRAMMARS and response.choices and all(map(is_sound, events)):
                ANSWER_GRAMMARS[client.id](written)
            if response.choices:
                check_told(events, client, context)


def check_stream(upstream: Dialect, data: bytes) -> None:
    """A stream gives one legal sequence of events, however it was cut, and every client is told it."""
    for client in CLIENTS:
        context = context_of(client.id, upstream.id, include_usage=True)
        try:
            frames = split(data, len(data))
        except FrameError:
            return
        for frame in frames:
            upstream.inspect(frame)
        events = decode(upstream.stream_decoder(context), frames)
        assert isinstance(events[-1], End | StreamError), "a sequence has an end"
        assert not any(isinstance(event, End | StreamError) for event in events[:-1]), "and only one"
        if are_strangers(client.id, upstream.id):
            check_told(events, client, context)
        else:
            told(events, client, context)


def _object_in(data: bytes) -> JsonObject | None:
    try:
        return loads_object(data)
    except JsonError:
        return None


def split(data: bytes, size: int) -> list[Frame]:
    """Cut a stream that arrives in pieces of a size into frames."""
    parser = FrameParser(max_frame_bytes=1 << 20)
    frames: list[Frame] = []
    for start in range(0, len(data), max(size, 1)):
        frames += parser.feed(data[start : start + size])
    return frames + parser.finish()


def check_splitting(data: bytes) -> None:
    """Every byte is in one frame, and pieces of any size give the same frames."""
    whole = split(data, len(data))
    assert b"".join(frame.raw for frame in whole) == data
    for size in PIECES:
        assert split(data, size) == whole


# --- everything else that is read -------------------------------------------------------------------------

_CODECS: Final = codec_table(provider.codec for provider in PROVIDERS if provider.codec is not None)


def check_schema(data: bytes) -> None:
    """A schema becomes one that its target takes, and fitting it again changes nothing."""
    schema = _object_in(data)
    if schema is None:
        return
    for name, profile in PROFILES.items():
        fitted = fit_arguments(schema, name).schema
        assert fitted["type"] == "object"
        assert fit_arguments(fitted, name).schema == fitted
        if profile.keeps is not None:
            check_fits(fitted, profile)
        fit_output(schema, name)
        dumps(fitted)


def check_credential(data: bytes) -> None:
    """A credential file is read, or refused with its name and without its secrets."""
    try:
        decoded = decode_credential("a.json", data, _CODECS)
    except CredentialError as exc:
        promised("a.json" in str(exc), "an error names the file")
    else:
        assert repr(decoded)


def check_config(data: bytes) -> None:
    """A configuration is read, or refused with its problems; looking at it never fails."""
    try:
        load_config(data)
    except ConfigError as exc:
        promised(exc.problems != (), "an error names its problems")
    examine(data)


# --- the targets ------------------------------------------------------------------------------------------

Check: TypeAlias = Callable[[bytes], None]


@frozen
class Target:
    """A way into the program, and what must hold of it."""

    name: str
    """Also the folder of its corpus."""
    check: Check
    ending: str
    """Of the corpus's files."""


TARGETS: Final[tuple[Target, ...]] = (
    *(Target(f"{each.id}/requests", partial(check_request, each), "json") for each in DIALECTS),
    *(Target(f"{each.id}/answers", partial(check_answer, each), "json") for each in DIALECTS),
    *(Target(f"{each.id}/streams", partial(check_stream, each), "sse") for each in DIALECTS),
    Target("sse", check_splitting, "sse"),
    Target("schemas", check_schema, "json"),
    Target("credentials", check_credential, "json"),
    Target("config", check_config, "yaml"),
)
