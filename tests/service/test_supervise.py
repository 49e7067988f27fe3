"""Jobs that stumble begin again; those that return or are cancelled do not."""

import logging
from random import Random

import pytest
import trio
import trio.testing

from cliproxy.service.supervise import FIRST_S, JITTER, LONGEST_S, TRUSTED_S, JobStatus, Phase, Supervisor


class Stumbling:
    """A job that crashes in given runs, each after some seconds, and then stays."""

    def __init__(self, *runs: float, fault: type[Exception] = ValueError) -> None:
        self.runs = list(runs)
        self.fault = fault
        self.began: list[float] = []

    async def __call__(self) -> None:
        self.began.append(trio.current_time())
        if not self.runs:
            await trio.sleep_forever()
        await trio.sleep(self.runs.pop(0))
        raise self.fault("secret detail")

    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.began, self.began[1:], strict=False)]


async def supervised_for(seconds: float, job: Stumbling, subject: Supervisor | None = None) -> Supervisor:
    subject = subject or Supervisor(Random(1))
    with trio.move_on_after(seconds):
        await subject.supervised("job", job)
    return subject


async def test_a_job_that_crashes_is_started_again_after_growing_pauses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    job = Stumbling(*[0.0] * 10)
    await supervised_for(1000, job)
    expected = [min(FIRST_S * 2**number, LONGEST_S) for number in range(10)]
    assert len(job.pauses()) == 10
    for pause, wanted in zip(job.pauses(), expected, strict=True):
        assert wanted * (1 - JITTER) <= pause <= wanted * (1 + JITTER)
    assert len(set(job.pauses())) == 10


async def test_a_job_that_ran_well_for_a_while_is_trusted_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    job = Stumbling(0, 0, 0, 0, TRUSTED_S, 0)
    await supervised_for(10_000, job)
    assert job.pauses()[4] - TRUSTED_S <= FIRST_S * (1 + JITTER)
    assert job.pauses()[5] >= 2 * FIRST_S * (1 - JITTER)


async def test_a_job_that_returns_has_ended(autojump_clock: trio.testing.MockClock) -> None:
    async def job() -> None:
        await trio.sleep(1)

    subject = Supervisor(Random(1))
    await subject.supervised("done", job)
    assert subject.statuses() == (JobStatus(name="done", phase=Phase.ENDED, crashes=0),)


async def test_the_status_says_what_a_job_does(autojump_clock: trio.testing.MockClock) -> None:
    subject, job = Supervisor(Random(1)), Stumbling(5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.supervised, "job", job)
        for seconds, phase, crashes in (
            (1, Phase.RUNNING, 0),
            (4.5, Phase.RESTING, 1),
            (60, Phase.RUNNING, 1),
        ):
            await trio.sleep(seconds)
            [status] = subject.statuses()
            assert (status.phase, status.crashes) == (phase, crashes)
        assert status.fault == "ValueError"
        nursery.cancel_scope.cancel()
    assert [status.phase for status in subject.statuses()] == [Phase.ENDED]


async def test_a_crash_has_its_traceback_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await supervised_for(100, Stumbling(0, 0, 0))
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info is not None for record in records] == [True, False, False]
    assert "name=job fault=ValueError crashes=3" in records[-1].getMessage()
    assert "secret detail" not in records[-1].getMessage()


async def test_a_crash_inside_a_nursery_of_the_job_is_one_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    crashing = Stumbling(0)

    async def job() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crashing)

    subject = Supervisor(Random(1))
    with trio.move_on_after(60):
        await subject.supervised("job", job)
    assert [(status.crashes, status.fault) for status in subject.statuses()] == [(1, "ValueError")]
    assert len(crashing.began) == 2


async def test_a_crash_while_the_job_is_cancelled_ends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = 0

    async def job() -> None:
        nonlocal began
        began += 1
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the cleanup")

    subject = Supervisor(Random(1))
    with trio.move_on_after(1) as scope:
        await subject.supervised("job", job)
    assert scope.cancelled_caught
    assert began == 1


async def test_an_interrupt_goes_through() -> None:
    async def job() -> None:
        raise KeyboardInterrupt

    with pytest.RaisesGroup(KeyboardInterrupt, allow_unwrapped=True):
        await Supervisor(Random(1)).supervised("job", job)
