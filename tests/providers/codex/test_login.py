"""The logins of a ChatGPT account as conversations with the vendor."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

import pytest

from cliproxy.errors import LoginError
from cliproxy.login.pkce import from_random
from cliproxy.login.steps import AwaitCallback, Now, OpenCallback, Pause, Show, Step
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.providers.codex.account import CLIENT_ID
from cliproxy.providers.codex.login import browser_login, device_login, take_over
from cliproxy.wire.http import HttpAnswer
from support.playbook import Beat, Sends, answer, play
from support.tokens import unsigned_jwt

NOW = 1_790_000_000.0
RANDOM = "r" * 43
HOST = "https://auth.openai.com"
REDIRECT = "http://localhost:1455/auth/callback"
AUTH = {"chatgpt_account_id": "acct-1", "chatgpt_plan_type": "plus"}
ID_TOKEN = unsigned_jwt({"email": "me@example.org", "https://api.openai.com/auth": AUTH})
TOKENS = {"access_token": "a", "refresh_token": "r", "id_token": ID_TOKEN, "expires_in": 864000}
FILE = "codex-ba36a4ed-me@example.org-plus.json"


def inputs() -> LoginInputs:
    return LoginInputs(random_token=lambda: RANDOM, now=lambda: NOW)


# --- in the browser -----------------------------------------------------------------------------------------


def opened(bound: str = REDIRECT) -> list[Beat]:
    def shows(step: Step) -> None:
        assert isinstance(step, Show)
        parts = urlsplit(step.url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{HOST}/oauth/authorize"
        assert dict(parse_qsl(parts.query)) == {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "openid profile email offline_access",
            "state": RANDOM,
            "code_challenge": from_random(RANDOM).challenge,
            "code_challenge_method": "S256",
            "prompt": "login",
            "id_token_add_organizations": "true",
            "codex_cli_simplified_flow": "true",
        }

    return [Beat(OpenCallback(port=1455, path="/auth/callback"), bound), Beat(shows)]


def back(**query: str) -> Beat:
    return Beat(AwaitCallback(path="/auth/callback"), query)


def exchanges(reply: object, verifier: str = RANDOM, redirect: str = REDIRECT, code: str = "c0de") -> Beat:
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": verifier,
    }
    return Beat(Sends(method="POST", url=f"{HOST}/oauth/token", form=form), reply)


def failing(flow, script: Sequence[Beat]) -> LoginError:
    with pytest.raises(LoginError) as caught:
        play(flow, script)
    return caught.value


def test_the_browser() -> None:
    script = [*opened(), back(code="c0de", state=RANDOM), exchanges(answer(200, TOKENS))]
    result = play(browser_login(inputs()), script)
    assert isinstance(result, LoginResult)
    assert (result.file_name, result.label) == (FILE, "me@example.org")
    assert result.data["account_id"] == "acct-1"


def test_a_moved_listener_leaves_the_address_as_the_vendor_knows_it() -> None:
    bound = "http://localhost:2455/auth/callback"
    script = [*opened(bound), back(code="c0de", state=RANDOM), exchanges(answer(200, TOKENS))]
    assert play(browser_login(inputs()), script).file_name == FILE


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"error": "access_denied", "state": RANDOM}, "denied"),
        ({"error": "server_error"}, "refused"),
        ({"code": "c0de", "state": "another"}, "state_mismatch"),
        ({"code": "c0de", "state": ""}, "state_mismatch"),
        ({"state": RANDOM}, "bad_answer"),
    ],
)
def test_the_browser_comes_back_without_a_code_of_this_login(query: dict[str, str], code: str) -> None:
    assert failing(browser_login(inputs()), [*opened(), back(**query)]).code == code


@pytest.mark.parametrize("code", ["timeout", "port_in_use"])
def test_nobody_comes_back(code: str) -> None:
    late = Beat(AwaitCallback(path="/auth/callback"), LoginError("late", code=code))
    assert failing(browser_login(inputs()), [*opened(), late]).code == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(400, {"error": "invalid_grant"}), "invalid_grant"),
        (answer(403, {"error": {"code": "unsupported_country", "message": "not here"}}), "refused"),
        (answer(429, {}), "rate_limited"),
        (answer(503, b"<html>"), "unreachable"),
        (answer(200, {"id_token": ID_TOKEN}), "bad_answer"),
        (answer(200, {"access_token": "a", "id_token": "not.a.token"}), "bad_answer"),
        (LoginError("no answer", code="unreachable"), "unreachable"),
    ],
)
def test_no_tokens_for_the_code(reply: object, code: str) -> None:
    script = [*opened(), back(code="c0de", state=RANDOM), exchanges(reply)]
    assert failing(browser_login(inputs()), script).code == code


# --- by a code ----------------------------------------------------------------------------------------------

BEGUN = {"device_auth_id": "dev-1", "user_code": "ABCD-1234", "interval": "7"}
CODE = {"authorization_code": "c0de", "code_verifier": "their-verifier", "code_challenge": "their-challenge"}
PENDING = answer(403, {"error": {"message": "pending"}})


def begins(reply: object) -> Beat:
    url = f"{HOST}/api/accounts/deviceauth/usercode"
    return Beat(Sends(method="POST", url=url, json={"client_id": CLIENT_ID}), reply)


def shows_code(step: Step) -> None:
    assert isinstance(step, Show)
    assert (step.url, step.code) == (f"{HOST}/codex/device", "ABCD-1234")


def polls(reply: object) -> Beat:
    url = f"{HOST}/api/accounts/deviceauth/token"
    body = {"device_auth_id": "dev-1", "user_code": "ABCD-1234"}
    return Beat(Sends(method="POST", url=url, json=body), reply)


def waits(seconds: float = 7.0, after: float = 1.0) -> list[Beat]:
    return [Beat(Pause(seconds)), Beat(Now(), NOW + after)]


def started(begun: object = BEGUN) -> list[Beat]:
    return [begins(answer(200, begun)), Beat(shows_code), Beat(Now(), NOW)]


def exchanges_theirs(reply: object) -> Beat:
    return exchanges(reply, "their-verifier", f"{HOST}/deviceauth/callback")


def test_a_code_that_is_entered_after_a_while() -> None:
    script = [
        *started(),
        polls(PENDING),
        *waits(),
        polls(answer(404, {})),
        *waits(),
        polls(answer(200, CODE)),
        exchanges_theirs(answer(200, TOKENS)),
    ]
    assert play(device_login(inputs()), script).file_name == FILE


@pytest.mark.parametrize(
    ("begun", "pace"),
    [
        ({"device_auth_id": "dev-1", "usercode": "ABCD-1234", "interval": 9}, 9.0),
        ({"device_auth_id": "dev-1", "user_code": "ABCD-1234"}, 5.0),
        ({"device_auth_id": "dev-1", "user_code": "ABCD-1234", "interval": "often"}, 5.0),
        ({"device_auth_id": "dev-1", "user_code": "ABCD-1234", "interval": 0}, 5.0),
    ],
)
def test_spellings_and_paces(begun: object, pace: float) -> None:
    done = [polls(answer(200, CODE)), exchanges_theirs(answer(200, TOKENS))]
    play(device_login(inputs()), [*started(begun), polls(PENDING), *waits(pace), *done])


def test_a_poll_that_comes_to_nothing_is_repeated_and_a_hurried_one_slows_down() -> None:
    script = [
        *started(),
        polls(LoginError("no route", code="unreachable")),
        *waits(),
        polls(answer(502, b"<html>")),
        *waits(),
        polls(answer(429, {})),
        *waits(12.0),
        polls(answer(200, CODE)),
        exchanges_theirs(answer(200, TOKENS)),
    ]
    play(device_login(inputs()), script)


def test_a_code_that_is_never_entered() -> None:
    script = [*started(), polls(PENDING), *waits(after=900.0)]
    assert failing(device_login(inputs()), script).code == "timeout"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(404, {}), "not_available"),
        (answer(200, {"user_code": "ABCD-1234"}), "bad_answer"),
        (answer(200, {"device_auth_id": "dev-1"}), "bad_answer"),
        (answer(400, {"error": {"message": "no"}}), "bad_answer"),
        (answer(200, b"<html>"), "bad_answer"),
        (LoginError("no route", code="unreachable"), "unreachable"),
    ],
)
def test_no_code_to_enter(reply: object, code: str) -> None:
    assert failing(device_login(inputs()), [begins(reply)]).code == code


@pytest.mark.parametrize(
    "reply",
    [
        answer(400, {"error": {"message": "denied"}}),
        answer(200, {"authorization_code": "c0de"}),
        answer(200, {"code_verifier": "v"}),
    ],
)
def test_a_poll_that_ends_the_login(reply: HttpAnswer) -> None:
    assert failing(device_login(inputs()), [*started(), polls(reply)]).code == "bad_answer"


def test_a_poll_that_cannot_be_sent_at_all_ends_the_login() -> None:
    broken = LoginError("nobody to ask", code="needs_owner")
    assert failing(device_login(inputs()), [*started(), polls(broken)]).code == "needs_owner"


# --- taken over ---------------------------------------------------------------------------------------------


def test_the_command_lines_login_becomes_a_file() -> None:
    access = unsigned_jwt({"exp": NOW + 864000})
    document = {
        "OPENAI_API_KEY": None,
        "tokens": {
            "id_token": ID_TOKEN,
            "access_token": access,
            "refresh_token": "r",
            "account_id": "acct-2",
        },
        "last_refresh": "2026-09-20T14:13:20.123456789Z",
    }
    result = play(take_over(document, inputs()), [Beat(Now(), NOW)])
    assert result.file_name == "codex-e1957682-me@example.org-plus.json"
    assert result.data == {
        "type": "codex",
        "id_token": ID_TOKEN,
        "access_token": access,
        "refresh_token": "r",
        "account_id": "acct-2",
        "email": "me@example.org",
        "expired": "2026-10-01T14:13:20Z",
        "last_refresh": "2026-09-20T14:13:20Z",
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"OPENAI_API_KEY": "sk-very-secret", "tokens": None}, "an API key and no account"),
        ({}, "no account"),
        ({"tokens": {"id_token": ID_TOKEN}}, "no account"),
    ],
)
def test_a_file_without_an_account(document: dict[str, object], words: str) -> None:
    error = failing(take_over(document, inputs()), [])
    assert error.code == "nothing_to_import"
    assert words in error.message
    assert "sk-very-secret" not in error.explained
