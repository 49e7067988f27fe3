"""What is remembered of an exchange once it is over: one record for each client request, always."""

from collections.abc import Callable
from enum import StrEnum

from attrs import define, field, frozen

from cliproxy.errors import Failure, Kind
from cliproxy.ir.response import Usage


class Outcome(StrEnum):
    """How an exchange ended. A client that left is neither a success nor a failure of anything."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class AttemptNote:
    """One attempt that failed; without a ``failure``, the one that answered or was about to when the client
    left."""

    provider: str
    credential: str
    contract: str
    model: str
    failure: Failure | None = None


@frozen(kw_only=True)
class ExchangeRecord:
    """A finished exchange. Times are in seconds."""

    request_id: str
    client: str
    """Masked name of the client key."""
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


@define(eq=False, kw_only=True)
class Recorder:
    """Collects the facts of a running exchange and hands over one record at its end, however it ends."""

    sink: Callable[[ExchangeRecord], None]
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    request_id: str
    client: str
    dialect: str
    action: str
    model: str
    stream: bool
    usage: Usage = field(factory=Usage)
    attempts: list[AttemptNote] = field(factory=list)
    notes: list[str] = field(factory=list)
    _started: float = field(init=False)
    _begin: float = field(init=False)
    _first_byte: float | None = field(default=None, init=False)
    _is_done: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._started = self.wall()
        self._begin = self.monotonic()

    def first_byte(self) -> None:
        """Note that the answer begins."""
        if self._first_byte is None:
            self._first_byte = self.monotonic() - self._begin

    def finish(self, outcome: Outcome, status: int = 200, kind: Kind | None = None) -> None:
        """Hand over the record; further calls are ignored."""
        if self._is_done:
            return
        self._is_done = True
        self.sink(
            ExchangeRecord(
                request_id=self.request_id,
                client=self.client,
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
            )
        )
