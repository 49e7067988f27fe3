"""Resolve, pick, send, classify, record, and go on or give up: the loop around every upstream call.

Three loops are nested, widest first:

* **rounds**: when nobody is ready, wait for the first cooldown to end, if that is soon enough, and start
  over. A round goes on where it was after waiting for a place with an account that has as many requests under
  way as it may;
* **candidates**: within a round every ready credential is tried at most once, in the order
  :class:`~cliproxy.exchange.turns.Turns` gives;
* **contracts**: within a credential, its ways of reaching the upstream in order of preference. A refused
  token is renewed once, and the same contract tried again, before anything is held against the credential.
  A refused reasoning signature is not worth losing the conversation for: the request is sent once more
  without any, decoded and repaired even where it would pass as it is.

A fault of the request ends all three at once. What an attempt does with the open answer is the caller's
business (:data:`Serve`): collect it, or pump it to the client. It raises
:class:`~cliproxy.errors.AttemptFailed` as long as nothing has reached the client, and
:class:`~cliproxy.errors.AnswerCut` afterwards.

What an attempt says about contract, model, account and host is kept in :mod:`cliproxy.exchange.health`. A
cancelled attempt says nothing about anything. Nor do counting tokens and other side matters say anything
about a model: an upstream that cannot count may still answer. Of embeddings and images only a limit does:
they are what the model is for, but many servers lack the route, and then its model is good for other things.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio
from attrs import define, evolve, field

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import Token
from cliproxy.dialects.base import Action, ClientRequest, Framing
from cliproxy.errors import (
    AnswerCut,
    AttemptFailed,
    BadRequest,
    Failure,
    Kind,
    LoginError,
    ModelNotFound,
    NativeBody,
    NothingReady,
    ProxyError,
    Scope,
    TransportError,
    UpstreamError,
)
from cliproxy.exchange.cause import STOPPED
from cliproxy.exchange.deps import Deps, Snapshot
from cliproxy.exchange.ending import STOPPING
from cliproxy.exchange.health import Health, brief, contract_place, host_of, place_of
from cliproxy.exchange.kept import Ties, ties_of
from cliproxy.exchange.patience import Patient
from cliproxy.exchange.plan import Plan, Planner
from cliproxy.exchange.record import Attempted, Outcome, Recorder
from cliproxy.exchange.turns import LIMITS, Turns, is_of_account, rules_of, stay_of
from cliproxy.exchange.ways import Ways, first_opening, no_way
from cliproxy.ir.events import StreamError
from cliproxy.ir.request import IRRequest
from cliproxy.net.http import UpstreamStream
from cliproxy.providers.base import Call, Contract
from cliproxy.routing.classify import (
    blames_signature,
    failure_from_answer,
    failure_from_transport,
    most_useful,
    with_source,
)
from cliproxy.routing.cooldown import Place
from cliproxy.routing.resolve import Resolution, resolve
from cliproxy.routing.runtime import RouteKey
from cliproxy.routing.select import Earliest, Stay
from cliproxy.wire.http import HttpCall, Limits, UpstreamCall
from cliproxy.wire.jsontext import JsonError, JsonObject, dumps
from cliproxy.wire.veil import Veil, confidential_in

T = TypeVar("T")
Serve = Callable[[UpstreamStream, Plan], Awaitable[T]]

SUCCESS: Final = 2
"""First digit of the statuses that are answers."""
MAX_ERROR_BYTES: Final = 1024 * 1024
ERROR_BODY_S: Final = 10.0
"""How long the body of a refusal may pause: its status says most of it."""
PASSING: Final = frozenset(
    {Kind.RATE_LIMIT, Kind.QUOTA, Kind.OVERLOADED, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.UPSTREAM}
)
"""Failures that may be over by the time of another round."""
MADE: Final = frozenset({Action.EMBED, Action.IMAGE})
"""What models make besides conversation."""
BUSY_WAIT_S: Final = 1.0
"""When to come back to accounts that have too much to do; nobody can know."""
UNSIGNED: Final = "the upstream refused a reasoning signature; it was asked again without them"
NONCE_DIGITS: Final = 32
WAY_ENDS: Final = frozenset({Scope.CONTRACT, Scope.HOST})
"""Failures that the account's next way may not share: it may lead to another host."""
WITHDRAWN: Final = Failure(
    kind=Kind.UNAVAILABLE, scope=Scope.CREDENTIAL, message="the account was removed or switched off meanwhile"
)
_TOKEN_FAULTS: Final[dict[str, tuple[Kind, Scope]]] = {
    "unreachable": (Kind.UNAVAILABLE, Scope.HOST),
    "timeout": (Kind.TIMEOUT, Scope.HOST),
    "rate_limited": (Kind.RATE_LIMIT, Scope.CONTRACT),
    "unavailable": (Kind.UNAVAILABLE, Scope.CONTRACT),
    "not_available": (Kind.PERMISSION, Scope.CONTRACT),
    "no_seat": (Kind.PERMISSION, Scope.CONTRACT),
    "disabled": (Kind.PERMISSION, Scope.CONTRACT),
    "bad_answer": (Kind.UPSTREAM, Scope.CREDENTIAL),
    "not_saved": (Kind.UNAVAILABLE, Scope.CREDENTIAL),
    "stopping": (Kind.UNAVAILABLE, Scope.CREDENTIAL),
    "internal": (Kind.INTERNAL, Scope.CREDENTIAL),
}


def failure_from_login(error: LoginError) -> Failure:
    """Classify a token that could not be had. The status a vendor's login answered with is not the client's
    business: a refresh token that has ended is 400 there."""
    kind, scope = _TOKEN_FAULTS.get(error.code, (Kind.AUTHENTICATION, Scope.CREDENTIAL))
    return Failure(
        kind=kind,
        scope=scope,
        message=error.explained,
        code=error.code,
        retry_after=error.retry_after,
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
    _hosts: dict[RouteKey, Place] = field(factory=dict, init=False)
    """Where the candidates tried so far were sent to."""
    _failures: list[Failure] = field(factory=list, init=False)
    _stay: Stay | None = field(init=False)
    _ticket: int = field(init=False)
    _patience: float = field(init=False)
    """Until when a place with a full account is waited for."""
    _ties: Ties | None = field(init=False)
    _uncarried: BadRequest | None = field(default=None, init=False)
    """Why the request cannot be carried to any of the upstreams tried so far."""

    def __attrs_post_init__(self) -> None:
        self._snapshot = self.deps.snapshot()
        self._health = Health(self.deps.runtime, self.deps.monotonic, self.deps.rng)
        resolution = resolve(self._snapshot.registry, self.request.model, self._could_answer)
        if resolution is None:
            raise ModelNotFound(self.request.model)
        self._resolution = resolution
        self._planner = Planner(self.request, resolution, self.deps, self._snapshot)
        config = self._snapshot.config
        self._stay = stay_of(self.request, resolution, config, self._snapshot.providers)
        self._ties = ties_of(self.request, self.deps.kept, self.deps.monotonic())
        self._ticket = self.deps.places.ticket()
        self._patience = self.deps.monotonic() + config.max_retry_interval

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
            done, result, earliest = await self._round(candidates)
            if done:
                return result  # type: ignore[return-value]  # set whenever done is
            number += 1
            candidates = tuple(c for c in candidates if self._rounds_of(c) >= number)
            wait = self._wait_for(candidates)
            if wait is None or wait > longest:
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
        while True:
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
                self._failures.append(exc.failure)
                turns.failed(choice, exc.failure)
                if exc.failure.scope is Scope.REQUEST and not self._may_be_elsewhere(exc.failure):
                    raise UpstreamError([*self._failures]) from exc
            else:
                turns.served(choice, self.deps.monotonic())
                return True, result, None

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
        account = candidate.credential.account
        try:
            with self.deps.runtime.working(account):
                return await self._on_candidate(candidate)
        finally:
            self.deps.places.freed(account)

    async def _place_is_free(self, earliest: Earliest) -> bool:
        """Wait for an account that is only full; tell whether it is worth looking again."""
        now = self.deps.monotonic()
        if not earliest.full or now >= self._patience:
            return False
        self.recorder.waiting()
        until = min(self._patience, earliest.until) if earliest.until > now else self._patience
        is_free = await self.deps.places.wait(self._ticket, earliest.full, until - now)
        return is_free or until < self._patience

    def _wait_for(self, candidates: tuple[Candidate, ...]) -> float | None:
        """Return the seconds to wait before another round, or ``None`` when another round is useless."""
        if not candidates:
            return None
        wait = self._first_wait(candidates)
        is_passing = bool(self._failures) and self._failures[-1].kind in PASSING
        return wait if wait or is_passing else None

    def _first_wait(self, candidates: tuple[Candidate, ...]) -> float:
        """Return the seconds until the first of some candidates can be tried again."""
        first = min(
            max(self._health.ready_at(each, self._hosts.get(each.key)), self._opening(each))
            for each in candidates
        )
        return max(first - self.deps.monotonic(), 0.0)

    def _may_be_elsewhere(self, failure: Failure) -> bool:
        """Whether a request goes on from something that another account may keep."""
        return self._ties is not None and self._ties.may_be_elsewhere(failure, len(self._failures))

    def _final(self, earliest: Earliest | None) -> ProxyError:
        """Say what became of the request."""
        may_pass = earliest is not None and any(state.kind in PASSING for _, state in earliest.states)
        if self._uncarried is not None and not self._failures and not may_pass:
            return self._uncarried
        if self._ties is not None and (lost := self._ties.lost()) is not None:
            return lost
        if self._failures:
            best = most_useful(self._failures)
            error = UpstreamError([*(f for f in self._failures if f is not best), best])
            if error.retry_after is None and best.kind in PASSING:
                error.retry_after = self._first_wait(self._resolution.candidates) or None
            return error
        self.recorder.waiting()
        return nothing_ready(self.request.model, earliest, self.deps.monotonic())

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
                ways.refused = exc
            except AttemptFailed as exc:
                if exc.failure.scope not in WAY_ENDS:
                    raise AttemptFailed(with_source(exc.failure, candidate.credential.provider)) from exc
                ways.reasons.append(exc.failure)
        verdict = ways.verdict()
        if isinstance(verdict, BadRequest):
            raise verdict
        rest = self._opening(candidate) - self.deps.monotonic()
        if rest > 0:
            # Every way is closed: the model rests until the first is open again.
            self._pause(candidate, evolve(verdict, retry_after=rest))
        raise AttemptFailed(with_source(verdict, candidate.credential.provider))

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
        self.recorder.attempt_began()
        try:
            result = await self._with_token(candidate, contract)
        except (AttemptFailed, AnswerCut) as exc:
            self._note(candidate, contract, Outcome.ERROR, exc.failure)
            if exc.failure.scope is Scope.CONTRACT:
                self._health.contract_failed(candidate, contract, exc.failure)
            else:
                self._pause(candidate, exc.failure)
            raise
        except trio.Cancelled:
            self._note(candidate, contract, Outcome.CANCELLED)
            raise
        self._note(candidate, contract, Outcome.OK)
        self._health.answered(candidate, contract)
        return result

    async def _with_token(self, candidate: Candidate, contract: Contract) -> T:
        """Send with a token that is good now; once more with a renewed one if the first is refused."""
        token = await self._token(candidate, contract)
        try:
            return await self._signed_or_not(candidate, contract, token)
        except AttemptFailed as exc:
            refused = exc
        renewed = await self._renewed(candidate, contract, token, refused.failure)
        if renewed is None:
            raise refused
        return await self._signed_or_not(candidate, contract, renewed)

    async def _token(self, candidate: Candidate, contract: Contract) -> Token | None:
        if contract.needs is None:
            return None
        try:
            return await self.deps.tokens.ensure_fresh(candidate.credential, contract.needs)
        except LoginError as exc:
            raise AttemptFailed(failure_from_login(exc)) from exc

    async def _renewed(
        self, candidate: Candidate, contract: Contract, token: Token | None, failure: Failure
    ) -> Token | None:
        """Return a newer token when the failure was about the token and there is one to be had."""
        if failure.kind is not Kind.AUTHENTICATION or token is None or contract.needs is None:
            return None
        try:
            return await self.deps.tokens.refresh(candidate.credential, contract.needs, token.version)
        except LoginError as exc:
            if exc.code == "not_renewable":
                # The refusal itself tells the client more.
                return None
            raise AttemptFailed(failure_from_login(exc)) from exc

    async def _signed_or_not(self, candidate: Candidate, contract: Contract, token: Token | None) -> T:
        """Send; once more without reasoning signatures if it is one of them that is refused."""
        plan = self._planner.plan(candidate, contract)
        try:
            return await self._send(candidate, contract, token, plan)
        except AttemptFailed as exc:
            refused = exc
        is_about_signature = blames_signature(refused.failure, plan.upstream.signature_faults)
        unsigned = self._unsigned(candidate, contract, plan) if is_about_signature else None
        if unsigned is None:
            raise refused
        self._note(candidate, contract, Outcome.ERROR, refused.failure)
        self.recorder.attempt_began()
        return await self._send(candidate, contract, token, unsigned)

    def _unsigned(self, candidate: Candidate, contract: Contract, signed: Plan) -> Plan | None:
        """Return a plan without signatures, unless that changes nothing or cannot be made."""
        try:
            plan = self._planner.plan(candidate, contract, unsigned=True)
        except BadRequest:
            return None
        if plan.body == signed.body:
            return None
        plan.context.note(UNSIGNED)
        return plan

    async def _send(self, candidate: Candidate, contract: Contract, token: Token | None, plan: Plan) -> T:
        self.recorder.notes = plan.context.notes
        call = self._prepared(candidate, contract, token, plan)
        plan.veil.cover(confidential_in(call))
        try:
            return await self._exchanged(candidate, contract, self._remembering(candidate, plan), call)
        except AttemptFailed as exc:
            raise AttemptFailed(veiled(exc.failure, plan.veil)) from exc
        except AnswerCut as exc:
            raise AnswerCut(veiled(exc.failure, plan.veil)) from exc

    def _remembering(self, candidate: Candidate, plan: Plan) -> Plan:
        """Return a plan that ties the answer to the account, where later requests may go on from it."""
        ties = self._ties
        if ties is None or plan.upstream.kept is None:
            return plan
        return evolve(plan, remember=lambda name: ties.remember(candidate, name, self.deps.monotonic()))

    async def _exchanged(self, candidate: Candidate, contract: Contract, plan: Plan, call: UpstreamCall) -> T:
        host = host_of(candidate, call)
        if host is not None:
            self._hosts[candidate.key] = host
        if (state := self._health.pause(host)) is not None:
            kind = state.kind or Kind.UNAVAILABLE
            message = f"the host could not be reached a moment ago: {state.cause}"
            raise AttemptFailed(Failure(kind=kind, scope=Scope.HOST, message=message))
        self._keep_limit(candidate, contract)
        try:
            async with self.deps.upstreams.open(call) as stream:
                self._health.reached(host)
                self.recorder.head_came(stream.status)
                if stream.status // 100 != SUCCESS:
                    raise AttemptFailed(await self._refusal(stream, contract, plan))
                return await self.serve(stream, plan)
        except TransportError as exc:
            failure = failure_from_transport(exc)
            if failure.scope is Scope.HOST:
                self._health.failed(host, failure)
            raise AttemptFailed(failure) from exc

    def _keep_limit(self, candidate: Candidate, contract: Contract) -> None:
        """Send nothing that the upstream is known to refuse for being one call too many."""
        limit = self._snapshot.providers[candidate.credential.provider].limits.get(contract.id)
        wait = self._health.wait_for_turn(candidate, limit) if limit is not None else 0.0
        if limit is not None and wait:
            often = f"{limit.rule.count} times in {limit.rule.seconds:g} s"
            message = f"{limit.name} may be asked {often}; the next time is in {wait:.0f} s"
            failure = Failure(kind=Kind.RATE_LIMIT, scope=Scope.CONTRACT, message=message, retry_after=wait)
            raise AttemptFailed(failure)

    def _prepared(
        self, candidate: Candidate, contract: Contract, token: Token | None, plan: Plan
    ) -> UpstreamCall:
        call = contract.prepare(
            Call(
                credential=candidate.credential,
                token=token,
                model=candidate.model,
                action=self.request.action,
                body=plan.body,
                content_type=plan.content_type,
                stream=plan.stream,
                client_headers=self.request.headers,
                request_id=self.request.request_id,
                now=self.deps.wall(),
                nonce=self.deps.random_hex(NONCE_DIGITS),
            )
        )
        times = self._snapshot.config.timeouts
        limits = Limits(
            connect=times.connect_seconds,
            first_byte=times.first_byte_seconds,
            idle=times.idle_seconds,
            total=times.total_seconds or None,
        )
        if isinstance(call, HttpCall):
            return evolve(call, limits=limits, proxy_url=candidate.credential.proxy_url)
        return evolve(call, limits=limits)

    async def _refusal(self, stream: UpstreamStream, contract: Contract, plan: Plan) -> Failure:
        """Read and classify an error answer. Its status counts even if the rest of it never comes."""
        try:
            body = await Patient(stream, ERROR_BODY_S).read_all(MAX_ERROR_BYTES)
        except TransportError:
            body = b""
        specific = contract.read_failure(stream.status, stream.headers, body)
        said: JsonObject = {}
        try:
            said = plan.upstream.read_refusal(body)
            error = plan.upstream.decode_error(stream.status, said)
        except JsonError:
            error = StreamError(Kind.UPSTREAM, "" if body.lstrip().startswith(b"<") else brief_text(body))
        failure = specific or failure_from_answer(stream.status, stream.headers, error, self.deps.wall())
        failure = failure if self._ties is None else self._ties.judged(failure)
        is_native = plan.client.id in {plan.upstream.id, plan.upstream.answers_as}
        if is_native and isinstance(said.get("error"), dict):
            # Clients expect one object, also where the upstream has put it into something else.
            one = body if body.lstrip().startswith(b"{") else dumps(said)
            failure = evolve(failure, native=NativeBody(plan.client.id, one))
        return failure

    # --- what is remembered ----------------------------------------------------------------------------

    def _note(
        self, candidate: Candidate, contract: Contract, outcome: Outcome, failure: Failure | None = None
    ) -> None:
        at = Attempted(
            provider=candidate.credential.provider,
            credential=candidate.credential.id,
            contract=contract.id,
            model=candidate.model,
        )
        self.recorder.attempt_ended(at, outcome, failure)

    def _pause(self, candidate: Candidate, failure: Failure) -> None:
        """Let a failure pause the model or the account, unless the owner wants no pauses."""
        own = candidate.credential.disable_cooling
        is_off = self._snapshot.config.disable_cooling if own is None else own
        is_aside = failure.scope is Scope.MODEL and not self._is_about_model(failure)
        if not is_off and not is_aside:
            of_account = is_of_account(failure, self._snapshot.config.quota_exceeded)
            self._health.failed(place_of(candidate, failure.scope, of_account=of_account), failure)

    def _is_about_model(self, failure: Failure) -> bool:
        action = self.request.action
        return action is Action.GENERATE or (action in MADE and failure.kind in LIMITS)


def brief_text(body: bytes) -> str:
    """Return the beginning of a body that is no JSON, for people."""
    return brief(body[:1000].decode("utf-8", "replace"))


def veiled(failure: Failure, veil: Veil) -> Failure:
    """Return a failure that does not quote what we sent in confidence, whoever made it."""
    native = failure.native
    return evolve(
        failure,
        message=veil.text(failure.message),
        code=failure.code and veil.text(failure.code),
        native=native and evolve(native, body=veil.data(native.body)),
    )


def nothing_ready(model: str, earliest: Earliest | None, now: float) -> NothingReady:
    """Explain why no candidate can be used: who waits for what, and until when."""
    if earliest is None:
        return NothingReady(f"No account is available for model `{model}`.", code="no_account")
    kinds = {state.kind for _, state in earliest.states}
    detail = [
        {
            "provider": candidate.credential.provider,
            "model": candidate.model,
            "state": str(state.kind),
            "seconds": round(max(state.until - now, 0.0), 1),
        }
        for candidate, state in earliest.states
    ]
    causes = "; ".join(
        sorted({f"{candidate.credential.provider}: {state.cause}" for candidate, state in earliest.states})
    )
    wait = BUSY_WAIT_S if earliest.full else max(earliest.until - now, 0.0)
    what = (
        "are busy or cooling down; try again in a moment"
        if earliest.full
        else f"are cooling down; the first is ready in {wait:.0f} s"
    )
    return NothingReady(
        f"All {len(earliest.states)} account(s) for model `{model}` {what}. ({causes})",
        kind=Kind.RATE_LIMIT if kinds <= {Kind.RATE_LIMIT, Kind.QUOTA} else Kind.UNAVAILABLE,
        code="accounts_busy" if earliest.full else "model_cooldown",
        retry_after=wait,
        detail={"accounts": detail},
    )
