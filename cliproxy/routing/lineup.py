"""Everybody who serves one model name, in the order in which they would be picked.

Picking must not cost more with thousands of credentials than with one, so nothing is sorted or scanned for
a pick. Two heaps hold the candidates: the *ready* ones by rank, and the *resting* ones by the time when
they have to be looked at again. Those who have all their places taken are in neither; the journal of the
runtime table tells when that changes. What a change makes out of date in a heap is left there and
recognised when it comes up: the entry that counts for a candidate is the one in ``_entries``.

A pick thus costs a few steps for each change since the last one, each logarithmic. Three things keep turns
fair over changes:

* who comes back, from a rest or because a place got free, goes on at the present *mark* of its priority, not
  where it left off: it has not saved up turns;
* who is new begins half a share after the mark, which also spreads different weights evenly;
* when the registry is built anew, turns and marks are taken over by key (:meth:`Lineup.succeeded_by`).

A conversation that stays with its credential takes turns like every other request, so that new
conversations go to those who have done less.

Where the owner wants only so many credentials in use (:mod:`cliproxy.routing.reserve`), the others are not
ready, as if they were not there, until one of those in use rests. Within one request they also stand in for
those that it has tried in vain.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from attrs import define, field, frozen

from cliproxy.catalog.registry import Candidate
from cliproxy.config.groups import ROUND_ROBIN
from cliproxy.routing.reserve import Reserve
from cliproxy.routing.runtime import RouteKey, RuntimeTable, blocking_state, closed_until
from cliproxy.routing.strategies import STRATEGIES

Entry = tuple[int, float, float, int]
"""Priority (negated), rank, position: the order of picking. The position makes every entry comparable."""

SLACK: Final = 64
"""Entries that do not count any more a heap may hold, besides as many as there are candidates."""


@frozen(kw_only=True)
class Rules:
    """What the owner says about picking."""

    strategy: str = ROUND_ROBIN
    max_concurrent: int = 0
    """Exchanges that a credential may have under way unless it says otherwise; 0: any number."""
    max_active: int = 0
    """Credentials in use for a name; 0: all."""


def most_at_once(candidate: Candidate, rules: Rules) -> int:
    """Return how many exchanges a candidate's account may have under way; 0: any number."""
    own = candidate.credential.max_concurrent
    return rules.max_concurrent if own is None else own


@define(eq=False)
class Lineup:
    """See the module's text."""

    candidates: Sequence[Candidate]
    rules: Rules
    runtime: RuntimeTable
    now: float = field(default=0.0, init=False)
    """When it last caught up; before that it has nobody ready."""
    _order: list[Candidate] = field(init=False)
    _positions: dict[RouteKey, int] = field(init=False)
    _owned: dict[str, list[int]] = field(factory=lambda: defaultdict(list), init=False)
    """Owner of places → positions."""
    _reserve: Reserve | None = field(init=False)
    """Who is in use, if not everybody."""
    _ranks: list[int] = field(init=False)
    """Position → rank of its credential in the reserve."""
    _of_rank: list[list[int]] = field(factory=list, init=False)
    _weights: list[int] = field(init=False)
    _turns: list[float] = field(init=False)
    _marks: dict[int, float] = field(factory=dict, init=False)
    """Priority → turn of the last pick."""
    _entries: list[Entry | None] = field(init=False)
    _ready: list[Entry] = field(factory=list, init=False)
    _resting: list[tuple[float, int]] = field(factory=list, init=False)
    _rests: list[float] = field(init=False)
    """Until when each rests as far as the heap knows; 0: it is not in there."""
    _bookmark: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._order = sorted(self.candidates, key=lambda each: (-each.credential.priority, each.key))
        self._positions = {each.key: position for position, each in enumerate(self._order)}
        weight = STRATEGIES[self.rules.strategy].weight
        self._weights = [weight(each.credential) for each in self._order]
        self._turns = [0.5 / max(weight, 1) for weight in self._weights]
        for position, each in enumerate(self._order):
            for owner in {each.credential.id, each.credential.account}:
                self._owned[owner].append(position)
        most = self.rules.max_active
        self._reserve = Reserve(most) if most else None
        self._ranks = self._ranked() if most else []
        self._clear()

    def _ranked(self) -> list[int]:
        """Return the rank of each position: credentials count once, in the order of their first."""
        ranks: dict[str, int] = {}
        for position, each in enumerate(self._order):
            rank = ranks.setdefault(each.credential.id, len(ranks))
            if rank == len(self._of_rank):
                self._of_rank.append([])
            self._of_rank[rank].append(position)
        return [ranks[each.credential.id] for each in self._order]

    def succeeded_by(self, candidates: Sequence[Candidate], rules: Rules) -> "Lineup":
        """Return a lineup of other candidates, or under other rules, in which the turns go on."""
        heir = Lineup(candidates, rules, self.runtime)
        heir._marks = dict(self._marks)
        for key, position in heir._positions.items():
            before = self._positions.get(key)
            # Turns under another priority were taken among others and tell nothing here.
            if before is not None and self._priority(before) == heir._priority(position):
                heir._turns[position] = self._turns[before]
            else:
                heir._turns[position] += heir._mark(position)
        return heir

    # --- picking ---------------------------------------------------------------------------------------

    def catch_up(self, now: float) -> None:
        """Learn what has changed and who has rested enough."""
        self.now = now
        owners = None if self._bookmark is None else self.runtime.changed_since(self._bookmark)
        self._bookmark = self.runtime.changes
        if owners is None:
            self._look_at_all()
            return
        for owner in owners:
            for position in self._owned.get(owner, ()):
                self._look_at(position)
        while self._resting and self._resting[0][0] <= now:
            until, position = heappop(self._resting)
            if until == self._rests[position]:
                self._rests[position] = 0.0
                self._look_at(position)

    def first(self, passed_over: Collection[RouteKey] = ()) -> Candidate | None:
        """Return who is next, except for some."""
        aside: list[Entry] = []
        found: Candidate | None = None
        while self._ready and found is None:
            entry = self._ready[0]
            each = self._order[entry[-1]]
            if self._entries[entry[-1]] is not entry:
                heappop(self._ready)
            elif each.key in passed_over:
                aside.append(heappop(self._ready))
            else:
                found = each
        for entry in aside:
            heappush(self._ready, entry)
        return self._from_the_bench(passed_over) if found is None else found

    def _from_the_bench(self, passed_over: Collection[RouteKey]) -> Candidate | None:
        """Return who stands in when all that are in use have been passed over; one that merely has no place
        is waited for."""
        if self._reserve is None or any(self._left(rank, passed_over) for rank in self._reserve.active()):
            return None
        waiting = (each for rank in self._reserve.waiting() for each in self._left(rank, passed_over))
        return next((self._order[each] for each in waiting if not self._is_full(self._order[each])), None)

    def _left(self, rank: int, passed_over: Collection[RouteKey]) -> list[int]:
        """Return the usable positions of a credential that have not been passed over."""
        return [each for each in self._usable_of(rank) if self._order[each].key not in passed_over]

    def _usable_of(self, rank: int) -> list[int]:
        return [each for each in self._of_rank[rank] if self._weights[each] > 0 and not self._rests[each]]

    def ready(self, key: RouteKey) -> Candidate | None:
        """Return a certain candidate, if it could be picked now."""
        position = self._positions.get(key)
        return None if position is None or self._entries[position] is None else self._order[position]

    def take_turn(self, key: RouteKey, *, in_order: bool) -> None:
        """Let a candidate have its turn; ``in_order``: because it was the first."""
        position = self._positions[key]
        if in_order:
            self._marks[self._priority(position)] = max(self._mark(position), self._turns[position])
        self._turns[position] += 1 / self._weights[position]
        self._look_at(position)

    def participants(self) -> Iterator[Candidate]:
        """Yield everybody who takes part under the strategy, and is not waiting to be needed."""
        return (
            each
            for position, each in enumerate(self._order)
            if self._weights[position] > 0 and not self._is_benched(position)
        )

    def is_resting(self, key: RouteKey) -> bool:
        """Whether a candidate cannot be used for more than want of a place: it rests, or takes no part."""
        position = self._positions.get(key)
        if position is None or self._weights[position] <= 0 or self._is_benched(position):
            return True
        return blocking_state(self._order[position], self.runtime, self.now) is not None

    # --- keeping order ---------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._entries = [None] * len(self._order)
        self._rests = [0.0] * len(self._order)
        self._ready.clear()
        self._resting.clear()
        if self._reserve is not None:
            self._reserve.clear()

    def _look_at_all(self) -> None:
        self._clear()
        for position in range(len(self._order)):
            self._look_at(position)

    def _look_at(self, position: int) -> None:
        """Put a candidate where it belongs now."""
        candidate = self._order[position]
        if self._weights[position] <= 0:
            return
        until = closed_until(candidate, self.runtime, self.now)
        if until and until != self._rests[position]:
            self._rests[position] = until
            heappush(self._resting, (until, position))
        if not until:
            self._rests[position] = 0.0
        if self._reserve is not None:
            self._call_up(self._reserve, self._ranks[position])
        if until or self._is_full(candidate) or self._is_benched(position):
            self._entries[position] = None
            return
        was = self._entries[position]
        if was is None:
            self._turns[position] = max(self._turns[position], self._mark(position))
        busy = self.runtime.busy(candidate.credential.account)
        rank = STRATEGIES[self.rules.strategy].rank(busy, self._turns[position])
        entry = (-self._priority(position), *rank, position)
        if entry != was:
            self._entries[position] = entry
            heappush(self._ready, entry)
            self._tidy()

    def _call_up(self, reserve: Reserve, rank: int) -> None:
        """Let a credential take the place that is its own now, and others theirs."""
        others = reserve.enter(rank) if self._usable_of(rank) else reserve.leave(rank)
        for each in others:
            for position in self._of_rank[each]:
                self._look_at(position)

    def _is_benched(self, position: int) -> bool:
        return self._reserve is not None and self._reserve.is_waiting(self._ranks[position])

    def _tidy(self) -> None:
        """Drop the entries that do not count, before they are the greater part."""
        if len(self._ready) > 2 * len(self._order) + SLACK:
            self._ready = [entry for entry in self._entries if entry is not None]
            heapify(self._ready)

    def _is_full(self, candidate: Candidate) -> bool:
        most = most_at_once(candidate, self.rules)
        return 0 < most <= self.runtime.busy(candidate.credential.account)

    def _priority(self, position: int) -> int:
        return self._order[position].credential.priority

    def _mark(self, position: int) -> float:
        return self._marks.get(self._priority(position), 0.0)
