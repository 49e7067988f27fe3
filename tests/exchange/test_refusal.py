"""What attempts that came to nothing are about."""

import json
import math

import pytest
import trio
import trio.testing
from attrs import evolve

from cliproxy.catalog.index import build
from cliproxy.config.entries import ScopedError
from cliproxy.config.errorrules import compiled
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential
from cliproxy.errors import Failure, Kind, LoginError, NativeBody, Scope, TransportError, Treatment
from cliproxy.exchange.deps import Snapshot
from cliproxy.exchange.refusal import failure_from_login, treated, veiled
from cliproxy.wire.veil import Veil
from support.exchange import (
    REFUSED,
    FakeContract,
    Reply,
    bottle,
    json_reply,
    refused,
    request,
)
from support.routes import credential


@pytest.mark.parametrize(
    ("code", "kind", "scope"),
    [
        ("invalid_grant", Kind.AUTHENTICATION, Scope.CREDENTIAL),
        ("anything else", Kind.AUTHENTICATION, Scope.CREDENTIAL),
        ("unreachable", Kind.UNAVAILABLE, Scope.HOST),
        ("timeout", Kind.TIMEOUT, Scope.HOST),
        ("no_seat", Kind.PERMISSION, Scope.CONTRACT),
        ("not_available", Kind.PERMISSION, Scope.CONTRACT),
        ("rate_limited", Kind.RATE_LIMIT, Scope.CONTRACT),
        ("bad_answer", Kind.UPSTREAM, Scope.CREDENTIAL),
        ("stopping", Kind.UNAVAILABLE, Scope.CREDENTIAL),
    ],
)
def test_a_token_that_cannot_be_had_is_classified(code: str, kind: Kind, scope: Scope) -> None:
    failure = failure_from_login(LoginError("no.", code=code, hint="Log in.", status=403, retry_after=9.0))
    assert (failure.kind, failure.scope, failure.code) == (kind, scope, code)
    assert (failure.message, failure.status, failure.retry_after) == ("no. Log in.", 0, 9.0)


async def test_an_error_body_of_the_same_dialect_is_kept() -> None:
    error = await refused(bottle(json_reply(REFUSED, 400)))
    assert error.native is not None
    assert json.loads(error.native.body) == REFUSED


async def test_an_error_body_that_the_client_understands_is_kept() -> None:
    """Codex shows its user when the plan is renewed, which is said in members that nobody else has."""
    used_up = {"error": {"type": "usage_limit_reached", "plan_type": "plus", "resets_in_seconds": 3600}}
    world = bottle(json_reply(used_up, 429), contracts=(FakeContract("codex", streams_only=True),))
    error = await refused(world, request({"input": "hi"}, "openai-response"))
    assert error.native is not None
    assert (error.native.dialect, json.loads(error.native.body)) == ("openai-response", used_up)


async def test_an_error_body_that_is_not_of_the_dialect_is_told_in_its_words() -> None:
    """A gateway in front of a vendor has error bodies of its own."""
    error = await refused(bottle(json_reply({"error": "not for this token"}, 403)))
    assert error.native is None


async def test_an_error_body_of_another_dialect_is_translated() -> None:
    world = bottle(
        json_reply({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529),
        contracts=(FakeContract("claude"),),
    )
    error = await refused(world)
    assert (error.kind, error.native) == (Kind.OVERLOADED, None)
    assert "busy" in error.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"upstream connect error", "upstream connect error"),
        (b"", "status 502"),
        (b"<html><h1>Bad gateway</h1>", "status 502"),
        (b"\xff\xfe bytes", "bytes"),
        (b"x" * 5000, "x" * 100),
    ],
)
async def test_error_bodies_that_are_no_json(body: bytes, said: str) -> None:
    error = await refused(bottle(Reply(status=502, headers={}, body=(body,))))
    assert said in error.message
    assert len(error.message) < 300
    assert "<h1>" not in error.message


@pytest.mark.parametrize(
    "rest", [math.inf, TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")], ids=["silence", "reset"]
)
async def test_the_status_of_a_refusal_counts_even_if_its_body_never_comes(
    autojump_clock: trio.testing.MockClock, rest: float | Exception
) -> None:
    world = bottle(Reply(status=429, headers={"retry-after": "7"}, body=(b'{"error"', rest)))
    start = trio.current_time()
    error = await refused(world)
    assert (error.status, error.retry_after) == (429, 7.0)
    assert trio.current_time() - start <= 10
    assert world.upstreams.open_streams == 0


# --- the owner's rules ----------------------------------------------------------------------------

FAILURE = Failure(kind=Kind.INVALID_REQUEST, scope=Scope.REQUEST, message="no", status=400)


def snapshot(*rules: ScopedError) -> Snapshot:
    config = Config(oauth_request_scoped_errors={"p": rules})
    return Snapshot(config=config, registry=build([]), providers={})


def own(*rules: ScopedError) -> Credential:
    return credential(error_rules=compiled(rules))


def test_a_rule_of_the_credential_goes_before_those_of_its_provider() -> None:
    stop, go_on = ScopedError(status=400, action="stop"), ScopedError(status=400, action="continue")
    assert treated(FAILURE, own(go_on), snapshot(stop), 400, "no").treatment is Treatment.GO_ON
    assert treated(FAILURE, own(), snapshot(stop), 400, "no").treatment is Treatment.STOP
    assert treated(FAILURE, own(), snapshot(), 400, "no") is FAILURE
    assert treated(FAILURE, own(go_on), snapshot(), 429, "no") is FAILURE


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("action", ["stop", "stop-and-cooldown", "continue", "continue-and-cooldown"])
def test_a_rule_is_about_the_credential_and_says_whether_it_is_over(scope: Scope, action: str) -> None:
    failure = evolve(FAILURE, scope=scope)
    found = treated(failure, own(ScopedError(action=action)), snapshot(), 400, "no")
    assert found.scope in {Scope.MODEL, Scope.CREDENTIAL}
    assert found.ends_exchange is action.startswith("stop")
    assert found.treatment is not None
    assert found.treatment.cools is action.endswith("cooldown")


def test_nothing_said_in_confidence_is_told() -> None:
    native = NativeBody("openai", b'{"error": "bad key sk-0123456789"}')
    failure = evolve(FAILURE, message="bad key sk-0123456789", code="sk-0123456789", native=native)
    told = veiled(failure, Veil(("sk-0123456789",)))
    assert "sk-0123456789" not in f"{told.message} {told.code}"
    assert told.native is not None
    assert b"sk-0123456789" not in told.native.body
