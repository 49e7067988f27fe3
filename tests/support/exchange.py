"""An exchange in a bottle: scripted upstreams, a fake provider, and the records that come out.

No sockets. Every I/O operation of the scripted upstreams and of the token source passes through one counter,
so that a test can cancel the exchange exactly there; every stream says whether it was closed.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from attrs import define, evolve, field, frozen

from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.dialects import by_id
from cliproxy.dialects.base import Action, ClientRequest, Framing
from cliproxy.errors import Failure, LoginError, UpstreamError
from cliproxy.exchange.attempts import Attempts
from cliproxy.exchange.deps import Deps, Snapshot
from cliproxy.exchange.plan import Plan
from cliproxy.exchange.record import ExchangeRecord, Recorder
from cliproxy.net.http import UpstreamStream
from cliproxy.providers.base import Call, CallLimit, Contract, Pass, Provider
from cliproxy.routing.runtime import RuntimeTable
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import Document, JsonObject, dumps
from cliproxy.wire.secret import Secret
from support.routes import credential

NOW = 1_700_000_000.0
MODEL = ModelInfo(id="m")
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@frozen(kw_only=True)
class Reply:
    """One scripted answer: pieces of the body, each bytes, a pause in seconds, or an exception to raise."""

    status: int = 200
    headers: dict[str, str] = field(factory=lambda: dict(SSE))
    body: Sequence[bytes | float | Exception] = ()
    refuses: Exception | None = None
    """Raised instead of answering."""


def json_reply(value: JsonObject, status: int = 200, **headers: str) -> Reply:
    """An answer in one piece."""
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return Reply(status=status, headers={**JSON, **named}, body=(dumps(value),))


@define(eq=False)
class ScriptedStream:
    """One open answer."""

    owner: "ScriptedUpstreams"
    reply: Reply
    call: UpstreamCall
    is_closed: bool = False
    pieces: deque[bytes | float | Exception] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pieces = deque(self.reply.body)

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def headers(self) -> Headers:
        return Headers(self.reply.headers)

    async def read(self) -> bytes:
        await self.owner.step()
        while self.pieces:
            piece = self.pieces.popleft()
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                return piece
            await trio.sleep(piece)
        return b""

    async def read_all(self, limit: int) -> bytes:
        collected = b""
        while data := await self.read():
            collected += data
        assert len(collected) <= limit
        return collected


@define(eq=False)
class ScriptedUpstreams:
    """Answers calls in the order of the script."""

    replies: deque[Reply]
    calls: list[HttpCall] = field(factory=list)
    streams: list[ScriptedStream] = field(factory=list)
    operations: int = 0
    on_operation: Callable[[int], None] = lambda _: None

    async def step(self) -> None:
        """Count one I/O operation; a test may cancel here."""
        self.operations += 1
        self.on_operation(self.operations)
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def open(self, call: UpstreamCall) -> AsyncIterator[ScriptedStream]:
        assert isinstance(call, HttpCall)
        self.calls.append(call)
        await self.step()
        assert self.replies, f"no reply left for {call.url}"
        reply = self.replies.popleft()
        if reply.refuses is not None:
            raise reply.refuses
        stream = ScriptedStream(self, reply, call)
        self.streams.append(stream)
        try:
            yield stream
        finally:
            stream.is_closed = True

    @property
    def open_streams(self) -> int:
        return sum(not stream.is_closed for stream in self.streams)


@frozen
class FakeContract:
    """Sends bodies to a host named after the credential, or to one host for all."""

    dialect: str = "openai"
    id: str = "only"
    needs: TokenSlot | None = TokenSlot.ACCOUNT
    streams_only: bool = False
    framing: Framing = Framing.SSE
    actions: tuple[Action, ...] = (Action.GENERATE,)
    host: str = ""
    failure: Failure | None = None
    """How refusals are read; ``None``: by the general rules."""

    def supports(self, action: Action) -> bool:
        return action in self.actions

    def prepare(self, call: Call) -> HttpCall:
        token = call.token.value.reveal() if call.token else "-"
        return HttpCall(
            method="POST",
            url=f"https://{self.host or call.credential.id}.example/{self.id}/{call.model}",
            headers=Headers({"authorization": f"Bearer {token}"}),
            body=call.body,
            stream=call.stream,
        )

    def read_failure(self, _status: int, _headers: Headers, _body: bytes) -> Failure | None:
        return self.failure


@define
class FakeTokens:
    """Tokens that count their renewals."""

    can_renew: bool = True
    renewals: list[tuple[str, int]] = field(factory=list)
    failure: LoginError | None = None
    step: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def ensure_fresh(self, wanted: Credential, slot: TokenSlot) -> Token:
        await self.step()
        if self.failure is not None:
            raise self.failure
        return Token(value=Secret(f"{wanted.id}-{slot}-{len(self.renewals)}"), version=len(self.renewals))

    async def refresh(self, wanted: Credential, slot: TokenSlot, failed_version: int) -> Token:
        if not self.can_renew:
            raise LoginError("cannot be renewed", code="not_renewable")
        self.renewals.append((wanted.id, failed_version))
        return await self.ensure_fresh(wanted, slot)


@define(eq=False)
class Bottle:
    """Everything a test looks at."""

    upstreams: ScriptedUpstreams
    deps: Deps
    records: list[ExchangeRecord]
    tokens: FakeTokens
    runtime: RuntimeTable

    @property
    def hosts(self) -> list[str]:
        """Which credentials were asked, in order."""
        return [call.url.removeprefix("https://").partition(".")[0] for call in self.upstreams.calls]


def bottle(
    *replies: Reply,
    names: str = "a",
    contracts: tuple[FakeContract, ...] = (FakeContract(),),
    config: Config | None = None,
    tokens: FakeTokens | None = None,
    quirks: tuple[Pass, ...] = (),
    limits: Mapping[str, CallLimit] | None = None,
    own: Mapping[str, Mapping[str, object]] | None = None,
    info: ModelInfo = MODEL,
    native_first: bool = False,
    caches_prompts: bool = False,
    **settings: object,
) -> Bottle:
    """Build the world of an exchange for one client model, ``m`` if not told otherwise, served by credentials
    named by single letters, all with the same ``settings`` except for their ``own``.
    """
    offered: tuple[Contract, ...] = contracts
    provider = Provider(
        key="p",
        label="P",
        contracts_for=lambda _credential, _model, _action: offered,
        static_models=lambda _credential: (),
        quirks=quirks,
        limits=limits or {},
        native_first=native_first,
        caches_prompts=caches_prompts,
    )
    credentials = tuple(credential(name, **{**settings, **(own or {}).get(name, {})}) for name in names)
    registry = build([Offer(credential=each, models=(info,)) for each in credentials])
    snapshot = Snapshot(
        config=config or Config(request_retry=0),
        registry=registry,
        providers={"p": provider},
        credentials=credentials,
    )
    upstreams = ScriptedUpstreams(deque(replies))
    records: list[ExchangeRecord] = []
    runtime = RuntimeTable()
    tokens = tokens or FakeTokens()
    tokens.step = upstreams.step
    deps = Deps(
        snapshot=lambda: snapshot,
        upstreams=upstreams,
        tokens=tokens,
        runtime=runtime,
        record=records.append,
        wall=lambda: NOW,
        monotonic=trio.current_time,
        rng=Random(1),
    )
    return Bottle(upstreams, deps, records, tokens, runtime)


def request(body: JsonObject, dialect: str = "openai", **overrides: object) -> ClientRequest:
    """A client request for model ``m``."""
    made = ClientRequest(
        dialect=dialect,
        action=Action.GENERATE,
        model="m",
        stream=body.get("stream") is True,
        document=Document.parse(dumps({"model": "m", **body})),
        request_id="req-1",
    )
    return evolve(made, **overrides)


def recorder_of(world: Bottle, wanted: ClientRequest) -> Recorder:
    """A recorder that hands its record to the bottle."""
    return Recorder(
        sink=world.records.append,
        wall=world.deps.wall,
        monotonic=world.deps.monotonic,
        request_id=wanted.request_id,
        client=wanted.client,
        client_id=wanted.client_id,
        dialect=wanted.dialect,
        action=wanted.action,
        model=wanted.model,
        stream=wanted.stream,
    )


def chat(stream: bool = True, **members: object) -> ClientRequest:
    """A chat request."""
    body: JsonObject = {"messages": [{"role": "user", "content": "hi"}], "stream": stream}
    return request({**body, **members})  # type: ignore[dict-item]


def chunk(content: str | None = None, finish: str | None = None, **members: object) -> bytes:
    """One chat stream frame."""
    delta: JsonObject = {} if content is None else {"content": content}
    value: JsonObject = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **members,  # type: ignore[dict-item]
    }
    return b"data: " + dumps(value) + b"\n\n"


WHOLE: JsonObject = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
REFUSED: JsonObject = {"error": {"message": "no", "type": "x"}}
DONE = b"data: [DONE]\n\n"
ANSWER = (chunk(""), chunk("Hel"), chunk("lo"), chunk(finish="stop"), DONE)


def dialect_ids() -> list[str]:
    """Every dialect that clients may speak."""
    return [by_id(name).id for name in ("openai", "openai-response", "claude", "gemini")]


# --- attempts ---------------------------------------------------------------------------------------


async def everything(stream: UpstreamStream, _plan: Plan) -> bytes:
    """Serve an answer by reading it."""
    return await stream.read_all(1_000_000)


async def attempt(
    world: Bottle,
    wanted: ClientRequest | None = None,
    serve: Callable[[UpstreamStream, Plan], Awaitable[bytes]] = everything,
) -> bytes:
    """Run the attempts of one request; the notes they leave go into the record of the bottle."""
    asked = wanted or chat(stream=False)
    recorder = recorder_of(world, asked)
    return await Attempts(asked, world.deps, recorder, serve).run()


async def refused(world: Bottle, wanted: ClientRequest | None = None) -> UpstreamError:
    """Run attempts that must all fail."""
    with pytest.raises(UpstreamError) as caught:
        await attempt(world, wanted)
    return caught.value
