"""What is deleted from the state database, and when: single requests that are too old or too many.

Hourly sums stay. Deleting goes by time and in small portions, so that no transaction is long; the place is
given back to the file system along the way.

How far deleting has got is remembered: whether a request from before that moment has been there once cannot
be told any more, which whoever adds old requests has to know (:func:`horizon`).
"""

import sqlite3
from typing import Final

from attrs import frozen

PORTION: Final = 1000
FREED_PAGES: Final = 256
_HORIZON: Final = "pruned_before_ns"


@frozen(kw_only=True)
class Limits:
    """What is kept."""

    oldest_ns: int | None
    """Requests from before are deleted; ``None``: none are too old."""
    rows: int
    """Requests beyond this number are deleted, the oldest first; 0: any number is kept."""


def prune(connection: sqlite3.Connection, limits: Limits) -> bool:
    """Delete a portion; tell whether there is more. The caller holds a transaction."""
    surplus = _surplus(connection, limits.rows)
    until = limits.oldest_ns if limits.oldest_ns is not None else -1
    doomed = connection.execute(
        "SELECT id, started_ns FROM usage_request WHERE started_ns < ? ORDER BY started_ns LIMIT ?",
        (until, PORTION),
    ).fetchall()
    if len(doomed) < min(surplus, PORTION):
        doomed = connection.execute(
            "SELECT id, started_ns FROM usage_request ORDER BY started_ns LIMIT ?", (min(surplus, PORTION),)
        ).fetchall()
    if not doomed:
        return False
    connection.executemany("DELETE FROM usage_request WHERE id = ?", ((number,) for number, _ in doomed))
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        (_HORIZON, doomed[-1][1] + 1),
    )
    return len(doomed) == PORTION


def give_back(connection: sqlite3.Connection) -> None:
    """Return some of the free place to the file system. The caller holds no transaction."""
    # As a statement of its own the library would take a single step of it, which is one page.
    connection.executescript(f"PRAGMA incremental_vacuum({FREED_PAGES})")


def horizon(connection: sqlite3.Connection) -> int:
    """Return the time before which requests have been deleted, in nanoseconds; 0: none have."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (_HORIZON,)).fetchone()
    return int(row[0]) if row else 0


def _surplus(connection: sqlite3.Connection, rows: int) -> int:
    if not rows:
        return 0
    (count,) = connection.execute("SELECT count(*) FROM usage_request").fetchone()
    return max(int(count) - rows, 0)
