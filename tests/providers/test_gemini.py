"""The Gemini provider: prepared requests, refusals, the record."""

import json

import pytest

from cliproxy.config.keys import keys_of
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.gemini import DIALECT
from cliproxy.errors import Kind, Scope
from cliproxy.providers.base import Call
from cliproxy.providers.gemini import PROVIDER, address_of
from cliproxy.wire.http import Headers
from cliproxy.wire.secret import Secret

HOST = "https://generativelanguage.googleapis.com"
BODY = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def credential(**fields) -> Credential:
    return Credential(
        **{
            "id": CredentialId("gemini:apikey:1"),
            "provider": "gemini",
            "kind": CredentialKind.KEY,
            "api_key": Secret("AIza-secret"),
            **fields,
        }
    )


def prepared(
    body=BODY, *, action=Action.GENERATE, stream=False, model="gemini-2.5-pro", client=None, **fields
):
    account = credential(**fields)
    [contract] = PROVIDER.contracts_for(account, model, action)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return contract.prepare(
        Call(
            credential=account,
            token=None,
            model=model,
            action=action,
            body=raw,
            stream=stream,
            client_headers=client or {},
        )
    )


@pytest.mark.parametrize(
    ("action", "stream", "url"),
    [
        (Action.GENERATE, False, "/v1beta/models/gemini-2.5-pro:generateContent"),
        (Action.GENERATE, True, "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        (Action.COUNT, False, "/v1beta/models/gemini-2.5-pro:countTokens"),
    ],
)
def test_the_request(action, stream, url):
    call = prepared(action=action, stream=stream)
    assert (call.method, call.url, call.stream) == ("POST", HOST + url, stream)
    assert dict(call.headers) == {"Content-Type": "application/json", "x-goog-api-key": "AIza-secret"}
    assert json.loads(call.body) == BODY


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ({"model": "models/m", "content": {"parts": []}}, "embedContent"),
        ({"requests": [{"model": "models/m"}]}, "batchEmbedContents"),
    ],
)
def test_embeddings_have_a_method_each(body, method):
    call = prepared(body, action=Action.EMBED, model="gemini-embedding-001")
    assert call.url == f"{HOST}/v1beta/models/gemini-embedding-001:{method}"
    assert json.loads(call.body) == body, "the model stands in these bodies by right"


@pytest.mark.parametrize(
    ("stream", "method"), [(False, "generateContent"), (True, "streamGenerateContent?alt=sse")]
)
def test_a_picture_is_generated_content(stream, method):
    call = prepared(action=Action.IMAGE, model="gemini-2.5-flash-image", stream=stream)
    assert call.url == f"{HOST}/v1beta/models/gemini-2.5-flash-image:{method}"
    assert json.loads(call.body) == BODY


def test_the_key_is_shown_nowhere():
    call = prepared(stream=True)
    assert "AIza" not in repr(call)
    assert "AIza" not in call.url


@pytest.mark.parametrize(
    ("base", "model", "url"),
    [
        ("", "gemini-3-pro", f"{HOST}/v1beta/models/gemini-3-pro"),
        ("", "models/gemini-3-pro", f"{HOST}/v1beta/models/gemini-3-pro"),
        ("", "tunedModels/mine", f"{HOST}/v1beta/tunedModels/mine"),
        ("", "team/name x?#", f"{HOST}/v1beta/models/team/name%20x%3F%23"),
        ("https://relay.example/", "m", "https://relay.example/v1beta/models/m"),
        ("https://relay.example/api/v1", "m", "https://relay.example/api/v1/models/m"),
        ("https://relay.example/v1beta/", "m", "https://relay.example/v1beta/models/m"),
    ],
)
def test_addresses(base, model, url):
    assert address_of(base, model) == url


def test_the_owners_headers_have_the_last_word():
    headers = {
        "X-Team": "$X-Client-Team",
        "X-Absent": "$X-Nothing",
        "content-type": "application/json; charset=utf-8",
        "X-Plain": " plain ",
        "X-Empty": "",
    }
    call = prepared(headers=headers, client={"x-client-team": "red"})
    assert dict(call.headers) == {
        "x-goog-api-key": "AIza-secret",
        "X-Team": "red",
        "content-type": "application/json; charset=utf-8",
        "X-Plain": "plain",
    }


def test_a_server_without_keys():
    assert "x-goog-api-key" not in prepared(api_key=None, base_url="http://127.0.0.1:1").headers


def test_bodies_are_sent_as_they_are_but_for_strays():
    raw = b'{ "contents" : [{"role":"model","parts":[]}],"a":1.0 }'
    assert prepared(raw).body == raw
    strays = b'{"model":"x","contents":[],"session_id":"s","tools":[{"model":1}]}'
    assert json.loads(prepared(strays).body) == {"contents": [], "tools": [{"model": 1}]}


def test_the_model_that_knows_no_proportions_gets_a_canvas():
    asked = {**BODY, "generationConfig": {"imageConfig": {"aspectRatio": "16:9"}}}
    assert json.loads(prepared(asked).body) == asked
    sent = json.loads(prepared(asked, model="gemini-2.5-flash-image-preview").body)
    assert sent["generationConfig"] == {"responseModalities": ["IMAGE", "TEXT"]}
    assert [list(part) for part in sent["contents"][0]["parts"]] == [["text"], ["inlineData"], ["text"]]


FULL = {
    **BODY,
    "model": "models/other",
    "systemInstruction": {"parts": [{"text": "S"}]},
    "tools": [{"googleSearch": {}}],
    "toolConfig": {},
    "generationConfig": {"topK": 1},
    "safetySettings": [],
}


@pytest.mark.parametrize(
    ("body", "base", "sent"),
    [
        (BODY, "", BODY),
        ({**BODY, "generationConfig": {}, "model": "m"}, "", BODY),
        (
            FULL,
            "",
            {
                "generateContentRequest": {
                    "model": "models/gemini-2.5-pro",
                    **BODY,
                    "systemInstruction": FULL["systemInstruction"],
                    "tools": FULL["tools"],
                    "toolConfig": {},
                }
            },
        ),
        (FULL, "https://relay.example", {**BODY, "systemInstruction": FULL["systemInstruction"]}),
        ({"generateContentRequest": {"model": "models/x", **BODY}}, "", BODY),
        (
            {"generate_content_request": {**BODY, "cachedContent": "c"}},
            "https://relay.example",
            {**BODY, "cachedContent": "c"},
        ),
    ],
)
def test_what_is_counted(body, base, sent):
    assert json.loads(prepared(body, action=Action.COUNT, base_url=base).body) == sent


def info(reason, **metadata):
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}


def quota(*ids):
    violations = [{"quotaId": quota_id} for quota_id in ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def retry(delay):
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def failure(status, word, *details, message="m"):
    body = {"error": {"code": status, "message": message, "status": word, "details": list(details)}}
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    return contract.read_failure(status, Headers(), json.dumps(body).encode())


DAILY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


@pytest.mark.parametrize(
    ("answer", "kind", "scope", "delay"),
    [
        ((400, "INVALID_ARGUMENT", info("API_KEY_INVALID")), Kind.AUTHENTICATION, Scope.CREDENTIAL, None),
        ((401, "UNAUTHENTICATED"), Kind.AUTHENTICATION, Scope.CREDENTIAL, None),
        ((403, "PERMISSION_DENIED", info("SERVICE_DISABLED")), Kind.PERMISSION, Scope.CREDENTIAL, None),
        ((400, "FAILED_PRECONDITION"), Kind.PERMISSION, Scope.CREDENTIAL, None),
        ((429, "RESOURCE_EXHAUSTED", quota(DAILY), retry("34s")), Kind.QUOTA, Scope.MODEL, None),
        ((429, "RESOURCE_EXHAUSTED", quota(DAILY), retry("2h")), Kind.QUOTA, Scope.MODEL, 7200.0),
        ((429, "RESOURCE_EXHAUSTED", quota(DAILY, "RequestsPerDay")), Kind.QUOTA, Scope.CREDENTIAL, None),
    ],
)
def test_refusals_with_a_meaning_of_their_own(answer, kind, scope, delay):
    read = failure(*answer)
    assert (read.kind, read.scope, read.retry_after, read.status) == (kind, scope, delay, answer[0])
    assert read.message == "m"


def test_a_key_that_was_blocked():
    read = failure(403, "PERMISSION_DENIED", message="Your API key was reported as leaked.")
    assert (read.kind, read.scope, read.code) == (Kind.PERMISSION, Scope.CREDENTIAL, "PERMISSION_DENIED")
    assert failure(401, "", message="").message == "the upstream answered with status 401"


@pytest.mark.parametrize(
    "answer",
    [
        (400, "INVALID_ARGUMENT"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerMinutePerProject"), retry("34s")),
        (503, "UNAVAILABLE"),
    ],
)
def test_the_rest_is_judged_by_the_general_rules(answer):
    assert failure(*answer) is None


def test_the_delay_of_a_short_limit_is_known_to_the_general_rules():
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [retry("34s")]}}
    assert DIALECT.decode_error(429, body).retry_after == 34.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]"])
def test_a_body_that_says_nothing(body):
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    assert contract.read_failure(500, Headers(), body) is None


def test_the_contract():
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    assert (contract.id, contract.dialect, contract.framing) == ("api-key", "gemini", Framing.SSE)
    assert contract.needs is None
    assert not contract.streams_only
    assert {action for action in Action if contract.supports(action)} == {
        Action.GENERATE,
        Action.COUNT,
        Action.EMBED,
        Action.IMAGE,
    }


def test_the_record():
    assert PROVIDER.key == "gemini"
    assert [section.key for section in PROVIDER.sections] == ["gemini-api-key"]
    assert PROVIDER.sections[0].key in keys_of(Config)
    assert PROVIDER.api_hosts == ("generativelanguage.googleapis.com",)
    assert PROVIDER.quirks == ()


def test_models_of_the_entry_replace_the_known_ones():
    known = PROVIDER.static_models(credential())
    assert {model.family for model in known} == {"gemini"}
    declared = PROVIDER.static_models(
        credential(models=(ModelEntry(name="gemini-2.5-pro", alias="g"), ModelEntry(name="x")))
    )
    assert [model.id for model in declared] == ["gemini-2.5-pro", "x"]
    assert declared[0].thinking is not None


def test_the_refusal_of_a_stream_is_read_as_well():
    """It is a list with one error."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    body = [{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": [info]}}]
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    failure = contract.read_failure(400, Headers(), json.dumps(body).encode())
    assert (failure.kind, failure.scope) == (Kind.AUTHENTICATION, Scope.CREDENTIAL)
