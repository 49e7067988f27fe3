"""One try at one contract: a token, a plan, a request, its answer.

Two things are worth sending again at once, each a single time. A refused token is renewed before anything is
held against the credential. A refused reasoning signature is not worth losing the conversation for: the
request is sent once more without any, decoded and repaired even where it would pass as it is.

What is done with the open answer is the caller's business (:data:`Serve`): collect it, or pump it to the
client. It raises :class:`~cliproxy.errors.AttemptFailed` as long as nothing has reached the client, and
:class:`~cliproxy.errors.AnswerCut` afterwards.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio
from attrs import define, evolve, field

from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import Token
from cliproxy.dialects.base import ClientRequest
from cliproxy.errors import (
    AnswerCut,
    AttemptFailed,
    BadRequest,
    Failure,
    Kind,
    LoginError,
    Scope,
    TransportError,
)
from cliproxy.exchange.deps import Deps, Snapshot
from cliproxy.exchange.health import Health, host_of
from cliproxy.exchange.kept import Ties
from cliproxy.exchange.overheard import overheard
from cliproxy.exchange.plan import Plan, Planner
from cliproxy.exchange.record import Attempted, Outcome, Recorder
from cliproxy.exchange.refusal import failure_from_login, failure_of_refusal, read_refused, treated, veiled
from cliproxy.net.http import UpstreamStream
from cliproxy.providers.base import Call, Contract
from cliproxy.routing.classify import blames_signature, failure_from_transport
from cliproxy.routing.cooldown import Place
from cliproxy.routing.runtime import RouteKey
from cliproxy.wire.http import HttpCall, Limits, UpstreamCall
from cliproxy.wire.veil import confidential_in

T = TypeVar("T")
Serve = Callable[[UpstreamStream, Plan], Awaitable[T]]

SUCCESS: Final = 2
"""First digit of the statuses that are answers."""
UNSIGNED: Final = "the upstream refused a reasoning signature; it was asked again without them"
NONCE_DIGITS: Final = 32


@define(eq=False, kw_only=True)
class Sender(Generic[T]):
    """Tries contracts for one exchange."""

    request: ClientRequest
    deps: Deps
    snapshot: Snapshot
    planner: Planner
    health: Health
    recorder: Recorder
    serve: Serve[T]
    ties: Ties | None = None
    hosts: dict[RouteKey, Place] = field(factory=dict, init=False)
    """Where the candidates tried so far were sent to."""

    async def send(self, candidate: Candidate, contract: Contract) -> T:
        """Send with a token that is good now; once more with a renewed one if the first is refused."""
        token = await self._token(candidate, contract)
        try:
            return await self._signed_or_not(candidate, contract, token)
        except AttemptFailed as exc:
            failure = exc.failure
        renewed = await self._renewed(candidate, contract, token, failure)
        if renewed is None:
            raise AttemptFailed(failure)
        return await self._signed_or_not(candidate, contract, renewed)

    def note(
        self, candidate: Candidate, contract: Contract, outcome: Outcome, failure: Failure | None = None
    ) -> None:
        """Note what came of a try."""
        self.recorder.attempt_ended(attempted(candidate, contract), outcome, failure)

    # --- tokens ----------------------------------------------------------------------------------------

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

    # --- plans -----------------------------------------------------------------------------------------

    async def _signed_or_not(self, candidate: Candidate, contract: Contract, token: Token | None) -> T:
        """Send; once more without reasoning signatures if it is one of them that is refused."""
        plan = self.planner.plan(candidate, contract)
        try:
            return await self._send(candidate, contract, token, plan)
        except AttemptFailed as exc:
            is_about_signature = blames_signature(exc.failure, plan.upstream.signature_faults)
            unsigned = self._unsigned(candidate, contract, plan) if is_about_signature else None
            if unsigned is None:
                raise
            self.note(candidate, contract, Outcome.ERROR, exc.failure)
        self.recorder.attempt_began()
        return await self._send(candidate, contract, token, unsigned)

    def _unsigned(self, candidate: Candidate, contract: Contract, signed: Plan) -> Plan | None:
        """Return a plan without signatures, unless that changes nothing or cannot be made."""
        try:
            plan = self.planner.plan(candidate, contract, unsigned=True)
        except BadRequest:
            return None
        if plan.body == signed.body:
            return None
        plan.context.note(UNSIGNED)
        return plan

    # --- requests --------------------------------------------------------------------------------------

    async def _send(self, candidate: Candidate, contract: Contract, token: Token | None, plan: Plan) -> T:
        self.recorder.notes = plan.context.notes
        call = self._prepared(candidate, contract, token, plan)
        plan.veil.cover(confidential_in(call))
        try:
            return await self._exchanged(candidate, contract, self._remembering(candidate, plan), call)
        except AttemptFailed as exc:
            raise AttemptFailed(veiled(self._treated(candidate, exc.failure), plan.veil)) from exc
        except AnswerCut as exc:
            raise AnswerCut(veiled(self._treated(candidate, exc.failure), plan.veil)) from exc

    def _remembering(self, candidate: Candidate, plan: Plan) -> Plan:
        """Return a plan that ties the answer to the account, where later requests may go on from it."""
        ties = self.ties
        if ties is None or plan.upstream.kept is None:
            return plan
        return evolve(plan, remember=lambda name: ties.remember(candidate, name, self.deps.monotonic()))

    def _treated(self, candidate: Candidate, failure: Failure) -> Failure:
        """Let the owner's rules have their say about an error inside an answer."""
        if failure.treatment is not None or not failure.status:
            return failure
        said = f"{failure.message} {failure.code or ''}"
        return treated(failure, candidate.credential, self.snapshot, failure.status, said)

    async def _exchanged(self, candidate: Candidate, contract: Contract, plan: Plan, call: UpstreamCall) -> T:
        host = host_of(candidate, call)
        if host is not None:
            self.hosts[candidate.key] = host
        if self.snapshot.delay is not None:
            await trio.sleep(self.deps.rng.uniform(*self.snapshot.delay))
        if (state := self.health.pause(host)) is not None:
            kind = state.kind or Kind.UNAVAILABLE
            message = f"the host could not be reached a moment ago: {state.cause}"
            raise AttemptFailed(Failure(kind=kind, scope=Scope.HOST, message=message))
        self._keep_limit(candidate, contract)
        try:
            with self.health.trying([host] if host is not None else []):
                return await self._answered(candidate, contract, plan, call, host)
        except TransportError as exc:
            failure = failure_from_transport(exc)
            if failure.scope is Scope.HOST:
                self.health.failed(host, failure)
            raise AttemptFailed(failure) from exc

    async def _answered(
        self, candidate: Candidate, contract: Contract, plan: Plan, call: UpstreamCall, host: Place | None
    ) -> T:
        opening = self.deps.upstreams.open(call)
        async with overheard(opening, call, attempted(candidate, contract)) as stream:
            self.health.reached(host)
            self.recorder.head_came(stream.status)
            if stream.status // 100 == SUCCESS:
                return await self.serve(stream, plan)
            refused = await read_refused(stream)
        failure = failure_of_refusal(refused, contract, plan, self.deps.wall())
        failure = failure if self.ties is None else self.ties.judged(failure)
        said = refused.body.decode("utf-8", "replace")
        raise AttemptFailed(treated(failure, candidate.credential, self.snapshot, refused.status, said))

    def _keep_limit(self, candidate: Candidate, contract: Contract) -> None:
        """Send nothing that the upstream is known to refuse for being one call too many."""
        limit = self.snapshot.providers[candidate.credential.provider].limits.get(contract.id)
        wait = self.health.wait_for_turn(candidate, limit) if limit is not None else 0.0
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
        times = self.snapshot.config.timeouts
        limits = Limits(
            connect=times.connect_seconds,
            first_byte=times.first_byte_seconds,
            idle=times.idle_seconds,
            total=times.total_seconds or None,
        )
        if isinstance(call, HttpCall):
            own = candidate.credential.proxy_url
            proxy = own if own is not None else self.snapshot.config.proxy_url or None
            return evolve(call, limits=limits, proxy_url=proxy)
        return evolve(call, limits=limits)


def attempted(candidate: Candidate, contract: Contract) -> Attempted:
    """Name what an attempt is made at."""
    return Attempted(
        provider=candidate.credential.provider,
        credential=candidate.credential.id,
        contract=contract.id,
        model=candidate.model,
    )
