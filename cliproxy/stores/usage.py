"""Questions to the state database about usage. Every function takes a connection that may only read.

Sums come from the buckets, which are kept long and are few: from those of whole days where that comes to the
same, and from those of hours elsewhere. Times are Unix seconds, and days begin where the caller's clock says
(``offset``).

Single requests come from their rows, as far as these are still there, in pages. A page takes bounded time,
however rare the requests are that are asked for: it looks through :data:`LOOKED_THROUGH` rows at most and
says where to go on, so that it may be short or even empty without being the last.
"""

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import field, frozen

from cliproxy.stores.rows import (
    DAY_S,
    ERROR,
    HOUR_S,
    NS_PER_S,
    SUMMED,
    TOKEN_CLASSES,
    AttemptRow,
    RequestRow,
    Sums,
    Tokens,
)

ID_DIGITS: Final = 16
LARGEST_PAGE: Final = 1000
LOOKED_THROUGH: Final = 20_000

DIMENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("client_id", "client"),
    "provider": ("provider",),
    "model": ("model",),
    "credential": ("credential",),
}
"""What sums may be divided by, and the columns that say it."""
_BUCKET: Final = ", ".join((*(column for columns in DIMENSIONS.values() for column in columns), *SUMMED))


@frozen(kw_only=True)
class Wanted:
    """Which usage is asked for. What is ``None`` does not matter."""

    since: float | None = None
    until: float | None = None
    """Exclusive."""
    client: str | None = None
    """Name, id, or the key itself, which is only compared by its hash."""
    provider: str | None = None
    model: str | None = None
    """Of the upstream; for single requests also as the client asked."""
    credential: str | None = None
    outcome: str | None = None
    """For single requests only."""


@frozen(kw_only=True)
class Group:
    """Sums of what belongs together; a label that was not asked for is empty."""

    start: int | None = None
    """Unix seconds of the beginning of the hour or day."""
    client_id: str = ""
    client: str = ""
    provider: str = ""
    model: str = ""
    credential: str = ""
    sums: Sums


@frozen(kw_only=True)
class Event:
    """One request, with the number it has in the database."""

    number: int
    request: RequestRow

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the order of time."""
        return (self.request.started_ns, self.number)


@frozen(kw_only=True)
class Page:
    """Some requests, and where those begin that come next."""

    events: tuple[Event, ...]
    next: tuple[int, int] | None
    """A place; ``None``: there are no more."""


@frozen
class Outcomes:
    """How many attempts answered, and how many failed."""

    success: int = 0
    failed: int = 0


def roll_up(
    connection: sqlite3.Connection,
    wanted: Wanted,
    *,
    by: Iterable[str] = (),
    step: int | None = None,
    offset: int = 0,
) -> list[Group]:
    """Return sums, divided by :data:`DIMENSIONS` and by hours or days, in the order of time.

    ``step`` is the length of a period in seconds, whole hours; ``None``: the whole time is one. ``offset`` is
    how many seconds the caller's clock is ahead of UTC.
    """
    labels = tuple(column for name in by for column in DIMENSIONS[name])
    period = f"(hour + {int(offset)}) / {int(step)} * {int(step)} - {int(offset)}" if step else "NULL"
    sums = ", ".join(f"sum({name})" for name in SUMMED)
    groups = ", ".join(("1", *labels)) if step or labels else ""
    buckets, values = _buckets(wanted, whole_days=not step or step % DAY_S == offset % DAY_S == 0)
    rows = connection.execute(
        f"SELECT {', '.join((period, *labels))}, {sums} FROM ({buckets})"  # noqa: S608 - columns
        + (f" GROUP BY {groups} ORDER BY {groups}" if groups else ""),
        values,
    )
    # Without groups there is a row even where there is nothing to sum.
    return [_group(labels, row) for row in rows if row[-1] is not None]


def totals(connection: sqlite3.Connection, wanted: Wanted | None = None) -> Sums:
    """Return the sums of everything that is asked for."""
    groups = roll_up(connection, wanted or Wanted())
    return groups[0].sums if groups else Sums()


def _group(labels: Sequence[str], row: Sequence[object]) -> Group:
    named = {name: str(value) for name, value in zip(labels, row[1:], strict=False)}
    sums = dict(zip(SUMMED, map(_whole, row[1 + len(labels) :]), strict=True))
    return Group(start=None if row[0] is None else _whole(row[0]), **named, sums=Sums(**sums))


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _buckets(wanted: Wanted, *, whole_days: bool) -> tuple[str, list[object]]:
    """Return the query for the buckets of a time. An hour belongs to a time in which it begins or lies.

    ``whole_days``: the days that lie in it as a whole may be given as one bucket each.
    """
    since = None if wanted.since is None else int(wanted.since // HOUR_S * HOUR_S)
    first = None if since is None else -(-since // DAY_S) * DAY_S
    last = None if wanted.until is None else int(wanted.until // DAY_S * DAY_S)
    if not whole_days or (first is not None and last is not None and first >= last):
        parts = [_buckets_of("hour", wanted, since, wanted.until)]
    else:
        parts = [_buckets_of("day", wanted, first, last)]
        if since != first:
            parts.append(_buckets_of("hour", wanted, since, first))
        if wanted.until != last:
            parts.append(_buckets_of("hour", wanted, last, wanted.until))
    return " UNION ALL ".join(query for query, _ in parts), [value for _, values in parts for value in values]


def _buckets_of(
    period: str, wanted: Wanted, since: float | None, until: float | None
) -> tuple[str, list[object]]:
    conditions = _Conditions()
    if since is not None:
        conditions.add(f"{period} >= ?", since)
    if until is not None:
        conditions.add(f"{period} < ?", until)
    _labelled(conditions, wanted)
    if wanted.model is not None:
        conditions.add("model = ?", wanted.model)
    query = f"SELECT {period} AS hour, {_BUCKET} FROM usage_{period}{conditions.text()}"  # noqa: S608 - columns
    return query, conditions.values


def _labelled(conditions: "_Conditions", wanted: Wanted) -> None:
    if wanted.client is not None:
        digest = hashlib.sha256(wanted.client.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
        conditions.add("(client = ? OR client_id IN (?, ?))", wanted.client, wanted.client, digest)
    if wanted.provider is not None:
        conditions.add("provider = ?", wanted.provider)
    if wanted.credential is not None:
        conditions.add("credential = ?", wanted.credential)


@frozen
class _Conditions:
    parts: list[str] = field(factory=list)
    values: list[object] = field(factory=list)

    def add(self, part: str, *values: object) -> None:
        self.parts.append(part)
        self.values.extend(values)

    def and_(self, other: "_Conditions") -> "_Conditions":
        return _Conditions([*self.parts, *other.parts], [*self.values, *other.values])

    def text(self) -> str:
        return " WHERE " + " AND ".join(self.parts) if self.parts else ""


# ------------------------------------------------------------------------------------------ single requests

_REQUEST: Final = (
    *("id", "request_id", "started_ns", "duration_us", "first_byte_us", "client", "client_id", "dialect"),
    *("action", "stream", "model", "outcome", "status", "kind"),
)
_ATTEMPT: Final = (
    *("request", "started_ns", "duration_us", "first_byte_us", "provider", "credential", "auth_index"),
    *("source", "contract", "model", "outcome", "status", "kind", "cost_micros"),
)


def newest(
    connection: sqlite3.Connection,
    wanted: Wanted,
    *,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page:
    """Return a page of requests, the newest first; ``before`` is what the page before has as ``next``."""
    limit = min(max(limit, 1), LARGEST_PAGE)
    times = _times_of(wanted)
    if before is not None:
        times.add("(started_ns, id) < (?, ?)", *before)
    order, sought = "started_ns DESC, id DESC", _sought(wanted)
    end = _end_of_look(connection, times, order) if sought.parts else None
    if end is not None:
        sought.add("(started_ns, id) >= (?, ?)", *end)
    events = _events(connection, times.and_(sought), order, limit)
    return Page(events=events, next=events[-1].place if len(events) == limit else end)


def following(connection: sqlite3.Connection, *, after: int = 0, limit: int = 100) -> tuple[Event, ...]:
    """Return the requests that came after a number, in their order: for those who fetch them one by one."""
    return _events(connection, _Conditions(["id > ?"], [after]), "id", min(max(limit, 1), LARGEST_PAGE))


def _times_of(wanted: Wanted) -> _Conditions:
    conditions = _Conditions()
    if wanted.since is not None:
        conditions.add("started_ns >= ?", int(wanted.since * NS_PER_S))
    if wanted.until is not None:
        conditions.add("started_ns < ?", int(wanted.until * NS_PER_S))
    return conditions


def _sought(wanted: Wanted) -> _Conditions:
    conditions = _Conditions()
    _labelled(conditions, wanted)
    if wanted.model is not None:
        conditions.add("? IN (model, served_model)", wanted.model)
    if wanted.outcome is not None:
        conditions.add("outcome = ?", wanted.outcome)
    return conditions


def _end_of_look(connection: sqlite3.Connection, times: _Conditions, order: str) -> tuple[int, int] | None:
    """Return the place of the last row that a page looks at; ``None``: it may look at all there are."""
    row = connection.execute(
        f"SELECT started_ns, id FROM usage_request{times.text()} ORDER BY {order} LIMIT 1 OFFSET ?",  # noqa: S608
        [*times.values, LOOKED_THROUGH - 1],
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _events(
    connection: sqlite3.Connection, conditions: _Conditions, order: str, limit: int
) -> tuple[Event, ...]:
    rows = connection.execute(
        f"SELECT {', '.join((*_REQUEST, *TOKEN_CLASSES))} FROM usage_request{conditions.text()}"  # noqa: S608
        f" ORDER BY {order} LIMIT ?",
        [*conditions.values, limit],
    ).fetchall()
    attempts = _attempts(connection, [row[0] for row in rows])
    return tuple(_event(row, attempts[row[0]]) for row in rows)


def _event(row: Sequence[object], attempts: list[AttemptRow]) -> Event:
    facts = dict(zip(_REQUEST, row, strict=False))
    number = _whole(facts.pop("id"))
    facts["stream"] = bool(facts["stream"])
    tokens = Tokens(**dict(zip(TOKEN_CLASSES, map(_whole, row[len(_REQUEST) :]), strict=True)))
    # The columns are those of the class, of the types that the tables declare.
    request = RequestRow(**facts, tokens=tokens, attempts=tuple(attempts))  # type: ignore[arg-type]
    return Event(number=number, request=request)


def _attempts(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, list[AttemptRow]]:
    found: dict[int, list[AttemptRow]] = defaultdict(list)
    rows = connection.execute(
        f"SELECT {', '.join((*_ATTEMPT, *TOKEN_CLASSES))} FROM usage_attempt"  # noqa: S608 - columns and marks
        f" WHERE request IN ({', '.join('?' * len(numbers))}) ORDER BY request, number",
        numbers,
    )
    for row in rows:
        facts = dict(zip(_ATTEMPT[1:], row[1:], strict=False))
        tokens = Tokens(**dict(zip(TOKEN_CLASSES, row[len(_ATTEMPT) :], strict=True)))
        found[row[0]].append(AttemptRow(**facts, tokens=tokens))
    return found


def recent(
    connection: sqlite3.Connection, now: float, *, step: int = 600, count: int = 20
) -> dict[str, list[Outcomes]]:
    """Return for each credential how its attempts of late went: ``count`` periods of ``step`` seconds, the
    oldest first, the last one the one that is under way."""
    begin = (int(now) // step - count + 1) * step
    rows = connection.execute(
        "SELECT credential, (started_ns / ? - ?) / ? AS period, sum(outcome <> ?), sum(outcome = ?)"
        " FROM usage_attempt WHERE started_ns >= ? GROUP BY credential, period",
        (NS_PER_S, begin, step, ERROR, ERROR, begin * NS_PER_S),
    )
    found: dict[str, list[Outcomes]] = {}
    for credential, period, success, failed in rows:
        if period < count:
            found.setdefault(credential, [Outcomes()] * count)[period] = Outcomes(success, failed)
    return found
