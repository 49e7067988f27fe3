"""How long to stay away from whom after a failure.

State exists for three kinds of *place*: a (credential, upstream model) pair, a credential as a whole, an
upstream host. The scope of a failure says which one it touches. A place is **open** while its ``until`` lies
in the future; then it is **half open** until the next outcome: one request at a time may try it
(:meth:`cliproxy.routing.runtime.RuntimeTable.probing`), and a further failure doubles the pause instead of
starting at the shortest one. A success clears the place.

What began before the last failure belongs to the time before it. Many requests are under way at once: those
that fail after the first count as the same failure, and those that still succeed say nothing about now.

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
PAUSES_OF_CODES: Final[dict[str, Pause]] = {
    "model_not_supported": Pause(first=43200.0, longest=43200.0),
    "invalid_grant": Pause(first=1800.0, longest=1800.0),
    "cloudflare_challenge": Pause(first=10.0, longest=600.0),
}
"""Failures that say by their code how long they last; these go first."""
TRANSIENT: Final = frozenset({Kind.OVERLOADED, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.UPSTREAM})
"""Kinds that pass by themselves, and soon."""
LONGEST_ASKED_S: Final = 7 * 86400.0
"""No upstream can send an account away for longer than this."""
JITTER: Final = 0.1
LONGEST_JITTER_S: Final = 30.0
MAX_DOUBLINGS: Final = 30
LONGEST_S: Final = LONGEST_ASKED_S + LONGEST_JITTER_S
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


@frozen(kw_only=True)
class CoolingRules:
    """What the owner says about pauses."""

    transient: float = 0.0
    """Seconds for which failures of a kind that passes pause; 0: the usual; negative: they do not, unless the
    upstream asks for it."""


USUAL: Final = CoolingRules()


def after_failure(  # noqa: PLR0913 - the facts of one failure
    state: RuntimeState,
    failure: Failure,
    now: float,
    rng: Random,
    *,
    began: float | None = None,
    rules: CoolingRules = USUAL,
) -> RuntimeState:
    """Return the state after a failure of an attempt that began at some time (now, if that is not said)."""
    pause = pause_after(failure, rules)
    if pause is None:
        return state
    is_same = state.failures > 0 and (state.is_open(now) or (now if began is None else began) < state.since)
    failures = max(state.failures + (not is_same), 1)
    if failure.retry_after is not None:
        seconds = min(max(failure.retry_after, 0.0), LONGEST_ASKED_S)
    else:
        seconds = min(pause.first * 2 ** min(failures - 1, MAX_DOUBLINGS), pause.longest)
    until = now + seconds + min(seconds * JITTER, LONGEST_JITTER_S) * rng.random()
    if state.until > until:
        return evolve(state, failures=failures, since=now)
    return RuntimeState(until=until, failures=failures, kind=failure.kind, cause=failure.message, since=now)


def pause_after(failure: Failure, rules: CoolingRules = USUAL) -> Pause | None:
    """Return how a failure pauses its place; ``None``: not at all."""
    if failure.scope is Scope.REQUEST:
        return None
    if (own := PAUSES_OF_CODES.get(failure.code or "")) is not None:
        return own
    if failure.kind not in TRANSIENT or rules.transient == 0:
        return PAUSES.get(failure.kind)
    if rules.transient > 0:
        return Pause(first=rules.transient, longest=rules.transient)
    return PAUSES[failure.kind] if failure.retry_after is not None else None


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


def after_success(state: RuntimeState, began: float | None = None) -> RuntimeState:
    """Return the state after an answer to an attempt that began at some time."""
    return state if began is not None and began < state.since else CLEAR


CLEAR: Final = RuntimeState()
"""Nothing is wrong."""
