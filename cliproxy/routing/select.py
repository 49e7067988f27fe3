"""Pick the next route among the candidates.

Candidates of the highest priority that are ready come first; among equals the strategy decides. Round robin
remembers the *key* of the last pick rather than a position, so that credentials may come and go without
resetting or skewing the turn.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.cooldown import RuntimeState

RouteKey = tuple[CredentialId, str]
"""See :attr:`cliproxy.catalog.registry.Candidate.key`."""

MAX_CURSORS: Final = 4096
MAX_STATES: Final = 65536


@define(eq=False)
class RuntimeTable:
    """The mutable part of routing: runtime states and counted calls by place, round-robin cursors by model.

    Bounded."""

    _states: OrderedDict[tuple[str, str], RuntimeState] = field(factory=OrderedDict, init=False)
    _cursors: OrderedDict[str, RouteKey] = field(factory=OrderedDict, init=False)
    _calls: OrderedDict[tuple[str, str], tuple[float, ...]] = field(factory=OrderedDict, init=False)

    def state(self, place: tuple[str, str]) -> RuntimeState:
        """Return what is known about a place; a clear state for an unknown one."""
        return self._states.get(place, _NOTHING)

    def put(self, place: tuple[str, str], state: RuntimeState) -> None:
        """Replace what is known about a place."""
        if state.failures == 0:
            self._states.pop(place, None)
            return
        self._states[place] = state
        self._states.move_to_end(place)
        while len(self._states) > MAX_STATES:
            self._states.popitem(last=False)

    def cursor(self, model: str) -> RouteKey | None:
        """Return who served a model last."""
        return self._cursors.get(model)

    def advance(self, model: str, picked: RouteKey) -> None:
        """Remember who serves a model now."""
        self._cursors[model] = picked
        self._cursors.move_to_end(model)
        while len(self._cursors) > MAX_CURSORS:
            self._cursors.popitem(last=False)

    def calls(self, place: tuple[str, str]) -> tuple[float, ...]:
        """Return the times of recent calls at a place where they are counted."""
        return self._calls.get(place, ())

    def put_calls(self, place: tuple[str, str], times: Sequence[float]) -> None:
        """Replace the times of recent calls at a place."""
        self._calls[place] = tuple(times)
        self._calls.move_to_end(place)
        while len(self._calls) > MAX_STATES:
            self._calls.popitem(last=False)

    def forget(self, keep: Iterable[CredentialId]) -> None:
        """Drop what is known about credentials that no longer exist."""
        alive = set(keep)
        for place in [place for place in self._calls if place[0] not in alive]:
            del self._calls[place]
        for place in [p for p in self._states if p[0] not in alive and not p[0].startswith(HOST_MARK)]:
            del self._states[place]

    def reconsider(self, credentials: Iterable[CredentialId]) -> None:
        """Forget the failures of credentials that were changed, except those that only time cures."""
        changed = set(credentials)
        for place, state in list(self._states.items()):
            if place[0] in changed and state.kind not in _USED_UP:
                del self._states[place]

    def statistics(self) -> dict[str, int]:
        """Return sizes, for displays and tests."""
        return {"states": len(self._states), "cursors": len(self._cursors)}


_NOTHING: Final = RuntimeState()
HOST_MARK: Final = "host:"
_USED_UP: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})


def model_place(candidate: Candidate) -> tuple[str, str]:
    """The place of a credential's upstream model."""
    return candidate.key


def credential_place(credential_id: CredentialId) -> tuple[str, str]:
    """The place of a credential as a whole."""
    return (credential_id, "")


def places(candidate: Candidate) -> tuple[tuple[str, str], ...]:
    """The places that a candidate needs open: its model and its credential, and those of its account where
    that counts as several credentials."""
    credential = candidate.credential
    own = (model_place(candidate), credential_place(credential.id))
    if credential.part_of is None:
        return own
    return (*own, (credential.account, candidate.model), credential_place(credential.account))


def host_place(host: str) -> tuple[str, str]:
    """The place of an upstream host."""
    return (HOST_MARK + host, "")


@frozen
class Earliest:
    """Nobody is ready. ``until`` is when the first one will be, on the monotonic clock; ``states`` says why,
    for each."""

    until: float
    states: tuple[tuple[Candidate, RuntimeState], ...]


def blocking_state(candidate: Candidate, table: RuntimeTable, now: float) -> RuntimeState | None:
    """Return the state that keeps a candidate from being used now: the one that lasts longest."""
    blocking = [state for place in places(candidate) if (state := table.state(place)).is_open(now)]
    return max(blocking, key=lambda state: state.until) if blocking else None


def pick(
    candidates: Sequence[Candidate],
    table: RuntimeTable,
    now: float,
    *,
    tried: frozenset[RouteKey] = frozenset(),
) -> Candidate | Earliest | None:
    """Return the next candidate by round robin, or when one will be ready, or ``None`` when all have been
    tried."""
    remaining = [c for c in candidates if c.key not in tried]
    if not remaining:
        return None
    ready: list[Candidate] = []
    blocked: list[tuple[Candidate, RuntimeState]] = []
    for candidate in remaining:
        state = blocking_state(candidate, table, now)
        if state is None:
            ready.append(candidate)
        else:
            blocked.append((candidate, state))
    if not ready:
        return Earliest(min(state.until for _, state in blocked), tuple(blocked))
    top = max(c.credential.priority for c in ready)
    equals = sorted((c for c in ready if c.credential.priority == top), key=lambda c: c.key)
    last = table.cursor(candidates[0].client_name)
    following = [c for c in equals if last is None or c.key > last]
    return (following or equals)[0]
