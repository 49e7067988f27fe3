"""What is known about places while the server runs: who rests, who is busy, how often somebody was called.

A *place* is a pair of an owner and a part of it: (credential, upstream model), (credential, "") for all of
it, (account, …) where one account counts as several credentials, and upstream hosts. All state is keyed by
credential ids and never by positions, so that it outlives every rebuild of configuration and registry.

A pause that has ended leaves its place *half open*: the first who uses it does so for everybody
(:meth:`RuntimeTable.probing`). The others find it closed until the outcome is known, or until the trial has
taken so long without being refused that it need not be the only one.

Those who keep an order of candidates (:mod:`cliproxy.routing.lineup`) must learn what changed without being
called, and without looking at everything: the table keeps a journal of the owners that changed
(:mod:`cliproxy.routing.journal`). A second one is for whoever keeps pauses over a restart: it names the
places whose pause is another one, so that only these have to be written.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import define, evolve, field

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import PauseRecord, Place, RuntimeState, recorded, restored
from cliproxy.routing.journal import Journal

RouteKey = tuple[CredentialId, str]
"""See :attr:`cliproxy.catalog.registry.Candidate.key`."""

MAX_STATES: Final = 65536
HOST_MARK: Final = "host:"
PROBE_S: Final = 10.0
"""How long a trial is the only one. Refusals come soon; long answers take long to come."""
_NOTHING: Final = RuntimeState()
_USED_UP: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})


@define(eq=False)
class RuntimeTable:
    """The mutable part of routing that is about credentials and hosts. Bounded."""

    _states: OrderedDict[Place, RuntimeState] = field(factory=OrderedDict, init=False)
    _probes: dict[Place, float] = field(factory=dict, init=False)
    """Half-open places that are being tried → until when nobody else may."""
    _calls: OrderedDict[Place, tuple[float, ...]] = field(factory=OrderedDict, init=False)
    _busy: dict[CredentialId, int] = field(factory=dict, init=False)
    """Exchanges under way, by account; only of those that have any."""
    _owners: Journal[str] = field(factory=Journal, init=False)
    """Whose readiness may be another."""
    _pauses: Journal[Place] = field(factory=Journal, init=False)
    """Whose pause is another."""

    # --- who rests -------------------------------------------------------------------------------------

    def state(self, place: Place) -> RuntimeState:
        """Return what is known about a place; a clear state for an unknown one."""
        return self._states.get(place, _NOTHING)

    def put(self, place: Place, state: RuntimeState) -> None:
        """Replace what is known about a place."""
        if state.failures == 0:
            self._drop([place])
            return
        self._states[place] = state
        self._states.move_to_end(place)
        self._paused(place)
        while len(self._states) > MAX_STATES:
            self._paused(self._states.popitem(last=False)[0])

    def clear(self, credential: CredentialId | None = None, model: str | None = None) -> int:
        """Forget pauses by hand: all there are, those of a credential, of an upstream model, or of both
        together. Return how many there were."""
        return self._drop(
            [
                place
                for place in self._states
                if credential in {None, place[0]} and (model is None or model == place[1])
            ]
        )

    def closed_until(self, place: Place, now: float) -> float:
        """Return until when a place must not be used by anybody new: because it rests, or because somebody
        tries it. 0: it may be used."""
        state = self._states.get(place)
        if state is None:
            return 0.0
        until = state.until if state.is_open(now) else self._probes.get(place, 0.0)
        return until if until > now else 0.0

    @contextmanager
    def probing(self, places: Iterable[Place], now: float) -> Iterator[bool]:
        """Be the one who tries the half-open ones of some places for as long as the block runs, or until the
        outcome is known; tell whether there are any.

        A trial that ends without an outcome, such as one that is cancelled, leaves its place to the next.
        """
        until = now + PROBE_S
        mine = [place for place in places if place in self._states and not self.closed_until(place, now)]
        for place in mine:
            self._probes[place] = until
            self._changed(place[0])
        try:
            yield bool(mine)
        finally:
            for place in mine:
                if self._probes.get(place) == until:
                    del self._probes[place]
                    self._changed(place[0])

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
        return self._owners.bookmark

    def changed_since(self, bookmark: int) -> frozenset[str] | None:
        """Return the owners of places that changed after a bookmark; ``None`` when the journal does not
        reach back that far."""
        return self._owners.since(bookmark)

    def forget(self, keep: Iterable[CredentialId]) -> None:
        """Drop what is known about credentials that no longer exist."""
        alive = set(keep)
        for place in [place for place in self._calls if place[0] not in alive]:
            del self._calls[place]
        self._drop([p for p in self._states if p[0] not in alive and not p[0].startswith(HOST_MARK)])

    def reconsider(self, credentials: Iterable[CredentialId]) -> None:
        """Forget the failures of credentials that were changed, except those that only time cures."""
        changed = set(credentials)
        self._drop(
            [
                place
                for place, state in self._states.items()
                if place[0] in changed and state.kind not in _USED_UP
            ]
        )

    def statistics(self) -> dict[str, int]:
        """Return sizes, for displays and tests."""
        return {
            "states": len(self._states),
            "busy": sum(self._busy.values()),
            "probes": len(self._probes),
        }

    # --- over a restart --------------------------------------------------------------------------------

    @property
    def pause_changes(self) -> int:
        """How often a pause has changed; the bookmark of a writer."""
        return self._pauses.bookmark

    def pauses_changed_since(self, bookmark: int) -> frozenset[Place] | None:
        """Return the places whose pause is another since a bookmark; ``None``: look at all of them."""
        return self._pauses.since(bookmark)

    def export(
        self, now_monotonic: float, now_wall: float, only: Collection[Place] | None = None
    ) -> list[PauseRecord]:
        """Return the pauses that are not over, of all places or of some.

        A place that changed and has no record here has nothing left to keep.
        """
        asked = self._states if only is None else [place for place in only if place in self._states]
        records = (recorded(place, self._states[place], now_monotonic, now_wall) for place in asked)
        return [record for record in records if record is not None]

    def restore(self, records: Iterable[PauseRecord], now_monotonic: float, now_wall: float) -> int:
        """Take over pauses that were exported earlier, except where more is known already; return how
        many."""
        count = 0
        for record in records:
            state = restored(record, now_monotonic, now_wall)
            if state is not None and record.place not in self._states:
                self.put(record.place, state)
                count += 1
        return count

    # --- keeping the journals --------------------------------------------------------------------------

    def _drop(self, places: Iterable[Place]) -> int:
        count = 0
        for place in places:
            if self._states.pop(place, None) is not None:
                self._paused(place)
                count += 1
        return count

    def _paused(self, place: Place) -> None:
        self._probes.pop(place, None)
        self._pauses.note(place)
        self._changed(place[0])

    def _changed(self, owner: str) -> None:
        if not owner.startswith(HOST_MARK):
            self._owners.note(owner)


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


def closed_until(candidate: Candidate, table: RuntimeTable, now: float) -> float:
    """Return until when a candidate must not be picked; 0: it may be."""
    return max(table.closed_until(place, now) for place in places(candidate))


def probed_state(candidate: Candidate, table: RuntimeTable, now: float) -> RuntimeState | None:
    """Return the state of a candidate's place that somebody else tries now, as one that lasts until then."""
    for place in places(candidate):
        until, state = table.closed_until(place, now), table.state(place)
        if until and not state.is_open(now):
            return evolve(state, until=until, cause=f"is being tried again after: {state.cause}")
    return None
