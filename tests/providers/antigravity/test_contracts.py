"""Antigravity's hosts: prepared requests, refusals, who is next."""

import json

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.errors import Kind, Scope
from cliproxy.providers.antigravity import PROVIDER
from cliproxy.providers.antigravity.contracts import DAILY, PRODUCTION
from cliproxy.providers.base import Call
from cliproxy.wire.http import Headers
from cliproxy.wire.secret import Secret

BODY = {
    "model": "gemini-3-flash",
    "userAgent": "antigravity",
    "requestType": "agent",
    "requestId": "agent-1",
    "request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "sessionId": "-1"},
}
BASES = ("https://daily-cloudcode-pa.googleapis.com", "https://cloudcode-pa.googleapis.com")


def credential(project: str = "p1", **fields) -> Credential:
    return Credential(
        id=CredentialId("antigravity.json"),
        provider="antigravity",
        kind=CredentialKind.ACCOUNT,
        data={"project_id": project},
        **fields,
    )


def ways(model: str = "gemini-3-flash", **fields):
    return PROVIDER.contracts_for(credential(**fields), model, Action.GENERATE)


def prepared(contract, action=Action.GENERATE, *, stream=False, token=None, **fields):
    return contract.prepare(
        Call(
            credential=credential(**fields),
            token=token or Token(value=Secret("ya29.a")),
            model="gemini-3-flash",
            action=action,
            body=json.dumps(BODY).encode(),
            stream=stream,
        )
    )


def test_the_hosts_in_order() -> None:
    urls = [prepared(way).url for way in ways()]
    assert urls == [f"{base}/v1internal:generateContent" for base in BASES]
    assert {way.dialect for way in ways()} == {"antigravity"}
    assert {way.needs for way in ways()} == {TokenSlot.ACCOUNT}


def test_an_address_of_the_owners_replaces_them() -> None:
    [way] = ways(base_url="https://proxy.example.org")
    call = prepared(way, stream=True, base_url="https://proxy.example.org")
    assert call.url == "https://proxy.example.org/v1internal:streamGenerateContent?alt=sse"


def test_the_project_goes_into_the_envelope() -> None:
    call = prepared(DAILY)
    assert json.loads(call.body) == {**BODY, "project": "p1"}
    assert call.headers.get("authorization") == "Bearer ya29.a"


def test_a_project_found_with_the_token() -> None:
    token = Token(value=Secret("ya29.a"), data={"project_id": "p2"})
    assert json.loads(prepared(DAILY, token=token, project="").body)["project"] == "p2"


def test_a_count_has_no_envelope() -> None:
    call = prepared(DAILY, Action.COUNT)
    assert call.url.endswith(":countTokens")
    contents = BODY["request"]["contents"]
    assert json.loads(call.body) == {"request": {"model": "models/gemini-3-flash", "contents": contents}}


@pytest.mark.parametrize(
    ("model", "streams"),
    [
        ("gemini-3-flash", False),
        ("gemini-3-pro-high", True),
        ("gemini-3.1-flash-image", True),
        ("claude-opus-4-6-thinking", True),
        ("gpt-oss-120b-medium", False),
    ],
)
def test_models_that_are_always_asked_for_a_stream(model: str, streams: bool) -> None:
    assert {way.streams_only for way in ways(model)} == {streams}


def refusal(status: int, message: str, reason: str = "", delay: str = "") -> bytes:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    if delay:
        info["metadata"] = {"quotaResetDelay": delay}
    return json.dumps({"error": {"code": status, "message": message, "details": [info]}}).encode()


NO_CAPACITY = refusal(503, "No capacity available for model x on the server")


@pytest.mark.parametrize(
    ("status", "body", "kind", "scopes"),
    [
        (429, refusal(429, "slow", delay="2.5s"), Kind.RATE_LIMIT, (Scope.CONTRACT, Scope.MODEL)),
        (
            429,
            refusal(429, "full", "MODEL_CAPACITY_EXHAUSTED"),
            Kind.OVERLOADED,
            (Scope.CONTRACT, Scope.MODEL),
        ),
        (503, NO_CAPACITY, Kind.OVERLOADED, (Scope.CONTRACT, Scope.MODEL)),
        (429, refusal(429, "used up", "QUOTA_EXHAUSTED"), Kind.QUOTA, (Scope.MODEL, Scope.MODEL)),
        (429, refusal(429, "used up", delay="4h10m"), Kind.QUOTA, (Scope.MODEL, Scope.MODEL)),
        (
            403,
            refusal(403, "no", "VALIDATION_REQUIRED"),
            Kind.PERMISSION,
            (Scope.CREDENTIAL, Scope.CREDENTIAL),
        ),
    ],
)
def test_which_refusals_another_host_may_not_share(status, body, kind, scopes) -> None:
    failures = [way.read_failure(status, Headers(), body) for way in (DAILY, PRODUCTION)]
    assert [(failure.kind, failure.scope) for failure in failures] == [(kind, scope) for scope in scopes]


def test_the_delay_is_believed() -> None:
    assert DAILY.read_failure(429, Headers(), refusal(429, "slow", delay="2.5s")).retry_after == 2.5


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"<html>"), (400, NO_CAPACITY), (401, refusal(401, "no"))]
)
def test_the_rest_is_left_to_the_general_rules(status: int, body: bytes) -> None:
    assert DAILY.read_failure(status, Headers(), body) is None
