"""What the state database holds, as values.

Times of events are whole nanoseconds since 1970, durations whole microseconds, money whole micro-dollars:
sums of whole numbers are exact in any order. Token counts are disjoint, as everywhere in this program.

A **bucket** is the sum of an hour (of UTC, so that no bucket means two hours when clocks are put back) for
one client, provider, model and credential. Attempts are summed where they were made; a request is summed
where its last attempt was made, or nowhere in particular when it never reached an upstream. The database has
the same sums by days of UTC as well.
"""

from collections.abc import Iterable
from typing import Final

import attrs
from attrs import define, field, frozen

NS_PER_S: Final = 1_000_000_000
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
OK: Final = "ok"
"""The outcomes, in the words of the exchange."""
ERROR: Final = "error"
CANCELLED: Final = "cancelled"


@frozen(kw_only=True)
class Tokens:
    """Disjoint counts."""

    fresh_input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def input_total(self) -> int:
        """All tokens of the prompt."""
        return self.fresh_input + self.cache_read + self.cache_write

    @property
    def output_total(self) -> int:
        """All generated tokens."""
        return self.output + self.reasoning

    @property
    def total(self) -> int:
        """Prompt and answer together."""
        return self.input_total + self.output_total


@frozen(kw_only=True)
class AttemptRow:
    """One attempt at an upstream."""

    started_ns: int
    duration_us: int = 0
    first_byte_us: int | None = None
    provider: str = ""
    credential: str = ""
    auth_index: str = ""
    """The credential's short name in statistics."""
    source: str = ""
    """The credential's name for people."""
    contract: str = ""
    model: str = ""
    """The upstream's name of it."""
    outcome: str = OK
    status: int = 0
    kind: str = ""
    tokens: Tokens = field(factory=Tokens)
    cost_micros: int | None = None
    """``None``: no price is known."""


@frozen(kw_only=True)
class RequestRow:
    """One request of a client, with its attempts."""

    request_id: str = ""
    started_ns: int
    duration_us: int = 0
    first_byte_us: int | None = None
    client: str = ""
    """Name or masked key."""
    client_id: str = ""
    dialect: str = ""
    action: str = ""
    stream: bool = False
    model: str = ""
    """As the client asked for it."""
    outcome: str = OK
    status: int = 0
    kind: str = ""
    tokens: Tokens = field(factory=Tokens)
    """Of the answer."""
    attempts: tuple[AttemptRow, ...] = ()

    @property
    def cost_micros(self) -> int | None:
        """What all attempts together cost, as far as prices are known."""
        known = [attempt.cost_micros for attempt in self.attempts if attempt.cost_micros is not None]
        return sum(known) if known else None


@frozen
class BucketKey:
    """What a bucket is the sum of."""

    hour: int
    """Unix seconds of its beginning."""
    client_id: str = ""
    client: str = ""
    provider: str = ""
    model: str = ""
    """The upstream's name of it."""
    credential: str = ""


@define(kw_only=True)
class Sums:
    """What is counted."""

    requests: int = 0
    ok: int = 0
    errors: int = 0
    cancelled: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    fresh_input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    """Attempts with tokens and without a known price."""
    duration_us: int = 0
    """Of all requests together."""
    first_byte_us: int = 0
    """Of the requests that had one."""
    first_bytes: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.fresh_input + self.cache_read + self.cache_write + self.output + self.reasoning

    def add(self, other: "Sums") -> None:
        """Add other sums to these."""
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))


SUMMED: Final = tuple(attribute.name for attribute in attrs.fields(Sums))
"""The columns of a bucket that are sums."""
TOKEN_CLASSES: Final = tuple(attribute.name for attribute in attrs.fields(Tokens))

Buckets = dict[BucketKey, Sums]

LONGEST: Final = 200
"""Characters of a name; clients choose some of them."""
MOST: Final = 10**12
"""More than any true count or duration; keeps sums within what the database can add."""


def plain(text: str) -> str:
    """Return a text as the database takes it: of bounded length, and encodable."""
    short = text[:LONGEST]
    return short if short.isascii() else short.encode("utf-8", "replace").decode()


def bounded(number: int | None) -> int:
    """Return a count as the database takes it."""
    return 0 if number is None else min(max(number, 0), MOST)


def hour_of(started_ns: int) -> int:
    """Return the beginning of the hour a time belongs to."""
    return started_ns // (NS_PER_S * HOUR_S) * HOUR_S


def summed(requests: Iterable[RequestRow]) -> Buckets:
    """Return the buckets of some requests."""
    buckets: Buckets = {}
    for request in requests:
        add_request(buckets, request)
    return buckets


def add_request(buckets: Buckets, request: RequestRow) -> None:
    """Count a request and its attempts."""
    last = request.attempts[-1] if request.attempts else None
    sums = _at(buckets, request, request.started_ns, last)
    sums.requests += 1
    sums.ok += request.outcome == OK
    sums.errors += request.outcome == ERROR
    sums.cancelled += request.outcome == CANCELLED
    sums.duration_us += request.duration_us
    if request.first_byte_us is not None:
        sums.first_byte_us += request.first_byte_us
        sums.first_bytes += 1
    for attempt in request.attempts:
        _add_attempt(_at(buckets, request, attempt.started_ns, attempt), attempt)


def _add_attempt(sums: Sums, attempt: AttemptRow) -> None:
    sums.attempts += 1
    sums.failed_attempts += attempt.outcome == ERROR
    for name in TOKEN_CLASSES:
        setattr(sums, name, getattr(sums, name) + getattr(attempt.tokens, name))
    sums.cost_micros += attempt.cost_micros or 0
    sums.unpriced += attempt.cost_micros is None and attempt.tokens.total > 0


def _at(buckets: Buckets, request: RequestRow, started_ns: int, attempt: AttemptRow | None) -> Sums:
    where = (attempt.provider, attempt.model, attempt.credential) if attempt is not None else ("", "", "")
    key = BucketKey(hour_of(started_ns), request.client_id, request.client, *where)
    return buckets.setdefault(key, Sums())


@frozen(kw_only=True)
class PauseRow:
    """A place at rest; see :mod:`cliproxy.routing.cooldown`. Times are Unix seconds."""

    owner: str
    part: str
    kind: str
    cause: str
    failures: int
    until: float
    updated: float


@frozen(kw_only=True)
class CounterRow:
    """What one client key has used up in one period: the amount so far, not an increment."""

    key: str
    """Name of the client key, in lower case."""
    period: str
    """``day`` or ``month``; each key has one row for each."""
    start: int
    """Unix seconds at which the period began."""
    requests: int = 0
    tokens: int = 0
    micros: int = 0
    """Micro-dollars."""


@frozen(kw_only=True)
class Batch:
    """What is written together, or not at all."""

    requests: tuple[RequestRow, ...] = ()
    buckets: Buckets = field(factory=dict)
    """Sums of requests that are not among ``requests``."""
    pauses: tuple[PauseRow, ...] = ()
    are_all_pauses: bool = False
    """Whether there are no pauses but those of this batch."""
    ended: tuple[tuple[str, str], ...] = ()
    """Places, as (owner, part), that have no pause any more."""
    counters: tuple[CounterRow, ...] = ()
    forgotten: tuple[str, ...] = ()
    """Ids of client keys whose counters are of no use any more."""


@frozen(kw_only=True)
class Loaded:
    """What a server begins with."""

    pauses: tuple[PauseRow, ...] = ()
    counters: tuple[CounterRow, ...] = ()
