"""The ledger: what finished exchanges, pauses and counters leave behind on disk.

Handing something over (:meth:`Ledger.record`, :meth:`Ledger.save_counters`) is a matter of memory and never
waits. One job carries it to the state database in a worker thread, at the latest half a second later or when
:data:`BATCH` requests have come together, so that a killed process has lost less than a second.

**When the database cannot be written**, serving goes on and nothing is lost at first: requests wait in
memory, at most :data:`WAITING` of them. Beyond that a request leaves its rows behind and only its sums are
kept, in a number of buckets that is bounded as well. The job tries again until it succeeds. The log says once
when this begins and once when it is over; :meth:`Ledger.statistics` says it all the time. Only a database of
a newer version ends it: then nothing is collected.

**A batch is written once.** It is built, given to the thread and kept until the thread says that it has been
written, even if the job was cancelled meanwhile: whoever comes next finds it and knows.

Pauses of accounts are followed by the bookmark of :class:`~cliproxy.routing.runtime.RuntimeTable`; only those
that changed are written. They are restored, and the counters read, before the first request is served. When
the file has been begun anew (it was damaged, or somebody deleted it), all pauses and counters are written to
it once more; the usage that the old one had is not known here.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

import trio
from attrs import define, evolve, field, frozen

from cliproxy.catalog.prices import Prices
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential
from cliproxy.exchange.record import ExchangeRecord
from cliproxy.routing.runtime import RuntimeTable
from cliproxy.service.snapshots import Snapshots
from cliproxy.service.usage_rows import Describe, naming, pause_record, pause_row, request_row
from cliproxy.stores.retention import Limits
from cliproxy.stores.rows import (
    DAY_S,
    NS_PER_S,
    Batch,
    BucketKey,
    Buckets,
    CounterRow,
    Sums,
    add_request,
)
from cliproxy.stores.snapshot import details_of
from cliproxy.stores.state import PORTION, StateError, StateFile, Trouble, reading
from cliproxy.wire.jsontext import JsonObject

logger = logging.getLogger(__name__)

T = TypeVar("T")

BATCH: Final = 200
"""Requests that are written at once without waiting for more."""
LARGEST_BATCH: Final = 1000
PATIENCE_S: Final = 0.5
"""How long the first request of a batch waits for others."""
LOOK_S: Final = 1.0
"""How often the job looks for changed pauses while nothing else happens."""
RETRY_S: Final = 2.0
WAITING: Final = 10_000
"""Requests that wait in memory for a database in trouble."""
WAITING_BUCKETS: Final = 10_000
PRUNE_S: Final = 60.0
OPEN_LIMIT_S: Final = 5.0
READERS: Final = 2
NOWHERE: Final = -1


@frozen(kw_only=True)
class LedgerStatistics:
    """How the ledger is doing."""

    trouble: Trouble | None = None
    """Why nothing can be written now."""
    since: float = 0.0
    """Unix seconds since when this is so."""
    waiting: int = 0
    """Requests in memory."""
    summed: int = 0
    """Requests of which only the sums are left, since the start."""
    written: int = 0
    """Requests written since the start."""


@define(eq=False, kw_only=True)
class _Work:
    """A batch on its way."""

    records: tuple[ExchangeRecord, ...]
    buckets: Buckets
    counters: tuple[CounterRow, ...]
    forgotten: tuple[str, ...]
    rest: Batch
    """Pauses."""
    bookmark: int
    """Of the pauses, once this is written."""
    is_written: bool = False


@define(eq=False, kw_only=True)
class Ledger:
    """Collects and writes. Its owner calls :meth:`open`, runs :meth:`run`, and calls :meth:`close` last."""

    file: StateFile
    snapshots: Snapshots
    runtime: RuntimeTable
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    on_late_open: list[Callable[[], None]] = field(factory=list)
    """Called when a database that could not be opened at the start has been opened after all: pauses are
    restored then, and counters can be had, which those who count have to add to their own."""
    _records: deque[ExchangeRecord] = field(factory=deque, init=False)
    _buckets: Buckets = field(factory=dict, init=False)
    _counters: dict[tuple[str, str], CounterRow] = field(factory=dict, init=False)
    _forgotten: set[str] = field(factory=set, init=False)
    _known: dict[tuple[str, str], CounterRow] = field(factory=dict, init=False)
    """All counters, whether they have been written or not."""
    _generation: int = field(default=0, init=False)
    """Of the file that was written last."""
    _loaded: tuple[CounterRow, ...] = field(default=(), init=False)
    _is_loaded: bool = field(default=False, init=False)
    _work: _Work | None = field(default=None, init=False)
    _bookmark: int = field(default=NOWHERE, init=False)
    """How far the pauses have been written."""
    _statistics: LedgerStatistics = field(factory=LedgerStatistics, init=False)
    _some: trio.Event = field(factory=trio.Event, init=False)
    _plenty: trio.Event = field(factory=trio.Event, init=False)
    _writer: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1), init=False)
    _readers: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(READERS), init=False)
    _prices: tuple[Config, Prices] | None = field(default=None, init=False)
    _names: tuple[Sequence[Credential], Describe] | None = field(default=None, init=False)
    _pruned: float = field(default=float("-inf"), init=False)
    _prune_trouble: Trouble | None = field(default=None, init=False)

    # ---------------------------------------------------------------------------------------- handing over

    def record(self, record: ExchangeRecord) -> None:
        """Take a finished exchange in. Never waits."""
        if not self.snapshots.current().config.usage_statistics_enabled or self._is_refused:
            return
        if len(self._records) < WAITING:
            self._records.append(record)
        else:
            self._keep_sums(record)
        self._some.set()
        if len(self._records) >= BATCH:
            self._plenty.set()

    def save_counters(self, rows: Iterable[CounterRow]) -> None:
        """Take counters in, as they are now; a later row of a key and period replaces an earlier one."""
        for row in rows:
            self._counters[row.key, row.period] = self._known[row.key, row.period] = row
            self._some.set()

    def load_counters(self) -> tuple[CounterRow, ...]:
        """Return the counters as the database had them when it was opened."""
        return self._loaded

    def forget_counters(self, keys: Iterable[str]) -> None:
        """Delete the counters of client keys that no longer exist."""
        for key in keys:
            self._forgotten.add(key)
            for place in [place for place in self._known if place[0] == key]:
                del self._known[place]
                self._counters.pop(place, None)
            self._some.set()

    def statistics(self) -> LedgerStatistics:
        """Return how the ledger is doing."""
        pending = 0 if self._work is None else len(self._work.records)
        return evolve(self._statistics, waiting=len(self._records) + pending)

    @property
    def _is_refused(self) -> bool:
        return self._statistics.trouble is Trouble.NEWER

    def _keep_sums(self, record: ExchangeRecord) -> None:
        """Add an exchange to the sums that wait, in as many buckets as there is room for."""
        fresh: Buckets = {}
        add_request(fresh, request_row(record, self._describe(), self._price_list()))
        for key, sums in fresh.items():
            has_room = key in self._buckets or len(self._buckets) < WAITING_BUCKETS
            self._buckets.setdefault(key if has_room else BucketKey(key.hour), Sums()).add(sums)
        self._statistics = evolve(self._statistics, summed=self._statistics.summed + 1)

    # --------------------------------------------------------------------------------------------- reading

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a connection of its own, in a thread. Raises
        :class:`~cliproxy.stores.state.StateError`."""

        def run_query() -> T:
            with reading(self.file.path) as connection:
                return query(connection)

        return await trio.to_thread.run_sync(run_query, limiter=self._readers, abandon_on_cancel=True)

    async def import_usage(self, shot: JsonObject, known: Collection[str] = ()) -> tuple[int, int]:
        """Add what is new in a snapshot (:mod:`cliproxy.stores.snapshot`); return how many requests were
        added, and how many not. Raises :class:`~cliproxy.stores.state.StateError`."""
        remaining = details_of(shot, int(self.wall() * NS_PER_S), known)
        begin = await self._in_thread(self.file.horizon)
        whole = (0, 0)
        while True:
            # In portions, so that batches of requests find their turn in between.
            portion = await self._in_thread(lambda: self.file.take_in(islice(remaining, PORTION), begin))
            if portion == (0, 0):
                return whole
            whole = (whole[0] + portion[0], whole[1] + portion[1])

    # ---------------------------------------------------------------------------------- opening and closing

    async def open(self) -> None:
        """Restore pauses and read counters, as far as the database can be had in time."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(OPEN_LIMIT_S) as scope, suppress(StateError):
            await self._load()
        if scope.cancelled_caught:
            self._note(Trouble.LOCKED, f"{self.file.path} could not be opened in time")

    async def _load(self) -> None:
        try:
            loaded = await self._in_thread(self.file.load)
        except StateError as exc:
            self._note(exc.trouble, str(exc))
            raise
        self._note(None, "")
        self._is_loaded = True
        self._loaded = loaded.counters
        self._known = {(row.key, row.period): row for row in loaded.counters} | self._known
        self._generation = self.file.generation
        if self._keeps_pauses:
            records = (pause_record(row) for row in loaded.pauses)
            count = self.runtime.restore(records, self.monotonic(), self.wall())
            if count:
                logger.info("%d pauses of accounts go on from before the start", count)

    async def run(self) -> None:
        """Write what is handed over until cancelled."""
        while True:
            if await self._step():
                with trio.move_on_after(LOOK_S):
                    await self._some.wait()
                    with trio.move_on_after(PATIENCE_S):
                        await self._plenty.wait()
            else:
                await trio.sleep(RETRY_S)

    async def close(self) -> None:
        """Write what is left and close the file. The caller limits the time, and calls :meth:`farewell`."""
        while not self._is_refused and await self._ready() and await self._write() and self._has_news:
            pass
        await self._in_thread(self.file.close)

    def farewell(self) -> None:
        """Say what could not be saved."""
        left = self.statistics().waiting
        if left:
            logger.warning("the usage of %d requests could not be saved before the end", left)

    @property
    def _has_news(self) -> bool:
        """Whether there is anything that the database does not have."""
        handed_over = self._records or self._buckets or self._counters or self._forgotten
        return bool(handed_over) or self._pause_changes != self._bookmark

    @property
    def _pause_changes(self) -> int:
        return self.runtime.pause_changes if self._keeps_pauses else 0

    # --------------------------------------------------------------------------------------------- writing

    async def _step(self) -> bool:
        """Write a batch and tidy up a little; tell whether the database could be used."""
        if self._is_refused:
            await trio.sleep_forever()
        if not (await self._ready() and await self._write()):
            return False
        await self._prune()
        return True

    async def _ready(self) -> bool:
        """Open the database if that was not possible at the start; tell whether it is open."""
        if self._is_loaded:
            return True
        try:
            await self._load()
        except StateError:
            return False
        for tell in self.on_late_open:
            tell()
        return True

    async def _write(self) -> bool:
        """Write a batch if there is something to write; tell whether that could be done."""
        work = self._work = self._work or self._taken()
        if work is None:
            await trio.lowlevel.checkpoint()
            return True
        describe, prices = self._describe(), self._price_list()
        try:
            await self._in_thread(lambda: self._write_now(work, describe, prices))
        except StateError as exc:
            self._note(exc.trouble, str(exc))
            return False
        except (sqlite3.Error, ValueError, OverflowError, TypeError):
            # What cannot be written today cannot be written tomorrow, and must not stop what comes after it.
            logger.exception("%d requests cannot be written and are left out", len(work.records))
        self._work = None
        self._bookmark = work.bookmark
        if self.file.generation != self._generation:
            self._generation = self.file.generation
            self._bookmark = NOWHERE
            self._counters = self._known | self._counters
        self._note(None, "")
        self._statistics = evolve(self._statistics, written=self._statistics.written + len(work.records))
        return True

    def _write_now(self, work: _Work, describe: Describe, prices: Prices) -> None:
        """Turn records into rows and write them, in the thread."""
        if work.is_written:
            return
        rows = tuple(request_row(record, describe, prices) for record in work.records)
        self.file.write(
            evolve(
                work.rest,
                requests=rows,
                buckets=work.buckets,
                counters=work.counters,
                forgotten=work.forgotten,
            )
        )
        work.is_written = True

    def _taken(self) -> _Work | None:
        """Take the next batch out of memory; ``None`` when there is nothing to write."""
        self._some, self._plenty = trio.Event(), trio.Event()
        if not self._has_news:
            return None
        count = min(len(self._records), LARGEST_BATCH)
        work = _Work(
            records=tuple(self._records.popleft() for _ in range(count)),
            buckets=self._buckets,
            counters=tuple(self._counters.values()),
            forgotten=tuple(self._forgotten),
            rest=self._pauses(),
            bookmark=self._pause_changes,
        )
        self._buckets, self._counters, self._forgotten = {}, {}, set()
        if self._records:
            self._some.set()
            self._plenty.set()
        return work

    def _pauses(self) -> Batch:
        """Return what became of the pauses that changed."""
        if not self._keeps_pauses:
            return Batch(are_all_pauses=True)
        known = self._bookmark
        changed = None if known == NOWHERE else self.runtime.pauses_changed_since(known)
        records = self.runtime.export(self.monotonic(), self.wall(), changed)
        alive = {record.place for record in records}
        return Batch(
            pauses=tuple(pause_row(record) for record in records),
            are_all_pauses=changed is None,
            ended=tuple(place for place in changed or () if place not in alive),
        )

    @property
    def _keeps_pauses(self) -> bool:
        return self.snapshots.current().config.save_cooldown_status

    async def _prune(self) -> None:
        """Delete a portion of what is not kept, once a minute or until nothing is left to delete."""
        now = self.monotonic()
        if now - self._pruned < PRUNE_S:
            await trio.lowlevel.checkpoint()
            return
        limits, trouble, has_more = self._limits(), None, False
        try:
            has_more = await self._in_thread(lambda: self.file.prune(limits))
        except StateError as exc:
            # Writing has its own word; it may well go on.
            trouble = exc.trouble
            if trouble is not self._prune_trouble:
                logger.warning("old usage cannot be deleted now, and it is tried again: %s", exc)
        self._prune_trouble = trouble
        if not has_more:
            self._pruned = now

    def _limits(self) -> Limits:
        kept = self.snapshots.current().config.database
        oldest = self.wall() - kept.retention_days * DAY_S
        return Limits(
            oldest_ns=int(oldest * NS_PER_S) if kept.retention_days else None, rows=kept.retention_rows
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run something that uses the file; one thing at a time.

        A cancelled caller goes at once, as a disk may hang; the limiter stays taken until the thread is done.
        """
        return await trio.to_thread.run_sync(work, limiter=self._writer, abandon_on_cancel=True)

    # ------------------------------------------------------------------------------------------- surroundings

    def _describe(self) -> Describe:
        credentials = self.snapshots.current().credentials
        if self._names is None or self._names[0] is not credentials:
            parts = (part for each in credentials for part in (each, *self.snapshots.parts(each)))
            self._names = (credentials, naming({part.id: part for part in parts}))
        return self._names[1]

    def _price_list(self) -> Prices:
        config = self.snapshots.current().config
        if self._prices is None or self._prices[0] is not config:
            self._prices = (config, Prices(config.model_prices))
        return self._prices[1]

    def _note(self, trouble: Trouble | None, message: str) -> None:
        """Remember how it is going, and say so when that is news."""
        before = self._statistics.trouble
        if trouble is before:
            return
        self._statistics = evolve(self._statistics, trouble=trouble, since=self.wall())
        if trouble is Trouble.NEWER:
            logger.error("no usage is recorded: %s", message)
        elif trouble is not None:
            logger.warning("usage cannot be written and is kept in memory: %s", message)
        else:
            logger.info("usage is written again; it waited because: %s", before)
