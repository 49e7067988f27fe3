"""From one version of the tables to the next."""

import sqlite3
from collections.abc import Iterator

import pytest

from cliproxy.stores import schema
from cliproxy.stores.rows import DAY_S, summed
from cliproxy.stores.schema import VERSION, NewerSchema, OlderSchema, check, migrate, version_of
from cliproxy.stores.state import add_buckets, write_requests
from support.usage import request


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    yield opened
    opened.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_new_file_gets_everything(connection: sqlite3.Connection) -> None:
    migrate(connection)
    assert version_of(connection) == VERSION
    assert tables(connection) >= {
        *("usage_request", "usage_attempt", "usage_hour", "usage_day", "pause", "key_counter", "meta")
    }
    check(connection)
    migrate(connection)


def test_only_missing_steps_are_taken(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, "CREATE TABLE next (a); CREATE TABLE more (b);"))
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    with pytest.raises(OlderSchema, match="a start of the server"):
        check(connection)
    migrate(connection)
    assert {"next", "more"} <= tables(connection)
    assert version_of(connection) == VERSION + 1


def test_a_step_that_fails_changes_nothing(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STEPS", ("CREATE TABLE first (a); CREATE NONSENSE",))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)
    assert tables(connection) == set()
    assert version_of(connection) == 0
    assert not connection.in_transaction


def test_a_newer_file_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version = {VERSION + 5}")
    for judge in (check, migrate):
        with pytest.raises(NewerSchema, match=f"version {VERSION + 5}"):
            judge(connection)


def test_a_file_of_the_first_version_gets_the_sums_of_its_days(
    connection: sqlite3.Connection,
) -> None:
    rows = [request(at) for at in (0, 3600, 11 * 3600, 13 * 3600)]
    migrate(connection)
    write_requests(connection, rows)
    add_buckets(connection, summed(rows))
    days = "SELECT * FROM usage_day ORDER BY day"
    expected = connection.execute(days).fetchall()
    # What the first version had.
    connection.execute("DROP TABLE usage_day")
    connection.execute("PRAGMA user_version = 1")
    migrate(connection)
    assert connection.execute(days).fetchall() == expected
    assert [row[0] % DAY_S for row in expected] == [0, 0]
    assert connection.execute("SELECT requests FROM usage_day ORDER BY day").fetchall() == [(3,), (1,)]
    assert version_of(connection) == VERSION


def test_the_columns_of_days_are_those_of_hours(connection: sqlite3.Connection) -> None:
    migrate(connection)
    hours, days = (
        [row[1:] for row in connection.execute(f"PRAGMA table_info(usage_{period})")]
        for period in ("hour", "day")
    )
    assert days == [("day", *hours[0][1:]), *hours[1:]]
