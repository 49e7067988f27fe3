"""The hot loop: one upstream read, one carrier step, one message to the client.

**Commit point.** The response head is held until the first step with content. Until then the outlet collects
what the carrier produced, and every failure (an error event, a broken transport, an empty answer) is raised
as :class:`~cliproxy.errors.AttemptFailed`, so that another credential may try. Committing hands a
:class:`StreamHead` to the waiting handler and releases what was held. From then on a failure becomes the
dialect's error frame, and the stream ends.

**Limits.** One cancel scope surrounds the loop; its deadline moves with every read and is lifted while the
client is the one being waited for. The channel to the body writer is short, so a slow client slows the
upstream down instead of filling memory.

**The end.** After the terminal event the transport is read to its end under a short limit, which returns the
connection to the pool; if the upstream does not close, nobody waits for it.
"""

from typing import Final

import trio
from attrs import define, field, frozen

from cliproxy.errors import AttemptFailed, Failure, FrameError, Kind, Scope, TransportError, UpstreamError
from cliproxy.exchange.carry import Carrier, Step
from cliproxy.exchange.record import Recorder
from cliproxy.net.http import UpstreamStream
from cliproxy.routing.classify import broken_answer, empty_answer, failure_from_stream, failure_from_transport
from cliproxy.wire.http import Headers

CHANNEL_ITEMS: Final = 4
AFTER_END_S: Final = 1.0
HELD_BYTES: Final = 1024 * 1024
"""An opening longer than this is committed whether or not it says anything."""


@frozen(kw_only=True)
class StreamHead:
    """A committed answer: the upstream's headers and the channel its bytes will come through."""

    headers: Headers
    body: trio.MemoryReceiveChannel[bytes] = field(repr=False)
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

    async def commit(self, headers: Headers, keepalive: bytes) -> None:
        """Let the handler answer, and send what was held."""
        send, receive = trio.open_memory_channel[bytes](CHANNEL_ITEMS)
        self._send = send
        self.is_committed = True
        self.recorder.first_byte()
        self.task_status.started(StreamHead(headers=headers, body=receive, keepalive=keepalive))
        held = b"".join(self._held)
        self._held.clear()
        if held:
            await send.send(held)

    async def send(self, data: bytes) -> None:
        """Send bytes on. A client that has stopped listening ends the exchange by cancellation, not by an
        error here."""
        if data and self._send is not None:
            try:
                await self._send.send(data)
            except trio.BrokenResourceError:
                await trio.sleep_forever()

    def close(self) -> None:
        """End the body."""
        if self._send is not None:
            self._send.close()


@define(eq=False, kw_only=True)
class Pump:
    """Carries one upstream answer to the client."""

    stream: UpstreamStream
    carrier: Carrier
    outlet: Outlet
    keepalive: bytes
    idle_s: float

    async def run(self) -> Failure | None:
        """Carry the answer to its end. Returns the failure that ended a committed stream, if one did.

        Raises :class:`~cliproxy.errors.AttemptFailed` for a failure before the commit.
        """
        try:
            return await self._loop()
        except TransportError as exc:
            return await self._fail(failure_from_transport(exc))
        except FrameError as exc:
            return await self._fail(broken_answer(f"the upstream sent {exc}"))

    async def _loop(self) -> Failure | None:
        is_ended = False
        with trio.CancelScope(deadline=trio.current_time() + self.idle_s) as idle:
            while True:
                data = await self.stream.read()
                step = self.carrier.feed(data) if data else self.carrier.finish()
                idle.deadline = float("inf")
                failure = await self._deliver(step, at_end=not data)
                if failure is not None or not data:
                    return failure
                is_ended = is_ended or step.is_terminal
                idle.deadline = trio.current_time() + (AFTER_END_S if is_ended else self.idle_s)
        if is_ended:
            return await self._deliver(self.carrier.finish(), at_end=True)
        return await self._fail(
            Failure(
                kind=Kind.TIMEOUT,
                scope=Scope.MODEL,
                message=f"the upstream was silent for {self.idle_s:g} s in the middle of its answer",
            )
        )

    async def _deliver(self, step: Step, *, at_end: bool) -> Failure | None:
        outlet = self.outlet
        if outlet.is_committed:
            await outlet.send(step.output)
        else:
            outlet.hold(step.output)
            if step.has_content or outlet.is_full:
                await outlet.commit(self.stream.headers, self.keepalive)
        if step.error is not None:
            return await self._fail(failure_from_stream(step.error))
        if at_end and not outlet.is_committed:
            raise AttemptFailed(empty_answer())
        return None

    async def _fail(self, failure: Failure) -> Failure:
        if not self.outlet.is_committed:
            raise AttemptFailed(failure)
        await self.outlet.send(self.carrier.error(UpstreamError([failure])))
        return failure
