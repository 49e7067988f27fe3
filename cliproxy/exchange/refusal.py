"""What an attempt that came to nothing is about: a login that is refused, an upstream that refuses.

A refusal is read by the contract, which knows its upstream, else by its dialect and the general rules
(:mod:`cliproxy.routing.classify`). Whatever that comes to, a rule of the owner goes before it. What we sent
in confidence and the upstream repeats is veiled before anybody sees it.
"""

from typing import Final

from attrs import evolve

from cliproxy.config.errorrules import treatment_of
from cliproxy.credentials.model import Credential
from cliproxy.errors import Failure, Kind, LoginError, NativeBody, Scope, TransportError
from cliproxy.exchange.deps import Snapshot
from cliproxy.exchange.health import brief
from cliproxy.exchange.patience import Patient
from cliproxy.exchange.plan import Plan
from cliproxy.ir.events import StreamError
from cliproxy.net.http import UpstreamStream
from cliproxy.providers.base import Contract
from cliproxy.routing.classify import failure_from_answer, with_wait
from cliproxy.wire.http import HttpAnswer
from cliproxy.wire.jsontext import JsonError, JsonObject, dumps
from cliproxy.wire.veil import Veil

MAX_ERROR_BYTES: Final = 1024 * 1024
ERROR_BODY_S: Final = 10.0
"""How long the body of a refusal may pause: its status says most of it."""
QUOTED: Final = 1000
"""Bytes of a body that is no JSON which are shown to people."""
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
_NARROW: Final = frozenset({Scope.MODEL, Scope.CREDENTIAL})


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


async def read_refused(stream: UpstreamStream) -> HttpAnswer:
    """Read an error answer. Its status counts even if the rest of it never comes."""
    try:
        body = await Patient(stream, ERROR_BODY_S).read_all(MAX_ERROR_BYTES)
    except TransportError:
        body = b""
    # A body that broke off was waited for as well.
    return HttpAnswer(status=stream.status, headers=stream.headers, body=body)  # noqa: ASYNC910


def failure_of_refusal(answer: HttpAnswer, contract: Contract, plan: Plan, now: float) -> Failure:
    """Classify an error answer; ``now`` is Unix seconds."""
    status, headers, body = answer.status, answer.headers, answer.body
    said: JsonObject = {}
    try:
        said = plan.upstream.read_refusal(body)
        error = plan.upstream.decode_error(status, said)
    except JsonError:
        error = StreamError(Kind.UPSTREAM, brief_text(body))
    specific = contract.read_failure(status, headers, body)
    failure = with_wait(specific, headers, now) if specific else failure_from_answer(answer, error, now)
    is_native = plan.client.id in {plan.upstream.id, plan.upstream.answers_as}
    if is_native and isinstance(said.get("error"), dict):
        # Clients expect one object, also where the upstream has put it into something else.
        one = body if body.lstrip().startswith(b"{") else dumps(said)
        failure = evolve(failure, native=NativeBody(plan.client.id, one))
    return failure


def treated(failure: Failure, credential: Credential, snapshot: Snapshot, status: int, said: str) -> Failure:
    """Return a failure as the owner wants it treated, if a rule is about it."""
    rules = (*credential.error_rules, *snapshot.error_rules.get(credential.provider, ()))
    treatment = treatment_of(rules, status, said) if rules else None
    if treatment is None:
        return failure
    # The rule is about the credential and not about its ways or the host.
    scope = failure.scope if failure.scope in _NARROW else Scope.MODEL
    return evolve(failure, treatment=treatment, scope=scope)


def brief_text(body: bytes) -> str:
    """Return the beginning of a body that is no JSON, for people; nothing of a page."""
    return "" if body.lstrip().startswith(b"<") else brief(body[:QUOTED].decode("utf-8", "replace"))


def veiled(failure: Failure, veil: Veil) -> Failure:
    """Return a failure that does not quote what we sent in confidence, whoever made it."""
    native = failure.native
    return evolve(
        failure,
        message=veil.text(failure.message),
        code=failure.code and veil.text(failure.code),
        native=native and evolve(native, body=veil.data(native.body)),
    )
