"""A Claude account: the login as a conversation with the vendor, the renewal, the command line's file."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.errors import LoginError
from cliproxy.login.pkce import from_random
from cliproxy.login.steps import AwaitCallback, Now, OpenCallback, Persist, Show, Step
from cliproxy.providers.base import LoginInputs
from cliproxy.providers.claude.login import LOGIN, NAME, browser_login, renew, take_over
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
RANDOM = "r" * 43
REDIRECT = "http://localhost:54545/callback"
TOKEN_URL = "https://platform.claude.com/v1/oauth/token"
CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
TOKENS = {
    "access_token": "sk-ant-oat01-a",
    "refresh_token": "sk-ant-ort01-r",
    "token_type": "Bearer",
    "expires_in": 28800,
    "scope": "user:profile user:inference",
    "account": {"uuid": "person-1", "email_address": "me@example.org"},
    "organization": {"uuid": "org-1", "name": "Me"},
}
PROFILE = {
    "account": {"uuid": "person-1", "email": "me@example.org", "full_name": "Me"},
    "organization": {"uuid": "org-1", "name": "Mine"},
}
NAMELESS = {name: value for name, value in TOKENS.items() if name not in ("account", "organization")}
GONE = LoginError("no route", code="unreachable")


def inputs() -> LoginInputs:
    return LoginInputs(random_token=lambda: RANDOM, now=lambda: NOW)


def credential(**data: object) -> Credential:
    return Credential(
        id=CredentialId("claude-me.json"), provider="claude", kind=CredentialKind.ACCOUNT, data=data
    )


def opened(**query: str) -> list[Beat]:
    def shows(step: Step) -> None:
        assert isinstance(step, Show)
        parts = urlsplit(step.url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://claude.ai/oauth/authorize"
        assert dict(parse_qsl(parts.query)) == {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": LOGIN.scope,
            "state": RANDOM,
            "code_challenge": from_random(RANDOM).challenge,
            "code_challenge_method": "S256",
            "code": "true",
        }

    bound = "http://localhost:2455/callback"
    return [
        Beat(OpenCallback(port=54545, path="/callback"), bound),
        Beat(shows),
        Beat(AwaitCallback(path="/callback"), query),
    ]


def exchanges(reply: object, code: str = "c0de", state: str = RANDOM) -> Beat:
    body = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": RANDOM,
        "state": state,
    }
    return Beat(Sends(method="POST", url=TOKEN_URL, json=body), reply)


def asks_profile(reply: object, token: str = "sk-ant-oat01-a") -> Beat:
    return Beat(Sends(method="GET", url="https://api.anthropic.com/api/oauth/profile", bearer=token), reply)


# --- login --------------------------------------------------------------------------------------------------


def test_the_login() -> None:
    script = [*opened(code="c0de", state=RANDOM), exchanges(answer(200, TOKENS))]
    result = play(browser_login(inputs()), script)
    assert (result.file_name, result.label) == ("claude-me@example.org.json", "me@example.org")
    assert result.data == {
        "type": "claude",
        "access_token": "sk-ant-oat01-a",
        "refresh_token": "sk-ant-ort01-r",
        "token_type": "Bearer",
        "scope": "user:profile user:inference",
        "expired": "2026-09-21T22:13:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
        "email": "me@example.org",
        "account_uuid": "person-1",
        "organization_uuid": "org-1",
        "organization_name": "Me",
    }


def test_a_code_may_bring_its_state_along() -> None:
    script = [*opened(code="c0de#theirs", state=RANDOM), exchanges(answer(200, TOKENS), state="theirs")]
    play(browser_login(inputs()), script)


def test_the_scope_that_was_asked_for_is_kept_where_the_answer_names_none() -> None:
    tokens = {name: value for name, value in TOKENS.items() if name != "scope"}
    script = [*opened(code="c0de", state=RANDOM), exchanges(answer(200, tokens))]
    assert play(browser_login(inputs()), script).data["scope"] == LOGIN.scope


def test_the_profile_says_what_the_answer_does_not() -> None:
    script = [*opened(code="c0de", state=RANDOM), exchanges(answer(200, NAMELESS))]
    result = play(browser_login(inputs()), [*script, asks_profile(answer(200, PROFILE))])
    assert result.file_name == "claude-me@example.org.json"
    assert result.data["organization_name"] == "Mine"


@pytest.mark.parametrize(
    "profile", [GONE, answer(500, {}), answer(200, b"<html>"), answer(200, {"account": 7})]
)
def test_without_a_profile_a_name_is_enough(profile: object) -> None:
    tokens = {**NAMELESS, "account": {"email_address": "me@example.org"}}
    script = [*opened(code="c0de", state=RANDOM), exchanges(answer(200, tokens)), asks_profile(profile)]
    result = play(browser_login(inputs()), script)
    assert result.label == "me@example.org"
    assert "account_uuid" not in result.data


def test_an_account_without_an_address_is_refused() -> None:
    script = [*opened(code="c0de", state=RANDOM), exchanges(answer(200, NAMELESS)), asks_profile(GONE)]
    with pytest.raises(LoginError) as caught:
        play(browser_login(inputs()), script)
    assert caught.value.code == "bad_answer"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"error": "access_denied", "state": RANDOM}, "denied"),
        ({"error": "server_error"}, "refused"),
        ({"code": "c0de", "state": "another"}, "state_mismatch"),
        ({"state": RANDOM}, "bad_answer"),
    ],
)
def test_the_browser_comes_back_without_a_code_of_this_login(query: dict[str, str], code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(browser_login(inputs()), opened(**query))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(400, {"error": "invalid_grant", "error_description": "Invalid 'code'"}), "invalid_grant"),
        (answer(400, {"error": {"type": "invalid_request_error", "message": "Invalid state"}}), "refused"),
        (answer(429, {"error": {"type": "rate_limit_error"}}), "rate_limited"),
        (answer(503, b"<html>"), "unreachable"),
        (answer(200, {"token_type": "Bearer"}), "bad_answer"),
        (GONE, "unreachable"),
        (LoginError("late", code="timeout"), "timeout"),
    ],
)
def test_no_tokens_for_the_code(reply: object, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(browser_login(inputs()), [*opened(code="c0de", state=RANDOM), exchanges(reply)])
    assert caught.value.code == code


# --- renewal ------------------------------------------------------------------------------------------------


def renews(reply: object, **extra: str) -> Beat:
    body = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": CLIENT_ID, **extra}
    return Beat(Sends(method="POST", url=TOKEN_URL, json=body), reply)


def saves(**expected: object) -> Beat:
    def check(step: Step) -> None:
        assert isinstance(step, Persist)
        assert {name: step.patch.get(name) for name in expected} == expected

    return Beat(check)


def test_a_renewal_asks_for_no_more_than_was_granted() -> None:
    known = credential(refresh_token="r", scope="user:inference", account_uuid="person-1")
    script = [
        renews(answer(200, TOKENS), scope="user:inference"),
        Beat(Now(), NOW),
        saves(refresh_token="sk-ant-ort01-r", organization_uuid="org-1"),
    ]
    token = play(renew(known, {}), script)
    assert (token.value.reveal(), token.expires_at) == ("sk-ant-oat01-a", NOW + 28800)


def test_a_renewal_names_an_account_that_never_was() -> None:
    """Files of older programs hold no ids. The tokens are saved before anything else is asked."""
    script = [
        renews(answer(200, NAMELESS)),
        Beat(Now(), NOW),
        saves(access_token="sk-ant-oat01-a"),
        asks_profile(answer(200, PROFILE)),
        saves(account_uuid="person-1", email="me@example.org"),
    ]
    play(renew(credential(refresh_token="r"), {}), script)


def test_a_renewal_does_without_the_profile() -> None:
    script = [renews(answer(200, NAMELESS)), Beat(Now(), NOW), saves(), asks_profile(GONE)]
    assert play(renew(credential(refresh_token="r"), {}), script).value.reveal() == "sk-ant-oat01-a"


def test_a_known_account_is_not_asked_for_again() -> None:
    known = credential(refresh_token="r", account_uuid="person-1")
    play(renew(known, {}), [renews(answer(200, NAMELESS)), Beat(Now(), NOW), saves()])


def test_the_pause_the_vendor_asks_for_is_kept() -> None:
    reply = answer(429, {"error": {"type": "rate_limit_error", "message": "Slow down."}}, retry_after="120")
    with pytest.raises(LoginError) as caught:
        play(renew(credential(refresh_token="r"), {}), [renews(reply)])
    assert (caught.value.code, caught.value.retry_after) == ("rate_limited", 120.0)


# --- taken over ---------------------------------------------------------------------------------------------

DOCUMENT = {
    "claudeAiOauth": {
        "accessToken": "sk-ant-oat01-a",
        "refreshToken": "sk-ant-ort01-r",
        "expiresAt": 1_790_028_800_000,
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
    }
}


def test_the_command_lines_login_becomes_a_file() -> None:
    result = play(take_over(DOCUMENT, inputs()), [asks_profile(answer(200, PROFILE))])
    assert result.file_name == "claude-me@example.org.json"
    assert result.data == {
        "type": "claude",
        "access_token": "sk-ant-oat01-a",
        "refresh_token": "sk-ant-ort01-r",
        "scope": "user:inference user:profile",
        "expired": "2026-09-21T22:13:20Z",
        "email": "me@example.org",
        "account_uuid": "person-1",
        "organization_uuid": "org-1",
        "organization_name": "Mine",
    }


def test_the_owner_names_an_account_whose_profile_cannot_be_had() -> None:
    script = [asks_profile(answer(401, {})), Beat(NAME, "work")]
    assert play(take_over(DOCUMENT, inputs()), script).file_name == "claude-work.json"


@pytest.mark.parametrize("document", [{}, {"claudeAiOauth": None}, {"claudeAiOauth": {"scopes": []}}])
def test_a_file_without_an_account(document: dict[str, object]) -> None:
    with pytest.raises(LoginError) as caught:
        play(take_over(document, inputs()), [])
    assert caught.value.code == "nothing_to_import"
