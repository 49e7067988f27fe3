"""The state database: one SQLite file with usage, pauses and counters.

**Safety.** Write-ahead log with ``synchronous = NORMAL``: what was committed survives the death of the
process at any instant, since the system already has it; a power cut may take the last moments, and never
damages the file. The file is readable by its owner alone; symbolic links in its place are refused, as another
user could otherwise choose what is written to.

**Use.** A :class:`StateFile` has one connection for writing, and is called from one worker thread at a time.
It opens when it is first needed and again after trouble. Readers have connections of their own
(:func:`reading`), which cannot write and hold nobody up.

**Trouble** is a :class:`StateError` that says of which kind; nothing is half written then. A damaged file is
the one case that mends itself here: it is moved aside, with a word in the log, and a new one is begun.
"""

import errno
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final

from attrs import astuple, define, field

from cliproxy.errors import StoreError
from cliproxy.stores import retention
from cliproxy.stores.atomic import IS_POSIX, OTHERS, PRIVATE_FILE, make_directory, refused
from cliproxy.stores.rows import (
    DAY_S,
    SUMMED,
    TOKEN_CLASSES,
    Batch,
    Buckets,
    CounterRow,
    Loaded,
    PauseRow,
    RequestRow,
    Sums,
    Tokens,
    summed,
)
from cliproxy.stores.schema import NewerSchema, OlderSchema, check, migrate, version_of
from cliproxy.stores.snapshot import news

logger = logging.getLogger(__name__)

BUSY_S: Final = 1.0
"""How long another process may keep the file locked before that is trouble."""
COMPANIONS: Final = ("-wal", "-shm")
"""What SQLite keeps beside the file."""
PORTION: Final = 500
"""Imported requests in one transaction."""
LOG_BYTES: Final = 16 * 1024 * 1024
"""Size to which the write-ahead log is cut back."""


class Trouble(StrEnum):
    """Why the database cannot be used."""

    LOCKED = "locked by another process"
    FULL = "the disk is full"
    UNWRITABLE = "not writable"
    DAMAGED = "damaged"
    NEWER = "written by a newer version of this program"
    FAILED = "failed"


class StateError(StoreError):
    """The database cannot be used now."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


_TROUBLES: Final = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Trouble.LOCKED,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    # No room for the part of the log that is shared in memory.
    sqlite3.SQLITE_IOERR_SHMSIZE: Trouble.FULL,
    sqlite3.SQLITE_READONLY: Trouble.UNWRITABLE,
    sqlite3.SQLITE_PERM: Trouble.UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNWRITABLE,
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
}
_MISTAKES: Final = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
_PRIMARY: Final = 0xFF
"""The part of an error code that is not detail."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_REQUEST_COLUMNS: Final = (
    *("request_id", "started_ns", "duration_us", "first_byte_us", "client", "client_id", "dialect", "action"),
    *("stream", "model", "outcome", "status", "kind", "provider", "credential", "auth_index", "served_model"),
    *("attempts", *TOKEN_CLASSES, "cost_micros"),
)
_ATTEMPT_COLUMNS: Final = (
    *("request", "number", "started_ns", "duration_us", "first_byte_us", "provider", "credential"),
    *(
        "auth_index",
        "source",
        "contract",
        "model",
        "outcome",
        "status",
        "kind",
        *TOKEN_CLASSES,
        "cost_micros",
    ),
)
MOST_VALUES: Final = 999
"""What every version of the database takes in one statement."""
_LABELS: Final = ("client_id", "client", "provider", "model", "credential")


def _insert(table: str, columns: Sequence[str], verb: str = "INSERT", rows: int = 1) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


_ADD_HOUR, _ADD_DAY = (
    _insert(f"usage_{period}", (period, *_LABELS, *SUMMED))
    + f" ON CONFLICT ({', '.join((period, *_LABELS))}) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMMED)
    for period in ("hour", "day")
)
_PUT_PAUSE: Final = _insert(
    "pause", ("owner", "part", "kind", "cause", "failures", "until", "updated"), "REPLACE"
)
_PUT_COUNTER: Final = _insert(
    "key_counter", ("key", "period", "start", "requests", "tokens", "micros"), "REPLACE"
)


@define(eq=False)
class StateFile:
    """The writer's side of the database. Everything blocks; see above for who may call."""

    path: Path
    generation: int = field(default=0, init=False)
    """How often a file without anything in it was opened: whatever was written before is not there."""
    _connection: sqlite3.Connection | None = field(default=None, init=False)
    _inode: int = field(default=0, init=False)

    def load(self) -> Loaded:
        """Return what a server begins with."""
        with self._mending() as connection:
            pauses = connection.execute(
                "SELECT owner, part, kind, cause, failures, until, updated FROM pause"
            ).fetchall()
            counters = read_counters(connection)
        names = ("owner", "part", "kind", "cause", "failures", "until", "updated")
        return Loaded(
            pauses=tuple(PauseRow(**dict(zip(names, row, strict=True))) for row in pauses),
            counters=counters,
        )

    def write(self, batch: Batch) -> None:
        """Write a batch, all of it or nothing."""
        with self._mending() as connection, transaction(connection):
            write_requests(connection, batch.requests)
            add_buckets(connection, summed(batch.requests))
            add_buckets(connection, batch.buckets)
            if batch.are_all_pauses:
                connection.execute("DELETE FROM pause")
            connection.executemany("DELETE FROM pause WHERE owner = ? AND part = ?", batch.ended)
            connection.executemany(_PUT_PAUSE, (astuple(row) for row in batch.pauses))
            connection.executemany("DELETE FROM key_counter WHERE key = ?", ((i,) for i in batch.forgotten))
            connection.executemany(_PUT_COUNTER, (astuple(row) for row in batch.counters))

    def horizon(self) -> int:
        """Return the time before which requests have been deleted, in nanoseconds; 0: none have."""
        with self._mending() as connection:
            return retention.horizon(connection)

    def take_in(self, requests: Iterable[RequestRow], begin: int) -> tuple[int, int]:
        """Add requests of a snapshot that are not there yet; return how many were added, and how many not.

        ``begin`` is what :meth:`horizon` said before the first of them: what is deleted meanwhile may be some
        that have just been added.
        """
        added = skipped = 0
        remaining = iter(requests)
        while portion := tuple(islice(remaining, PORTION)):
            with self._mending() as connection, transaction(connection):
                fresh = news(connection, portion, begin)
                write_requests(connection, fresh)
                add_buckets(connection, summed(fresh))
            added += len(fresh)
            skipped += len(portion) - len(fresh)
        return added, skipped

    def prune(self, limits: retention.Limits) -> bool:
        """Delete a portion of what is too old or too much; tell whether there is more."""
        with self._mending() as connection:
            with transaction(connection):
                has_more = retention.prune(connection, limits)
            retention.give_back(connection)
        return has_more

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    # ------------------------------------------------------------------------------------------- opening

    @contextmanager
    def _mending(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; trouble closes it, and a damaged file makes room for a new one."""
        try:
            with translated(self.path):
                yield self._opened()
        except StateError as exc:
            self.close()
            if exc.trouble is Trouble.DAMAGED:
                self._begin_anew(exc)
            raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._is_in_place():
            return self._connection
        self.close()
        prepare(self.path)
        connection = connect(self.path)
        try:
            is_new = not version_of(connection)
            migrate(connection)
            self.generation += is_new
            self._inode = self.path.stat().st_ino
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _is_in_place(self) -> bool:
        """Whether the file that is open is the one that has the name; otherwise it was removed."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def _begin_anew(self, cause: StateError) -> None:
        kept = set_aside(self.path)
        logger.error("%s; it was moved to %s, and a new database is begun", cause, kept)


def prepare(path: Path) -> None:
    """Make sure that there is a private file at a path and nothing else. Raises :class:`StateError`."""
    try:
        make_directory(path.parent)
        for place in (path.parent, path, *(path.with_name(path.name + end) for end in COMPANIONS)):
            if place.is_symlink():
                raise StateError(
                    Trouble.UNWRITABLE, f"{place} is a symbolic link, which is not followed here"
                )
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), PRIVATE_FILE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StateError(Trouble.UNWRITABLE, f"{path} is not a regular file")
            if IS_POSIX and status.st_mode & OTHERS:
                os.fchmod(descriptor, PRIVATE_FILE)
        finally:
            os.close(descriptor)
    except StateError:
        raise
    except StoreError as exc:
        raise StateError(Trouble.UNWRITABLE, str(exc)) from exc
    except OSError as exc:
        trouble = Trouble.FULL if exc.errno in _NO_ROOM else Trouble.UNWRITABLE
        raise StateError(trouble, str(refused("write", path, exc))) from exc


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection for writing. Transactions are begun by name; any one thread at a time may use it."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if not pages:
            # Later it has no effect, and still asks for the lock.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            f"journal_size_limit = {LOG_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path) -> Path:
    """Move a damaged database out of the way, with what belongs to it; return where it is now."""
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    with suppress(OSError):
        path.rename(kept)
    for end in COMPANIONS:
        with suppress(OSError):
            path.with_name(path.name + end).rename(kept.with_name(kept.name + end))
    return kept


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that can only read, also while a server writes. Raises :class:`StateError`."""
    with translated(path):
        if not path.is_file():
            raise StateError(Trouble.UNWRITABLE, f"there is no database at {path}")
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
        )
        try:
            # One transaction: all queries see the same moment.
            connection.execute("BEGIN")
            check(connection)
            yield connection
        finally:
            connection.close()


def read_counters(connection: sqlite3.Connection) -> tuple[CounterRow, ...]:
    """Return what client keys have used up."""
    rows = connection.execute("SELECT key, period, start, requests, tokens, micros FROM key_counter")
    names = ("key", "period", "start", "requests", "tokens", "micros")
    return tuple(CounterRow(**dict(zip(names, row, strict=True))) for row in rows)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one transaction for writing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has ended the transaction already.
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the library's errors into :class:`StateError`, except those that are mistakes of the caller."""
    try:
        yield
    except NewerSchema as exc:
        raise StateError(Trouble.NEWER, f"{path}: {exc}") from exc
    except OlderSchema as exc:
        raise StateError(Trouble.FAILED, f"{path}: {exc}") from exc
    except _MISTAKES:
        raise
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", None) or 0
        trouble = _TROUBLES.get(code) or _TROUBLES.get(code & _PRIMARY, Trouble.FAILED)
        raise StateError(trouble, f"{path}: {exc}") from exc


# --------------------------------------------------------------------------------------------------- writing


def write_requests(connection: sqlite3.Connection, requests: Iterable[RequestRow]) -> None:
    """Insert requests with their attempts. Buckets are another matter."""
    remaining = iter(requests)
    while portion := tuple(islice(remaining, MOST_VALUES // len(_REQUEST_COLUMNS))):
        last = _insert_rows(connection, "usage_request", _REQUEST_COLUMNS, map(_request_values, portion))
        # The rows of one statement have numbers one after the other.
        numbered = enumerate(portion, last - len(portion) + 1)
        attempts = (values for number, request in numbered for values in _attempt_values(number, request))
        while some := tuple(islice(attempts, MOST_VALUES // len(_ATTEMPT_COLUMNS))):
            _insert_rows(connection, "usage_attempt", _ATTEMPT_COLUMNS, some)


def _insert_rows(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    """Insert rows with one statement; return the number of the last.

    At each step of a statement the interpreter changes hands between this thread and the one that serves,
    which costs more than the step.
    """
    values = [value for row in rows for value in row]
    statement = _insert(table, columns, rows=len(values) // len(columns))
    return connection.execute(statement, values).lastrowid or 0


def add_buckets(connection: sqlite3.Connection, buckets: Buckets) -> None:
    """Add sums to those of the hours and of the days."""
    rows = [(*astuple(key), *_sum_values(sums)) for key, sums in buckets.items()]
    connection.executemany(_ADD_HOUR, rows)
    connection.executemany(_ADD_DAY, ((hour // DAY_S * DAY_S, *rest) for hour, *rest in rows))


def _request_values(request: RequestRow) -> tuple[object, ...]:
    last = request.attempts[-1] if request.attempts else None
    return (
        *(request.request_id, request.started_ns, request.duration_us, request.first_byte_us),
        *(request.client, request.client_id, request.dialect, request.action, request.stream, request.model),
        *(request.outcome, request.status, request.kind),
        *((last.provider, last.credential, last.auth_index, last.model) if last else ("", "", "", "")),
        *(len(request.attempts), *_token_values(request.tokens), request.cost_micros),
    )


def _attempt_values(number: int, request: RequestRow) -> Iterator[tuple[object, ...]]:
    for place, attempt in enumerate(request.attempts, 1):
        yield (
            *(number, place, attempt.started_ns, attempt.duration_us, attempt.first_byte_us),
            *(attempt.provider, attempt.credential, attempt.auth_index, attempt.source, attempt.contract),
            *(attempt.model, attempt.outcome, attempt.status, attempt.kind),
            *(*_token_values(attempt.tokens), attempt.cost_micros),
        )


def _token_values(tokens: Tokens) -> tuple[int, ...]:
    return (tokens.fresh_input, tokens.cache_read, tokens.cache_write, tokens.output, tokens.reasoning)


def _sum_values(sums: Sums) -> Iterator[int]:
    return (getattr(sums, name) for name in SUMMED)
