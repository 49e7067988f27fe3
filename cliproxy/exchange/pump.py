"""The hot loop: one upstream read, one carrier step, one message to the client.

**Commit point.** The response head is held until the first step with content. Until then the outlet collects
what the carrier produced, and every failure (an error event, a broken transport, an empty answer) is raised
as :class:`~cliproxy.errors.AttemptFailed`, so that another credential may try. Committing hands a
:class:`StreamHead` to the waiting handler and releases what was held. From then on a failure becomes the
dialect's error frame, the stream ends, and :class:`~cliproxy.errors.AnswerCut` says so. An upstream that
shows signs of life but no content does not hold the head for ever: clients, and proxies between them and us,
give up on an answer that does not begin.

**Limits.** One cancel scope surrounds the loop; its deadline moves with every read and is lifted when the
client is the one being waited for. The channel to the body writer is short, in items and in bytes, so a slow
client slows the upstream down instead of filling memory.

**The end.** After the terminal event the transport is read to its end under a short limit, which returns the
connection to the pool; if the upstream does not close, nobody waits for it. The answer is complete by then:
neither a broken transport nor a client that leaves makes a failure of it any more.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, NoReturn

import trio
from attrs import define, field, frozen

from cliproxy.errors import (
    AnswerCut,
    AttemptFailed,
    Failure,
    FrameError,
    Kind,
    Scope,
    TransportError,
    UpstreamError,
)
from cliproxy.exchange.carry import Carrier, Step
from cliproxy.exchange.cause import STOPPED
from cliproxy.exchange.ending import STOPPING, Ending
from cliproxy.exchange.patience import incomplete_after, silent_for
from cliproxy.exchange.plan import forget
from cliproxy.exchange.record import Recorder
from cliproxy.net.http import UpstreamStream
from cliproxy.routing.classify import broken_answer, empty_answer, failure_from_stream, failure_from_transport
from cliproxy.wire.http import Headers
from cliproxy.wire.veil import Veil

CHANNEL_ITEMS: Final = 4
PIECE_BYTES: Final = 8 * 1024
"""What is longer takes more than one place in the channel: an upstream that is far ahead of its client
delivers as much as fits into one read, and a slow client must not cost many of those."""
OPENING_BYTES: Final = 16 * 1024
"""What was held until the commit and is not longer than this is one message."""
AFTER_END_S: Final = 1.0
HELD_BYTES: Final = 1024 * 1024
"""An opening longer than this is committed whether or not it says anything."""
HELD_S: Final = 30.0
"""So is one that lasts longer; proxies commonly give up after a minute."""


@frozen(kw_only=True)
class StreamHead:
    """A committed answer: the upstream's headers and the channel its bytes will come through."""

    headers: Headers
    veil: Veil = field(factory=Veil, repr=False)
    """Over what they may quote."""
    body: trio.MemoryReceiveChannel[bytes] = field(repr=False)
    way: trio.MemorySendChannel[bytes] = field(repr=False)
    """The other end of it, for signs of life while nothing comes."""
    keepalive: bytes = b""


@define(eq=False)
class Outlet:
    """The way to the client: holds bytes back until the commit, then sends them on."""

    task_status: trio.TaskStatus[StreamHead]
    recorder: Recorder
    is_committed: bool = field(default=False, init=False)
    _held: list[bytes] = field(factory=list, init=False)
    _held_bytes: int = field(default=0, init=False)
    _send: trio.MemorySendChannel[bytes] | None = field(default=None, init=False)

    def hold(self, data: bytes) -> None:
        """Keep bytes back."""
        if data:
            self._held.append(data)
            self._held_bytes += len(data)

    @property
    def is_full(self) -> bool:
        """Whether more is held than it is worth."""
        return self._held_bytes > HELD_BYTES

    def reset(self) -> None:
        """Forget what an attempt that failed had produced."""
        self._held.clear()
        self._held_bytes = 0

    def commit(self, headers: Headers, keepalive: bytes, veil: Veil) -> bytes:
        """Let the handler answer, and send what was held: the channel is empty and takes it at once. What is
        too long for one message is returned instead."""
        send, receive = trio.open_memory_channel[bytes](CHANNEL_ITEMS)
        self._send = send
        self.is_committed = True
        self.recorder.first_byte()
        head = StreamHead(headers=headers, veil=veil, body=receive, way=send, keepalive=keepalive)
        self.task_status.started(head)
        held = b"".join(self._held)
        self._held.clear()
        if len(held) > OPENING_BYTES:
            return held
        if held:
            send.send_nowait(held)
        return b""

    async def send(self, data: bytes, limit: trio.CancelScope | None = None) -> None:  # noqa: ASYNC910 - as below
        """Send bytes on. A client that has stopped listening ends the exchange by cancellation, not by an
        error here; one that is slow is not under the limit of the upstream."""
        if not data or self._send is None:
            return  # noqa: ASYNC910 - nothing to send is no point to be cancelled at
        pieces = _pieces(data)
        # Each is let go when it is sent: all of this may be as much as the client is allowed to cost.
        del data
        while pieces:
            piece = pieces.popleft()
            try:
                # Without giving way: what the upstream has ready meanwhile becomes part of the same message.
                self._send.send_nowait(piece)
                continue
            except (trio.WouldBlock, trio.BrokenResourceError):
                if limit is not None:
                    limit.deadline = inf
            try:
                await self._send.send(piece)
            except trio.BrokenResourceError:
                await trio.sleep_forever()

    def close(self) -> None:
        """End the body. An exchange that fails unexpectedly does not call this: its answer is not complete,
        and the client must see that it is not."""
        if self._send is not None:
            self._send.close()


def _pieces(data: bytes) -> deque[bytes]:
    if len(data) <= PIECE_BYTES:
        return deque((data,))
    return deque(data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES))


@define(eq=False, kw_only=True)
class Pump:
    """Carries one upstream answer to the client."""

    stream: UpstreamStream
    carrier: Carrier
    outlet: Outlet
    keepalive: bytes
    idle_s: float
    total_s: float = inf
    """Limit of the whole answer."""
    veil: Veil = field(factory=Veil)
    """Goes over the error frame, which may quote the request."""
    ending: Ending = field(factory=Ending)
    """May ask for the end at any time."""
    remember: Callable[[str], None] = forget
    """Told what the answer is called."""
    _ends_at: float = field(init=False)
    _held_until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ends_at = trio.current_time() + self.total_s
        self._held_until = trio.current_time() + HELD_S

    async def run(self) -> None:
        """Carry the answer to its end.

        Raises :class:`~cliproxy.errors.AttemptFailed` for a failure before the commit and
        :class:`~cliproxy.errors.AnswerCut` for one after it.
        """
        try:
            await self._carry()
        except TransportError as exc:
            await self._fail(failure_from_transport(exc))
        except FrameError as exc:
            await self._fail(broken_answer(f"the upstream sent {exc}"))
        await self._drain()

    async def _carry(self) -> None:
        exchange = self.outlet.recorder
        began = trio.current_time()
        with trio.CancelScope(deadline=self._deadline(began)) as limit, self.ending.by(exchange, limit):
            while True:
                data = await self.stream.read()
                if self.outlet.is_committed:
                    exchange.pace.waited(trio.current_time() - began)
                step = self._step(data)
                if step.answer_id:
                    # Before the client has it: the next request may come at once.
                    self.remember(step.answer_id)
                is_last = step.is_terminal or not data
                del data  # It may be as much as the output, and the client slow.
                await self._deliver(step, limit, at_end=is_last)
                if is_last:
                    return
                began = trio.current_time()
                limit.deadline = self._deadline(began)
        await self._fail(self._interruption())

    def _step(self, data: bytes) -> Step:
        """Return what a read amounts to. The terminal event and the end of the stream are one message: once
        it is delivered, the answer is."""
        if not data:
            return self.carrier.finish()
        step = self.carrier.feed(data)
        if step.is_terminal:
            step.output += self.carrier.finish().output
        return step

    def _interruption(self) -> Failure:
        """Say which limit has ended the answer. A stop of ours is nobody's fault."""
        if self.ending.is_over:
            return Failure(kind=Kind.UNAVAILABLE, scope=Scope.REQUEST, message=STOPPING, code=STOPPED)
        message = silent_for(self.idle_s)
        if trio.current_time() >= self._ends_at:
            message = incomplete_after(self.total_s)
        return Failure(kind=Kind.TIMEOUT, scope=Scope.MODEL, message=message)

    def _deadline(self, now: float) -> float:
        return min(now + self.idle_s, self._ends_at)

    async def _deliver(self, step: Step, limit: trio.CancelScope, *, at_end: bool) -> None:
        outlet = self.outlet
        if outlet.is_committed:
            await outlet.send(step.taken(), limit)
        else:
            outlet.hold(step.taken())
            # Content that comes together with an error is worth less than another account's whole answer.
            if step.error is None and self._is_due(step, at_end=at_end):
                await outlet.send(outlet.commit(self.stream.headers, self.keepalive, self.veil), limit)
        if step.error is not None:
            limit.deadline = inf
            await self._fail(failure_from_stream(step.error))
        if at_end and not outlet.is_committed:
            raise AttemptFailed(empty_answer())

    def _is_due(self, step: Step, *, at_end: bool) -> bool:
        """Whether to let the client know that the answer has begun."""
        is_overdue = self.outlet.is_full or trio.current_time() >= self._held_until
        return step.has_content or (is_overdue and not at_end)

    async def _fail(self, failure: Failure) -> NoReturn:
        if not self.outlet.is_committed:
            raise AttemptFailed(failure)
        await self.outlet.send(self.veil.data(self.carrier.error(UpstreamError([failure]))))
        raise AnswerCut(failure)

    async def _drain(self) -> None:
        """Read the transport to its end, for a moment, whatever comes."""
        with trio.move_on_after(AFTER_END_S, shield=True):
            try:
                while await self.stream.read():
                    pass
            except TransportError:
                pass
