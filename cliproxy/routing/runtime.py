"""What is known about places while the server runs: who rests, who is busy, how often somebody was called.

A *place* is a pair of an owner and a part of it: (credential, upstream model), (credential, "") for all of
it, (account, …) where one account counts as several credentials, and upstream hosts. All state is keyed by
credential ids and never by positions, so that it outlives every rebuild of configuration and registry.

Those who keep an order of candidates (:mod:`cliproxy.routing.lineup`) must learn what changed without being
called, and without looking at everything: the table keeps a short journal of the owners that changed. A
reader asks for what came since it last looked, and looks at everything only when it has been away too long.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final

from attrs import define, field

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import RuntimeState

Place = tuple[str, str]
RouteKey = tuple[CredentialId, str]
"""See :attr:`cliproxy.catalog.registry.Candidate.key`."""

MAX_STATES: Final = 65536
MAX_JOURNAL: Final = 4096
HOST_MARK: Final = "host:"
_NOTHING: Final = RuntimeState()
_USED_UP: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})


@define(eq=False)
class RuntimeTable:
    """The mutable part of routing that is about credentials and hosts. Bounded."""

    _states: OrderedDict[Place, RuntimeState] = field(factory=OrderedDict, init=False)
    _calls: OrderedDict[Place, tuple[float, ...]] = field(factory=OrderedDict, init=False)
    _busy: dict[CredentialId, int] = field(factory=dict, init=False)
    """Exchanges under way, by account; only of those that have any."""
    _journal: deque[str] = field(factory=lambda: deque(maxlen=MAX_JOURNAL), init=False)
    _changes: int = field(default=0, init=False)

    # --- who rests -------------------------------------------------------------------------------------

    def state(self, place: Place) -> RuntimeState:
        """Return what is known about a place; a clear state for an unknown one."""
        return self._states.get(place, _NOTHING)

    def put(self, place: Place, state: RuntimeState) -> None:
        """Replace what is known about a place."""
        if state.failures == 0:
            if self._states.pop(place, None) is not None:
                self._changed(place[0])
            return
        self._states[place] = state
        self._states.move_to_end(place)
        self._changed(place[0])
        while len(self._states) > MAX_STATES:
            self._changed(self._states.popitem(last=False)[0][0])

    # --- how often somebody was called -----------------------------------------------------------------

    def calls(self, place: Place) -> tuple[float, ...]:
        """Return the times of recent calls at a place where they are counted."""
        return self._calls.get(place, ())

    def put_calls(self, place: Place, times: Sequence[float]) -> None:
        """Replace the times of recent calls at a place."""
        self._calls[place] = tuple(times)
        self._calls.move_to_end(place)
        while len(self._calls) > MAX_STATES:
            self._calls.popitem(last=False)

    # --- who is busy -----------------------------------------------------------------------------------

    def busy(self, account: CredentialId) -> int:
        """Return how many exchanges an account has under way."""
        return self._busy.get(account, 0)

    @contextmanager
    def working(self, account: CredentialId) -> Iterator[None]:
        """Count an exchange as under way for as long as the block runs, however it ends."""
        self._busy[account] = self.busy(account) + 1
        self._changed(account)
        try:
            yield
        finally:
            left = self._busy.pop(account) - 1
            if left:
                self._busy[account] = left
            self._changed(account)

    # --- the whole -------------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """How many changes there have been; a reader's bookmark in the journal."""
        return self._changes

    def changed_since(self, bookmark: int) -> frozenset[str] | None:
        """Return the owners of places that changed after a bookmark; ``None`` when the journal does not
        reach back that far."""
        count = self._changes - bookmark
        return None if count > len(self._journal) else frozenset(islice(reversed(self._journal), count))

    def forget(self, keep: Iterable[CredentialId]) -> None:
        """Drop what is known about credentials that no longer exist."""
        alive = set(keep)
        for place in [place for place in self._calls if place[0] not in alive]:
            del self._calls[place]
        for place in [p for p in self._states if p[0] not in alive and not p[0].startswith(HOST_MARK)]:
            del self._states[place]
            self._changed(place[0])

    def reconsider(self, credentials: Iterable[CredentialId]) -> None:
        """Forget the failures of credentials that were changed, except those that only time cures."""
        changed = set(credentials)
        for place, state in list(self._states.items()):
            if place[0] in changed and state.kind not in _USED_UP:
                del self._states[place]
                self._changed(place[0])

    def statistics(self) -> dict[str, int]:
        """Return sizes, for displays and tests."""
        return {"states": len(self._states), "busy": sum(self._busy.values())}

    def _changed(self, owner: str) -> None:
        if not owner.startswith(HOST_MARK):
            self._journal.append(owner)
            self._changes += 1


def model_place(candidate: Candidate) -> Place:
    """The place of a credential's upstream model."""
    return candidate.key


def credential_place(credential_id: CredentialId) -> Place:
    """The place of a credential as a whole."""
    return (credential_id, "")


def places(candidate: Candidate) -> tuple[Place, ...]:
    """The places that a candidate needs open: its model and its credential, and those of its account where
    that counts as several credentials."""
    credential = candidate.credential
    own = (model_place(candidate), credential_place(credential.id))
    if credential.part_of is None:
        return own
    return (*own, (credential.account, candidate.model), credential_place(credential.account))


def host_place(host: str) -> Place:
    """The place of an upstream host."""
    return (HOST_MARK + host, "")


def blocking_state(candidate: Candidate, table: RuntimeTable, now: float) -> RuntimeState | None:
    """Return the state that keeps a candidate from being used now: the one that lasts longest."""
    blocking = [state for place in places(candidate) if (state := table.state(place)).is_open(now)]
    return max(blocking, key=lambda state: state.until) if blocking else None
