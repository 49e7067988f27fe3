"""Whose turn it is within a round of attempts.

Everybody gets one turn, in the order of :func:`cliproxy.routing.select.pick`. Two things come on top, both
settings of the owner (`quota-exceeded`):

* an account may count as several credentials, its projects. A used-up quota is that of one project, and the
  next one goes on (`switch-project`); where the owner does not want that, it counts for the whole account. So
  does a refused login, always: the projects share it.
* when nobody is left for the model that was asked for, and that is for lack of quota, its previews stand in
  (`switch-preview-model`), in the order of the catalogue.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

from attrs import define, field

from cliproxy.catalog.registry import Candidate
from cliproxy.config.groups import QuotaExceeded
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.routing.select import Earliest, RouteKey, RuntimeTable, blocking_state, pick

LIMITS: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA, Kind.OVERLOADED})
"""Failures that are about how much of a model there is."""
_QUOTAS: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})


def is_of_account(failure: Failure, settings: QuotaExceeded) -> bool:
    """Tell whether a failure of one part of an account is one of all its parts."""
    return failure.kind is Kind.AUTHENTICATION or (failure.kind in _QUOTAS and not settings.switch_project)


@define(eq=False)
class Turns:
    """The turns of one round."""

    candidates: Sequence[Candidate]
    runtime: RuntimeTable
    settings: QuotaExceeded
    _tried: frozenset[RouteKey] = field(default=frozenset(), init=False)
    _limited: set[RouteKey] = field(factory=set, init=False)
    """Who had no quota left in this round."""

    def next(self, now: float) -> Candidate | Earliest | None:
        """Return whose turn it is, when somebody will be ready, or ``None`` when all had their turn."""
        choice = pick(self.candidates, self.runtime, now, tried=self._tried)
        if not isinstance(choice, Candidate):
            choice = self._stand_in(now) or choice
        if isinstance(choice, Candidate):
            self._tried |= {choice.key}
            self.runtime.advance(self.candidates[0].client_name, choice.key)
        return choice

    def failed(self, candidate: Candidate, failure: Failure) -> None:
        """Learn from a turn that came to nothing."""
        keys = {candidate.key}
        if is_of_account(failure, self.settings):
            keys |= set(self._of_account(candidate, failure.scope))
        self._tried |= keys
        if failure.kind in LIMITS:
            self._limited |= keys

    def _of_account(self, candidate: Candidate, scope: Scope) -> Iterator[RouteKey]:
        for each in self.candidates:
            is_same = scope is Scope.CREDENTIAL or each.model == candidate.model
            if is_same and each.credential.account == candidate.credential.account:
                yield each.key

    def _stand_in(self, now: float) -> Candidate | None:
        if not self.settings.switch_preview_model:
            return None
        limited = [
            each.stand_ins for each in self.candidates if each.stand_ins and self._is_limited(each, now)
        ]
        for rank in zip_longest(*limited):
            equals = [each for each in rank if each is not None]
            choice = pick(equals, self.runtime, now, tried=self._tried)
            if isinstance(choice, Candidate):
                return choice
        return None

    def _is_limited(self, candidate: Candidate, now: float) -> bool:
        if candidate.key in self._limited:
            return True
        state = blocking_state(candidate, self.runtime, now)
        return state is not None and state.kind in LIMITS
