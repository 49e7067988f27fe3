"""Code Assist: prepared requests, refusals, an account as several credentials."""

import json

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Kind, Scope
from cliproxy.providers.base import Call
from cliproxy.providers.gemini_cli import PROVIDER
from cliproxy.providers.gemini_cli.contracts import CONTRACT, expand, project_of
from cliproxy.wire.http import Headers
from cliproxy.wire.secret import Secret

TOKEN = Token(value=Secret("ya29.a"))
BODY = {"model": "gemini-2.5-pro", "request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}}


def credential(project: str = "p1", **fields) -> Credential:
    return Credential(
        id=CredentialId("gemini-me.json"),
        provider="gemini-cli",
        kind=CredentialKind.ACCOUNT,
        label="me",
        source="gemini-me.json",
        data={"project_id": project},
        **fields,
    )


def prepared(body=BODY, *, action=Action.GENERATE, stream=False, account=None, token=TOKEN, **more):
    return CONTRACT.prepare(
        Call(
            credential=account or credential(),
            token=token,
            model=body["model"],
            action=action,
            body=json.dumps(body).encode(),
            stream=stream,
            **more,
        )
    )


@pytest.mark.parametrize(
    ("stream", "method", "accept"),
    [
        (False, "generateContent", "application/json"),
        (True, "streamGenerateContent?alt=sse", "text/event-stream"),
    ],
)
def test_the_request(stream, method, accept):
    call = prepared(stream=stream)
    assert (call.method, call.stream) == ("POST", stream)
    assert call.url == f"https://cloudcode-pa.googleapis.com/v1internal:{method}"
    assert dict(call.headers) == {
        "Content-Type": "application/json",
        "Accept": accept,
        "Authorization": "Bearer ya29.a",
    }
    assert json.loads(call.body) == {**BODY, "project": "p1"}


def test_a_clients_own_project_is_replaced():
    body = json.loads(prepared({**BODY, "project": "theirs", "user_prompt_id": "x"}).body)
    assert body == {**BODY, "project": "p1", "user_prompt_id": "x"}


def test_the_model_that_knows_no_proportions_gets_a_canvas():
    config = {"imageConfig": {"aspectRatio": "1:1"}}
    inner = {**BODY["request"], "generationConfig": config, "session_id": "s"}
    sent = json.loads(prepared({"model": "gemini-2.5-flash-image-preview", "request": inner}).body)
    assert (sent["project"], sent["request"]["session_id"]) == ("p1", "s")
    assert sent["request"]["generationConfig"] == {"responseModalities": ["IMAGE", "TEXT"]}
    assert len(sent["request"]["contents"][0]["parts"]) == 3


def test_a_count_names_the_model_in_the_request_and_nothing_around_it():
    inner = {**BODY["request"], "tools": [], "generationConfig": {"topP": 1}, "session_id": "s"}
    call = prepared({**BODY, "request": inner}, action=Action.COUNT)
    assert call.url.endswith("/v1internal:countTokens")
    counted = {"model": "models/gemini-2.5-pro", **BODY["request"], "tools": []}
    assert json.loads(call.body) == {"request": counted}


def test_the_owners_address_and_headers_win():
    account = credential(base_url="https://mirror.example", headers={"User-Agent": "mine/1"})
    call = prepared(account=account, user_agent="x")
    assert call.url.startswith("https://mirror.example/v1internal:")
    assert call.headers.get("user-agent") == "mine/1"


def test_the_contract():
    assert [CONTRACT.supports(action) for action in (Action.GENERATE, Action.COUNT, Action.EMBED)] == [
        True,
        True,
        False,
    ]
    assert (CONTRACT.dialect, CONTRACT.framing) == ("gemini-cli", Framing.SSE)
    assert PROVIDER.contracts_for(credential(), "m", Action.GENERATE) == (CONTRACT,)


# --- projects ---


def test_an_account_with_one_project_is_one_credential():
    assert expand(credential()) == (credential(),)
    assert expand(credential("p1, p1,")) == (credential("p1, p1,"),)


def test_an_account_with_several_is_one_for_each():
    account = credential("p1, b/c d,p1", priority=3, prefix="team", note="n")
    parts = expand(account)
    assert [part.id for part in parts] == ["gemini-me.json::p1", "gemini-me.json::b_c_d"]
    assert [part.label for part in parts] == ["me [p1]", "me [b/c d]"]
    assert [project_of(part, None) for part in parts] == ["p1", "b/c d"]
    for part in parts:
        assert part.account == account.id
        assert (part.priority, part.prefix, part.note, part.source) == (3, "team", "n", account.source)
    assert json.loads(prepared(account=parts[1]).body)["project"] == "b/c d"


def test_a_project_that_was_found_with_the_token_is_used():
    token = Token(value=Secret("a"), data={"project_id": "found"})
    assert project_of(credential(""), token) == "found"
    assert project_of(credential("p1"), token) == "p1"
    assert project_of(credential(""), None) == ""


def test_the_models_are_those_of_the_catalogue():
    names = [model.id for model in PROVIDER.static_models(credential())]
    assert "gemini-2.5-pro" in names
    assert "gemini-3.1-pro-preview" in names


# --- refusals ---


def refusal(status, *, reason="", delay="", message="no", quota="", listed=False):
    prefix = "type.googleapis.com/google.rpc."
    details = []
    if reason:
        details.append({"@type": f"{prefix}ErrorInfo", "reason": reason, "metadata": {}})
    if quota:
        details.append({"@type": f"{prefix}QuotaFailure", "violations": [{"quotaId": quota}]})
    if delay:
        details.append({"@type": f"{prefix}RetryInfo", "retryDelay": delay})
    body = {"error": {"code": status, "message": message, "status": "X", "details": details}}
    return CONTRACT.read_failure(status, Headers(), json.dumps([body] if listed else body).encode())


@pytest.mark.parametrize(
    ("more", "kind", "wait"),
    [
        ({"reason": "RATE_LIMIT_EXCEEDED", "delay": "34.5s"}, Kind.RATE_LIMIT, 34.5),
        ({"reason": "RATE_LIMIT_EXCEEDED", "delay": "10h15m"}, Kind.QUOTA, 36900.0),
        ({"reason": "QUOTA_EXHAUSTED", "delay": "5s"}, Kind.QUOTA, 5.0),
        ({"quota": "RequestsPerDayPerProject"}, Kind.QUOTA, None),
        ({"message": "Your quota will reset after 21s."}, Kind.RATE_LIMIT, 21.0),
        ({"reason": "MODEL_CAPACITY_EXHAUSTED"}, Kind.OVERLOADED, None),
        ({}, Kind.RATE_LIMIT, None),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_limits(more, kind, wait, listed):
    """A stream's refusal is a list with one error."""
    failure = refusal(429, listed=listed, **more)
    assert failure is not None
    assert (failure.kind, failure.scope, failure.retry_after) == (kind, Scope.MODEL, wait)


@pytest.mark.parametrize("reason", ["SERVICE_DISABLED", "SUBSCRIPTION_REQUIRED", "VALIDATION_REQUIRED"])
def test_a_project_that_may_not_is_left_alone(reason):
    failure = refusal(403, reason=reason, message="Switch it on.")
    assert failure is not None
    assert (failure.kind, failure.scope, failure.code) == (Kind.PERMISSION, Scope.CREDENTIAL, reason)
    assert failure.message == "Switch it on."


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_everything_else_is_judged_by_the_general_rules(status):
    assert refusal(status) is None


def test_so_is_a_body_that_is_no_error():
    for raw in (b"<html>", b"", b"[]", b'"x"'):
        assert CONTRACT.read_failure(429, Headers(), raw) is None
