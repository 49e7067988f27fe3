"""How long to stay away from whom after a failure.

State exists for three kinds of *place*: a (credential, upstream model) pair, a credential as a whole, an
upstream host. The scope of a failure says which one it touches. A place is **open** while its ``until`` lies
in the future; then it is **half open** until the next outcome: it may be used again, and a further failure
doubles the pause instead of starting at the shortest one. A success clears the place.

Faults of the request and cancellations never touch any state. Times are on the monotonic clock, in seconds,
so that a jump of the wall clock neither frees nor freezes anything. Pauses the upstream asked for are kept as
asked, with a little jitter added so that many waiters do not come back in the same instant; pauses we chose
double with every failure in a row.
"""

from random import Random
from typing import Final

from attrs import define, evolve, frozen

from cliproxy.errors import Failure, Kind, Scope


@frozen(kw_only=True)
class Pause:
    """How a kind of failure cools: the first pause, the longest, in seconds."""

    first: float
    longest: float


PAUSES: Final[dict[Kind, Pause]] = {
    Kind.AUTHENTICATION: Pause(first=60.0, longest=1800.0),
    Kind.PERMISSION: Pause(first=300.0, longest=1800.0),
    Kind.NOT_FOUND: Pause(first=600.0, longest=43200.0),
    Kind.RATE_LIMIT: Pause(first=1.0, longest=1800.0),
    Kind.QUOTA: Pause(first=60.0, longest=1800.0),
    Kind.OVERLOADED: Pause(first=1.0, longest=60.0),
    Kind.UNAVAILABLE: Pause(first=1.0, longest=60.0),
    Kind.TIMEOUT: Pause(first=1.0, longest=60.0),
    Kind.UPSTREAM: Pause(first=1.0, longest=60.0),
}
LONGEST_ASKED_S: Final = 7 * 86400.0
"""No upstream can send an account away for longer than this."""
JITTER: Final = 0.1
LONGEST_S: Final = LONGEST_ASKED_S * (1 + JITTER)
"""No pause is longer than this."""

Place = tuple[str, str]
"""An owner and a part of it; see :mod:`cliproxy.routing.runtime`."""


@define
class RuntimeState:
    """What is known about one place. ``until`` is on the monotonic clock; 0 means nothing is wrong."""

    until: float = 0.0
    failures: int = 0
    """Failures in a row."""
    kind: Kind | None = None
    cause: str = ""
    since: float = 0.0
    """When the last failure became known."""

    def is_open(self, now: float) -> bool:
        """Whether the place must not be used now."""
        return now < self.until


def after_failure(state: RuntimeState, failure: Failure, now: float, rng: Random) -> RuntimeState:
    """Return the state after a failure. Several failures that were under way at once count as one."""
    pause = PAUSES.get(failure.kind)
    if pause is None or failure.scope is Scope.REQUEST:
        return state
    already_open = state.is_open(now)
    failures = state.failures if already_open else state.failures + 1
    seconds = min(pause.first * 2 ** (max(failures, 1) - 1), pause.longest)
    if failure.retry_after is not None:
        seconds = min(max(failure.retry_after, 0.0), LONGEST_ASKED_S)
    until = now + seconds * (1 + JITTER * rng.random())
    return evolve(
        state,
        until=max(until, state.until) if already_open else until,
        failures=max(failures, 1),
        kind=failure.kind,
        cause=failure.message,
        since=now,
    )


@frozen(kw_only=True)
class PauseRecord:
    """A pause as it is kept over a restart, when the monotonic clock begins anew. Times are Unix seconds."""

    place: Place
    kind: Kind
    cause: str
    failures: int
    until: float
    updated: float
    """When the record was made."""


def recorded(place: Place, state: RuntimeState, now: float, wall: float) -> PauseRecord | None:
    """Return the record of a state; ``None`` where nothing is left to wait for."""
    if not state.is_open(now):
        return None
    return PauseRecord(
        place=place,
        kind=state.kind or Kind.UPSTREAM,
        cause=state.cause,
        failures=state.failures,
        until=wall + state.until - now,
        updated=wall,
    )


def restored(record: PauseRecord, now: float, wall: float) -> RuntimeState | None:
    """Return the state of a record; ``None`` when its pause is over.

    A wall clock that was set back meanwhile makes no pause longer than it was.
    """
    rest = min(record.until - wall, record.until - record.updated)
    if not 0 < rest <= LONGEST_S:
        return None
    return RuntimeState(
        until=now + rest,
        failures=max(record.failures, 1),
        kind=record.kind,
        cause=record.cause,
        since=now,
    )


def after_success(state: RuntimeState) -> RuntimeState:
    """Return the state after an answer."""
    return state if state == _CLEAR else RuntimeState()


_CLEAR: Final = RuntimeState()
