"""An upstream that costs next to nothing: prebuilt answers in four dialects on bare sockets.

A process of its own, ``python -m benchmarks.upstream``; it prints its address and serves until it is
stopped or its standard input ends. The path of a request tells the dialect, the model's name how to answer:

``unary``      one body
``coalesced``  a stream in one HTTP chunk and one packet train: the upstream was faster than the network
``burst``      the same with one HTTP chunk for each event, as servers do that flush each event
``paced``      one event, one chunk, one packet every :data:`PACE_S` seconds, the time of sending in its text
``idle``       the beginning of a stream, and then nothing until the peer leaves

``python -m benchmarks.upstream 5`` fails one request in five, in four ways; when the same request comes
again, it is answered.

``GET /connections`` answers with the number of open connections, itself included.
"""

import json
import re
import sys
import time
from functools import partial
from typing import Final

import trio
from attrs import define, field, frozen

from benchmarks.dialects import DIALECTS, EVENTS, MODE_IN_REQUEST, Dialect, stamp

PACE_S: Final = 0.01
"""Seconds from one event of a paced stream to the next."""
SPREAD: Final = 0.618
"""Multiples of this, modulo 1, keep a distance from each other."""
STREAM_WISH: Final = re.compile(rb'"stream"\s*:\s*true')
CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
RECEIVE_BYTES: Final = 262_144

STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK: Final = b"0\r\n\r\n"


def whole(body: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a complete response."""
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (
        status,
        len(body),
    )
    return head + body


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


FAILURES: Final = (
    whole(b'{"error":{"message":"overloaded","type":"server_error"}}', b"503 Service Unavailable"),
    whole(b'{"error":{"message":"too many requests","type":"rate_limit"}}', b"429 Too Many Requests"),
    b"",
    STREAM_HEAD,
)
"""What comes instead of an answer. What has no length is followed by the end of the connection."""


@frozen
class Answers:
    """What of a dialect can be said before anybody asks."""

    dialect: Dialect
    unary: bytes
    coalesced: bytes
    burst: bytes

    @staticmethod
    def of(dialect: Dialect) -> "Answers":
        """Prepare a dialect's answers."""
        events = dialect.script.events()
        return Answers(
            dialect,
            whole(dialect.unary),
            STREAM_HEAD + chunk(b"".join(events)) + LAST_CHUNK,
            STREAM_HEAD + b"".join(chunk(event) for event in events if event) + LAST_CHUNK,
        )


@frozen
class Request:
    """A request, read to its end."""

    method: bytes
    path: bytes
    body: bytes

    @property
    def wants_stream(self) -> bool:
        """Whether a stream is asked for, by path or by body."""
        return b":stream" in self.path or STREAM_WISH.search(self.body) is not None


@define(eq=False)
class Upstream:
    """The server: its answers and how many connections it has."""

    answers: tuple[Answers, ...] = field(factory=lambda: tuple(map(Answers.of, DIALECTS.values())))
    failing: int = 0
    """One request in so many fails; 0: none."""
    open_connections: int = 0
    paced_streams: int = 0
    _asked: int = 0
    _failed: set[bytes] = field(factory=set)

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer requests until the peer leaves."""
        self.open_connections += 1
        buffer = bytearray()
        try:
            async with stream:
                while (request := await read_request(stream, buffer)) is not None:
                    failure = self._failure(request)
                    if failure is None:
                        await self._answer(stream, request)
                        continue
                    await stream.send_all(failure)
                    if CONTENT_LENGTH.search(failure) is None:
                        return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # relays may drop their connections at any time
        finally:
            self.open_connections -= 1

    def _failure(self, request: Request) -> bytes | None:
        """Decide whether a request fails, and how."""
        if not self.failing or request.method == b"GET":
            return None
        if request.body in self._failed:
            self._failed.discard(request.body)
            return None
        self._asked += 1
        if self._asked % self.failing:
            return None
        self._failed.add(request.body)
        return FAILURES[self._asked // self.failing % len(FAILURES)]

    async def _answer(self, stream: trio.SocketStream, request: Request) -> None:
        if request.method == b"GET":
            await stream.send_all(whole(b'{"open": %d}' % self.open_connections))
            return
        path = request.path.partition(b"?")[0]
        answers = next((known for known in self.answers if known.dialect.upstream_path.search(path)), None)
        mode = MODE_IN_REQUEST.search(request.path) or MODE_IN_REQUEST.search(request.body)
        if answers is None or mode is None:
            message = f"no benchmark model or no known path: {request.path!r}"
            await stream.send_all(whole(json.dumps({"error": message}).encode(), b"404 Not Found"))
        elif not request.wants_stream:
            await stream.send_all(answers.unary)
        elif mode[1] == b"paced":
            self.paced_streams += 1
            await send_paced(stream, answers.dialect, self.paced_streams * SPREAD % 1)
        elif mode[1] == b"idle":
            await send_beginning(stream, answers.dialect)
        else:
            await stream.send_all(answers.burst if mode[1] == b"burst" else answers.coalesced)


async def read_request(stream: trio.SocketStream, buffer: bytearray) -> Request | None:
    """Read one request; ``None`` when the peer has closed."""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = await stream.receive_some(RECEIVE_BYTES)
        if not data:
            return None
        buffer += data
    head = bytes(buffer[:end])
    declared = CONTENT_LENGTH.search(head)
    total = end + 4 + (int(declared[1]) if declared else 0)
    while len(buffer) < total:
        data = await stream.receive_some(RECEIVE_BYTES)
        if not data:
            return None
        buffer += data
    method, path, _ = head.split(b" ", 2)
    body = bytes(buffer[end + 4 : total])
    del buffer[:total]
    return Request(method, path, body)


async def send_paced(stream: trio.SocketStream, dialect: Dialect, phase: float) -> None:
    """Send a stream in real time. Events are due at fixed times, so that a late one does not delay the rest.

    ``phase`` (0 to 1) shifts those times against other streams'; events that arrive together are cheaper.
    """
    script = dialect.script
    await stream.send_all(STREAM_HEAD + (chunk(script.opening) if script.opening else b""))
    texts: list[bytes] = []
    due = trio.current_time() + phase * PACE_S
    for number in range(EVENTS):
        due += PACE_S
        await trio.sleep_until(due)
        texts.append(stamp(time.monotonic_ns()))
        await stream.send_all(chunk(script.event(number, texts[-1])))
    await stream.send_all(chunk(script.closing(b"".join(texts).decode())) + LAST_CHUNK)


async def send_beginning(stream: trio.SocketStream, dialect: Dialect) -> None:
    """Begin a stream and wait for the peer to go away."""
    script = dialect.script
    await stream.send_all(STREAM_HEAD + chunk(script.opening + script.event(0, stamp(0))))
    while await stream.receive_some(RECEIVE_BYTES):
        pass
    await stream.aclose()


async def main() -> None:
    """Serve on a free port of the loopback interface."""
    upstream = Upstream(failing=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(
            partial(trio.serve_tcp, host="127.0.0.1"), upstream.serve_connection, 0
        )
        print(f"upstream on http://127.0.0.1:{listener.socket.getsockname()[1]}", flush=True)
        await trio.lowlevel.wait_readable(sys.stdin)
        nursery.cancel_scope.cancel(reason="whoever started us is gone")


if __name__ == "__main__":
    trio.run(main)
