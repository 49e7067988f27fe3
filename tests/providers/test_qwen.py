"""Qwen: login, renewal, prepared requests, refusals."""

import json

import pytest
from attrs import evolve

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, TokenSlot
from cliproxy.errors import Kind, LoginError, Scope
from cliproxy.login.device import GRANT_TYPE
from cliproxy.login.pkce import from_random
from cliproxy.login.steps import Now, Pause, Persist, Show
from cliproxy.providers.base import LoginInputs
from cliproxy.providers.qwen import (
    CLIENT_ID,
    NAME,
    PROVIDER,
    base_from,
    initial,
    read_failure,
    renew,
    take_over,
)
from cliproxy.wire.http import Headers
from cliproxy.wire.jsontext import JsonObject
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
VERIFIER = "v" * 43
TOKENS: JsonObject = {
    "access_token": "acc3ss",
    "refresh_token": "r3fresh",
    "token_type": "Bearer",
    "expires_in": 21600,
    "resource_url": "portal.qwen.ai",
}


def inputs(**options: str) -> LoginInputs:
    return LoginInputs(options=options, random_token=lambda: VERIFIER, now=lambda: NOW)


def conversation() -> list[Beat]:
    return [
        Beat(
            Sends(
                method="POST",
                url="https://chat.qwen.ai/api/v1/oauth2/device/code",
                form={
                    "client_id": CLIENT_ID,
                    "scope": "openid profile email model.completion",
                    "code_challenge": from_random(VERIFIER).challenge,
                    "code_challenge_method": "S256",
                },
            ),
            answer(
                200,
                {
                    "device_code": "d",
                    "user_code": "U",
                    "verification_uri": "https://chat.qwen.ai/authorize",
                    "expires_in": 900,
                    "interval": 5,
                },
            ),
        ),
        Beat(Now(), NOW),
        Beat(Show),
        Beat(Pause(5.0)),
        Beat(
            Sends(
                method="POST",
                url="https://chat.qwen.ai/api/v1/oauth2/token",
                form={
                    "grant_type": GRANT_TYPE,
                    "client_id": CLIENT_ID,
                    "device_code": "d",
                    "code_verifier": VERIFIER,
                },
            ),
            answer(200, TOKENS),
        ),
    ]


def test_the_owner_names_the_account() -> None:
    [login] = PROVIDER.logins
    result = play(login.flow(inputs()), [*conversation(), Beat(NAME, "me@example.org")])
    assert result.file_name == "qwen-me@example.org.json"
    assert result.data == {
        "type": "qwen",
        "access_token": "acc3ss",
        "refresh_token": "r3fresh",
        "token_type": "Bearer",
        "expired": "2026-09-21T20:13:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
        "resource_url": "portal.qwen.ai",
        "email": "me@example.org",
    }


def test_a_name_given_beforehand_is_not_asked_for() -> None:
    [login] = PROVIDER.logins
    assert play(login.flow(inputs(alias="work")), conversation()).label == "work"


def credential(**data: object) -> Credential:
    return Credential(
        id=CredentialId("qwen-me.json"), provider="qwen", kind=CredentialKind.ACCOUNT, data=data
    )


def test_the_token_knows_its_address() -> None:
    token = initial(credential(access_token="a", resource_url="portal.qwen.ai"))
    assert token is not None
    assert token.base_url == "https://portal.qwen.ai/v1"
    assert initial(credential(refresh_token="r")) is None


@pytest.mark.parametrize(
    ("resource", "base"),
    [
        ("", ""),
        ("portal.qwen.ai", "https://portal.qwen.ai/v1"),
        (
            "https://dashscope.aliyuncs.com/compatible-mode/v1/",
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
        ),
    ],
)
def test_what_the_vendor_calls_the_resource(resource: str, base: str) -> None:
    assert base_from(resource) == base


def test_a_renewal_takes_over_a_moved_address() -> None:
    sends = Sends(
        method="POST",
        url="https://chat.qwen.ai/api/v1/oauth2/token",
        form={"grant_type": "refresh_token", "refresh_token": "r", "client_id": CLIENT_ID},
    )

    def saves(step: object) -> None:
        assert isinstance(step, Persist)
        assert step.patch["refresh_token"] == "r3fresh"
        assert step.patch["resource_url"] == "moved.example.org"

    moved = {**TOKENS, "resource_url": "moved.example.org"}
    script = [Beat(sends, answer(200, moved)), Beat(Now(), NOW), Beat(saves)]
    token = play(renew(credential(refresh_token="r"), {}), script)
    assert token.base_url == "https://moved.example.org/v1"


def test_a_renewal_without_refresh_token_needs_the_owner() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(access_token="a"), {}), [])
    assert caught.value.code == "not_renewable"


def refusal(code: str = "", message: str = "") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    "body",
    [
        refusal("insufficient_quota"),
        refusal("quota_exceeded"),
        refusal("x", "Free allocated quota exceeded."),
    ],
)
def test_a_used_up_day_ends_at_midnight_in_china(status: int, body: bytes) -> None:
    failure = read_failure(status, Headers({"Date": "Mon, 21 Sep 2026 15:00:00 GMT"}), body)
    assert failure is not None
    assert (failure.kind, failure.scope, failure.status) == (Kind.QUOTA, Scope.CREDENTIAL, 429)
    assert failure.retry_after == 3600.0


def test_without_a_date_the_end_is_not_known() -> None:
    failure = read_failure(429, Headers(), refusal("insufficient_quota"))
    assert failure is not None
    assert failure.retry_after is None


@pytest.mark.parametrize(
    ("status", "body"), [(500, refusal("quota_exceeded")), (429, refusal("rate_limit")), (403, b"<html>")]
)
def test_the_rest_is_left_to_the_general_rules(status: int, body: bytes) -> None:
    assert read_failure(status, Headers(), body) is None


def test_the_service_knows_such_tokens_by_a_header() -> None:
    [contract] = PROVIDER.contracts_for(credential(), "qwen3-coder-plus", None)
    assert contract.needs is TokenSlot.ACCOUNT
    assert contract.headers_for(None)["X-Dashscope-Authtype"] == "qwen-oauth"


def test_models_are_the_bundled_ones() -> None:
    assert "qwen3-coder-plus" in {model.id for model in PROVIDER.static_models(credential())}


def test_the_command_lines_login_becomes_a_file() -> None:
    document = {
        "access_token": "a",
        "refresh_token": "r",
        "token_type": "Bearer",
        "resource_url": "portal.qwen.ai",
        "expiry_date": 1_790_021_600_000,
    }
    result = play(take_over(document, inputs()), [Beat(evolve(NAME, default="qwen-code"), "me")])
    assert result.file_name == "qwen-me.json"
    assert result.data == {
        "type": "qwen",
        "access_token": "a",
        "refresh_token": "r",
        "token_type": "Bearer",
        "resource_url": "portal.qwen.ai",
        "expired": "2026-09-21T20:13:20Z",
        "email": "me",
    }


def test_a_file_of_the_command_line_without_an_account() -> None:
    with pytest.raises(LoginError) as caught:
        play(take_over({"expiry_date": 1}, inputs()), [])
    assert caught.value.code == "nothing_to_import"
