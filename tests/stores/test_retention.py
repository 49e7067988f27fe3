"""What is deleted, in which order, in which portions."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cliproxy.stores import retention
from cliproxy.stores.retention import Limits, give_back, horizon, prune
from cliproxy.stores.schema import migrate
from cliproxy.stores.state import connect, transaction, write_requests
from support.usage import ns, request


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = connect(tmp_path / "x.db")
    migrate(opened)
    yield opened
    opened.close()


def fill(connection: sqlite3.Connection, times: list[int]) -> None:
    with transaction(connection):
        write_requests(connection, [request(at) for at in times])


def left(connection: sqlite3.Connection) -> list[int]:
    return sorted(
        int(at.removeprefix("req-")) for (at,) in connection.execute("SELECT request_id FROM usage_request")
    )


def step(connection: sqlite3.Connection, oldest: int | None = None, rows: int = 0) -> bool:
    with transaction(connection):
        return prune(connection, Limits(oldest_ns=None if oldest is None else ns(oldest), rows=rows))


def test_the_old_go_with_their_attempts(connection: sqlite3.Connection) -> None:
    fill(connection, [5, 1, 3])
    assert not step(connection, oldest=3)
    assert left(connection) == [3, 5]
    assert connection.execute("SELECT count(*) FROM usage_attempt").fetchone() == (2,)


def test_the_surplus_goes_oldest_first(connection: sqlite3.Connection) -> None:
    fill(connection, [5, 1, 3, 2])
    assert not step(connection, rows=2)
    assert left(connection) == [3, 5]
    assert not step(connection, rows=2)
    assert left(connection) == [3, 5]


def test_both_limits_hold(connection: sqlite3.Connection) -> None:
    fill(connection, [1, 2, 3, 4, 5])
    step(connection, oldest=2, rows=2)
    assert left(connection) == [4, 5]
    step(connection, oldest=5, rows=4)
    assert left(connection) == [5]


def test_without_limits_everything_stays(connection: sqlite3.Connection) -> None:
    fill(connection, [1, 2])
    assert not step(connection)
    assert left(connection) == [1, 2]
    assert horizon(connection) == 0


def test_portions_are_small(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 2)
    fill(connection, [1, 2, 3, 4, 5])
    assert step(connection, oldest=100)
    assert left(connection) == [3, 4, 5]
    assert step(connection, oldest=100)
    assert not step(connection, oldest=100)
    assert left(connection) == []


def test_it_is_remembered_how_far_deleting_has_got(connection: sqlite3.Connection) -> None:
    fill(connection, [1, 7, 9])
    step(connection, oldest=8)
    assert horizon(connection) == ns(7) + 1
    fill(connection, [2])
    step(connection, oldest=3)
    assert horizon(connection) == ns(7) + 1


def test_the_file_gets_smaller(connection: sqlite3.Connection) -> None:
    fill(connection, list(range(2000)))
    (before,) = connection.execute("PRAGMA page_count").fetchone()
    while step(connection, oldest=10_000):
        pass
    give_back(connection)
    (after,) = connection.execute("PRAGMA page_count").fetchone()
    assert after < before / 2
