"""The hot loop with a carrier that does as it is told: commit point, limits, the end, failures."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from cliproxy.errors import AnswerCut, AttemptFailed, FrameError, Kind, ProxyError, TransportError
from cliproxy.exchange.carry import Step
from cliproxy.exchange.pump import (
    AFTER_END_S,
    CHANNEL_ITEMS,
    HELD_BYTES,
    HELD_S,
    PIECE_BYTES,
    Outlet,
    Pump,
    StreamHead,
)
from cliproxy.exchange.record import Recorder
from cliproxy.ir.events import StreamError
from cliproxy.ir.response import Usage
from cliproxy.wire.veil import Veil
from support.exchange import Bottle, Reply, ScriptedStream, bottle, chat, recorder_of

Clock = trio.testing.MockClock
ERROR = StreamError(Kind.OVERLOADED, "busy", 529)
RESET = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")


@define
class TalkingCarrier:
    """Forwards every read as it is and finds its meaning in a table."""

    meanings: Mapping[bytes, Step]
    at_end: Step = field(factory=lambda: Step(b"<end>", is_terminal=True))
    usage: Usage = field(factory=Usage)
    finished: int = 0

    def feed(self, data: bytes) -> Step:
        step = self.meanings[data]
        if isinstance(step, Exception):
            raise step
        return Step(step.output or data, step.has_content, step.is_terminal, step.error)

    def finish(self) -> Step:
        self.finished += 1
        return self.at_end

    def error(self, error: ProxyError) -> bytes:
        return f"<error {error.kind}: {error.message}>".encode()


MEANINGS: dict[bytes, object] = {
    b"ping ": Step(),
    b"text ": Step(has_content=True),
    b"last ": Step(has_content=True, is_terminal=True),
    b"stop ": Step(is_terminal=True),
    b"fail ": Step(error=ERROR),
    b"both ": Step(has_content=True, error=ERROR),
    b"torn ": FrameError("an event of more than 7 bytes"),
    b"long ": Step(b"x" * (HELD_BYTES + 1)),
}


@define(eq=False)
class Rig:
    """A pump and both of its ends."""

    world: Bottle
    carrier: TalkingCarrier
    recorder: Recorder
    idle_s: float = 20.0
    total_s: float = math.inf
    veil: Veil = field(factory=Veil)
    head: StreamHead | None = None
    committed_at: float = math.nan
    received: list[bytes] = field(factory=list)

    async def pump(self, *body: bytes | float | Exception) -> None:
        """Pump an answer of words and pauses to a client that reads at once. Ends as the pump does."""
        caught: list[Exception] = []

        async def run(*, task_status: trio.TaskStatus[StreamHead]) -> None:
            outlet = Outlet(task_status, self.recorder)
            stream = ScriptedStream(self.world.upstreams, Reply(body=body), None)
            pump = Pump(
                stream=stream,
                carrier=self.carrier,
                outlet=outlet,
                keepalive=b":",
                idle_s=self.idle_s,
                total_s=self.total_s,
                veil=self.veil,
            )
            try:
                await pump.run()
            except (AttemptFailed, AnswerCut) as exc:
                caught.append(exc)
                if not outlet.is_committed:
                    task_status.started()
            outlet.close()

        async with trio.open_nursery() as nursery:
            self.head = await nursery.start(run)
            if self.head is not None:
                self.committed_at = trio.current_time()
                async with self.head.body:
                    self.received = [piece async for piece in self.head.body]
        if caught:
            raise caught[0]

    @property
    def output(self) -> bytes:
        return b"".join(self.received)


def make_rig(**limits: Any) -> Rig:
    world = bottle()
    return Rig(world, TalkingCarrier(MEANINGS), recorder_of(world, chat()), **limits)


# --- the commit point -----------------------------------------------------------------------------


async def test_the_head_waits_for_content(autojump_clock: Clock) -> None:
    rig = make_rig()
    await rig.pump(b"ping ", 5.0, b"ping ", 5.0, b"text ", 5.0, b"text ")
    assert rig.committed_at == 10
    assert rig.received == [b"ping ping text ", b"text ", b"<end>"]
    assert rig.head is not None
    assert (rig.head.keepalive, rig.head.headers.get("content-type")) == (b":", "text/event-stream")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ((b"ping ", b"fail "), Kind.OVERLOADED),
        ((b"both ",), Kind.OVERLOADED),
        ((b"ping ", RESET), Kind.UNAVAILABLE),
        ((b"torn ",), Kind.UPSTREAM),
        ((b"ping ", math.inf), Kind.TIMEOUT),
        ((math.inf,), Kind.TIMEOUT),
        ((b"ping ",), Kind.UPSTREAM),
        ((b"stop ",), Kind.UPSTREAM),
        ((), Kind.UPSTREAM),
    ],
)
async def test_before_the_commit_a_failure_is_an_attempt_that_failed(
    autojump_clock: Clock, body: tuple[bytes | float | Exception, ...], kind: Kind
) -> None:
    """Also an empty answer, and content that comes in one read with an error."""
    rig = make_rig()
    with pytest.raises(AttemptFailed) as caught:
        await rig.pump(*body)
    assert caught.value.failure.kind is kind
    assert rig.head is None
    assert rig.received == []


async def test_signs_of_life_do_not_hold_the_head_for_ever(autojump_clock: Clock) -> None:
    rig = make_rig()
    await rig.pump(*[b"ping ", 10.0] * 6, b"text ")
    assert HELD_S <= rig.committed_at <= HELD_S + 10
    assert rig.output == b"ping " * 6 + b"text <end>"


async def test_an_overdue_head_is_no_excuse_for_an_empty_answer(autojump_clock: Clock) -> None:
    """The end alone is nothing to commit."""
    rig = make_rig()
    with pytest.raises(AttemptFailed, match="empty"):
        await rig.pump(b"ping ", 15.0, b"ping ", 16.0)


async def test_an_opening_that_is_too_long_is_not_held(autojump_clock: Clock) -> None:
    rig = make_rig()
    await rig.pump(b"long ", 5.0, b"text ")
    assert rig.committed_at == 0


async def test_a_long_opening_is_sent_in_pieces_and_a_short_one_at_once(autojump_clock: Clock) -> None:
    rig = make_rig()
    await rig.pump(b"long ", 5.0, b"text ")
    assert max(map(len, rig.received)) == PIECE_BYTES
    assert rig.output == b"x" * (HELD_BYTES + 1) + b"text <end>"


async def test_the_first_byte_is_noted_at_the_commit(autojump_clock: Clock) -> None:
    rig = make_rig()
    await rig.pump(b"ping ", 7.0, b"text ")
    rig.recorder.finish("ok")  # type: ignore[arg-type]
    assert rig.world.records[0].first_byte == pytest.approx(7)


# --- after it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "kind", "said"),
    [
        ((b"fail ",), Kind.OVERLOADED, "busy"),
        ((RESET,), Kind.UNAVAILABLE, "reset"),
        ((b"torn ",), Kind.UPSTREAM, "more than 7 bytes"),
        ((math.inf,), Kind.TIMEOUT, "silent for 20 s"),
    ],
)
async def test_after_the_commit_a_failure_is_the_last_frame(
    autojump_clock: Clock, rest: tuple[bytes | float | Exception, ...], kind: Kind, said: str
) -> None:
    rig = make_rig()
    with pytest.raises(AnswerCut, match=said) as caught:
        await rig.pump(b"text ", *rest)
    assert caught.value.failure.kind is kind
    assert rig.received[-1].startswith(f"<error {kind}".encode())
    assert rig.output.count(b"<error") == 1
    assert b"<end>" not in rig.output


async def test_the_last_frame_does_not_quote_what_we_sent_in_confidence(autojump_clock: Clock) -> None:
    said = StreamError(Kind.OVERLOADED, "bad token 0123456789", 529)
    rig = make_rig(veil=Veil(["0123456789"]))
    rig.carrier.meanings = {**MEANINGS, b"fail ": Step(error=said)}
    with pytest.raises(AnswerCut):
        await rig.pump(b"text ", b"fail ")
    assert rig.received[-1] == b"<error overloaded: bad token ***>"


async def test_an_answer_has_a_limit_as_a_whole(autojump_clock: Clock) -> None:
    rig = make_rig(total_s=65)
    with pytest.raises(AnswerCut, match="not complete after 65 s"):
        await rig.pump(*[b"text ", 15.0] * 10)
    assert trio.current_time() == 65
    assert rig.output.count(b"text ") == 5


async def test_a_client_that_reads_slowly_is_no_silence_of_the_upstream(autojump_clock: Clock) -> None:
    rig = make_rig()
    received = []

    async def run(*, task_status: trio.TaskStatus[StreamHead]) -> None:  # noqa: ASYNC128 - the outlet does it
        outlet = Outlet(task_status, rig.recorder)
        stream = ScriptedStream(rig.world.upstreams, Reply(body=[b"text "] * 20), None)
        await Pump(stream=stream, carrier=rig.carrier, outlet=outlet, keepalive=b"", idle_s=20).run()
        outlet.close()

    async with trio.open_nursery() as nursery:
        head = await nursery.start(run)
        async for piece in head.body:
            received.append(piece)
            await trio.sleep(1000)
    assert b"".join(received) == b"text " * 20 + b"<end>"


async def test_what_waits_for_a_slow_client_is_bounded_in_bytes_too(autojump_clock: Clock) -> None:
    """Whole and in order nevertheless."""
    sizes = (100, PIECE_BYTES, PIECE_BYTES + 1, 64 * 1024, 3)
    sent = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    rig = make_rig()
    heads: list[StreamHead] = []

    class Status:
        def started(self, head: StreamHead) -> None:
            heads.append(head)

    outlet = Outlet(Status(), rig.recorder)  # type: ignore[arg-type]
    outlet.commit(rig.recorder.notes, b"", Veil())  # type: ignore[arg-type]

    async def send() -> None:
        for data in sent:
            await outlet.send(data)
        outlet.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        received = [heads[0].body.receive_nowait() for _ in range(CHANNEL_ITEMS)]
        assert sum(map(len, received)) <= CHANNEL_ITEMS * PIECE_BYTES
        received += [piece async for piece in heads[0].body]
    assert b"".join(received) == b"".join(sent)
    assert max(map(len, received)) == PIECE_BYTES


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest", [(), (b"more ",), (RESET,), (math.inf,), (0.5, b"more ", 0.4, RESET)], ids=str
)
async def test_after_the_terminal_event_nothing_matters(
    autojump_clock: Clock, rest: tuple[bytes | float | Exception, ...]
) -> None:
    rig = make_rig()
    await rig.pump(b"text ", b"stop ", *rest)
    assert rig.output == b"text stop <end>"
    assert trio.current_time() <= AFTER_END_S
    assert rig.carrier.finished == 1


async def test_an_answer_in_one_read_is_complete(autojump_clock: Clock) -> None:
    rig = make_rig()
    await rig.pump(b"last ")
    assert rig.output == b"last <end>"


async def test_a_client_that_leaves_after_the_end_leaves_a_complete_answer(autojump_clock: Clock) -> None:
    """Many clients close as soon as they have read the terminal event."""
    rig = make_rig()
    done = trio.Event()

    async def run(*, task_status: trio.TaskStatus[StreamHead]) -> None:  # noqa: ASYNC128 - the outlet does it
        outlet = Outlet(task_status, rig.recorder)
        stream = ScriptedStream(rig.world.upstreams, Reply(body=(b"last ", math.inf)), None)
        await Pump(stream=stream, carrier=rig.carrier, outlet=outlet, keepalive=b"", idle_s=20).run()
        done.set()

    async with trio.open_nursery() as nursery:
        head = await nursery.start(run)
        await head.body.receive()
        nursery.cancel_scope.cancel()
    assert done.is_set()


# --- the outlet -----------------------------------------------------------------------------------


async def test_an_attempt_that_failed_leaves_nothing_in_the_outlet(autojump_clock: Clock) -> None:
    rig = make_rig()
    outlet = Outlet(trio.TASK_STATUS_IGNORED, rig.recorder)
    outlet.hold(b"x" * (HELD_BYTES + 1))
    assert outlet.is_full
    outlet.reset()
    assert not outlet.is_full
    outlet.close()


async def test_a_client_that_does_not_listen_any_more_is_waited_out(autojump_clock: Clock) -> None:
    """Its request is about to be cancelled; a failure here would be a failure of nobody."""
    rig = make_rig()
    heads: list[StreamHead] = []

    class Status:
        def started(self, head: StreamHead) -> None:
            heads.append(head)

    outlet = Outlet(Status(), rig.recorder)  # type: ignore[arg-type]
    outlet.commit(rig.recorder.notes, b"", Veil())  # type: ignore[arg-type]
    heads[0].body.close()
    with trio.move_on_after(1) as scope:
        await outlet.send(b"x")
    assert scope.cancelled_caught
