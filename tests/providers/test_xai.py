"""xAI: where to log in, the login, renewal, addresses and headers, refusals."""

import json
from collections.abc import Mapping

import pytest
from attrs import evolve

from cliproxy.credentials.files import codec_table, decode_credential, merge_tokens
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.errors import Kind, LoginError, Scope
from cliproxy.login.device import GRANT_TYPE
from cliproxy.login.steps import Now, Pause, Persist, Show, Step
from cliproxy.providers.base import Call, LoginInputs, LoginResult
from cliproxy.providers.xai import (
    API,
    CLI_HEADERS,
    CLI_PROXY,
    CLIENT_ID,
    DISCOVERY,
    PROVIDER,
    SCOPE,
    base_of,
    conversation_of,
    is_vendors,
    read_failure,
    renew,
)
from cliproxy.wire.http import Headers, HttpCall
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret
from emulators.oauth import unsigned_jwt
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
DEVICE_URL = "https://auth.x.ai/oauth2/device/code"
TOKEN_URL = "https://auth.x.ai/oauth2/token"
FOUND: JsonObject = {"device_authorization_endpoint": DEVICE_URL, "token_endpoint": TOKEN_URL}
CODE: JsonObject = {
    "device_code": "d",
    "user_code": "ABCD",
    "verification_uri": "https://accounts.x.ai/device",
    "expires_in": 1800,
    "interval": 5,
}
TOKENS: JsonObject = {
    "access_token": "acc3ss",
    "refresh_token": "r3fresh",
    "id_token": unsigned_jwt({"sub": "user-1", "email": "me@example.org"}),
    "token_type": "Bearer",
    "expires_in": 21600,
}
FILE = {
    "type": "xai",
    "access_token": "acc3ss",
    "refresh_token": "r",
    "id_token": "x",
    "token_type": "Bearer",
    "expires_in": 21600,
    "expired": "2026-09-21T20:13:20Z",
    "last_refresh": "2026-09-21T14:13:20Z",
    "email": "me@example.org",
    "sub": "user-1",
    "base_url": "https://api.x.ai/v1",
    "token_endpoint": TOKEN_URL,
    "auth_kind": "oauth",
    "of_another_program": True,
}
"""A credential file as the reference server writes it."""

DISCOVERS = Sends(method="GET", url=DISCOVERY)
ASKS = Sends(method="POST", url=DEVICE_URL, form={"client_id": CLIENT_ID, "scope": SCOPE})
POLLS = Sends(
    method="POST",
    url=TOKEN_URL,
    form={"grant_type": GRANT_TYPE, "client_id": CLIENT_ID, "device_code": "d"},
)
RENEWS = Sends(
    method="POST",
    url=TOKEN_URL,
    form={"grant_type": "refresh_token", "refresh_token": "r", "client_id": CLIENT_ID},
)
OPENING = [
    Beat(DISCOVERS, answer(200, FOUND)),
    Beat(ASKS, answer(200, CODE)),
    Beat(Now(), NOW),
    Beat(Show),
    Beat(Pause(5.0)),
]


def log_in(*script: Beat) -> LoginResult:
    [login] = PROVIDER.logins
    inputs = LoginInputs(random_token=lambda: "v" * 43, now=lambda: NOW)
    return play(login.flow(inputs), [*OPENING, *script])


def test_a_login_takes_the_name_from_the_id_token() -> None:
    result = log_in(Beat(POLLS, answer(200, TOKENS)))
    assert result.file_name == "xai-me@example.org.json"
    assert result.data == {
        "type": "xai",
        "access_token": "acc3ss",
        "refresh_token": "r3fresh",
        "id_token": TOKENS["id_token"],
        "token_type": "Bearer",
        "expires_in": 21600,
        "expired": "2026-09-21T20:13:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
        "email": "me@example.org",
        "sub": "user-1",
        "base_url": "https://api.x.ai/v1",
        "token_endpoint": TOKEN_URL,
        "auth_kind": "oauth",
    }


@pytest.mark.parametrize(
    ("id_token", "name"),
    [
        (unsigned_jwt({"sub": "user-1"}), "xai-user-1.json"),
        ("", "xai-1790000000000.json"),
        ("odd", "xai-1790000000000.json"),
    ],
)
def test_an_owner_without_an_address(id_token: str, name: str) -> None:
    tokens: JsonObject = {**TOKENS, "id_token": id_token}
    assert log_in(Beat(POLLS, answer(200, tokens))).file_name == name


def test_a_login_waits_slows_down_and_survives_a_broken_connection() -> None:
    result = log_in(
        Beat(POLLS, answer(400, {"error": "authorization_pending"})),
        Beat(Now(), NOW),
        Beat(Pause(5.0)),
        Beat(POLLS, answer(400, {"error": "slow_down"})),
        Beat(Now(), NOW),
        Beat(Pause(10.0)),
        Beat(POLLS, LoginError("no connection", code="unreachable")),
        Beat(Now(), NOW),
        Beat(Pause(10.0)),
        Beat(POLLS, answer(200, TOKENS)),
    )
    assert result.label == "me@example.org"


@pytest.mark.parametrize(
    ("error", "code"), [("access_denied", "denied"), ("expired_token", "timeout"), ("odd", "refused")]
)
def test_what_ends_a_login(error: str, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(Beat(POLLS, answer(400, {"error": error})))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {**FOUND, "token_endpoint": "https://evil.example.org/token"}, "bad_answer"),
        (200, {**FOUND, "device_authorization_endpoint": "http://auth.x.ai/code"}, "bad_answer"),
        (200, {}, "bad_answer"),
        (200, b"<html>", "bad_answer"),
        (503, FOUND, "unreachable"),
    ],
)
def test_only_the_vendors_own_places_are_believed(status: int, body: "JsonValue | bytes", code: str) -> None:
    inputs = LoginInputs(random_token=lambda: "v" * 43, now=lambda: NOW)
    with pytest.raises(LoginError, match="where to log in") as caught:
        play(PROVIDER.logins[0].flow(inputs), [Beat(DISCOVERS, answer(status, body))])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("url", "is_believed"),
    [
        ("https://auth.x.ai/token", True),
        ("https://x.ai/token", True),
        ("https://AUTH.X.AI/token", True),
        ("http://auth.x.ai/token", False),
        ("https://auth.x.ai.example.org/token", False),
        ("https://evilx.ai/token", False),
        ("https://auth.x.ai@evil.example.org/", False),
        ("https://user@auth.x.ai/", False),
        ("https://[x.ai/", False),
        ("", False),
    ],
)
def test_places_of_the_vendor(url: str, is_believed: bool) -> None:
    assert is_vendors(url) is is_believed


# --- tokens ---


def credential(kind: CredentialKind = CredentialKind.ACCOUNT, **data: JsonValue) -> Credential:
    return Credential(id=CredentialId("xai-me.json"), provider="xai", kind=kind, data=data)


def test_a_file_of_the_reference_server_is_read_and_loses_nothing() -> None:
    assert PROVIDER.codec is not None
    read = decode_credential("xai-me.json", json.dumps(FILE).encode(), codec_table([PROVIDER.codec]))
    assert read.warnings == ()
    assert read.credential.label == "me@example.org"
    token = PROVIDER.slots[TokenSlot.ACCOUNT].initial(read.credential)
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("acc3ss", NOW + 21600)
    assert merge_tokens(read.credential.data, {"access_token": "new"})["of_another_program"] is True


def test_a_key_is_a_token_without_an_end() -> None:
    key = evolve(credential(CredentialKind.KEY), api_key=Secret("xai-1"))
    token = PROVIDER.slots[TokenSlot.ACCOUNT].initial(key)
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("xai-1", None)
    with pytest.raises(LoginError) as caught:
        play(renew(key, {}), [])
    assert caught.value.code == "not_renewable"


def saves(step: Step) -> None:
    assert isinstance(step, Persist)
    assert step.patch["refresh_token"] == "r3fresh"
    assert step.patch["email"] == "me@example.org"


@pytest.mark.parametrize(
    ("address", "first"),
    [
        (TOKEN_URL, []),
        ("", [Beat(DISCOVERS, answer(200, FOUND))]),
        ("https://evil.example.org/token", [Beat(DISCOVERS, answer(200, FOUND))]),
    ],
)
def test_a_renewal_goes_to_the_vendor_whatever_the_file_says(address: str, first: list[Beat]) -> None:
    script = [*first, Beat(RENEWS, answer(200, TOKENS)), Beat(Now(), NOW), Beat(saves)]
    token = play(renew(credential(refresh_token="r", token_endpoint=address), {}), script)
    assert token.expires_at == NOW + 21600


def test_an_unknown_owner_erases_no_known_one() -> None:
    def patches(step: Step) -> None:
        assert isinstance(step, Persist)
        assert merge_tokens(FILE, step.patch)["email"] == "me@example.org"

    tokens = {key: value for key, value in TOKENS.items() if key != "id_token"}
    script = [Beat(RENEWS, answer(200, tokens)), Beat(Now(), NOW), Beat(patches)]
    play(renew(credential(**FILE), {}), script)


def test_a_login_that_has_ended_needs_the_owner() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(**FILE), {}), [Beat(RENEWS, answer(400, {"error": "invalid_grant"}))])
    assert caught.value.code == "invalid_grant"


# --- requests ---


def call(used: Credential, body: Mapping[str, JsonValue] | None = None, **client: str) -> Call:
    return Call(
        credential=used,
        token=Token(value=Secret("acc3ss")),
        model="grok-4.5",
        action=Action.GENERATE,
        body=json.dumps({"model": "grok-4.5", **(body or {})}).encode(),
        stream=True,
        client_headers={name.replace("_", "-"): value for name, value in client.items()},
    )


def prepared(wanted: Call) -> HttpCall:
    [contract] = PROVIDER.contracts_for(wanted.credential, wanted.model, wanted.action)
    assert contract.dialect == "xai"
    made = contract.prepare(wanted)
    assert isinstance(made, HttpCall)
    return made


@pytest.mark.parametrize(
    ("kind", "own", "data", "base"),
    [
        (CredentialKind.KEY, "", {}, API),
        (CredentialKind.KEY, "https://mine.example.org/v1", {}, "https://mine.example.org/v1"),
        (CredentialKind.ACCOUNT, "", {}, CLI_PROXY),
        (CredentialKind.ACCOUNT, API, {}, CLI_PROXY),
        (CredentialKind.ACCOUNT, API, {"using_api": True}, API),
        (CredentialKind.ACCOUNT, "", {"using_api": True}, API),
        (CredentialKind.ACCOUNT, "https://mine.example.org/v1", {}, "https://mine.example.org/v1"),
    ],
)
def test_where_a_credential_is_used(kind: CredentialKind, own: str, data: JsonObject, base: str) -> None:
    used = evolve(credential(kind, **data), base_url=own)
    assert base_of(used) == base
    made = prepared(call(used))
    assert made.url == f"{base}/responses"
    assert made.headers.get("authorization") == "Bearer acc3ss"
    assert ("x-xai-token-auth" in made.headers) is (base == CLI_PROXY)


def test_the_owner_may_say_something_else_to_the_proxy() -> None:
    own = evolve(credential(), headers={"x-grok-client-version": "9"})
    headers = prepared(call(own)).headers
    assert headers.get("x-grok-client-version") == "9"
    assert headers.get("x-grok-client-identifier") == CLI_HEADERS["x-grok-client-identifier"]


@pytest.mark.parametrize(
    ("body", "headers", "name"),
    [
        ({}, {}, ""),
        ({"prompt_cache_key": "abc"}, {}, "abc"),
        ({"prompt_cache_key": "abc"}, {"session_id": "s"}, "s"),
        ({}, {"x_grok_conv_id": "conv"}, "conv"),
        ({"prompt_cache_key": "a\nb"}, {}, ""),
        ({"prompt_cache_key": "é"}, {}, ""),
        ({"prompt_cache_key": "a" * 257}, {}, ""),
        ({"input": 'the word "prompt_cache_key"'}, {}, ""),
    ],
)
def test_what_the_conversation_is_called(body: JsonObject, headers: dict[str, str], name: str) -> None:
    wanted = call(credential(), body, **headers)
    assert conversation_of(wanted) == name
    assert prepared(wanted).headers.get("x-grok-conv-id") == name


def refusal(code: str) -> bytes:
    return json.dumps({"code": code, "error": "no"}).encode()


def test_a_refused_token_is_no_lack_of_permission() -> None:
    failure = read_failure(403, Headers(), refusal("unauthenticated:bad-credentials"))
    assert failure is not None
    assert (failure.kind, failure.scope, failure.status) == (Kind.AUTHENTICATION, Scope.CREDENTIAL, 401)


def test_used_up_free_usage_comes_back_tomorrow() -> None:
    failure = read_failure(429, Headers(), refusal("subscription:free-usage-exhausted"))
    assert failure is not None
    assert (failure.kind, failure.scope, failure.retry_after) == (Kind.QUOTA, Scope.CREDENTIAL, 86400.0)


@pytest.mark.parametrize(
    ("status", "body"), [(403, refusal("denied")), (429, refusal("slow")), (500, b"\xff")]
)
def test_the_rest_is_left_to_the_general_rules(status: int, body: bytes) -> None:
    assert read_failure(status, Headers(), body) is None


def test_models_are_the_bundled_ones_and_those_of_an_entry() -> None:
    assert "grok-4.5" in {model.id for model in PROVIDER.static_models(credential())}
    assert [section.key for section in PROVIDER.sections] == ["xai-api-key"]
