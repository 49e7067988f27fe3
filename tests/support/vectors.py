"""Translation cases as data: what goes in on one side of the proxy and what must come out on the other.

A file ``tests/vectors/<topic>.yaml`` is a list of entries, and each entry is one test. Nothing of the
translation is imitated here: a client's request goes through a whole exchange with one scripted upstream, so
that what is compared is what an upstream would have been sent, or what a client would have read.

==============  ==========================================================================================
member          meaning
==============  ==========================================================================================
``id``          number and slug, ``001-chat-system-becomes-claude-system``; the numbers count up from 1
``about``       one sentence: why it has to be so
``kind``        what is compared, see below
``from, to``    ids of dialects. A request goes from the client to the upstream, everything else from the
                upstream to the client. For schemas, ``to`` names the profile; suffixes have neither
``model``       the upstream's name of the model; what the bundled data says of it holds
``facts``       replaces members of what is known of the model (:class:`~cliproxy.catalog.model.ModelInfo`)
``suffix``      appended to the model's name by the client, such as ``(high)``
``request``     the client's request, where the answer depends on it. Model and one user message are supplied
``input``       request: the client's body. Answers: the upstream's body as a mapping, or its stream as a list
                of frames (``{event, data}``, the event by default what the data has as ``type``), or the
                stream's text under ``raw``. An ``error`` may be the upstream's own refusal,
                ``{status, body}``
``cut``         the stream arrives in reads of so many bytes, and not frame by frame
``expect``      what must come out
``sent``        what the upstream must have been sent, where both directions matter
``absent``      dotted paths that must not lead anywhere; ``*`` stands for every key or index
``cases``       entries that replace members of this one, each compared by itself
==============  ==========================================================================================

==================  ======================================================================================
kind                ``expect``
==================  ======================================================================================
``request``         the body the upstream is sent
``answer``          the body a client gets that does not stream
``stream``          the frames a client gets that streams: ``{event, data}``, data parsed where it is JSON.
                    They are held against the grammar of the dialect, too
``error``           ``{status, body}`` of a refusal before anything was answered
``schema``          the schema of a tool's arguments, fitted; ``subschema``: that of one of its properties;
                    ``output-schema``: that of a structured answer
``suffix``          ``{name, wish}`` of a model's name; ``wish`` has the members that are set, or is null
==================  ======================================================================================

Mappings match when they have at least the expected members; schemas and suffixes match exactly. Lists match
in length and order. ``…`` matches any value, and ``…*`` any number of items of a list. ``@name`` matches any
value, too, but the same one wherever it stands and none that another name stands for: two ids that were made
up. ``resp_…`` matches a string that begins so. Any other string is compared to the letter.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import trio
import yaml
from attrs import define, evolve, field, frozen

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.static import find, thinking_from
from cliproxy.dialects import by_id
from cliproxy.dialects.base import ClientRequest
from cliproxy.errors import ProxyError
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.ir.schema import fit_arguments, fit_output
from cliproxy.ir.thinking import split_suffix
from cliproxy.wire.jsontext import Document, JsonError, JsonObject, JsonValue, dumps, loads, loads_object
from cliproxy.wire.sse import Frame, make_frame
from support import grammar_claude, grammar_gemini, grammar_openai, grammar_responses
from support.exchange import SSE, Bottle, FakeContract, Reply, bottle, json_reply, request
from support.frames import parse

FOLDER: Final = Path(__file__).parent.parent / "vectors"
TOPICS: Final = (
    *("system-and-roles", "tool-history", "names-tools-choice", "media-and-thinking"),
    *("sampling-and-formats", "answers", "streams", "schema", "thinking-suffix"),
)
ANY: Final = "…"
REST: Final = "…*"
_NAME: Final = re.compile("@[a-z]+")
_ID: Final = re.compile(r"\d{3}(-[a-z0-9]+)+")

MODELS: Final = {
    "openai": "some-model",
    "openai-response": "gpt-4.1",
    "claude": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro-preview",
    "gemini-cli": "gemini-3-pro-preview",
    "antigravity": "gemini-3-pro-preview",
    "codex": "gpt-5.1-codex",
}
"""Who is asked where an entry does not say. For a chat that is somebody's model, not OpenAI's own, whose API
refuses what other servers have added."""
STREAMS_ONLY: Final = frozenset({"codex"})
HELLO: Final[dict[str, JsonObject]] = {
    "openai": {"messages": [{"role": "user", "content": "hi"}]},
    "openai-response": {"input": "hi"},
    "claude": {"max_tokens": 1000, "messages": [{"role": "user", "content": "hi"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "gemini-cli": {"request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}},
}


# --- entries ----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Vector:
    """One entry; see the module's table."""

    id: str
    about: str
    kind: str
    source: str = ""
    target: str = ""
    model: str = ""
    facts: Mapping[str, Any] = field(factory=dict)
    suffix: str = ""
    request: JsonObject = field(factory=dict)
    input: Any = None
    cut: int = 0
    expect: Any = ANY
    sent: Any = ANY
    absent: Sequence[str] = ()
    cases: "tuple[Vector, ...]" = ()

    @property
    def number(self) -> int:
        """Its number in the list of all."""
        return int(self.id.partition("-")[0])

    @property
    def client(self) -> str:
        """Id of the dialect the client speaks."""
        return self.source if self.kind == "request" else self.target

    @property
    def upstream(self) -> str:
        """Id of the dialect the upstream speaks."""
        return self.target if self.kind == "request" else self.source


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: one of the two would be ignored."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"line {node.start_mark.line + 1}: {', '.join(sorted(twice))} is given twice")
        return super().construct_mapping(node, deep)


_RENAMED: Final = {"from": "source", "to": "target"}
_MEMBERS: Final = frozenset(
    {each.name for each in attrs.fields(Vector)} - set(_RENAMED.values()) | set(_RENAMED)
)


def read(text: str) -> list[Vector]:
    """Read the entries of one file. Raises ``ValueError`` for anything that is not as described."""
    entries = yaml.load(text, _Loader)
    if not isinstance(entries, list):
        raise ValueError("not a list of entries")
    return [_vector(entry) for entry in entries]


def _vector(entry: Any) -> Vector:
    if not isinstance(entry, dict):
        raise ValueError(f"not an entry: {entry!r}")
    name = str(entry.get("id"))
    if unknown := set(entry) - _MEMBERS:
        raise ValueError(f"{name}: unknown members {sorted(map(str, unknown))}")
    if not _ID.fullmatch(name):
        raise ValueError(f"{name}: an id is a number of three digits and a slug")
    if not str(entry.get("about", "")).strip():
        raise ValueError(f"{name}: says nothing about itself")
    common = {key: value for key, value in entry.items() if key != "cases"}
    cases = tuple(_vector({**common, **case}) for case in entry.get("cases", ()))
    settings = {_RENAMED.get(key, key): value for key, value in common.items()}
    vector = Vector(**{"kind": "", **settings}, cases=cases)
    if not cases:
        _check(vector)
    return vector


def _check(vector: Vector) -> None:
    if vector.kind not in _RESULTS:
        raise ValueError(f"{vector.id}: kind is one of {', '.join(_RESULTS)}")
    if (vector.expect, vector.sent, vector.absent) == (ANY, ANY, ()):
        raise ValueError(f"{vector.id}: expects nothing")


def load() -> list[Vector]:
    """Read all files."""
    paths = [FOLDER / f"{topic}.yaml" for topic in TOPICS]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
    return [vector for text in texts for vector in read(text)]


# --- what comes out ---------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Outcome:
    """What an entry came to."""

    result: JsonValue
    sent: JsonValue = None


async def outcome_of(vector: Vector) -> Outcome:
    """Run one entry that has no cases."""
    return await _RESULTS[vector.kind](vector)


async def _request(vector: Vector) -> Outcome:
    world = _world(vector, json_reply({"error": {"message": "enough"}}, 400))
    try:
        await _ask(vector, world, {**vector.input})
    except ProxyError:
        if not world.upstreams.calls:
            raise
    sent = _sent(world)
    return Outcome(result=sent, sent=sent)


async def _answer(vector: Vector) -> Outcome:
    world = _world(vector, _reply(vector))
    body = await _ask(vector, world, {**HELLO[vector.client], **vector.request})
    return Outcome(result=loads(body), sent=_sent(world))


async def _stream(vector: Vector) -> Outcome:
    world = _world(vector, _reply(vector))
    asked = {**HELLO[vector.client], **vector.request}
    frames = parse(await _ask(vector, world, asked, streams=True))
    _check_grammar(vector.client, asked, frames)
    return Outcome(result=[_seen(frame) for frame in frames], sent=_sent(world))


def _check_grammar(client: str, asked: JsonObject, frames: list[Frame]) -> None:
    """Hold a stream that ended well against what the vendor promises about all streams of the dialect."""
    if frames and (frames[-1].event == b"error" or b'"error":{' in frames[-1].data):
        return
    match client:
        case "openai":
            options = asked.get("stream_options")
            wants_usage = isinstance(options, dict) and options.get("include_usage") is True
            grammar_openai.check_chat_stream(frames, include_usage=wants_usage)
        case "openai-response":
            grammar_responses.check(frames)
        case "claude":
            grammar_claude.check_stream(frames)
        case "gemini":
            grammar_gemini.check_stream([frame.data for frame in frames])


async def _error(vector: Vector) -> Outcome:
    world = _world(vector, _reply(vector))
    body = {**HELLO[vector.client], **vector.request}
    try:
        answered = await _ask(vector, world, body, streams=isinstance(vector.input, list))
    except ProxyError as exc:
        refusal: JsonObject = {"status": exc.status, "body": by_id(vector.client).encode_error(exc)}
        return Outcome(result=refusal, sent=_sent(world))
    raise AssertionError(f"answered instead of refused: {answered.decode()}")


async def _schema(vector: Vector) -> Outcome:
    await trio.lowlevel.checkpoint()
    profile = vector.target
    if vector.kind == "output-schema":
        return Outcome(result=fit_output(vector.input, profile).schema)
    if vector.kind == "schema":
        return Outcome(result=fit_arguments(vector.input, profile).schema)
    root = {"type": "object", "properties": {"it": vector.input}, "required": ["it"]}
    properties = fit_arguments(root, profile).schema["properties"]
    assert isinstance(properties, dict)
    return Outcome(result=properties["it"])


async def _suffix(vector: Vector) -> Outcome:
    await trio.lowlevel.checkpoint()
    name, wish = split_suffix(vector.input)
    said = None if wish is None else attrs.asdict(wish, filter=lambda at, value: value != at.default)
    if said is not None:
        said.pop("from_name", None)
    return Outcome(result={"name": name, "wish": said})


_RESULTS: Final[Mapping[str, Callable[[Vector], Any]]] = {
    "request": _request,
    "answer": _answer,
    "stream": _stream,
    "error": _error,
    "schema": _schema,
    "subschema": _schema,
    "output-schema": _schema,
    "suffix": _suffix,
}
_EXACT: Final = frozenset({"schema", "subschema", "output-schema", "suffix"})


def _world(vector: Vector, reply: Reply) -> Bottle:
    info = _info(vector)
    contract = FakeContract(dialect=vector.upstream, streams_only=vector.upstream in STREAMS_ONLY)
    return bottle(reply, contracts=(contract,), info=info)


def _info(vector: Vector) -> ModelInfo:
    name = vector.model or MODELS[vector.upstream]
    facts = dict(vector.facts)
    if isinstance(facts.get("thinking"), dict):
        facts["thinking"] = thinking_from(facts["thinking"])
    return evolve(find(name) or ModelInfo(id=name), **{"id": name, **facts})


async def _ask(vector: Vector, world: Bottle, body: JsonObject, *, streams: bool = False) -> bytes:
    """Run the exchange and return what the client reads. Raises the error of a refusal as itself."""
    name = (vector.model or MODELS[vector.upstream]) + vector.suffix
    # Gemini's clients name the model in the address.
    said = body if vector.client == "gemini" else {"model": name, **body}
    wanted = evolve(request(body, vector.client), model=name, document=Document.parse(dumps(said)))
    wanted = evolve(wanted, stream=streams or wanted.stream)
    if wanted.stream:
        return await _streamed(wanted, world)
    return (await answer_exchange(wanted, world.deps)).body


async def _streamed(wanted: ClientRequest, world: Bottle) -> bytes:
    pieces: list[bytes] = []
    error: ProxyError | None = None
    async with trio.open_nursery() as nursery:
        try:
            head = await nursery.start(stream_exchange, wanted, world.deps)
        except ProxyError as exc:
            error = exc
        else:
            async with head.body:
                pieces = [piece async for piece in head.body]
    if error is not None:
        raise error
    return b"".join(pieces)


def _sent(world: Bottle) -> JsonValue:
    return loads_object(world.upstreams.calls[0].body) if world.upstreams.calls else None


def _reply(vector: Vector) -> Reply:
    """Return the upstream's answer as the entry describes it."""
    said = vector.input
    if isinstance(said, Mapping) and "status" in said and vector.kind == "error":
        return json_reply(said.get("body", {}), said["status"])
    if isinstance(said, Mapping) and "raw" not in said:
        return json_reply({**said})
    reads = [said["raw"].encode()] if isinstance(said, Mapping) else [*_written(said or [])]
    if vector.cut:
        text = b"".join(reads)
        reads = [text[at : at + vector.cut] for at in range(0, len(text), vector.cut)]
    return Reply(headers=dict(SSE), body=reads)


def _written(frames: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for frame in frames:
        data = frame["data"]
        raw = data.encode() if isinstance(data, str) else dumps(data)
        event = frame.get("event", data.get("type") if isinstance(data, dict) else None)
        yield make_frame(raw, event.encode() if event else None).raw


def _seen(frame: Frame) -> JsonValue:
    """Return a frame in the form entries write them in."""
    seen: JsonObject = {"event": frame.event.decode()} if frame.event else {}
    try:
        return {**seen, "data": loads(frame.data)}
    except JsonError:
        return {**seen, "data": frame.data.decode()}


# --- comparing --------------------------------------------------------------------------------------------


async def complaints(vector: Vector) -> list[str]:
    """Run an entry with all its cases and return what is not as expected."""
    found: list[str] = []
    for case in vector.cases or (vector,):
        outcome = await outcome_of(case)
        wrong = differences(case.expect, outcome.result, exact=case.kind in _EXACT)
        wrong += [f"sent{at}" for at in differences(case.sent, outcome.sent)]
        wrong += [f"{path} is there" for path in case.absent if leads_somewhere(path, outcome.result)]
        if wrong:
            found += [*wrong, f"in all: {dumps(outcome.result).decode()}"]
    return found


def differences(expected: Any, actual: JsonValue, *, exact: bool = False) -> list[str]:
    """Return where a value is not what was expected; see the module's docstring for what matches."""
    return [*_Comparison(exact).differences(expected, actual)]


def _begins(expected: str, actual: JsonValue) -> bool:
    if expected == ANY:
        return True
    start = expected.removesuffix(ANY)
    return start != expected and isinstance(actual, str) and actual.startswith(start)


@define
class _Comparison:
    """One value compared with what was expected of it."""

    exact: bool = False
    bound: dict[str, JsonValue] = field(factory=dict)
    """What names stand for."""

    def differences(self, expected: Any, actual: JsonValue, at: str = "") -> Iterator[str]:
        """Yield where the value is not as expected."""
        if isinstance(expected, str) and _begins(expected, actual):
            return
        if isinstance(expected, str) and _NAME.fullmatch(expected):
            yield from self._unlike_before(expected, actual, at)
        elif isinstance(expected, dict) and isinstance(actual, dict):
            yield from self._members(expected, actual, at)
        elif isinstance(expected, list) and isinstance(actual, list):
            yield from self._items(expected, actual, at)
        elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
            yield f"{at} is {actual!r}, not {expected!r}"

    def _unlike_before(self, name: str, actual: JsonValue, at: str) -> Iterator[str]:
        if self.bound.setdefault(name, actual) != actual:
            yield f"{at} is {actual!r}, not {self.bound[name]!r} like {name} before"
        yield from (
            f"{at} is {actual!r}, which is {other}"
            for other, value in self.bound.items()
            if other != name and value == actual
        )

    def _members(self, expected: dict[str, Any], actual: JsonObject, at: str) -> Iterator[str]:
        for key, value in expected.items():
            if key in actual:
                yield from self.differences(value, actual[key], f"{at}.{key}")
            else:
                yield f"{at}.{key} is missing"
        if self.exact:
            yield from (f"{at}.{key} was not expected" for key in actual if key not in expected)

    def _items(self, expected: list[Any], actual: list[JsonValue], at: str) -> Iterator[str]:
        if REST in expected:
            if not self._fits(expected, actual):
                yield f"{at} does not have these items in this order: {expected!r}"
            return
        if len(expected) != len(actual):
            yield f"{at} has {len(actual)} items, not {len(expected)}"
        for index, (wanted, found) in enumerate(zip(expected, actual, strict=False)):
            yield from self.differences(wanted, found, f"{at}[{index}]")

    def _fits(self, expected: list[Any], actual: list[JsonValue]) -> bool:
        """Tell whether a list is as expected, where parts of it may be anything."""
        if not expected:
            return not actual
        wanted, *others = expected
        before = dict(self.bound)
        if wanted == REST:
            fits = any(self._fits(others, actual[start:]) for start in range(len(actual) + 1))
        else:
            is_first = bool(actual) and not any(self.differences(wanted, actual[0]))
            fits = is_first and self._fits(others, actual[1:])
        if not fits:
            self.bound = before
        return fits


def leads_somewhere(path: str, value: JsonValue) -> bool:
    """Tell whether a dotted path leads to anything."""
    found = [value]
    for step in path.split("."):
        found = [inner for each in found for inner in _step(each, step)]
    return bool(found)


def _step(value: JsonValue, step: str) -> Sequence[JsonValue]:
    if isinstance(value, dict):
        return [*value.values()] if step == "*" else [value[step]] if step in value else []
    if isinstance(value, list):
        return value if step == "*" else value[int(step) : int(step) + 1] if step.isdigit() else []
    return []
