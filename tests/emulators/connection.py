"""One client connection: HTTP/1.1 through h11 on a raw trio stream.

Two tasks share a connection. The reader takes bytes from the socket all the time, also while an answer is
being written or held back; so it notices at once when the client leaves and cancels the answer. The other
task parses requests and performs the planned steps. Steps may break the protocol on purpose: stop in the
middle, reset, or write bytes that are no HTTP at all.

The last body bytes and the end of the body go out in one write. A client that has seen its terminal event
may close at once, and must not be taken for one that left early.
"""

import socket
import struct
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus

import h11
import trio
from attrs import Factory, define, field

from emulators.control import CONTROL_PREFIX, handle_control
from emulators.engine import Engine, Record, new_record
from emulators.faults import (
    Cut,
    Data,
    Drip,
    Finish,
    Head,
    Hold,
    Operation,
    Pause,
    Raw,
    Silence,
    operations,
)
from emulators.values import Request

READ_SIZE = 65536
HEAD_LIMIT = 256 * 1024
LINGER_NONE = struct.pack("ii", 1, 0)
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@define(eq=False)
class Connection:
    """Serves the requests of one client connection until either side ends it."""

    engine: Engine
    number: int
    stream: trio.abc.Stream
    socket: trio.SocketStream
    """The plain socket below `stream`, for resets."""
    quiet: bool = True
    _http: h11.Connection = Factory(lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT))
    _send: trio.MemorySendChannel[bytes] = field(init=False)
    _incoming: trio.MemoryReceiveChannel[bytes] = field(init=False)
    _answering: trio.CancelScope | None = None
    _gone: tuple[str, float] | None = None
    _cut: bool = False

    def __attrs_post_init__(self) -> None:
        self._send, self._incoming = trio.open_memory_channel[bytes](16)

    async def serve(self) -> None:
        """Serve until the connection ends; closes it on the way out."""
        self.engine.connections[self.number] = self.drop
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, name=f"reader {self.number}")
                await self._exchanges()
                nursery.cancel_scope.cancel()
        finally:
            del self.engine.connections[self.number]
            await trio.aclose_forcefully(self.stream)

    def drop(self, how: str) -> None:
        """End the connection from outside, also in the middle of an answer."""
        self._cut_now(how)
        if self._answering is not None:
            self._answering.cancel()

    def _cut_now(self, how: str) -> None:
        """Close with a reset (`rst`) or in the ordinary way (`fin`)."""
        if how == "rst":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        self._cut = True
        self.socket.socket.close()

    async def _read(self) -> None:
        async with self._send:
            while True:
                try:
                    data = await self.stream.receive_some(READ_SIZE)
                except trio.ClosedResourceError:
                    return
                except trio.BrokenResourceError:
                    self._client_left("rst")
                    return
                if not data:
                    self._client_left("fin")
                    return
                await self._send.send(bytes(data))

    def _client_left(self, how: str) -> None:
        self._gone = (how, time.monotonic())
        if self._answering is not None:
            self._answering.cancel()

    async def _exchanges(self) -> None:
        while not self._cut:
            try:
                request = await self._next_request()
            except h11.RemoteProtocolError as exc:
                self._note(f"bad request: {exc}")
                return
            if request is None:
                return
            await self._answer(request)
            if self._cut or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _next_request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                await self._more()
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def _more(self) -> None:
        """Give the parser more bytes, or the end of the stream."""
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            await self._write(self._http.send(go_on))
        try:
            self._http.receive_data(await self._incoming.receive())
        except trio.EndOfChannel:
            self._http.receive_data(b"")

    async def _answer(self, request: Request) -> None:
        if request.path.startswith(CONTROL_PREFIX):
            answer = await handle_control(self.engine, request, self.number)
            await self._perform(operations(answer), new_record(request, self.number))
            return
        record = self.engine.admit(request, self.number)
        await self._perform(self.engine.plan(request, record), record)
        self._note(_access_line(record))

    async def _perform(self, steps: Sequence[Operation], record: Record) -> None:
        """Carry out the steps, stopping as soon as the client has left."""
        broken = False
        with trio.CancelScope() as scope:
            self._answering = scope
            if self._gone:
                scope.cancel()
            try:
                await self._steps(steps, record)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                broken = True
        self._answering = None
        if (scope.cancelled_caught or broken) and not self._cut:
            record.disconnect, record.disconnected_at = self._gone or ("rst", time.monotonic())
        else:
            record.finished_at = time.monotonic()
        self.engine.notify()

    async def _steps(self, steps: Sequence[Operation], record: Record) -> None:
        skip_finish = False
        for step, following in zip(steps, (*steps[1:], None), strict=True):
            match step:
                case Head():
                    record.status, record.head_at = step.status, time.monotonic()
                    await self._write(self._http.send(_response(step)))
                case Data():
                    skip_finish = isinstance(following, Finish)
                    await self._data(step, record, last=skip_finish)
                case Drip():
                    for at in range(len(step.data)):
                        await self._data(Data(step.data[at : at + 1], counts=False), record, last=False)
                        await trio.sleep(step.seconds)
                    record.events += 1
                case Finish():
                    if not skip_finish:
                        await self._finish()
                case _:
                    await self._interrupt(step)

    async def _finish(self, data: bytes = b"") -> None:
        """End the body after its last bytes; one that is shorter than its head said can only be cut off."""
        try:
            end = self._http.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            await self._write(data)
            self._cut_now("fin")
        else:
            await self._write(data + end)

    async def _interrupt(self, step: Operation) -> None:
        match step:
            case Pause():
                await trio.sleep(step.seconds)
            case Hold():
                await self.engine.hold()
            case Silence():
                await trio.sleep_forever()
            case Raw():
                await self._write(step.data)
            case Cut():
                self._cut_now(step.how)
            case _:
                raise AssertionError(step)

    async def _data(self, step: Data, record: Record, *, last: bool) -> None:
        data = self._http.send(h11.Data(data=step.data)) or b""
        await (self._finish(data) if last else self._write(data))
        record.first_event_at = record.first_event_at or time.monotonic()
        record.events += step.counts
        record.sent += len(step.data)
        if step.counts:
            self.engine.notify()

    async def _write(self, data: bytes | None) -> None:
        if data:
            await self.stream.send_all(data)

    def _note(self, text: str) -> None:
        if not self.quiet:
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            sys.stderr.flush()


def _request(head: h11.Request, body: bytes) -> Request:
    raw = head.headers.raw_items()
    headers = tuple((key.decode("latin-1"), value.decode("latin-1")) for key, value in raw)
    return Request(head.method.decode("ascii"), head.target.decode("latin-1"), headers, body)


def _response(head: Head) -> h11.Response:
    headers = [(key, value) for key, value in head.headers if key.lower() != "content-length"]
    if head.length is None:
        headers.append(("transfer-encoding", "chunked"))
    else:
        headers.append(("content-length", str(head.length)))
    return h11.Response(status_code=head.status, headers=headers, reason=_REASONS.get(head.status, ""))


def _access_line(record: Record) -> str:
    path = record.target.partition("?")[0]
    end = f"client left ({record.disconnect})" if record.disconnect else "done"
    refused = f" refused: {record.refused}" if record.refused else ""
    took = (record.finished_at or record.disconnected_at or record.received_at) - record.received_at
    status = record.status if record.status is not None else "---"
    return f"{record.method} {path} {status} {record.events} events {took:.3f}s {end}{refused}"
