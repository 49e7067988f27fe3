"""The ledger: what is handed over reaches the disk soon, and trouble with the disk reaches nobody."""

import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from cliproxy.config.groups import Database
from cliproxy.config.model import Config
from cliproxy.errors import Kind
from cliproxy.exchange.record import AttemptNote, ExchangeRecord, Outcome
from cliproxy.ir.response import Usage
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import RuntimeTable
from cliproxy.service import ledger as ledger_module
from cliproxy.service.ledger import Ledger, LedgerStatistics
from cliproxy.service.snapshots import Snapshots
from cliproxy.stores.rows import CounterRow
from cliproxy.stores.schema import VERSION
from cliproxy.stores.snapshot import snapshot
from cliproxy.stores.state import StateError, StateFile, Trouble, connect, read_counters
from cliproxy.stores.usage import totals
from support.records import record
from support.usage import a_moment, holds, rows_of

NOW = 1_700_000_000.0
NOTE = AttemptNote(
    provider="p",
    credential="a",
    contract="only",
    model="m",
    outcome=Outcome.OK,
    status=200,
    started=NOW,
    duration=0.5,
    usage=Usage(fresh_input=10, output=5),
)
COUNTER = CounterRow(key="c0ffee", period="day", start=1, requests=1, tokens=2, micros=3)
PLACE = ("a", "m")


def exchange(number: int = 0) -> ExchangeRecord:
    return record(
        Outcome.OK,
        request_id=f"r{number}",
        started=NOW + number,
        usage=NOTE.usage,
        attempts=(evolve(NOTE, started=NOW + number),),
    )


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and files take real time; the waiting in between is made short."""
    for name in ("PATIENCE_S", "LOOK_S", "RETRY_S"):
        monkeypatch.setattr(ledger_module, name, 0.01)
    monkeypatch.setattr("cliproxy.stores.state.BUSY_S", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cliproxy.db"


def make(path: Path, runtime: RuntimeTable | None = None, *, now: float = NOW, **settings: Any) -> Ledger:
    return Ledger(
        file=StateFile(path),
        snapshots=Snapshots({}, Config(**settings)),
        runtime=runtime or RuntimeTable(),
        wall=lambda: now,
        monotonic=trio.current_time,
    )


@asynccontextmanager
async def working(ledger: Ledger) -> AsyncIterator[Ledger]:
    """An open ledger with its job; closed at the end."""
    await ledger.open()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ledger.run)
            yield ledger
            nursery.cancel_scope.cancel(reason="done")
    await ledger.close()
    ledger.farewell()


async def until(ledger: Ledger, **facts: object) -> None:
    """Wait until the ledger says so."""
    await holds(lambda: all(getattr(ledger.statistics(), name) == value for name, value in facts.items()))


def count(path: Path, table: str) -> int:
    [(rows,)] = rows_of(path, f"SELECT count(*) FROM {table}")
    return int(rows)


def lose(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def spoil(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"nonsense" * 1000)


def hide(path: Path) -> Callable[[], None]:
    """Put a directory in the place of a file; return what puts the file back."""
    kept = path.rename(path.with_name("kept"))
    path.mkdir()

    def bring_back() -> None:
        path.rmdir()
        kept.rename(path)

    return bring_back


# --- what is handed over ----------------------------------------------------------------------------------


async def test_exchanges_are_written_soon(path: Path) -> None:
    async with working(make(path)) as ledger:
        for number in range(3):
            ledger.record(exchange(number))
        assert ledger.statistics().waiting == 3
        await until(ledger, written=3, waiting=0)
        assert rows_of(path, "SELECT request_id FROM usage_request") == [("r0",), ("r1",), ("r2",)]
        assert await ledger.read(lambda c: c.execute("SELECT sum(requests) FROM usage_hour").fetchone()) == (
            3,
        )


async def test_many_are_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PATIENCE_S", 1000)
    monkeypatch.setattr(ledger_module, "LOOK_S", 1000)
    async with working(make(path)) as ledger:
        await a_moment()
        for number in range(ledger_module.BATCH):
            ledger.record(exchange(number))
        await until(ledger, written=ledger_module.BATCH)


async def test_what_is_left_is_written_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "LARGEST_BATCH", 10)
    ledger = make(path)
    await ledger.open()
    for number in range(35):
        ledger.record(exchange(number))
    ledger.save_counters([COUNTER])
    await ledger.close()
    assert not path.with_name("cliproxy.db-wal").exists()
    assert rows_of(path, "SELECT count(*), (SELECT count(*) FROM key_counter) FROM usage_request") == [
        (35, 1)
    ]


async def test_a_batch_is_written_once_even_if_the_job_was_cancelled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make(path)
    await ledger.open()
    slow_write = StateFile.write
    begun = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def write(file: StateFile, batch: Any) -> None:
        token.run_sync_soon(begun.set)
        time.sleep(0.1)  # noqa: TID251 - a slow disk
        slow_write(file, batch)

    monkeypatch.setattr(StateFile, "write", write)
    ledger.record(exchange())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ledger.run)
        await begun.wait()
        nursery.cancel_scope.cancel(reason="in the middle")
    await ledger.close()
    assert rows_of(path, "SELECT count(*), (SELECT sum(requests) FROM usage_hour) FROM usage_request") == [
        (1, 1)
    ]


async def test_statistics_can_be_off(path: Path) -> None:
    async with working(make(path, usage_statistics_enabled=False)) as ledger:
        ledger.record(exchange())
        ledger.save_counters([COUNTER])
        await holds(lambda: count(path, "key_counter") == 1)
        assert ledger.statistics() == LedgerStatistics()


async def test_what_cannot_be_a_row_is_left_out(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with working(make(path)) as ledger:
        ledger.record(record(Outcome.OK, dialect=["no", "text"]))
        await until(ledger, waiting=0)
        ledger.record(exchange())
        await holds(lambda: count(path, "usage_request") == 1)
    assert "1 requests cannot be written and are left out" in caplog.text


async def test_old_requests_are_deleted(path: Path) -> None:
    async with working(make(path)) as ledger:
        ledger.record(exchange())
        await until(ledger, written=1)
    late = NOW + 89 * 86400
    async with working(make(path, now=late)):
        await a_moment()
    assert count(path, "usage_request") == 1
    async with working(make(path, now=late, database=Database(retention_days=88))):
        await holds(lambda: count(path, "usage_request") == 0)
    assert rows_of(path, "SELECT sum(requests) FROM usage_hour") == [(1,)]


# --- counters and pauses ----------------------------------------------------------------------------------


async def test_counters_come_back(path: Path) -> None:
    async with working(make(path)) as ledger:
        assert ledger.load_counters() == ()
        ledger.save_counters([COUNTER, evolve(COUNTER, key="gone")])
        ledger.save_counters([evolve(COUNTER, tokens=9)])
        ledger.forget_counters(["gone"])
    async with working(make(path)) as ledger:
        assert ledger.load_counters() == (evolve(COUNTER, tokens=9),)
        ledger.forget_counters(["c0ffee"])
    async with working(make(path)) as ledger:
        assert ledger.load_counters() == ()


def resting(seconds: float) -> RuntimeState:
    return RuntimeState(until=trio.current_time() + seconds, failures=2, kind=Kind.QUOTA, cause="used up")


async def test_pauses_go_on_after_a_restart(path: Path) -> None:
    runtime = RuntimeTable()
    async with working(make(path, runtime)):
        runtime.put(PLACE, resting(100))
        runtime.put(("b", ""), resting(100))
        await holds(lambda: count(path, "pause") == 2)
        runtime.clear("b")
        await holds(lambda: count(path, "pause") == 1)
        runtime.put(("c", ""), resting(50))
    restarted = RuntimeTable()
    async with working(make(path, restarted)):
        state = restarted.state(PLACE)
        assert 95 < state.until - trio.current_time() <= 100
        assert (state.failures, state.kind, state.cause) == (2, Kind.QUOTA, "used up")
        assert not restarted.state(("b", "")).failures
        assert restarted.state(("c", "")).is_open(trio.current_time())


async def test_pauses_need_not_be_kept(path: Path) -> None:
    runtime = RuntimeTable()
    async with working(make(path, runtime)):
        runtime.put(PLACE, resting(100))
    restarted = RuntimeTable()
    async with working(make(path, restarted, save_cooldown_status=False)) as ledger:
        assert not restarted.state(PLACE).failures
        restarted.put(PLACE, resting(100))
        ledger.record(exchange())
        await until(ledger, written=1)
    assert rows_of(path, "SELECT 1 FROM pause") == []


# --- trouble ----------------------------------------------------------------------------------------------


async def test_a_locked_database_delays_nobody_and_loses_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, blocking_detector: object
) -> None:
    caplog.set_level(logging.INFO, "cliproxy.service.ledger")
    async with working(make(path)) as ledger:
        other = connect(path)
        other.execute("BEGIN IMMEDIATE")
        for number in range(50):
            ledger.record(exchange(number))
            await trio.lowlevel.checkpoint()
        await until(ledger, trouble=Trouble.LOCKED, waiting=50)
        await a_moment()
        other.execute("ROLLBACK")
        other.close()
        await until(ledger, trouble=None, written=50)
    lines = [entry.getMessage() for entry in caplog.records]
    assert [line.partition(":")[0] for line in lines] == [
        "usage cannot be written and is kept in memory",
        "usage is written again; it waited because",
    ]


async def test_beyond_its_place_in_memory_the_sums_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WAITING", 5)
    monkeypatch.setattr(ledger_module, "WAITING_BUCKETS", 2)
    async with working(make(path)) as ledger:
        other = connect(path)
        other.execute("BEGIN IMMEDIATE")
        ledger.record(exchange())
        await until(ledger, trouble=Trouble.LOCKED)
        for number in range(20):
            ledger.record(evolve(exchange(number), client_id=f"client {number}"))
        assert ledger.statistics().waiting == 6
        assert ledger.statistics().summed == 15
        other.execute("ROLLBACK")
        other.close()
        await until(ledger, waiting=0)
    assert rows_of(path, "SELECT count(*) FROM usage_request") == [(6,)]
    assert rows_of(path, "SELECT sum(requests), sum(fresh_input) FROM usage_hour") == [(21, 210)]
    assert rows_of(path, "SELECT sum(requests) FROM usage_hour WHERE client_id = ''") == [(14,)]


async def test_a_newer_database_ends_recording_and_nothing_else(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    StateFile(path).load()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    async with working(make(path)) as ledger:
        assert ledger.statistics().trouble is Trouble.NEWER
        ledger.record(exchange())
        assert ledger.statistics().waiting == 0
    assert "no usage is recorded" in caplog.text


async def test_a_damaged_database_is_begun_anew(path: Path) -> None:
    spoil(path)
    async with working(make(path)) as ledger:
        ledger.record(exchange())
        await until(ledger, written=1, trouble=None)
    assert len(list(path.parent.glob("*.damaged-*"))) == 1


async def test_a_database_that_can_be_opened_late_restores_late(path: Path) -> None:
    async with working(make(path)) as ledger:
        ledger.save_counters([COUNTER])
    bring_back = hide(path)
    ledger = make(path)
    told: list[tuple[CounterRow, ...]] = []
    ledger.on_late_open.append(lambda: told.append(ledger.load_counters()))
    async with working(ledger):
        ledger.record(exchange())
        await until(ledger, trouble=Trouble.UNWRITABLE)
        bring_back()
        await until(ledger, trouble=None, written=1)
    assert told == [(COUNTER,)]


async def test_trouble_at_the_start_is_over_when_it_is_over(path: Path) -> None:
    """Also when there is nothing to write."""
    StateFile(path).load()
    bring_back = hide(path)
    async with working(make(path)) as ledger:
        assert ledger.statistics().trouble is Trouble.UNWRITABLE
        bring_back()
        await until(ledger, trouble=None, written=0)


@pytest.mark.parametrize("way", ["deleted", "damaged"])
async def test_a_file_that_is_begun_anew_gets_what_is_in_memory(path: Path, way: str) -> None:
    other = evolve(COUNTER, key="beef")
    async with working(make(path)) as ledger:
        ledger.save_counters([COUNTER, evolve(COUNTER, key="gone")])
    runtime = RuntimeTable()
    async with working(make(path, runtime)) as ledger:
        ledger.forget_counters(["gone"])
        ledger.save_counters([other])
        runtime.put(PLACE, resting(100))
        await holds(lambda: count(path, "pause") == 1 and count(path, "key_counter") == 2)
        await a_moment()
        lose(path)
        if way == "damaged":
            spoil(path)
        ledger.record(exchange())
        await until(ledger, written=1, trouble=None)
        await holds(lambda: count(path, "pause") == 1 and count(path, "key_counter") == 2)
        assert count(path, "usage_request") == 1
        counters = await ledger.read(read_counters)
    assert sorted(counters, key=lambda row: row.key) == [other, COUNTER]


async def test_what_cannot_be_deleted_stays_and_holds_nothing_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "PRUNE_S", 0.0)

    def prune(file: StateFile, _: object) -> bool:
        raise StateError(Trouble.FULL, f"{file.path}: no room")

    monkeypatch.setattr(StateFile, "prune", prune)
    async with working(make(path)) as ledger:
        for number in range(3):
            ledger.record(exchange(number))
            await until(ledger, written=number + 1, trouble=None)
    assert caplog.text.count("old usage cannot be deleted now") == 1


async def test_a_disk_that_hangs_delays_neither_start_nor_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "OPEN_LIMIT_S", 0.05)
    monkeypatch.setattr(StateFile, "load", lambda _: time.sleep(0.5))  # noqa: TID251 - a slow disk
    ledger = make(path)
    begin = trio.current_time()
    await ledger.open()
    ledger.record(exchange())
    with trio.move_on_after(0.05):
        await ledger.close()
    ledger.farewell()
    assert trio.current_time() - begin < 0.4
    assert "1 requests could not be saved before the end" in caplog.text


async def test_reading_what_is_not_there_is_an_error_of_the_reader(path: Path) -> None:
    with pytest.raises(StateError, match="there is no database"):
        await make(path).read(lambda connection: connection.execute("SELECT 1").fetchone())


# --- snapshots --------------------------------------------------------------------------------------------


async def test_a_snapshot_is_taken_in_between_batches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PORTION", 2)
    async with working(make(path)) as ledger:
        for number in range(5):
            ledger.record(exchange(number))
        await until(ledger, written=5)
        shot = await ledger.read(lambda connection: snapshot(connection, UTC))
        assert await ledger.import_usage(shot) == (0, 5)
    async with working(make(path.with_name("other.db"))) as ledger:
        assert await ledger.import_usage(shot) == (5, 0)
        assert await ledger.import_usage(shot) == (0, 5)
        assert (await ledger.read(totals)).requests == 5
