"""Access tokens for signed assertions."""

import json
from base64 import urlsafe_b64decode

import pytest
from attrs import evolve

from cliproxy.errors import LoginError
from cliproxy.login.assertion import GRANT_TYPE, AssertionLogin, assertion_of, log_in_by_assertion
from cliproxy.login.steps import Now, Sign
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.7
LOGIN = AssertionLogin(
    vendor="Vendor",
    token_url="https://vendor.example/token",
    issuer="robot@example.org",
    scope="everything",
    key=Secret("k3y"),
    key_id="id",
)


def decoded(message: bytes) -> list[dict[str, object]]:
    return [json.loads(urlsafe_b64decode(part + b"==")) for part in message.split(b".")]


def test_the_assertion_says_who_wants_what_for_how_long() -> None:
    head, claims = decoded(assertion_of(LOGIN, NOW))
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "id"}
    assert claims == {
        "iss": "robot@example.org",
        "scope": "everything",
        "aud": "https://vendor.example/token",
        "iat": 1_790_000_000,
        "exp": 1_790_003_600,
    }


def test_a_key_without_a_name_is_not_named() -> None:
    head, _ = decoded(assertion_of(evolve(LOGIN, key_id=""), NOW))
    assert "kid" not in head


def script(status: int, body: object) -> list[Beat]:
    message = assertion_of(LOGIN, NOW)
    form = {"grant_type": GRANT_TYPE, "assertion": f"{message.decode()}.__79"}
    return [
        Beat(Now(), NOW),
        Beat(Sign(key=Secret("k3y"), message=message), b"\xff\xfe\xfd"),
        Beat(Sends(method="POST", url=LOGIN.token_url, form=form), answer(status, body)),
    ]


def test_it_is_changed_into_a_token() -> None:
    tokens = {"access_token": "a", "expires_in": 3599}
    assert play(log_in_by_assertion(LOGIN), script(200, tokens)) == (tokens, NOW)


def test_a_refusal_is_told() -> None:
    refusal = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    with pytest.raises(LoginError, match="Invalid JWT Signature") as caught:
        play(log_in_by_assertion(LOGIN), script(400, refusal))
    assert caught.value.code == "invalid_grant"


def test_a_key_that_cannot_sign_ends_it() -> None:
    error = LoginError("the private key is damaged", code="bad_key")
    begin, signs, _ = script(200, {})
    with pytest.raises(LoginError, match="damaged"):
        play(log_in_by_assertion(LOGIN), [begin, evolve(signs, reply=error)])
