"""What is remembered of an exchange once it is over: one record for each client request, always.

A record holds a note about every attempt, the one that answered included, with its own times and its own
usage: what a failed attempt has consumed was consumed. The usage of the exchange is that of the answer.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Self

from attrs import define, evolve, field, frozen

from cliproxy.errors import Failure, Kind
from cliproxy.exchange.cause import EndedBy, Phase
from cliproxy.ir.response import Usage


class Outcome(StrEnum):
    """How an exchange ended. A client that left is neither a success nor a failure of anything."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class AttemptNote:
    """One attempt. Times are in seconds."""

    provider: str
    credential: str
    contract: str
    model: str
    """The upstream's name of it."""
    outcome: Outcome
    failure: Failure | None = None
    """Why it came to nothing."""
    status: int = 0
    """What the upstream answered with; 0: nothing."""
    started: float
    """Unix seconds."""
    duration: float
    first_byte: float | None = None
    """From its start to the head of the upstream's answer."""
    usage: Usage = field(factory=Usage)


@define(eq=False)
class Pace:
    """How a streamed answer came: the waits for its pieces once the client had the first, in seconds."""

    count: int = 0
    total: float = 0.0
    longest: float = 0.0

    def waited(self, seconds: float) -> None:
        """Count a wait."""
        self.count += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    @property
    def mean(self) -> float:
        """The usual wait; 0 without any."""
        return self.total / self.count if self.count else 0.0


@frozen(kw_only=True)
class ExchangeRecord:
    """A finished exchange. Times are in seconds."""

    request_id: str
    client: str
    """Masked name of the client key."""
    client_id: str = ""
    """Stable id of the client key; empty without one."""
    dialect: str
    action: str
    model: str
    """As the client asked for it."""
    stream: bool
    outcome: Outcome
    status: int
    kind: Kind | None
    started: float
    """Unix seconds."""
    duration: float
    first_byte: float | None
    usage: Usage
    attempts: tuple[AttemptNote, ...]
    notes: tuple[str, ...] = ()
    ended_by: EndedBy = EndedBy.NOBODY
    phase: Phase = Phase.COMPLETE
    pace: Pace = field(factory=Pace)

    @property
    def cause(self) -> str:
        """How it ended, in two letters; see :mod:`cliproxy.exchange.cause`."""
        return self.ended_by + self.phase

    @property
    def served(self) -> AttemptNote | None:
        """The attempt that answered."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.outcome is Outcome.OK else None


@frozen(kw_only=True)
class Attempted:
    """What an attempt is made at."""

    provider: str
    credential: str
    contract: str
    model: str


@define(eq=False, kw_only=True)
class Recorder:
    """Collects the facts of a running exchange and hands over one record at its end, however it ends."""

    sink: Callable[[ExchangeRecord], None]
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    request_id: str
    client: str
    client_id: str = ""
    dialect: str
    action: str
    model: str
    stream: bool
    usage: Usage = field(factory=Usage)
    """What the attempt under way has consumed so far."""
    attempts: list[AttemptNote] = field(factory=list)
    notes: list[str] = field(factory=list)
    phase: Phase = field(default=Phase.REQUEST, init=False)
    """How far the exchange is."""
    pace: Pace = field(factory=Pace, init=False)
    on_answer: Callable[[], None] | None = field(default=None, init=False)
    """Called once, when the answer begins."""
    _started: float = field(init=False)
    _begin: float = field(init=False)
    _first_byte: float | None = field(default=None, init=False)
    _attempt_begin: float = field(default=0.0, init=False)
    _attempt_head: float | None = field(default=None, init=False)
    _status: int = field(default=0, init=False)
    _is_done: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._started = self.wall()
        self._begin = self.monotonic()

    def attempt_began(self) -> None:
        """Note that an attempt begins."""
        self._attempt_begin = self.monotonic()
        self._attempt_head = None
        self._status = 0
        self.phase = Phase.HEAD
        self.usage = Usage()

    def head_came(self, status: int) -> None:
        """Note the head of an upstream's answer."""
        self._attempt_head = self.monotonic()
        self._status = status
        self.phase = Phase.BODY

    def attempt_ended(self, at: Attempted, outcome: Outcome, failure: Failure | None = None) -> None:
        """Note what came of the attempt that began last."""
        begin, head = self._attempt_begin, self._attempt_head
        self.attempts.append(
            AttemptNote(
                provider=at.provider,
                credential=at.credential,
                contract=at.contract,
                model=at.model,
                outcome=outcome,
                failure=failure,
                status=self._status,
                started=self._started + begin - self._begin,
                duration=self.monotonic() - begin,
                first_byte=None if head is None else head - begin,
                usage=self.usage,
            )
        )

    def part(self) -> Self:
        """Return a recorder for one of several requests that an exchange makes at the same time: its attempts
        are the exchange's, what it has consumed is its own."""
        return evolve(self, usage=Usage())

    def first_byte(self) -> None:
        """Note that the answer begins."""
        self.phase = Phase.DATA
        if self._first_byte is None:
            self._first_byte = self.monotonic() - self._begin
            if self.on_answer is not None:
                self.on_answer()

    def waiting(self) -> None:
        """Note that the exchange waits for somebody to be able to serve it."""
        self.phase = Phase.QUEUE

    def succeed(self) -> None:
        """Hand over the record of an answer that is complete."""
        self.phase = Phase.COMPLETE
        self.finish(Outcome.OK)

    def finish(
        self,
        outcome: Outcome,
        status: int = 200,
        kind: Kind | None = None,
        ended_by: EndedBy = EndedBy.NOBODY,
    ) -> None:
        """Hand over the record; further calls are ignored."""
        if self._is_done:
            return
        self._is_done = True
        self.sink(
            ExchangeRecord(
                request_id=self.request_id,
                client=self.client,
                client_id=self.client_id,
                dialect=self.dialect,
                action=self.action,
                model=self.model,
                stream=self.stream,
                outcome=outcome,
                status=status,
                kind=kind,
                started=self._started,
                duration=self.monotonic() - self._begin,
                first_byte=self._first_byte,
                usage=self.usage,
                attempts=tuple(self.attempts),
                notes=tuple(self.notes),
                ended_by=ended_by,
                phase=self.phase,
                pace=self.pace,
            )
        )
