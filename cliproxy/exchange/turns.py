"""Whose turn it is within a round of attempts.

Everybody gets one turn, in the order of :meth:`cliproxy.routing.select.Selector.pick`, until as many
credentials had one as the owner allows (`max-retry-credentials`). From then on only they go on, with the
other models of a pool: those are ways of one account, and cost nobody else anything. Two things come on top,
both settings of the owner (`quota-exceeded`):

* an account may count as several credentials, its projects. A used-up quota is that of one project, and the
  next one goes on (`switch-project`); where the owner does not want that, it counts for the whole account.
  So does a refused login, always: the projects share it.
* when nobody is left for the model that was asked for, and that is for lack of quota, its previews stand in
  (`switch-preview-model`), in the order of the catalogue.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from attrs import define, field

from cliproxy.catalog.registry import Candidate
from cliproxy.config.groups import QuotaExceeded
from cliproxy.config.model import Config
from cliproxy.config.normalize import duration_s
from cliproxy.credentials.model import CredentialId
from cliproxy.dialects.base import Action, ClientRequest
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.base import Provider
from cliproxy.routing.conversation import conversation_mark
from cliproxy.routing.lineup import Rules
from cliproxy.routing.resolve import Resolution
from cliproxy.routing.runtime import RouteKey, blocking_state
from cliproxy.routing.select import Earliest, Selector, Stay
from cliproxy.wire.jsontext import Document

LIMITS: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA, Kind.OVERLOADED})
"""Failures that are about how much of a model there is."""
_QUOTAS: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})
_CONVERSING: Final = frozenset({Action.GENERATE, Action.COMPACT})
"""What sends the beginning of a conversation once more."""


def is_of_account(failure: Failure, settings: QuotaExceeded) -> bool:
    """Tell whether a failure of one part of an account is one of all its parts."""
    return failure.kind is Kind.AUTHENTICATION or (failure.kind in _QUOTAS and not settings.switch_project)


def rules_of(config: Config) -> Rules:
    """Return what the owner says about picking."""
    return Rules(
        strategy=config.routing.strategy,
        max_concurrent=config.routing.max_concurrent,
        max_active=config.max_active_auths,
    )


def stay_of(
    request: ClientRequest, resolution: Resolution, config: Config, providers: Mapping[str, Provider]
) -> Stay | None:
    """Return the wish that the conversation of a request stays where it is; ``None`` where it is no use, as
    where there is no other place."""
    if len(resolution.candidates) == 1 or not config.routing.session_affinity:
        return None
    if request.action not in _CONVERSING or not isinstance(request.document, Document):
        return None
    seconds = duration_s(config.routing.session_affinity_ttl) or 0.0
    if seconds <= 0:
        return None
    mark = conversation_mark(request.client_id, resolution.name, request.headers, request.document.value)
    caching = frozenset(key for key, provider in providers.items() if provider.caches_prompts)
    return Stay(mark=mark, seconds=seconds, providers=caching) if mark is not None else None


@define(eq=False, kw_only=True)
class Turns:
    """The turns of one round."""

    name: str
    """What the turns are remembered under; see :attr:`cliproxy.routing.resolve.Resolution.lineup`."""
    candidates: Sequence[Candidate]
    """The same object for every exchange with the same registry; see the selector."""
    selector: Selector
    settings: QuotaExceeded
    rules: Rules = field(factory=Rules)
    stay: Stay | None = None
    most: int = 0
    """How many credentials may have turns; 0: all."""
    _tried: frozenset[RouteKey] = field(default=frozenset(), alias="tried")
    """Who takes no part any more."""
    _limited: set[RouteKey] = field(factory=set, init=False)
    """Who had no quota left in this round."""
    _had: set[CredentialId] = field(factory=set, init=False)
    """Credentials that had a turn."""
    _out: frozenset[RouteKey] = field(default=frozenset(), init=False)
    """Who has not been tried and will not be, because as many were as the owner allows."""

    def next(self, now: float) -> Candidate | Earliest | None:
        """Return whose turn it is, when somebody will be ready, or ``None`` when all had their turn."""
        is_last = 0 < self.most <= len(self._had)
        choice = self.selector.pick(
            self.name, self.candidates, now, rules=self.rules, tried=self._done, stay=self.stay
        )
        if not isinstance(choice, Candidate):
            choice = self._stand_in(now) or choice
        if not isinstance(choice, Candidate):
            return None if is_last else choice
        self._tried |= {choice.key}
        self._take_part(choice)
        return choice

    def _take_part(self, choice: Candidate) -> None:
        """Count a credential that has a turn; when it is the last that may, the others are out."""
        if choice.credential.id in self._had:
            return
        self._had.add(choice.credential.id)
        if len(self._had) == self.most:
            self._out = frozenset(
                each.key for each in self._everybody() if each.credential.id not in self._had
            )

    @property
    def _done(self) -> frozenset[RouteKey]:
        """Who gets no turn any more."""
        return self._tried | self._out if self._out else self._tried

    def _everybody(self) -> Iterator[Candidate]:
        for each in self.candidates:
            yield each
            yield from each.stand_ins

    def served(self, candidate: Candidate, now: float) -> None:
        """Learn whose turn came to something."""
        others = self._tried - {candidate.key}
        self.selector.served(self.name, candidate, now, tried=others, stay=self.stay)

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
        for rank, row in enumerate(zip_longest(*limited)):
            equals = [each for each in row if each is not None]
            name = f"{self.name}\n{rank}"
            choice = self.selector.pick(name, equals, now, rules=self.rules, tried=self._done)
            if isinstance(choice, Candidate):
                return choice
        return None

    def _is_limited(self, candidate: Candidate, now: float) -> bool:
        if candidate.key in self._limited:
            return True
        state = blocking_state(candidate, self.selector.runtime, now)
        return state is not None and state.kind in LIMITS
