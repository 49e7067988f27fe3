"""Vertex AI: prepared requests, refusals, models."""

import json

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry, Token, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.errors import Kind, Scope
from cliproxy.providers.base import Call
from cliproxy.providers.vertex import PROVIDER
from cliproxy.providers.vertex.contracts import host_of
from cliproxy.wire.http import Headers
from cliproxy.wire.secret import Secret

BODY = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
MODEL = "publishers/google/models/gemini-2.5-pro"


def account(**data: object) -> Credential:
    own = {"project_id": "my-project", "location": "us-central1", **data}
    return Credential(
        id=CredentialId("vertex-my-project.json"),
        provider="vertex",
        kind=CredentialKind.ACCOUNT,
        base_url=str(own.pop("base_url", "")),
        data=own,
    )


def key(**fields) -> Credential:
    return Credential(
        id=CredentialId("vertex:apikey:1"),
        provider="vertex",
        kind=CredentialKind.KEY,
        api_key=Secret("AQ.key"),
        **fields,
    )


def prepared(credential: Credential, body=BODY, *, action=Action.GENERATE, stream=False):
    [contract] = PROVIDER.contracts_for(credential, "gemini-2.5-pro", action)
    assert contract.supports(action)
    token = Token(value=Secret("ya29.a")) if contract.needs is TokenSlot.ACCOUNT else None
    return contract.prepare(
        Call(
            credential=credential,
            token=token,
            model="gemini-2.5-pro",
            action=action,
            body=json.dumps(body).encode(),
            stream=stream,
        )
    )


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
    ],
)
def test_an_account_asks_its_region(location: str, host: str) -> None:
    assert host_of(location) == host
    call = prepared(account(location=location))
    assert call.url == f"https://{host}/v1/projects/my-project/locations/{location}/{MODEL}:generateContent"
    assert dict(call.headers) == {"Content-Type": "application/json", "Authorization": "Bearer ya29.a"}


@pytest.mark.parametrize(
    ("action", "stream", "method"),
    [
        (Action.GENERATE, True, "streamGenerateContent?alt=sse"),
        (Action.IMAGE, False, "generateContent"),
        (Action.COUNT, False, "countTokens"),
    ],
)
def test_methods(action: Action, stream: bool, method: str) -> None:
    call = prepared(account(), action=action, stream=stream)
    assert call.url.endswith(f"{MODEL}:{method}")
    assert call.stream is stream


def test_a_key_names_no_project() -> None:
    call = prepared(key())
    assert call.url == f"https://aiplatform.googleapis.com/v1/{MODEL}:generateContent"
    assert dict(call.headers) == {"Content-Type": "application/json", "x-goog-api-key": "AQ.key"}


def test_another_server_may_stand_in() -> None:
    call = prepared(key(base_url="https://vertex.example.com/api/"))
    assert call.url == f"https://vertex.example.com/api/v1/{MODEL}:generateContent"
    call = prepared(account(base_url="https://proxy.example.org"))
    assert call.url.startswith("https://proxy.example.org/v1/projects/my-project/")


def test_a_project_cannot_lead_elsewhere() -> None:
    call = prepared(account(project_id="../x/y", location="evil.example.org/"))
    assert "/projects/..%2Fx%2Fy/" in call.url
    assert call.url.startswith("https://evil.example.org%2F-aiplatform.googleapis.com/")


def test_what_the_api_does_not_know_is_left_out() -> None:
    assert json.loads(prepared(account(), {**BODY, "session_id": "s", "model": "m"}).body) == BODY


def test_a_count_has_no_envelope_and_no_settings() -> None:
    system = {"parts": [{"text": "be brief"}]}
    inner = {
        **BODY,
        "model": "models/m",
        "systemInstruction": system,
        "generationConfig": {"topK": 1},
        "safetySettings": [],
    }
    call = prepared(account(), {"generateContentRequest": inner}, action=Action.COUNT)
    assert json.loads(call.body) == {**BODY, "systemInstruction": system}


def test_the_owners_headers_have_the_last_word() -> None:
    call = prepared(key(headers={"x-goog-api-key": "other", "X-Mine": "1"}))
    assert call.headers.get("x-goog-api-key") == "other"
    assert call.headers.get("x-mine") == "1"


@pytest.mark.parametrize("action", [Action.EMBED, Action.COMPACT, Action.FILL_IN_THE_MIDDLE])
def test_what_it_does_not_do(action: Action) -> None:
    [contract] = PROVIDER.contracts_for(account(), "gemini-2.5-pro", action)
    assert not contract.supports(action)


@pytest.mark.parametrize(
    ("status", "reason", "verdict"),
    [
        (401, "", (Kind.AUTHENTICATION, Scope.CREDENTIAL)),
        (403, "SERVICE_DISABLED", (Kind.PERMISSION, Scope.CREDENTIAL)),
        (403, "IAM_PERMISSION_DENIED", None),
        (429, "", None),
        (503, "", None),
    ],
)
def test_refusals(status: int, reason: str, verdict: tuple[Kind, Scope] | None) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}
    body = json.dumps({"error": {"code": status, "message": "no", "details": [info]}}).encode()
    [contract] = PROVIDER.contracts_for(account(), "gemini-2.5-pro", Action.GENERATE)
    failure = contract.read_failure(status, Headers(), body)
    assert (failure and (failure.kind, failure.scope)) == verdict


def test_the_bundled_models() -> None:
    models = {info.id for info in PROVIDER.static_models(account())}
    assert {"gemini-2.5-pro", "gemini-3.1-pro-preview", "gemini-2.5-flash-image"} <= models


def test_an_entry_declares_its_own() -> None:
    entry = key(models=(ModelEntry(name="gemini-2.5-pro", alias="pro"),))
    assert [info.id for info in PROVIDER.static_models(entry)] == ["gemini-2.5-pro"]


def test_models_that_only_draw_cannot_be_asked_here() -> None:
    """Imagen has a method and bodies of its own."""
    assert PROVIDER.contracts_for(account(), "imagen-4.0-generate-001", Action.IMAGE) == ()
    assert not [info for info in PROVIDER.static_models(account()) if info.id.startswith("imagen")]
