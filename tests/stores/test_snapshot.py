"""Usage in the shape of older servers, there and back."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.stores.retention import Limits, horizon, prune
from cliproxy.stores.rows import RequestRow, Tokens, summed
from cliproxy.stores.schema import migrate
from cliproxy.stores.snapshot import (
    NotUsage,
    details_of,
    document,
    moment,
    news,
    read_counts,
    read_moment,
    rows_in,
    snapshot,
)
from cliproxy.stores.state import StateFile, add_buckets, connect, reading, write_requests
from cliproxy.stores.usage import totals
from cliproxy.wire.jsontext import dumps
from support.usage import NOON, REQUESTS, attempt, ns, request

CLIENT_KEY = "sk-a-clients-key-in-clear"
ACCOUNT_KEY = "AIzaAnAccountsKeyInClear"
FOREIGN: Any = {
    "total_requests": 2,
    "apis": {
        CLIENT_KEY: {
            "models": {
                "gpt-5": {
                    "details": [
                        {
                            "timestamp": "2026-04-01T09:15:04.123456789Z",
                            "source": ACCOUNT_KEY,
                            "auth_index": "a1b2c3d4e5f67890",
                            "failed": False,
                            "tokens": {
                                "input_tokens": 523,
                                "output_tokens": 308,
                                "reasoning_tokens": 8,
                                "cached_tokens": 23,
                                "total_tokens": 831,
                            },
                        },
                        {
                            "timestamp": "2026-04-01T11:15:05+02:00",
                            "source": "me@example.org",
                            "failed": True,
                        },
                    ]
                }
            }
        },
        "POST /v1/messages": {"models": {"unknown": {"details": [{}]}}},
        "claude": {"models": {"m": {"details": [{}, "no detail"]}, "n": 1}},
        "broken": [],
    },
}


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    migrate(opened)
    yield opened
    opened.close()


def put(connection: sqlite3.Connection, rows: list[RequestRow]) -> None:
    write_requests(connection, rows)
    add_buckets(connection, summed(rows))


def take(connection: sqlite3.Connection, shot: Any) -> int:
    fresh = news(connection, details_of(shot, ns(0), {"claude"}), horizon(connection))
    put(connection, fresh)
    return len(fresh)


def test_the_shape_is_that_of_older_servers(connection: sqlite3.Connection) -> None:
    tokens = Tokens(fresh_input=5, cache_read=3, cache_write=2, output=4, reasoning=1)
    failed = attempt(0.5, outcome="error", tokens=Tokens())
    put(connection, [request(0.5, failed, attempt(1, tokens=tokens, duration_us=2500)), request(3600)])
    shot = snapshot(connection, timezone(timedelta(hours=13)))
    assert {name: value for name, value in shot.items() if name != "apis"} == {
        "total_requests": 3,
        "success_count": 2,
        "failure_count": 1,
        "total_tokens": 30,
        "requests_by_day": {"2023-11-16": 3},
        "requests_by_hour": {"01": 2, "02": 1},
        "tokens_by_day": {"2023-11-16": 30},
        "tokens_by_hour": {"01": 15, "02": 15},
    }
    apis: Any = shot["apis"]
    model = apis["***cdef"]["models"]["m"]
    assert (model["total_requests"], model["total_tokens"]) == (3, 30)
    assert model["details"][1] == {
        "timestamp": "2023-11-15T12:00:01Z",
        "source": "me@example.org",
        "auth_index": "0123456789abcdef",
        "failed": False,
        "tokens": {
            "input_tokens": 10,
            "output_tokens": 5,
            "reasoning_tokens": 1,
            "cached_tokens": 3,
            "total_tokens": 15,
            "cache_read_tokens": 3,
            "cache_creation_tokens": 2,
        },
        "latency_ms": 2,
        "provider": "p",
        "credential": "a.json",
        "cost_micros": None,
    }


def test_details_are_the_newest_and_totals_are_whole(connection: sqlite3.Connection) -> None:
    put(connection, [request(at) for at in range(10)])
    shot: Any = snapshot(connection, UTC, details=3)
    model = shot["apis"]["***cdef"]["models"]["m"]
    assert shot["total_requests"] == model["total_requests"] == 10
    assert [each["timestamp"][-4:] for each in model["details"]] == [":07Z", ":08Z", ":09Z"]


def test_clients_with_the_same_mask_stay_apart(connection: sqlite3.Connection) -> None:
    put(connection, [request(0, client="***", client_id="1"), request(1, client="***", client_id="2")])
    shot: Any = snapshot(connection, UTC)
    assert {key: api["client_id"] for key, api in shot["apis"].items()} == {"***": "1", "*** (2)": "2"}
    assert take(connection, shot) == 0


def test_another_servers_export_is_taken_in_once_and_masked(connection: sqlite3.Connection) -> None:
    assert take(connection, FOREIGN) == 4
    assert take(connection, FOREIGN) == 0
    assert totals(connection).attempts == 4
    rows = connection.execute("SELECT client, client_id, model FROM usage_request ORDER BY id").fetchall()
    assert [row[0] for row in rows] == ["***lear", "***lear", "POST /v1/messages", "claude"]
    assert len(rows[0][1]) == 16
    [first, *_] = connection.execute("SELECT started_ns, source, outcome FROM usage_attempt").fetchall()
    assert first == (1_775_034_904_123_456_789, "***lear", "ok")
    everything = "\n".join(connection.iterdump())
    assert CLIENT_KEY not in everything
    assert ACCOUNT_KEY not in everything


@given(st.lists(REQUESTS, max_size=5))
def test_our_own_export_brings_nothing_new_and_restores_everything(rows: list[RequestRow]) -> None:
    here, there = (sqlite3.connect(":memory:", isolation_level=None) for _ in range(2))
    for connection in (here, there):
        migrate(connection)
    put(here, rows)
    shot = snapshot(here, UTC)
    assert take(here, shot) == 0
    assert take(there, shot) <= sum(len(row.attempts) for row in rows)
    assert take(there, shot) == 0
    before, after = totals(here), totals(there)
    if before.attempts == after.attempts:
        assert before.tokens == after.tokens
    for connection in (here, there):
        connection.close()


def test_what_was_deleted_does_not_come_back(tmp_path: Any) -> None:
    connection = connect(tmp_path / "x.db")
    migrate(connection)
    put(connection, [request(0), request(10)])
    shot = snapshot(connection, UTC)
    prune(connection, Limits(oldest_ns=ns(5), rows=0))
    assert take(connection, shot) == 0
    assert totals(connection).requests == 2
    connection.close()


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({}, Tokens()),
        ({"total_tokens": 500}, Tokens(fresh_input=500)),
        (
            {"input_tokens": 10, "cached_tokens": 4, "output_tokens": 3},
            Tokens(fresh_input=6, cache_read=4, output=3),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 2, "total_tokens": 15},
            Tokens(fresh_input=10, output=3, reasoning=2),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 2, "total_tokens": 17},
            Tokens(fresh_input=10, output=5, reasoning=2),
        ),
        ({"output_tokens": 5, "reasoning_tokens": 20}, Tokens(output=5, reasoning=20)),
        ({"input_tokens": 1, "cached_tokens": 100}, Tokens(fresh_input=1, cache_read=100)),
        ({"input_tokens": -5, "output_tokens": "x"}, Tokens()),
    ],
)
def test_counts_of_others_are_made_disjoint(said: Any, tokens: Tokens) -> None:
    assert read_counts(said) == tokens


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_a_time_comes_back_to_the_nanosecond(time_ns: int) -> None:
    assert read_moment(moment(time_ns)) == time_ns


@pytest.mark.parametrize("said", ["", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"])
def test_what_is_no_time_is_none(said: str) -> None:
    assert read_moment(said) is None


def test_other_spellings_of_times() -> None:
    assert read_moment("2023-11-15 12:00:00") == read_moment("2023-11-15t13:00:00+01:00") == NOON * 10**9


# --- documents --------------------------------------------------------------------------------------------


def test_the_document_says_when_it_was_made_and_how_much_is_in_it(connection: sqlite3.Connection) -> None:
    put(connection, [request(at) for at in range(5)])
    made = document(connection, NOON + 0.5, details=3)
    assert (made.attempts, made.details) == (5, 3)
    assert made.content == {
        "version": 1,
        "exported_at": "2023-11-15T12:00:00Z",
        "usage": snapshot(connection, UTC, details=3),
    }
    assert document(connection, NOON).details == 5


@pytest.mark.parametrize("version", [{}, {"version": 0}, {"version": 1}])
def test_documents_of_known_versions_are_read(version: Any) -> None:
    rows = list(rows_in(dumps({**version, "usage": FOREIGN}), ns(0), {"claude"}))
    assert rows == list(details_of(FOREIGN, ns(0), {"claude"}))
    assert len(rows) == 4


@pytest.mark.parametrize("data", [b"", b"[]", b'{"usage": 1}', b'{"version": "1", "usage": {}}', b"\xff{}"])
def test_what_is_no_document_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(NotUsage):
        rows_in(data, ns(0))


def test_what_was_deleted_during_an_import_does_not_end_it(tmp_path: Any) -> None:
    """Old requests are taken in, in portions, while others delete what is old."""
    file = StateFile(tmp_path / "x.db")
    rows = [request(at) for at in (5, 1)]
    begin = file.horizon()
    assert file.take_in(rows[:1], begin) == (1, 0)
    file.prune(Limits(oldest_ns=ns(10), rows=0))
    assert file.take_in(rows[1:], begin) == (1, 0)
    assert file.take_in(rows, file.horizon()) == (0, 2)
    with reading(file.path) as connection:
        assert totals(connection).requests == 2
    file.close()
