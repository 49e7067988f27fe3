"""Rows of usage, and a look into a database."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from hypothesis import strategies as st

from cliproxy.stores.rows import NS_PER_S, SUMMED, AttemptRow, BucketKey, Buckets, RequestRow, Sums, Tokens
from cliproxy.stores.state import reading

NOON = 1_700_049_600
"""The beginning of an hour, in Unix seconds."""


def ns(seconds: float) -> int:
    """A time that many seconds after noon."""
    return round((NOON + seconds) * NS_PER_S)


def attempt(at: float = 0.0, **facts: Any) -> AttemptRow:
    """An attempt that answered; keyword arguments replace facts."""
    known = {
        "provider": "p",
        "credential": "a.json",
        "auth_index": "0123456789abcdef",
        "source": "me@example.org",
        "model": "m",
        "status": 200,
        "tokens": Tokens(fresh_input=10, output=5),
    }
    return AttemptRow(started_ns=ns(at), **{**known, **facts})


def request(at: float = 0.0, *attempts: AttemptRow, **facts: Any) -> RequestRow:
    """A request that was answered at the first attempt, unless told otherwise."""
    made = attempts or (attempt(at),)
    known = {
        "request_id": f"req-{at:g}",
        "client": "***cdef",
        "client_id": "c0ffee",
        "dialect": "openai",
        "action": "generate",
        "model": "alias",
        "status": 200,
        "duration_us": 1_500_000,
        "first_byte_us": 200_000,
        "tokens": made[-1].tokens,
        "attempts": made,
    }
    return RequestRow(started_ns=ns(at), **{**known, **facts})


def rows_of(path: Path, query: str, parameters: Sequence[object] = ()) -> list[Any]:
    """What a query finds in a database, while others may use it."""
    with reading(path) as connection:
        return connection.execute(query, parameters).fetchall()


def buckets_of(connection: sqlite3.Connection) -> Buckets:
    """All hourly sums of a database."""
    names = ", ".join(("hour", "client_id", "client", "provider", "model", "credential", *SUMMED))
    return {
        BucketKey(*row[:6]): Sums(**dict(zip(SUMMED, row[6:], strict=True)))
        for row in connection.execute(f"SELECT {names} FROM usage_hour")
    }


async def holds(condition: Callable[[], bool]) -> None:
    """Wait for what a thread does to a file: nothing in the event loop could tell."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)


async def a_moment() -> None:
    """Let a job that works with threads and files go round a few times."""
    await trio.sleep(0.05)


_COUNTS = st.integers(0, 10**11)
_NAMES = st.sampled_from(["", "a", "b", "ß", "x" * 200])
_TOKENS = st.builds(
    Tokens, fresh_input=_COUNTS, cache_read=_COUNTS, cache_write=_COUNTS, output=_COUNTS, reasoning=_COUNTS
)
_OUTCOMES = st.sampled_from(["ok", "error", "cancelled"])
_TIMES = st.integers(0, 5 * 3600).map(ns)
ATTEMPTS = st.builds(
    AttemptRow,
    started_ns=_TIMES,
    duration_us=_COUNTS,
    first_byte_us=st.none() | _COUNTS,
    provider=_NAMES,
    credential=_NAMES,
    model=_NAMES,
    outcome=_OUTCOMES,
    tokens=_TOKENS,
    cost_micros=st.none() | _COUNTS,
)
REQUESTS = st.builds(
    RequestRow,
    started_ns=_TIMES,
    duration_us=_COUNTS,
    first_byte_us=st.none() | _COUNTS,
    client=_NAMES,
    client_id=_NAMES,
    outcome=_OUTCOMES,
    tokens=_TOKENS,
    attempts=st.lists(ATTEMPTS, max_size=3).map(tuple),
)
