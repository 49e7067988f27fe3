"""Jobs that run as long as the server does, and begin again when they stumble.

A job is a coroutine function without arguments: discovery, reload, renewal of tokens, the writer of the
ledger. None of them is worth the server: one that raises is started again after a pause, which doubles with
every crash in a row and is a little different each time, so that several jobs that failed for one reason do
not come back in the same instant. One that has run well for a while is trusted again. A job that *returns*
has done its work and has ended.

A crash is logged once with its traceback; while the same one repeats, a line says so. What was cancelled has
not crashed, and whatever is no ``Exception`` (an interrupt, the end of the process) goes through.

The pause grows with the crashes, the job does not know of it: what it keeps between its runs must be fit to
begin with again.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable
from enum import StrEnum
from random import Random
from typing import Final

import trio
from attrs import define, field, frozen

logger = logging.getLogger(__name__)

Job = Callable[[], Awaitable[object]]

FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0
JITTER: Final = 0.25
TRUSTED_S: Final = 300.0
"""How long a job has to run for its earlier crashes to be forgiven."""


class Phase(StrEnum):
    """What a job is doing."""

    RUNNING = "running"
    RESTING = "resting"
    """It has crashed, and is started again soon."""
    ENDED = "ended"
    """Of its own accord, or with its owner."""


@frozen(kw_only=True)
class JobStatus:
    """A job as displays see it."""

    name: str
    phase: Phase
    crashes: int
    """In all."""
    fault: str = ""
    """The kind of the last crash."""


@define(eq=False)
class _State:
    name: str
    phase: Phase = Phase.RUNNING
    crashes: int = 0
    in_a_row: int = 0
    fault: str = ""
    trace: str = ""

    def status(self) -> JobStatus:
        return JobStatus(name=self.name, phase=self.phase, crashes=self.crashes, fault=self.fault)


@define(eq=False)
class Supervisor:
    """Runs jobs, and knows how they are."""

    rng: Random
    _states: dict[str, _State] = field(factory=dict, init=False)

    async def supervised(self, name: str, job: Job) -> None:
        """Run a job until it returns or the caller is cancelled. To be started in the nursery that owns the
        job."""
        state = self._states[name] = _State(name)
        try:
            while await self._crashed(state, job):
                state.phase = Phase.RESTING
                await trio.sleep(self._pause(state.in_a_row))
                state.phase = Phase.RUNNING
        finally:
            state.phase = Phase.ENDED

    def statuses(self) -> tuple[JobStatus, ...]:
        """Describe all jobs there have been, in the order in which they were started."""
        return tuple(state.status() for state in self._states.values())

    async def _crashed(self, state: _State, job: Job) -> bool:
        """Run a job once; tell whether it has crashed."""
        begin = trio.current_time()
        crash: ExceptionGroup[Exception] | None = None
        try:
            await job()
        except* Exception as group:
            crash = group
        if crash is None:
            return False
        if trio.current_time() - begin >= TRUSTED_S:
            state.in_a_row = 0
        state.crashes += 1
        state.in_a_row += 1
        self._report(state, _alone(crash))
        return True

    def _report(self, state: _State, crash: Exception) -> None:
        state.fault = type(crash).__name__
        trace = "".join(traceback.format_tb(crash.__traceback__)) + repr(crash)
        is_known, state.trace = trace == state.trace, trace
        logger.error(
            "job crashed and is started again name=%s fault=%s crashes=%d",
            state.name,
            state.fault,
            state.crashes,
            exc_info=None if is_known else crash,
        )

    def _pause(self, in_a_row: int) -> float:
        seconds: float = min(FIRST_S * 2 ** min(in_a_row - 1, 16), LONGEST_S)
        return seconds * self.rng.uniform(1.0 - JITTER, 1.0 + JITTER)


def _alone(group: ExceptionGroup[Exception]) -> Exception:
    """Return the exception that a group consists of, if it is one."""
    crash: Exception = group
    while isinstance(crash, ExceptionGroup) and len(crash.exceptions) == 1:
        crash = crash.exceptions[0]
    return crash
