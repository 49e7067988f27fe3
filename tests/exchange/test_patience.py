"""Silence has a limit, sizes have one too."""

import math

import pytest
import trio
import trio.testing

from cliproxy.errors import Kind, TransportError
from cliproxy.exchange.patience import Patient
from support.exchange import Reply, ScriptedStream, bottle

LIMIT = 100


def patient(*body: bytes | float | Exception, total: float = math.inf) -> Patient:
    """A patient look at a scripted answer; ten seconds of silence are too much."""
    upstreams = bottle().upstreams
    return Patient(ScriptedStream(upstreams, Reply(body=body), None), 10.0, total)


async def test_silence_within_the_limit_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    assert await patient(b"a", 9.0, b"b", 9.0, b"c").read_all(LIMIT) == b"abc"
    assert trio.current_time() == pytest.approx(18)


async def test_silence_over_the_limit_is_a_time_out(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(TransportError, match="silent for 10 s") as caught:
        await patient(b"a", math.inf).read_all(LIMIT)
    assert (caught.value.kind, caught.value.phase) == (Kind.TIMEOUT, "body")
    assert trio.current_time() == pytest.approx(10)


async def test_an_answer_that_takes_too_long_is_a_time_out(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(TransportError, match="not complete after 25 s") as caught:
        await patient(b"a", 9.0, b"b", 9.0, b"c", 9.0, b"d", total=25).read_all(LIMIT)
    assert (caught.value.kind, caught.value.phase) == (Kind.TIMEOUT, "body")
    assert trio.current_time() == pytest.approx(25)


async def test_the_time_for_all_of_it_goes_on_between_the_reads(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream = patient(b"a", 9.0, b"b", total=12)
    assert await stream.read() == b"a"
    await trio.sleep(5)
    with pytest.raises(TransportError, match="not complete after 12 s"):
        await stream.read()


async def test_an_answer_over_the_limit_is_refused() -> None:
    assert await patient(b"x" * LIMIT).read_all(LIMIT) == b"x" * LIMIT
    with pytest.raises(TransportError, match="exceeds 100 bytes") as caught:
        await patient(b"x" * LIMIT, b"x").read_all(LIMIT)
    assert caught.value.kind is Kind.UPSTREAM


async def test_the_limit_of_others_is_not_taken_for_the_own(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(1) as outer:
        await patient(math.inf).read()
    assert outer.cancelled_caught


async def test_head_and_faults_are_those_of_the_answer() -> None:
    broken = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")
    stream = patient(broken)
    assert (stream.status, stream.headers.get("Content-Type")) == (200, "text/event-stream")
    with pytest.raises(TransportError, match="reset"):
        await stream.read()
