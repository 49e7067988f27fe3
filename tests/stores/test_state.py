"""The state database: nothing is lost or half written, whatever is wrong with the file."""

import errno
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.stores import schema
from cliproxy.stores.retention import Limits
from cliproxy.stores.rows import Batch, BucketKey, CounterRow, Loaded, PauseRow, RequestRow, Sums, summed
from cliproxy.stores.schema import VERSION, migrate
from cliproxy.stores.state import (
    StateError,
    StateFile,
    Trouble,
    add_buckets,
    connect,
    reading,
    transaction,
    write_requests,
)
from support.usage import REQUESTS, attempt, buckets_of, request, rows_of

posix_only = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX systems")
not_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write anywhere")
PAUSE = PauseRow(owner="a.json", part="m", kind="quota", cause="used up", failures=2, until=2e9, updated=1e9)
COUNTER = CounterRow(key="c0ffee", period="day", start=1_700_006_400, requests=3, tokens=500, micros=42)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cliproxy.db"


def trouble_of(file: StateFile, batch: Batch | None = None) -> Trouble:
    with pytest.raises(StateError) as caught:
        file.write(batch or Batch(requests=(request(),)))
    return caught.value.trouble


# --- what is written can be read --------------------------------------------------------------------------


def test_requests_and_attempts_are_rows(path: Path) -> None:
    failed = attempt(0.1, credential="b.json", outcome="error", status=429, kind="quota", cost_micros=None)
    file = StateFile(path)
    file.write(Batch(requests=(request(0, failed, attempt(0.5, cost_micros=7)), request(1, outcome="error"))))
    assert rows_of(
        path, "SELECT id, model, served_model, credential, attempts, cost_micros FROM usage_request"
    ) == [
        (1, "alias", "m", "a.json", 2, 7),
        (2, "alias", "m", "a.json", 1, None),
    ]
    assert rows_of(path, "SELECT request, number, credential, status, kind FROM usage_attempt") == [
        (1, 1, "b.json", 429, "quota"),
        (1, 2, "a.json", 200, ""),
        (2, 1, "a.json", 200, ""),
    ]
    file.close()


def test_a_view_shows_requests_to_people(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(requests=(request(0, attempt(cost_micros=1234)),)))
    file.close()
    [row] = rows_of(path, "SELECT time_utc, client, model, ms, input, output, usd FROM usage_readable")
    assert row == ("2023-11-15 12:00:00", "***cdef", "alias", 1500, 10, 5, 0.001234)


def test_pauses_and_counters_come_back(path: Path) -> None:
    file = StateFile(path)
    assert file.load() == Loaded()
    other = evolve(PAUSE, owner="b.json")
    file.write(Batch(pauses=(PAUSE, other), counters=(COUNTER, evolve(COUNTER, period="month"))))
    file.write(Batch(pauses=(evolve(PAUSE, failures=3),), ended=(("b.json", "m"),)))
    file.write(Batch(counters=(evolve(COUNTER, tokens=600),)))
    file.close()
    loaded = StateFile(path).load()
    assert loaded.pauses == (evolve(PAUSE, failures=3),)
    assert loaded.counters == (evolve(COUNTER, tokens=600), evolve(COUNTER, period="month"))


def test_all_pauses_can_be_replaced_and_counters_forgotten(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(pauses=(PAUSE,), counters=(COUNTER, evolve(COUNTER, key="other"))))
    file.write(Batch(pauses=(evolve(PAUSE, owner="c"),), are_all_pauses=True, forgotten=("other", "nobody")))
    assert file.load() == Loaded(pauses=(evolve(PAUSE, owner="c"),), counters=(COUNTER,))
    file.close()


def test_sums_without_rows_are_added(path: Path) -> None:
    key = BucketKey(3600, "id", "name", "p", "m", "c")
    file = StateFile(path)
    for _ in range(2):
        file.write(Batch(buckets={key: Sums(requests=2, output=5)}))
    with reading(path) as connection:
        assert buckets_of(connection) == {key: Sums(requests=4, output=10)}
    file.close()


@given(st.lists(st.lists(REQUESTS, max_size=4), max_size=4))
def test_the_sums_of_the_rows_are_the_buckets(batches: list[list[RequestRow]]) -> None:
    """However they were grouped into batches."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    for batch in batches:
        with transaction(connection):
            write_requests(connection, batch)
            add_buckets(connection, summed(batch))
    every = [row for batch in batches for row in batch]
    assert buckets_of(connection) == summed(every)
    [totals] = connection.execute("SELECT sum(requests), sum(attempts), sum(cost_micros) FROM usage_hour")
    assert [value or 0 for value in totals] == [
        len(every),
        connection.execute("SELECT count(*) FROM usage_attempt").fetchone()[0],
        connection.execute("SELECT coalesce(sum(cost_micros), 0) FROM usage_attempt").fetchone()[0],
    ]
    connection.close()


# --- the file ---------------------------------------------------------------------------------------------


@posix_only
def test_the_file_and_what_lies_beside_it_is_private(path: Path) -> None:
    before = os.umask(0)
    try:
        file = StateFile(path)
        file.write(Batch(requests=(request(),)))
        names = sorted(each.name for each in path.parent.iterdir())
        assert names == ["cliproxy.db", "cliproxy.db-shm", "cliproxy.db-wal"]
        assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        file.close()
    finally:
        os.umask(before)
    assert [each.name for each in path.parent.iterdir()] == ["cliproxy.db"]


@posix_only
def test_an_open_file_is_closed_to_others(path: Path) -> None:
    StateFile(path).load()
    path.chmod(0o644)
    StateFile(path).load()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix_only
@pytest.mark.parametrize("name", ["", "cliproxy.db", "cliproxy.db-wal"])
def test_symbolic_links_are_refused(path: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    if name:
        path.parent.mkdir()
        elsewhere.write_bytes(b"")
        (path.parent / name).symlink_to(elsewhere)
    else:
        elsewhere.mkdir()
        path.parent.symlink_to(elsewhere)
    file = StateFile(path)
    assert trouble_of(file) is Trouble.UNWRITABLE
    assert not elsewhere.is_dir() or not list(elsewhere.iterdir())
    assert elsewhere.is_dir() or elsewhere.read_bytes() == b""


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    assert trouble_of(StateFile(path)) is Trouble.UNWRITABLE


@posix_only
@not_root
def test_a_directory_that_cannot_be_written_is_named(path: Path) -> None:
    path.parent.mkdir(mode=0o500)
    with pytest.raises(StateError, match=r"state.* has mode 0500"):
        StateFile(path).load()
    path.parent.chmod(0o700)
    StateFile(path).load()


def test_a_file_that_was_removed_is_begun_anew(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(requests=(request(0),)))
    for each in path.parent.iterdir():
        each.unlink()
    file.write(Batch(requests=(request(1),)))
    assert rows_of(path, "SELECT request_id FROM usage_request") == [("req-1",)]
    file.close()


# --- trouble ----------------------------------------------------------------------------------------------


def test_a_locked_database_is_trouble_until_it_is_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliproxy.stores.state.BUSY_S", 0.01)
    file = StateFile(path)
    file.load()
    other = connect(path)
    other.execute("BEGIN IMMEDIATE")
    assert trouble_of(file) is Trouble.LOCKED
    assert file.load() == Loaded()
    other.execute("ROLLBACK")
    other.close()
    file.write(Batch(requests=(request(),)))
    file.close()


def test_a_full_disk_leaves_nothing_half_written(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(requests=(request(0),)))
    assert file._connection is not None
    (pages,) = file._connection.execute("PRAGMA page_count").fetchone()
    file._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = Batch(requests=tuple(request(number) for number in range(1, 1000)))
    assert trouble_of(file, many) is Trouble.FULL
    assert rows_of(path, "SELECT count(*), (SELECT count(*) FROM usage_attempt) FROM usage_request") == [
        (1, 1)
    ]
    file.write(many)
    assert rows_of(path, "SELECT count(*), sum(requests) FROM usage_hour") == [(1, 1000)]
    file.close()


@pytest.mark.parametrize("damage", [b"this is not a database" * 100, b"\0" * 8192])
def test_a_damaged_file_is_moved_aside(path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    file = StateFile(path)
    assert trouble_of(file) is Trouble.DAMAGED
    file.write(Batch(requests=(request(),)))
    assert rows_of(path, "SELECT count(*) FROM usage_request") == [(1,)]
    [kept] = path.parent.glob("cliproxy.db.damaged-*")
    assert kept.read_bytes() == damage
    [line] = [record.getMessage() for record in caplog.records]
    assert str(kept) in line
    assert "a new database is begun" in line
    file.close()


def test_damage_within_is_found_when_it_matters(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(requests=tuple(request(number) for number in range(500))))
    file.close()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    assert trouble_of(file) is Trouble.DAMAGED
    file.write(Batch(requests=(request(),)))
    file.close()


def test_a_newer_version_is_left_alone(path: Path) -> None:
    file = StateFile(path)
    file.load()
    file.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    assert trouble_of(file) is Trouble.NEWER
    with pytest.raises(StateError, match="this program knows") as caught, reading(path):
        pass
    assert caught.value.trouble is Trouble.NEWER
    assert path.read_bytes() == before


def test_a_mistake_of_ours_is_no_trouble_of_the_file(path: Path) -> None:
    file = StateFile(path)
    wrong = Batch(requests=(request(0), evolve(request(1), model=["x"])))  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        file.write(wrong)
    file.write(Batch(requests=(request(2),)))
    assert rows_of(path, "SELECT request_id FROM usage_request") == [("req-2",)]
    file.close()


def test_errors_of_the_system_say_which_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    path.parent.mkdir()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StateError, match=r"cannot write .*cliproxy\.db: read-only file system"):
        StateFile(path).load()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_for_a_file_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code), str(path))

    path.parent.mkdir()
    monkeypatch.setattr(os, "open", refuse)
    assert trouble_of(StateFile(path)) is Trouble.FULL


def test_files_without_anything_in_them_are_counted(path: Path) -> None:
    """Whoever has something in memory knows by that that the file has nothing of it."""
    file = StateFile(path)
    seen: list[int] = []
    for _ in range(2):
        file.write(Batch(requests=(request(),)))
        seen.append(file.generation)
    file.close()
    file.load()
    seen.append(file.generation)
    path.unlink()
    file.load()
    seen.append(file.generation)
    file.close()
    path.write_bytes(b"nonsense" * 1000)
    assert trouble_of(file) is Trouble.DAMAGED
    file.load()
    assert [*seen, file.generation] == [1, 1, 1, 2, 3]
    file.close()


# --- reading ----------------------------------------------------------------------------------------------


def test_readers_see_one_moment_and_hold_nobody_up(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(requests=(request(0),)))
    with reading(path) as connection:
        count = "SELECT count(*) FROM usage_request"
        assert connection.execute(count).fetchone() == (1,)
        file.write(Batch(requests=(request(1),)))
        assert connection.execute(count).fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM usage_request")
    assert rows_of(path, count) == [(2,)]
    file.close()


def test_there_is_nothing_to_read_before_the_first_start(path: Path) -> None:
    with pytest.raises(StateError, match="there is no database"), reading(path):
        pass
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StateError, match="a start of the server"), reading(path):
        pass


def test_old_requests_are_pruned(path: Path) -> None:
    file = StateFile(path)
    file.write(Batch(requests=(request(0), request(1), request(2))))
    assert not file.prune(Limits(oldest_ns=request(1).started_ns, rows=0))
    assert rows_of(path, "SELECT request_id FROM usage_request") == [("req-1",), ("req-2",)]
    file.close()


def test_a_file_of_an_older_version_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older program wrote is there, is read by nobody meanwhile, and goes on being written."""
    with monkeypatch.context() as older:
        older.setattr(schema, "STEPS", schema.STEPS[:1])
        older.setattr(schema, "VERSION", 1)
        StateFile(path).load()
    with sqlite3.connect(path) as connection:
        write_requests(connection, [request(0)])
        connection.execute("INSERT INTO pause VALUES ('a', 'm', 'quota', '', 1, 5.0, 1.0)")
    connection.close()
    with pytest.raises(StateError, match="version 1; a start of the server"), reading(path):
        pass
    file = StateFile(path)
    [pause] = file.load().pauses
    file.write(Batch(requests=(request(1),)))
    assert pause.owner == "a"
    assert rows_of(path, "SELECT request_id FROM usage_request") == [("req-0",), ("req-1",)]
    assert rows_of(path, "SELECT sum(requests) FROM usage_day") == [(1,)]
    file.close()


def test_a_file_that_is_written_and_pruned_for_long_stays_as_large_as_it_is(path: Path) -> None:
    file = StateFile(path)
    sizes: list[int] = []
    for generation in range(12):
        rows = tuple(request(generation * 300 + number) for number in range(300))
        file.write(Batch(requests=rows))
        while file.prune(Limits(oldest_ns=None, rows=600)):
            pass
        file.close()
        sizes.append(path.stat().st_size)
    assert rows_of(path, "SELECT count(*) FROM usage_request") == [(600,)]
    assert rows_of(path, "SELECT sum(requests) FROM usage_hour") == [(3600,)]
    assert max(sizes[4:]) <= sizes[3] * 1.05
    while file.prune(Limits(oldest_ns=rows[-1].started_ns, rows=0)):
        pass
    file.close()
    assert path.stat().st_size < sizes[0]
