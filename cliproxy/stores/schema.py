"""The tables of the state database, as a list of steps from one version to the next.

The version is the number of steps taken, in the file's own ``user_version``. A step is never changed once it
has been released; what is to be different is another step. A file with more steps than this program knows was
written by a newer one and is left alone.

``usage_hour`` has no row number of its own: its key is the order it is stored in, so that the sums of a range
of hours lie together. ``usage_attempt`` likewise lies by request. ``usage_day`` has the same sums by days of
UTC, so that a question about months reads a tenth of the rows.
"""

import sqlite3
from typing import Final

_REQUESTS: Final = """
CREATE TABLE usage_request (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id    TEXT    NOT NULL,
    started_ns    INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL,
    first_byte_us INTEGER,
    client        TEXT    NOT NULL,
    client_id     TEXT    NOT NULL,
    dialect       TEXT    NOT NULL,
    action        TEXT    NOT NULL,
    stream        INTEGER NOT NULL,
    model         TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    status        INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    provider      TEXT    NOT NULL,
    credential    TEXT    NOT NULL,
    auth_index    TEXT    NOT NULL,
    served_model  TEXT    NOT NULL,
    attempts      INTEGER NOT NULL,
    fresh_input   INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write   INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    cost_micros   INTEGER
);
CREATE INDEX usage_request_started ON usage_request (started_ns);

CREATE TABLE usage_attempt (
    request       INTEGER NOT NULL REFERENCES usage_request (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    started_ns    INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL,
    first_byte_us INTEGER,
    provider      TEXT    NOT NULL,
    credential    TEXT    NOT NULL,
    auth_index    TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    contract      TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    status        INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    fresh_input   INTEGER NOT NULL,
    cache_read    INTEGER NOT NULL,
    cache_write   INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    cost_micros   INTEGER,
    PRIMARY KEY (request, number)
) WITHOUT ROWID;
CREATE INDEX usage_attempt_started ON usage_attempt (started_ns);
"""

_SUMS: Final = """
CREATE TABLE usage_{period} (
    {period} INTEGER NOT NULL,
    client_id       TEXT    NOT NULL,
    client          TEXT    NOT NULL,
    provider        TEXT    NOT NULL,
    model           TEXT    NOT NULL,
    credential      TEXT    NOT NULL,
    requests        INTEGER NOT NULL,
    ok              INTEGER NOT NULL,
    errors          INTEGER NOT NULL,
    cancelled       INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    fresh_input     INTEGER NOT NULL,
    cache_read      INTEGER NOT NULL,
    cache_write     INTEGER NOT NULL,
    output          INTEGER NOT NULL,
    reasoning       INTEGER NOT NULL,
    cost_micros     INTEGER NOT NULL,
    unpriced        INTEGER NOT NULL,
    duration_us     INTEGER NOT NULL,
    first_byte_us   INTEGER NOT NULL,
    first_bytes     INTEGER NOT NULL,
    PRIMARY KEY ({period}, client_id, client, provider, model, credential)
) WITHOUT ROWID;
"""
"""Of an hour or a day, in the first shape of the table: a later one is reached by steps of its own."""

_STATE: Final = """
CREATE TABLE pause (
    owner    TEXT    NOT NULL,
    part     TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    cause    TEXT    NOT NULL,
    failures INTEGER NOT NULL,
    until    REAL    NOT NULL,
    updated  REAL    NOT NULL,
    PRIMARY KEY (owner, part)
) WITHOUT ROWID;

CREATE TABLE key_counter (
    key      TEXT    NOT NULL,
    period   TEXT    NOT NULL,
    start    INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    tokens   INTEGER NOT NULL,
    micros   INTEGER NOT NULL,
    PRIMARY KEY (key, period)
) WITHOUT ROWID;

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
"""

_VIEW: Final = """
CREATE VIEW usage_readable AS
SELECT datetime(started_ns / 1000000000, 'unixepoch') AS time_utc,
       client, model, served_model, provider, credential, outcome, status,
       duration_us / 1000 AS ms,
       fresh_input + cache_read + cache_write AS input,
       cache_read AS cached,
       output + reasoning AS output,
       round(cost_micros / 1e6, 6) AS usd
  FROM usage_request;
"""

_DAYS: Final = """
INSERT INTO usage_day
SELECT hour / 86400 * 86400, client_id, client, provider, model, credential,
       sum(requests), sum(ok), sum(errors), sum(cancelled), sum(attempts), sum(failed_attempts),
       sum(fresh_input), sum(cache_read), sum(cache_write), sum(output), sum(reasoning),
       sum(cost_micros), sum(unpriced), sum(duration_us), sum(first_byte_us), sum(first_bytes)
  FROM usage_hour
 GROUP BY 1, 2, 3, 4, 5, 6;
"""

STEPS: Final = (
    _REQUESTS + _SUMS.format(period="hour") + _STATE + _VIEW,
    _SUMS.format(period="day") + _DAYS,
)
VERSION: Final = len(STEPS)


class NewerSchema(Exception):
    """The file was written by a newer program."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it has version {version}, and this program knows {VERSION}")


class OlderSchema(Exception):
    """The file lacks steps, and who reads it may not take them."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it has version {version}; a start of the server brings it to {VERSION}")


def version_of(connection: sqlite3.Connection) -> int:
    """Return how many steps a database has taken."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check(connection: sqlite3.Connection) -> None:
    """Raise :class:`NewerSchema` or :class:`OlderSchema` unless the tables are those of this program."""
    version = version_of(connection)
    if not _is_current(version):
        raise OlderSchema(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Take the steps that are missing, all or none. Raises :class:`NewerSchema`."""
    if _is_current(version_of(connection)):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been faster.
        version = version_of(connection)
        if not _is_current(version):
            for step in STEPS[version:]:
                for statement in _statements(step):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_current(version: int) -> bool:
    if version > VERSION:
        raise NewerSchema(version)
    return version == VERSION


def _statements(script: str) -> list[str]:
    """Divide a script; ``executescript`` would end the transaction."""
    return [statement for part in script.split(";") if (statement := part.strip())]
