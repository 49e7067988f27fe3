"""Resolve, pick, send, classify, record, and go on or give up: the loop around every upstream call.

Three loops are nested, widest first:

* **rounds**: when nobody is ready, wait for the first cooldown to end, if that is soon enough, and start
  over. A round goes on where it was after waiting for a place with an account that has as many requests under
  way as it may;
* **candidates**: within a round every ready credential is tried at most once, in the order
  :class:`~cliproxy.exchange.turns.Turns` gives;
* **contracts**: within a credential, its ways of reaching the upstream in order of preference; each of them
  is one try of :class:`~cliproxy.exchange.sending.Sender`.

A fault of the request ends all three at once. What the client is told in the end is put together in
:mod:`cliproxy.exchange.explain`.

What an attempt says about contract, model, account and host is kept in :mod:`cliproxy.exchange.health`. A
cancelled attempt says nothing about anything. Nor do counting tokens and other side matters say anything
about a model: an upstream that cannot count may still answer. Of embeddings and images only a limit does:
they are what the model is for, but many servers lack the route, and then its model is good for other things.
"""

import math
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, Generic, TypeVar

import trio
from attrs import define, evolve, field

from cliproxy.catalog.registry import Candidate
from cliproxy.dialects.base import Action, ClientRequest, Framing
from cliproxy.errors import (
    AnswerCut,
    AttemptFailed,
    BadRequest,
    Failure,
    Kind,
    ModelNotFound,
    NothingReady,
    ProxyError,
    Scope,
    UpstreamError,
)
from cliproxy.exchange.cause import STOPPED
from cliproxy.exchange.deps import Deps, Snapshot
from cliproxy.exchange.ending import STOPPING
from cliproxy.exchange.explain import PASSING, Tried, census_of, nobody_answered, nothing_ready
from cliproxy.exchange.health import Health, contract_place, place_of
from cliproxy.exchange.kept import Ties, ties_of
from cliproxy.exchange.plan import Planner
from cliproxy.exchange.record import Outcome, Recorder
from cliproxy.exchange.sending import Sender, Serve
from cliproxy.exchange.turns import LIMITS, Turns, is_of_account, rules_of, stay_of
from cliproxy.exchange.ways import Ways, first_opening, no_way
from cliproxy.ir.request import IRRequest
from cliproxy.providers.base import Contract
from cliproxy.routing.classify import with_source
from cliproxy.routing.cooldown import PAUSES, TRANSIENT, CoolingRules
from cliproxy.routing.resolve import Resolution, resolve
from cliproxy.routing.runtime import places
from cliproxy.routing.select import Earliest, Stay

T = TypeVar("T")

MADE: Final = frozenset({Action.EMBED, Action.IMAGE})
"""What models make besides conversation."""
WAY_ENDS: Final = frozenset({Scope.CONTRACT, Scope.HOST})
"""Failures that the account's next way may not share: it may lead to another host."""
OWNERS_REST_S: Final = 60.0
"""How long somebody rests whom the owner wants to rest, where nothing else says how long."""
WITHDRAWN: Final = Failure(
    kind=Kind.UNAVAILABLE, scope=Scope.CREDENTIAL, message="the account was removed or switched off meanwhile"
)


@define(eq=False)
class Attempts(Generic[T]):
    """The attempts of one exchange. Raises :class:`~cliproxy.errors.ModelNotFound` when there is nobody to
    try."""

    request: ClientRequest
    deps: Deps
    recorder: Recorder
    serve: Serve[T]
    _snapshot: Snapshot = field(init=False)
    _planner: Planner = field(init=False)
    _resolution: Resolution = field(init=False)
    _health: Health = field(init=False)
    _sender: Sender[T] = field(init=False)
    _tried: list[Tried] = field(factory=list, init=False)
    _ends: float = field(init=False)
    """Until when the answer must have begun."""
    _round_ends: float = field(default=math.inf, init=False)
    _limit: trio.CancelScope | None = field(default=None, init=False)
    """Ends the attempt under way in time."""
    _is_trial: bool = field(default=False, init=False)
    """The candidate under way has rested and is tried for the first time since."""
    _stay: Stay | None = field(init=False)
    _ticket: int = field(init=False)
    _patience: float = field(init=False)
    """Until when a place with a full account is waited for."""
    _ties: Ties | None = field(init=False)
    _uncarried: BadRequest | None = field(default=None, init=False)
    """Why the request cannot be carried to any of the upstreams tried so far."""

    def __attrs_post_init__(self) -> None:
        self._snapshot = self.deps.snapshot()
        config = self._snapshot.config
        rules = CoolingRules(transient=config.transient_error_cooldown_seconds)
        self._health = Health(self.deps.runtime, self.deps.monotonic, self.deps.rng, rules)
        resolution = resolve(self._snapshot.registry, self.request.model, self._could_answer)
        if resolution is None:
            raise ModelNotFound(self.request.model)
        self._resolution = resolution
        self._planner = Planner(self.request, resolution, self.deps, self._snapshot)
        self._ties = ties_of(self.request, self.deps.kept, self.deps.monotonic())
        self._sender = Sender(
            request=self.request,
            deps=self.deps,
            snapshot=self._snapshot,
            planner=self._planner,
            health=self._health,
            recorder=self.recorder,
            serve=self.serve,
            ties=self._ties,
        )
        self._stay = stay_of(self.request, resolution, config, self._snapshot.providers)
        self._ticket = self.deps.places.ticket()
        self._ends = self.deps.monotonic() + (config.timeouts.request_seconds or math.inf)
        self._patience = min(self.deps.monotonic() + config.max_retry_interval, self._ends)

    def is_supported(self) -> bool:
        """Whether any candidate has an open contract for the action."""
        now = self.deps.monotonic()
        candidates = self._resolution.candidates
        return any(self._contracts(each) and self._opening(each) <= now for each in candidates)

    def _could_answer(self, candidate: Candidate) -> bool:
        """Whether a candidate can do what is wanted, and nothing keeps it from doing so now."""
        now = self.deps.monotonic()
        return (
            bool(self._contracts(candidate))
            and self._opening(candidate) <= now
            and self._health.ready_at(candidate, None) <= now
        )

    def decoded(self) -> IRRequest:
        """Return the decoded request. Raises :class:`~cliproxy.errors.DialectError`."""
        return self._planner.decode()

    # --- rounds ----------------------------------------------------------------------------------------

    async def run(self) -> T:
        """Try until one attempt succeeds. Raises :class:`~cliproxy.errors.ProxyError`, or
        :class:`~cliproxy.errors.AnswerCut`."""
        with trio.CancelScope() as scope, self.deps.ending.by(self.recorder, scope):
            return await self._rounds()
        raise NothingReady(STOPPING, code=STOPPED)

    async def _rounds(self) -> T:
        longest = self._snapshot.config.max_retry_interval
        candidates = self._resolution.candidates
        if self._ties is not None and not (candidates := self._ties.among(candidates)):
            raise self._final(None)
        number = 0
        while True:
            before = len(self._tried)
            done, result, earliest = await self._round(candidates)
            if done:
                return result  # type: ignore[return-value]  # set whenever done is
            number += 1
            candidates = tuple(c for c in candidates if self._rounds_of(c) >= number)
            wait = self._wait_for(candidates, self._tried[before:])
            if wait is None or wait > longest or self.deps.monotonic() + wait >= self._ends:
                raise self._final(earliest)
            self.recorder.waiting()
            await trio.sleep(wait)

    def _rounds_of(self, candidate: Candidate) -> int:
        """Return how many further rounds a candidate takes part in."""
        config = self._snapshot.config
        own = candidate.credential.request_retry
        rounds = config.request_retry if own is None or own < 0 else own
        return max(rounds, config.streaming.bootstrap_retries) if self.request.stream else rounds

    async def _round(self, candidates: tuple[Candidate, ...]) -> tuple[bool, T | None, Earliest | None]:
        turns = self._turns(candidates)
        limit = 0 if self.request.stream else self._snapshot.config.request_timeout
        self._round_ends = min(self.deps.monotonic() + (limit or math.inf), self._ends)
        while self.deps.monotonic() < self._round_ends:
            choice = turns.next(self.deps.monotonic())
            if not isinstance(choice, Candidate):
                if choice is not None and await self._place_is_free(choice):
                    continue
                return False, None, choice
            try:
                result = await self._at_a_place(choice)
            except BadRequest as exc:
                # What one upstream's dialect cannot carry, another's may.
                self._uncarried = self._uncarried or exc
            except AttemptFailed as exc:
                self._tried.append(Tried(choice, exc.failure))
                turns.failed(choice, exc.failure)
                if exc.failure.ends_exchange and not self._may_be_elsewhere(exc.failure):
                    raise self._nobody_answered(None) from exc
            else:
                turns.served(choice, self.deps.monotonic())
                return True, result, None
        return False, None, None

    def _turns(self, candidates: tuple[Candidate, ...]) -> Turns:
        """Begin a round for some of the candidates."""
        everybody = self._resolution.candidates
        is_all = len(candidates) == len(everybody)
        left = frozenset() if is_all else {each.key for each in everybody} - {each.key for each in candidates}
        config = self._snapshot.config
        return Turns(
            name=self._resolution.lineup,
            candidates=everybody,
            selector=self.deps.selector,
            settings=config.quota_exceeded,
            rules=rules_of(config),
            stay=self._stay,
            most=config.max_retry_credentials,
            tried=frozenset(left),
        )

    async def _at_a_place(self, candidate: Candidate) -> T:
        """Try a candidate, and count that as one of the exchanges its account has under way."""
        account, waiting = candidate.credential.account, self.deps.places
        try:
            with self.deps.runtime.working(account), self._trying(candidate) as self._is_trial:
                return await self._on_candidate(candidate)
        finally:
            (waiting.opened if self._is_trial else waiting.freed)(account)

    def _trying(self, candidate: Candidate) -> AbstractContextManager[bool]:
        return self._health.trying(places(candidate))

    async def _place_is_free(self, earliest: Earliest) -> bool:
        """Wait for an account that is only full; tell whether it is worth looking again."""
        now = self.deps.monotonic()
        if not earliest.full or now >= self._patience:
            return False
        self.recorder.waiting()
        until = min(self._patience, earliest.until) if earliest.until > now else self._patience
        is_free = await self.deps.places.wait(self._ticket, earliest.full, until - now)
        return is_free or until < self._patience

    def _wait_for(self, candidates: tuple[Candidate, ...], tried: list[Tried]) -> float | None:
        """Return the seconds to wait before another round, or ``None`` when another round is useless;
        ``tried`` says what came of the last one."""
        if not candidates:
            return None
        wait = min(self._wait_of(each) for each in candidates)
        is_passing = any(each.failure.kind in PASSING for each in tried)
        return wait if wait or is_passing else None

    def _wait_of(self, candidate: Candidate) -> float:
        """Return the seconds until a candidate can be tried again."""
        host = self._sender.hosts.get(candidate.key)
        ready = max(self._health.ready_at(candidate, host), self._opening(candidate))
        return max(ready - self.deps.monotonic(), 0.0)

    def _may_be_elsewhere(self, failure: Failure) -> bool:
        """Whether a request goes on from something that another account may keep."""
        if self._ties is None or failure.treatment is not None:
            return False
        return self._ties.may_be_elsewhere(failure, len(self._tried))

    def _final(self, earliest: Earliest | None) -> ProxyError:
        """Say what became of the request."""
        may_pass = earliest is not None and any(state.kind in PASSING for _, state in earliest.states)
        if self._uncarried is not None and not self._tried and not may_pass:
            return self._uncarried
        if self._ties is not None and (lost := self._ties.lost()) is not None:
            return lost
        if self._tried:
            return self._nobody_answered(earliest)
        self.recorder.waiting()
        census = census_of(self._snapshot.credentials, self._resolution.candidates)
        return nothing_ready(self.request.model, earliest, self.deps.monotonic(), census)

    def _nobody_answered(self, earliest: Earliest | None) -> UpstreamError:
        return nobody_answered(self._tried, earliest, self._wait_of)

    # --- one candidate ---------------------------------------------------------------------------------

    async def _on_candidate(self, candidate: Candidate) -> T:
        if self._is_withdrawn(candidate):
            raise AttemptFailed(WITHDRAWN)
        contracts = self._contracts(candidate)
        if not contracts:
            raise no_way(self.request.model, self.request.action, self._able())
        ways = Ways()
        for contract in contracts:
            state = self._health.pause(contract_place(candidate, contract))
            if state is not None:
                ways.closed(state, self.deps.monotonic())
                continue
            try:
                return await self._on_contract(candidate, contract)
            except BadRequest as exc:
                # Where it was raised leads back to here, where it is kept.
                ways.refused = exc.with_traceback(None)
            except AttemptFailed as exc:
                if exc.failure.scope not in WAY_ENDS:
                    raise AttemptFailed(with_source(exc.failure, candidate.credential.provider)) from exc
                ways.reasons.append(exc.failure)
        raise self._given_up(candidate, ways.verdict())

    def _given_up(self, candidate: Candidate, verdict: Failure | BadRequest) -> AttemptFailed | BadRequest:
        """Say what became of a candidate; the model rests if there is a reason."""
        if isinstance(verdict, BadRequest):
            return verdict
        rest = self._opening(candidate) - self.deps.monotonic()
        if rest > 0:
            # Every way is closed: the model rests until the first is open again.
            self._pause(candidate, evolve(verdict, retry_after=rest))
        return AttemptFailed(with_source(verdict, candidate.credential.provider))

    def _is_withdrawn(self, candidate: Candidate) -> bool:
        """Whether the owner has removed a credential, or switched it off, since the exchange began."""
        registry = self.deps.snapshot().registry
        if registry is self._snapshot.registry:
            return False
        left = registry.candidates(candidate.client_name)
        return all(each.credential.id != candidate.credential.id for each in left)

    def _opening(self, candidate: Candidate) -> float:
        """Return when a candidate has an open contract; a time that is over if it has one, or needs none."""
        contracts = self._contracts(candidate)
        return first_opening([self._health.pause(contract_place(candidate, each)) for each in contracts])

    def _contracts(self, candidate: Candidate) -> list[Contract]:
        """Return the ways to do what is wanted, the preferred one first; for a stream those that stream."""
        provider = self._snapshot.providers[candidate.credential.provider]
        contracts = provider.contracts_for(candidate.credential, candidate.model, self.request.action)
        open_to = candidate.info.contracts
        able = [
            contract
            for contract in contracts
            if contract.supports(self.request.action) and (not open_to or contract.id in open_to)
        ]
        if provider.native_first:
            able.sort(key=lambda contract: contract.dialect != self.request.dialect)
        if self.request.stream:
            able.sort(key=lambda contract: contract.framing is Framing.WHOLE)
        return able

    def _able(self) -> set[str]:
        """Return the providers of which some account can do what is wanted."""
        registry = self._snapshot.registry
        everybody = (candidate for name in registry.names() for candidate in registry.candidates(name))
        return {each.credential.provider for each in everybody if self._contracts(each)}

    # --- one contract ----------------------------------------------------------------------------------

    async def _on_contract(self, candidate: Candidate, contract: Contract) -> T:
        """Try one contract, note what came of it, and let it count for or against its place."""
        self._health.begin()
        self.recorder.attempt_began()
        self.recorder.on_answer = partial(self._answered, candidate, contract)
        try:
            result = await self._in_time(candidate, contract)
        except (AttemptFailed, AnswerCut) as exc:
            self._sender.note(candidate, contract, Outcome.ERROR, exc.failure)
            if exc.failure.scope is Scope.CONTRACT:
                self._health.contract_failed(candidate, contract, exc.failure)
            else:
                self._pause(candidate, exc.failure)
            raise
        except trio.Cancelled:
            self._sender.note(candidate, contract, Outcome.CANCELLED)
            raise
        finally:
            # It leads back to here: the request, which may be large, would be left to the garbage collector.
            self.recorder.on_answer = None
        self._sender.note(candidate, contract, Outcome.OK)
        self._answered(candidate, contract)
        return result

    async def _in_time(self, candidate: Candidate, contract: Contract) -> T:
        """Try a contract for as long as the owner gives a round, and the request as a whole."""
        if self._round_ends == math.inf:
            return await self._sender.send(candidate, contract)
        with trio.CancelScope(deadline=self._round_ends) as self._limit:
            return await self._sender.send(candidate, contract)
        config = self._snapshot.config
        is_round = self._round_ends < self._ends
        message = (
            f"no answer within {config.request_timeout if is_round else config.timeouts.request_seconds:g} s"
        )
        raise AttemptFailed(Failure(kind=Kind.TIMEOUT, scope=Scope.MODEL, message=message))

    # --- what is remembered ----------------------------------------------------------------------------

    def _answered(self, candidate: Candidate, contract: Contract) -> None:
        """An answer has begun, or is complete: it is in time, and nothing is wrong with its places."""
        if self._limit is not None:
            self._limit.deadline = math.inf
        self._health.answered(candidate, contract)
        if self._is_trial:
            self.deps.places.opened(candidate.credential.account)

    def _pause(self, candidate: Candidate, failure: Failure) -> None:
        """Let a failure pause the model or the account, unless the owner wants no pauses, or none for it."""
        treatment = failure.treatment
        own = candidate.credential.disable_cooling
        is_off = self._snapshot.config.disable_cooling if own is None else own
        is_aside = failure.scope is Scope.MODEL and not self._is_about_model(failure)
        if (is_off or is_aside) if treatment is None else not treatment.cools:
            return
        of_account = is_of_account(failure, self._snapshot.config.quota_exceeded)
        place = place_of(candidate, failure.scope, of_account=of_account)
        self._health.failed(place, failure if treatment is None else as_wanted(failure))

    def _is_about_model(self, failure: Failure) -> bool:
        action = self.request.action
        return action is Action.GENERATE or (action in MADE and failure.kind in LIMITS)


def as_wanted(failure: Failure) -> Failure:
    """Return a failure that pauses because the owner says so, also where it would not by itself."""
    if failure.kind in PAUSES and failure.kind not in TRANSIENT:
        return failure
    asked = OWNERS_REST_S if failure.retry_after is None else failure.retry_after
    return evolve(failure, kind=failure.kind if failure.kind in PAUSES else Kind.UPSTREAM, retry_after=asked)
