"""From one version of the tables to the next."""

import sqlite3
from collections.abc import Iterator

import pytest

from cliproxy.stores import schema
from cliproxy.stores.schema import VERSION, NewerSchema, OlderSchema, check, migrate, version_of


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
    assert {"usage_request", "usage_attempt", "usage_hour", "pause", "key_counter", "meta"} <= tables(
        connection
    )
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
