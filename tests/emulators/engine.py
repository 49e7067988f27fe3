"""The shared heart of all emulators: what a request gets, what was seen, and what a test is waiting for.

The engine owns the script queue, the log and the clock; a `Family` owns the vendor's rules. For each
request the family checks first. A refusal wins over any script and leaves the queue alone, so that a test
of a fault cannot hide a malformed request. Only then a script entry is taken, the answer is built and
turned into steps, which connection.py performs.

Times in the log are `time.monotonic()` values, which all processes of one machine share.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable
from functools import partial

import trio
from attrs import Factory, asdict, define, evolve, field

from emulators.faults import USUAL, Entry, Operation, decorated, operations, replaced
from emulators.values import (
    Answer,
    Family,
    Json,
    JsonObject,
    Refusal,
    Request,
    as_object,
    loads,
)

LOG_LIMIT = 5000
LOGGED_BODY_LIMIT = 2 * 1024 * 1024


@define(eq=False)
class EmulatorClock:
    """Wall time with an offset, so that a test can let tokens expire without waiting."""

    offset: float = 0.0

    def __call__(self) -> float:
        """Seconds since the epoch, as the emulator sees them."""
        return time.time() + self.offset


@define(eq=False, kw_only=True)
class Record:
    """What is known about one request; changes while the answer is under way."""

    number: int
    connection: int
    method: str
    target: str
    headers: list[list[str]]
    body: Json
    body_size: int
    body_sha256: str
    """Of the bytes as they came, to tell whether a body passed through unchanged."""
    received_at: float
    status: int | None = None
    head_at: float | None = None
    first_event_at: float | None = None
    finished_at: float | None = None
    disconnected_at: float | None = None
    disconnect: str | None = None
    """`fin` or `rst` when the client left before the end."""
    events: int = 0
    sent: int = 0
    refused: str | None = None
    played: JsonObject = Factory(dict)

    def as_json(self) -> JsonObject:
        """The record for the log endpoint."""
        return asdict(self)


@define(eq=False)
class Engine:
    """State of one emulator process."""

    family: Family
    clock: EmulatorClock
    script: list[Entry] = Factory(list)
    records: deque[Record] = field(factory=lambda: deque(maxlen=LOG_LIMIT))
    connections: dict[int, Callable[[str], None]] = Factory(dict)
    """Open connections by number, each with the function that drops it."""
    holding: int = 0
    total: int = 0
    log_bodies: bool = True
    """Off for load tests: thousands of bodies would fill the memory."""
    _permits: trio.Semaphore = Factory(lambda: trio.Semaphore(0))
    _changed: trio.Event = Factory(trio.Event)

    def notify(self) -> None:
        """Wake everybody who waits for the log to change."""
        if self._changed.statistics().tasks_waiting:
            self._changed.set()
            self._changed = trio.Event()

    async def changed(self) -> None:
        """Wait until something was recorded."""
        await self._changed.wait()

    async def hold(self) -> None:
        """Wait for a release; each release lets one hold go."""
        self.holding += 1
        self.notify()
        try:
            await self._permits.acquire()
        finally:
            self.holding -= 1

    def release(self, count: int) -> None:
        """Let `count` holds go, also ones that are still to come."""
        for _ in range(count):
            self._permits.release()

    def reset(self) -> None:
        """Forget the log, the script, the clock's offset and the family's state; connections stay."""
        self.forget()
        self.clock.offset = 0.0
        self.log_bodies = True
        self.total = 0
        while self._permits.value:
            self._permits.acquire_nowait()
        self.family.reset()

    def forget(self) -> None:
        """Forget the log and the script; tokens and settings stay."""
        self.script.clear()
        self.records.clear()

    def admit(self, request: Request, connection: int) -> Record:
        """Open the record of a request."""
        self.total += 1
        record = new_record(request, connection, self.total, with_body=self.log_bodies)
        self.records.append(record)
        self.notify()
        return record

    def plan(self, request: Request, record: Record) -> list[Operation]:
        """Decide everything that will be written in answer to a request."""
        entry = self._fitting(request)
        failure = partial(self.family.failure, request)
        try:
            ready = self.family.receive(request)
            self._use(entry)
            answer = replaced(entry, failure, self.clock())
            if answer is None:
                turn = entry.spec.get("turn")
                answer = ready(as_object(turn) if turn is not None else None)
                answer = decorated(answer, entry, self.clock())
        except Refusal as refusal:
            record.refused = str(refusal)
            if not entry.flag("unchecked"):
                return operations(_fitted(refusal.answer, request))
            self._use(entry)
            answer = replaced(entry, failure, self.clock()) or refusal.answer
        record.played = entry.spec
        return operations(_fitted(answer, request), entry)

    def _fitting(self, request: Request) -> Entry:
        return next((entry for entry in self.script if entry.when.fits(request)), USUAL)

    def _use(self, entry: Entry) -> None:
        if entry is USUAL or entry.times == 0:
            return
        at = next(at for at, known in enumerate(self.script) if known is entry)
        if entry.times == 1:
            del self.script[at]
        else:
            self.script[at] = evolve(entry, times=entry.times - 1)


def new_record(request: Request, connection: int, number: int = 0, *, with_body: bool = False) -> Record:
    """A fresh record of a request."""
    return Record(
        number=number,
        connection=connection,
        method=request.method,
        target=request.target,
        headers=[[key, value] for key, value in request.headers],
        body=_loggable(request.body) if with_body else None,
        body_size=len(request.body),
        body_sha256=hashlib.sha256(request.body).hexdigest() if with_body else "",
        received_at=time.monotonic(),
    )


def _fitted(answer: Answer, request: Request) -> Answer:
    """The answer without its body where the method forbids one."""
    return evolve(answer, pieces=(), is_stream=False) if request.method == "HEAD" else answer


def _loggable(body: bytes) -> Json:
    """The body as JSON if it is some, else as text; large ones only by their size."""
    if len(body) > LOGGED_BODY_LIMIT:
        return None
    try:
        return loads(body)
    except ValueError:
        return body.decode("utf-8", "backslashreplace")
