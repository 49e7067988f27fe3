"""What attempts learn about the places they touch, and what earlier ones have learned.

Four kinds of place, narrowest first: a *contract* of a credential, a *model* of a credential, a *credential*,
a *host*. A failure pauses the one place its scope names; an answer clears all the places it came through,
so that what counts is failures in a row and not failures ever.

A connection that could not be made says something about the host, for all accounts that go there. Where a
credential has a proxy of its own it says as much about that proxy: such a credential has its hosts to itself.

A place that has rested is tried by one exchange first (:meth:`Health.trying`); the others find it closed
for as long.

Where an upstream's limit is known beforehand, calls are counted, so that none is sent that must be refused.

Causes are kept for people and for logs, so they are shortened and masked before they are kept.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from random import Random
from typing import Final
from urllib.parse import urlsplit

from attrs import define, evolve, field

from cliproxy.catalog.registry import Candidate
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.login.rates import still_counting, wait_for
from cliproxy.observe.logs import redacted
from cliproxy.providers.base import CallLimit, Contract
from cliproxy.routing.cooldown import (
    CLEAR,
    USUAL,
    CoolingRules,
    Place,
    RuntimeState,
    after_failure,
    after_success,
)
from cliproxy.routing.runtime import (
    RuntimeTable,
    blocking_state,
    credential_place,
    host_place,
    places,
)
from cliproxy.wire.http import HttpCall, UpstreamCall

CONTRACT_PAUSE_S: Final = 1500.0
"""How long a contract is left alone that is closed to the account: the usual life of a gateway token."""
CLOSED: Final = frozenset({Kind.PERMISSION, Kind.NOT_FOUND})
"""Failures of a contract that time alone does not cure; the others pause as their kind does."""
CAUSE_LENGTH: Final = 200
LOOK_AGAIN_S: Final = 1.0
"""When to look again at a host that somebody else tries."""


@define(eq=False)
class Health:
    """The runtime table, as attempts read and write it."""

    runtime: RuntimeTable
    monotonic: Callable[[], float]
    rng: Random
    rules: CoolingRules = USUAL
    _began: float = field(init=False)
    """When the attempt began that is under way."""

    def __attrs_post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """An attempt begins: what became known since then is newer than what it finds out."""
        self._began = self.monotonic()

    def ready_at(self, candidate: Candidate, host: Place | None) -> float:
        """Return when a candidate may be used again: now, or when its pause or that of its host ends."""
        now = self.monotonic()
        own = blocking_state(candidate, self.runtime, now)
        ends = [own.until if own is not None else now]
        if host is not None and (until := self.runtime.closed_until(host, now)):
            is_tried = not self.runtime.state(host).is_open(now)
            ends.append(min(until, now + LOOK_AGAIN_S) if is_tried else until)
        return max(now, *ends)

    def pause(self, place: Place | None) -> RuntimeState | None:
        """Return the state of a place that must not be used now; ``None`` for one that may."""
        if place is None:
            return None
        is_closed = self.runtime.closed_until(place, self.monotonic())
        return self.runtime.state(place) if is_closed else None

    def trying(self, places: Iterable[Place]) -> AbstractContextManager[bool]:
        """Be the one who tries those of some places that have rested; tells whether there are any."""
        return self.runtime.probing(places, self.monotonic())

    def answered(self, candidate: Candidate, contract: Contract) -> None:
        """An attempt succeeded: nothing is wrong with any of its places."""
        self._clear(contract_place(candidate, contract))
        for place in places(candidate):
            self._clear(place)

    def reached(self, host: Place | None) -> None:
        """A host answered, whatever it said, and however long ago it was asked."""
        if host is not None:
            self.runtime.put(host, CLEAR)

    def failed(self, place: Place | None, failure: Failure) -> None:
        """Let a failure pause a place."""
        if place is None:
            return
        kept = evolve(failure, message=brief(failure.message))
        state = self.runtime.state(place)
        now = self.monotonic()
        after = after_failure(state, kept, now, self.rng, began=self._began, rules=self.rules)
        if after is not state:
            self.runtime.put(place, after)

    def contract_failed(self, candidate: Candidate, contract: Contract, failure: Failure) -> None:
        """Let a failure pause a contract: for long, where it is closed to the account."""
        if failure.retry_after is None and failure.kind in CLOSED:
            failure = evolve(failure, retry_after=CONTRACT_PAUSE_S)
        self.failed(contract_place(candidate, contract), failure)

    def wait_for_turn(self, candidate: Candidate, limit: CallLimit) -> float:
        """Return the seconds until an account may be called again under a limit; 0 after counting a call."""
        place, now = (candidate.credential.account, f"limit:{limit.name}"), self.monotonic()
        recent = still_counting((limit.rule,), self.runtime.calls(place), now)
        wait = wait_for((limit.rule,), recent, now)
        self.runtime.put_calls(place, recent if wait else [*recent, now])
        return wait

    def _clear(self, place: Place) -> None:
        state = self.runtime.state(place)
        after = after_success(state, self._began)
        if after != state:
            self.runtime.put(place, after)


def place_of(candidate: Candidate, scope: Scope, *, of_account: bool = False) -> Place | None:
    """Return the place of a candidate that a scope names, if it is a model or a credential; ``of_account``:
    for all the credentials that its account counts as."""
    owner = candidate.credential.account if of_account else candidate.credential.id
    if scope is Scope.MODEL:
        return (owner, candidate.model)
    return credential_place(owner) if scope is Scope.CREDENTIAL else None


def contract_place(candidate: Candidate, contract: Contract) -> Place:
    """The place of one way of reaching the upstream."""
    return (candidate.credential.id, f"contract:{contract.id}")


def host_of(candidate: Candidate, call: UpstreamCall) -> Place | None:
    """The place of the host a call goes to; ``None`` where it stays inside this process.

    Scheme and port belong to it: several servers may share a machine.
    """
    parts = urlsplit(call.url) if isinstance(call, HttpCall) else None
    if parts is None or not parts.hostname:
        return None
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
    return host_place(f"{host} for {candidate.credential.id}" if candidate.credential.proxy_url else host)


def brief(text: str) -> str:
    """Shorten a text of an upstream to one masked line."""
    line = redacted(" ".join(text.split()))
    return line if len(line) <= CAUSE_LENGTH else line[: CAUSE_LENGTH - 1] + "…"
