import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.errors import LoginError
from cliproxy.providers.gitlab.instance import (
    account_error,
    api_call,
    duo_error,
    instance_of,
    missing_scope,
    normal_url,
    reason_of,
    setting_of,
    text_map,
)
from cliproxy.wire.jsontext import loads
from cliproxy.wire.secret import Secret
from support.playbook import answer

HOST = "https://gitlab.example.com"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "https://gitlab.com"),
        ("  gitlab.example.com/ ", HOST),
        ("gitlab.example.com:8443", "https://gitlab.example.com:8443"),
        ("http://intranet/gitlab/", "http://intranet/gitlab"),
        ("https://gitlab.example.com/api/v4/", HOST),
        ("https://example.com/gitlab/api/v4", "https://example.com/gitlab"),
    ],
)
def test_addresses_as_people_write_them(given: str, expected: str) -> None:
    assert normal_url(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "ftp://x",
        "https://",
        "https://x/?a=b",
        "https://x/#top",
        "https://x:port",
        "https://[::1",
        "not an address",
        "https://me:hunter2@gitlab.example.com",
    ],
)
def test_what_is_no_address_of_an_instance(given: str) -> None:
    with pytest.raises(LoginError) as caught:
        normal_url(given)
    assert caught.value.code == "unknown_instance"
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("data", "options", "value"),
    [
        ({}, {}, ""),
        ({"rest_fallback": " never "}, {}, "never"),
        ({"rest-fallback": "never"}, {}, "never"),
        ({}, {"rest-fallback": "never"}, "never"),
        ({"rest_fallback": ""}, {"rest-fallback": "always"}, "always"),
        ({"rest_fallback": 5}, {}, ""),
    ],
)
def test_settings_of_files_and_of_the_configuration(data: dict, options: dict, value: str) -> None:
    credential = Credential(
        id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data=data, options=options
    )
    assert setting_of(credential, "rest_fallback") == value


def test_the_instance_of_a_credential() -> None:
    plain = Credential(id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT)
    assert instance_of(plain) == "https://gitlab.com"
    filed = Credential(
        id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data={"base_url": f"{HOST}/"}
    )
    assert instance_of(filed) == HOST


def test_calls_carry_the_token_as_a_bearer_and_a_body_only_when_there_is_one() -> None:
    bare = api_call(HOST, "/user", Secret("t"), method="GET")
    assert (bare.method, bare.url, bare.body) == ("GET", f"{HOST}/api/v4/user", b"")
    assert bare.headers.get("authorization") == "Bearer t"
    assert "content-type" not in bare.headers
    full = api_call(f"{HOST}/gitlab", "/x", Secret("t"), body={"a": 1})
    assert full.url == f"{HOST}/gitlab/api/v4/x"
    assert loads(full.body) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "403 Forbidden"}, "403 Forbidden"),
        ({"message": {"name": ["is missing"]}}, '{"name":["is missing"]}'),
        ({"error": "invalid_token", "error_description": "Token\nis expired."}, "Token is expired."),
        (b"<html>", "status 418"),
    ],
)
def test_what_a_refusal_says(body: object, reason: str) -> None:
    assert reason_of(answer(418, body)) == reason


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(401, {"error": "invalid_token", "error_description": "Token is expired."}), "expired"),
        (answer(403, {"error": "insufficient_scope", "error_description": "more"}), "missing_scope"),
        (answer(403, {"message": "403 Forbidden - blocked"}), "denied"),
        (answer(404, b"<html>", Content_Type="text/html"), "unknown_instance"),
        (answer(200, b"<html>"), "unknown_instance"),
        (answer(302, b"", location="https://sso.example.com/x"), "unknown_instance"),
        (answer(429, {"message": "slow"}, Retry_After="7"), "rate_limited"),
        (answer(503, {}), "unreachable"),
    ],
)
def test_what_a_refusal_of_the_account_means(reply, code: str) -> None:
    error = account_error(reply, HOST)
    assert error.code == code
    assert HOST in error.message


def test_a_redirecting_address_is_named() -> None:
    error = account_error(answer(302, b"", location="https://sso.example.com/x"), HOST)
    assert "redirects to sso.example.com" in error.message


@pytest.mark.parametrize(
    ("reply", "code", "pause"),
    [
        (answer(401, {"message": "401 Unauthorized"}), "token_rejected", None),
        (answer(403, {"message": "403 Forbidden"}), "no_seat", 1500.0),
        (answer(403, {"message": "403 Forbidden - Direct connections are disabled"}), "disabled", 1500.0),
        (answer(403, {"error": "insufficient_scope"}), "missing_scope", None),
        (answer(404, {"error": "404 Not Found"}), "not_available", 1500.0),
        (answer(429, {"message": "slow"}, Retry_After="120"), "rate_limited", 120.0),
        (answer(429, {"message": "slow"}), "rate_limited", 60.0),
        (answer(502, b"<html>"), "unavailable", 60.0),
    ],
)
def test_what_a_refusal_of_duo_means(reply, code: str, pause: float | None) -> None:
    error = duo_error(reply, HOST, "the gateway")
    assert (error.code, error.retry_after) == (code, pause)


def test_a_missing_scope_says_what_the_token_has_and_needs() -> None:
    error = missing_scope(HOST, has="read_user")
    assert "lacks the scope api" in error.message
    assert "it has read_user" in error.message
    assert f"{HOST}/-/user_settings/personal_access_tokens?scopes=api" in error.hint


def test_header_maps_keep_only_filled_texts() -> None:
    assert text_map({" A ": " x ", "B": "", "": "y", "C": 5, "D": None}) == {"A": "x"}
