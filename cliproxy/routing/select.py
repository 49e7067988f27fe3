"""Pick the next route among the candidates of a model name.

In this order: who serves the conversation already, if it is ready; otherwise the highest priority that has
somebody ready, and among equals whom the strategy ranks first. Whoever is picked has had a turn with that.

A new conversation is bound with its first pick, so that requests at the same time stay together. Later it
moves with an answer from elsewhere, if its credential failed or rests; one whose credential merely has all
its places taken is served elsewhere this once. All that is remembered is keyed by credentials and model
names, and outlives rebuilds of the registry.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from attrs import define, field, frozen

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import CredentialId
from cliproxy.errors import Kind
from cliproxy.routing.affinity import Bindings, Mark
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.lineup import Lineup, Rules
from cliproxy.routing.runtime import RouteKey, RuntimeTable, blocking_state, probed_state

MAX_LINED_UP: Final = 200_000
"""Candidates in all lineups together; the lineup that was used longest ago goes first."""
FORGOTTEN_S: Final = 86400.0
"""How long a lineup outlives its last use: names go, and what they leave must not stay for ever."""
BUSY_CAUSE: Final = "as many requests as it may have at a time are under way"


@frozen
class Earliest:
    """Nobody is ready. ``until`` is when the first one that rests will be, on the monotonic clock; ``states``
    says why, for each."""

    until: float
    states: tuple[tuple[Candidate, RuntimeState], ...]
    full: frozenset[CredentialId] = frozenset()
    """Accounts that only wait for one of their own requests: for its end, or for what becomes of it."""


@frozen(kw_only=True)
class Stay:
    """A wish that a conversation stays where it is."""

    mark: Mark
    seconds: float
    """How long its place is remembered."""
    providers: frozenset[str]
    """Those with which staying is worth something."""


@define(eq=False)
class Selector:
    """Picks, and remembers whose turn it is and where conversations are."""

    runtime: RuntimeTable
    bindings: Bindings = field(factory=Bindings)
    _lineups: OrderedDict[str, Lineup] = field(factory=OrderedDict, init=False)
    _lined_up: int = field(default=0, init=False)

    def pick(  # noqa: PLR0913 - the question itself, and three ways to narrow it
        self,
        name: str,
        candidates: Sequence[Candidate],
        now: float,
        *,
        rules: Rules,
        tried: Collection[RouteKey] = frozenset(),
        stay: Stay | None = None,
    ) -> Candidate | Earliest | None:
        """Return who serves a request next, or when somebody could, or ``None`` when all have been tried.

        ``candidates`` has to be the same object for as long as the registry is the same: another one is
        another registry.
        """
        lineup = self._lineup(name, candidates, rules, now)
        lineup.catch_up(now)
        home = self.bindings.get(stay.mark, now) if stay is not None else None
        if home is not None and home not in tried and (choice := lineup.ready(home)) is not None:
            lineup.take_turn(home, in_order=False)
        elif (choice := lineup.first(tried)) is not None:
            lineup.take_turn(choice.key, in_order=True)
        else:
            return _earliest(lineup, tried)
        if home is None or home == choice.key:
            self._bind(stay, choice, now)
        return choice

    def served(
        self, name: str, choice: Candidate, now: float, *, tried: Collection[RouteKey], stay: Stay | None
    ) -> None:
        """Learn who has served a request in the end: there the conversation stays, if its credential failed
        or rests."""
        lineup = self._lineups.get(name)
        home = self.bindings.get(stay.mark, now) if stay is not None else None
        if lineup is None or home is None or home == choice.key:
            return
        lineup.catch_up(now)
        if home in tried or lineup.is_resting(home):
            self._bind(stay, choice, now)

    def statistics(self) -> dict[str, int]:
        """Return sizes, for displays and tests."""
        return {"lineups": len(self._lineups), "lined_up": self._lined_up, "bindings": len(self.bindings)}

    def _bind(self, stay: Stay | None, choice: Candidate, now: float) -> None:
        if stay is not None and choice.credential.provider in stay.providers:
            self.bindings.bind(stay.mark, choice.key, now, stay.seconds)

    def _lineup(self, name: str, candidates: Sequence[Candidate], rules: Rules, now: float) -> Lineup:
        """Return the lineup of a name, built anew if it is about others or follows other rules."""
        found = self._lineups.get(name)
        if found is None:
            made = Lineup(candidates, rules, self.runtime)
        elif found.candidates is candidates and found.rules == rules:
            self._lineups.move_to_end(name)
            return found
        else:
            made = found.succeeded_by(candidates, rules)
            self._lined_up -= len(found.candidates)
        self._lineups[name] = made
        self._lineups.move_to_end(name)
        self._lined_up += len(candidates)
        while len(self._lineups) > 1 and self._is_too_much(now):
            self._lined_up -= len(self._lineups.popitem(last=False)[1].candidates)
        return made

    def _is_too_much(self, now: float) -> bool:
        """Whether the lineup that was used longest ago has to go."""
        oldest = next(iter(self._lineups.values()))
        return self._lined_up > MAX_LINED_UP or oldest.now < now - FORGOTTEN_S


def _earliest(lineup: Lineup, tried: Collection[RouteKey]) -> Earliest | None:
    """Say who could be picked when; nobody is ready. This alone looks at everybody."""
    states: list[tuple[Candidate, RuntimeState]] = []
    full: set[CredentialId] = set()
    for each in lineup.participants():
        if each.key in tried:
            continue
        state = blocking_state(each, lineup.runtime, lineup.now)
        if state is None:
            full.add(each.credential.account)
            busy = RuntimeState(until=lineup.now, kind=Kind.RATE_LIMIT, cause=BUSY_CAUSE)
            state = probed_state(each, lineup.runtime, lineup.now) or busy
        states.append((each, state))
    if not states:
        return None
    rests = [state.until for _, state in states if state.until > lineup.now]
    return Earliest(min(rests, default=lineup.now), tuple(states), frozenset(full))
