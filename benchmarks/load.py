"""The load client: raw sockets, keep-alive, and a judge of what comes back.

A run keeps some connections busy for some seconds. Before a run is believed, one answer is read the way a
client of the dialect reads it and its text is compared with what the upstream said; of every other answer the
status, the end and the sequence of stamps are checked. A wrong answer ends the run with :class:`WrongAnswer`:
the time of a wrong answer means nothing.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from http import HTTPStatus
from typing import Final, cast

import trio
from attrs import define, field, frozen

from benchmarks.dialects import EVENTS, STAMP, UNARY_TEXT, Dialect, model_name, stamp

CLIENT_KEY: Final = "bench-client-key"
RECEIVE_BYTES: Final = 262_144
ANSWER_LIMIT_S: Final = 30.0
"""No single answer takes this long; beyond it something hangs."""
STAMP_BYTES: Final = 21
SHOWN_BYTES: Final = 300

_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"

Watch = Callable[[bytes], None]


class WrongAnswer(Exception):
    """The server answered something else than the upstream said."""


@frozen(kw_only=True)
class Target:
    """A server, and how to speak through it to an upstream."""

    name: str
    port: int
    dialect: Dialect
    """The client's."""
    upstream: str
    """Id of the upstream's dialect; its model names tell the server where to go."""

    def request(self, mode: str, *, stream: bool, turns: int = 1) -> bytes:
        """Return a complete HTTP request."""
        model = model_name(self.upstream, mode)
        path, body = self.dialect.request(model, stream=stream, turns=turns)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@frozen(kw_only=True)
class Answer:
    """A response, its body as it was on the wire."""

    status: int
    is_chunked: bool
    wire: bytes = field(repr=False)
    sent: float
    first: float
    """When the first byte of the body had come, monotonic seconds."""
    last: float

    def body(self) -> bytes:
        """Return the body without the chunks' frames."""
        return dechunked(self.wire) if self.is_chunked else self.wire


def dechunked(wire: bytes) -> bytes:
    """Take HTTP chunks apart."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = wire.index(b"\r\n", at)
        size = int(wire[at:end], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(wire[end + 2 : end + 2 + size])
        at = end + size + 4


class Connection:
    """One keep-alive connection to a server."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    @staticmethod
    async def open(port: int) -> "Connection":
        """Connect."""
        return Connection(await trio.open_tcp_stream("127.0.0.1", port))

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    async def ask(self, request: bytes, watch: Watch | None = None) -> Answer:
        """Send a request and read the whole response. ``watch`` sees its body's bytes as they come."""
        with trio.fail_after(ANSWER_LIMIT_S):
            sent = time.perf_counter()
            await self._stream.send_all(request)
            head = await self._head()
            is_chunked = _CHUNKED.search(head) is not None
            length = _CONTENT_LENGTH.search(head)
            if not self._buffer:
                await self._more()
            first = time.perf_counter()
            if watch is not None:
                watch(bytes(self._buffer))
            wire = await self._body(None if is_chunked or length is None else int(length[1]), watch)
            last = time.perf_counter()
        return Answer(
            status=int(head[9:12]), is_chunked=is_chunked, wire=wire, sent=sent, first=first, last=last
        )

    async def begin(self, request: bytes) -> None:
        """Send a request and read the beginning of the response's body, no more."""
        with trio.fail_after(ANSWER_LIMIT_S):
            await self._stream.send_all(request)
            head = await self._head()
            if not self._buffer:
                await self._more()
        if not head.startswith(b"HTTP/1.1 200"):
            raise WrongAnswer(f"{head.splitlines()[0].decode()}: {bytes(self._buffer[:SHOWN_BYTES])!r}")

    async def _head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    async def _body(self, length: int | None, watch: Watch | None) -> bytes:
        """Read a body of this length, or chunks."""
        buffer = self._buffer
        while not (buffer.endswith(_LAST_CHUNK) if length is None else len(buffer) >= length):
            data = await self._more()
            if watch is not None:
                watch(data)
        body = bytes(buffer if length is None else buffer[:length])
        del buffer[: len(body)]
        return body

    async def _more(self) -> bytes:
        data = await self._stream.receive_some(RECEIVE_BYTES)
        if not data:
            raise WrongAnswer(f"the connection was closed after {bytes(self._buffer[:SHOWN_BYTES])!r}")
        self._buffer += data
        return data


@define(eq=False)
class Delays:
    """Watches a paced stream and notes how old each event is when it arrives."""

    seconds: list[float] = field(factory=list)
    _newest: bytes = b""
    _tail: bytes = b""

    def __call__(self, data: bytes) -> None:
        """See what one read gave. A stamp may be cut by the read; one that is repeated is no news."""
        now = time.monotonic_ns()
        seen = self._tail + data
        for found in STAMP.findall(seen):
            if found > self._newest:
                self._newest = found
                self.seconds.append((now - int(found)) / 1e9)
        self._tail = seen[-STAMP_BYTES:]


@define(eq=False)
class Sample:
    """What one run measured; times in seconds."""

    answers: int = 0
    events: int = 0
    duration: float = 0.0
    times: list[float] = field(factory=list)
    """From sending a request to the end of its answer."""
    first_bytes: list[float] = field(factory=list)
    delays: list[float] = field(factory=list)
    """From an event's sending by the upstream to its arrival here; paced streams only."""
    cpu: float = 0.0
    """Processor time the server used meanwhile; filled in by whoever knows its process."""

    def note(self, answer: Answer, events: int) -> None:
        """Count an answer."""
        self.answers += 1
        self.events += events
        self.times.append(answer.last - answer.sent)
        self.first_bytes.append(answer.first - answer.sent)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


@frozen(kw_only=True)
class Load:
    """What is sent: how the upstream is to answer, how many connections, how long the request is."""

    mode: str
    connections: int
    turns: int = 1

    @property
    def is_stream(self) -> bool:
        """Whether streams are asked for."""
        return self.mode != "unary"


async def run(target: Target, load: Load, seconds: float) -> Sample:
    """Keep the connections busy for some seconds. Each asks at least once; what is under way is finished."""
    request = target.request(load.mode, stream=load.is_stream, turns=load.turns)
    sample = Sample()
    connections = [await Connection.open(target.port) for _ in range(load.connections)]

    async def keep_busy(connection: Connection, until: float) -> None:
        while True:
            delays = Delays() if load.mode == "paced" else None
            answer = await connection.ask(request, delays)
            sample.note(answer, check(target.dialect, answer, is_stream=load.is_stream))
            if delays is not None:
                sample.delays += delays.seconds
            if time.perf_counter() >= until:
                return

    try:
        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for connection in connections:
                nursery.start_soon(keep_busy, connection, start + seconds)
        sample.duration = time.perf_counter() - start
    finally:
        for connection in connections:
            await connection.aclose()
    return sample


def check(dialect: Dialect, answer: Answer, *, is_stream: bool) -> int:
    """Check an answer quickly and return how many text events it had."""
    if answer.status != HTTPStatus.OK:
        raise WrongAnswer(f"status {answer.status}: {answer.body()[:SHOWN_BYTES]!r}")
    if not is_stream:
        return 1
    body = answer.body()
    stamps = list(dict.fromkeys(STAMP.findall(body)))
    if len(stamps) != EVENTS or stamps != sorted(stamps):
        raise WrongAnswer(
            f"{len(stamps)} text events instead of {EVENTS}, or in disorder: {body[-SHOWN_BYTES:]!r}"
        )
    if dialect.end_mark not in body:
        raise WrongAnswer(f"the stream lacks its end: {body[-SHOWN_BYTES:]!r}")
    return EVENTS


async def judge(target: Target, load: Load) -> None:
    """Read one answer as a client would. Raises :class:`WrongAnswer`."""
    async with aclosing(await Connection.open(target.port)) as connection:
        answer = await connection.ask(target.request(load.mode, stream=load.is_stream, turns=load.turns))
    check(target.dialect, answer, is_stream=load.is_stream)
    said = b"".join(map(stamp, range(EVENTS))).decode()
    try:
        if load.is_stream:
            text = target.dialect.stream_text(answer.body())
        else:
            text = target.dialect.read_unary(json.loads(answer.body()))
    except (ValueError, LookupError, TypeError) as exc:
        raise WrongAnswer(f"unreadable ({exc!r}): {answer.body()[:SHOWN_BYTES]!r}") from exc
    if load.mode == "paced":
        is_right = len(STAMP.findall(text.encode())) == EVENTS
    else:
        # Some upstreams are asked for a stream although the client wants one body.
        is_right = text == said or (not load.is_stream and text == UNARY_TEXT)
    if not is_right:
        raise WrongAnswer(f"another text than the upstream's: {text[:SHOWN_BYTES]!r}")


async def open_connections(port: int) -> int:
    """Ask the upstream how many connections it has, besides the one that asks."""
    async with aclosing(await Connection.open(port)) as connection:
        answer = await connection.ask(b"GET /connections HTTP/1.1\r\nHost: upstream\r\n\r\n")
    return cast("int", json.loads(answer.wire)["open"]) - 1
