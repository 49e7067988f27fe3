from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import LoginError
from cliproxy.login.code import (
    CodeLogin,
    Granted,
    authorize,
    exchange,
    expires_at,
    one_line,
    parse_pasted,
    refresh,
    tokens_of,
)
from cliproxy.login.pkce import from_random
from cliproxy.login.steps import AwaitCallback, OpenCallback, Send, Show, Step
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

REDIRECT = "http://localhost:17171/auth/callback"
VERIFIER = "v" * 43
LOGIN = CodeLogin(
    vendor="Example",
    authorize_url="https://example.org/oauth/authorize",
    token_url="https://example.org/oauth/token",
    client_id="the-client",
    scope="api",
    callback_port=17171,
    callback_path="/auth/callback",
)
OPENS = OpenCallback(port=17171, path="/auth/callback")
WAITS = AwaitCallback(path="/auth/callback")


def shows_the_right_address(step: Step) -> None:
    assert isinstance(step, Show)
    parts = urlsplit(step.url)
    assert step.url.startswith("https://example.org/oauth/authorize?")
    assert dict(parse_qsl(parts.query)) == {
        "client_id": "the-client",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "api",
        "state": "the-state",
        "code_challenge": from_random(VERIFIER).challenge,
        "code_challenge_method": "S256",
    }


def authorized(parameters: object) -> Granted:
    script = [Beat(OPENS, REDIRECT), Beat(shows_the_right_address), Beat(WAITS, parameters)]
    return play(authorize(LOGIN, "the-state", VERIFIER), script)


def test_the_listener_is_open_before_the_owner_is_sent_away() -> None:
    granted = authorized({"code": "c0de", "state": "the-state"})
    assert granted.code.reveal() == "c0de"
    assert granted.redirect_url == REDIRECT


def test_a_code_pasted_alone_is_accepted() -> None:
    assert authorized(parse_pasted("c0de-c0de-c0de")).code.reveal() == "c0de-c0de-c0de"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"code": "c", "state": "another"}, "state_mismatch"),
        ({"code": "c", "state": ""}, "state_mismatch"),
        ({"error": "access_denied", "state": "the-state"}, "denied"),
        ({"error": "server_error", "error_description": "later", "state": "the-state"}, "refused"),
        ({"state": "the-state"}, "bad_answer"),
    ],
)
def test_answers_that_end_the_login(parameters: Mapping[str, str], code: str) -> None:
    with pytest.raises(LoginError) as caught:
        authorized(parameters)
    assert caught.value.code == code


@pytest.mark.parametrize("code", ["timeout", "port_in_use"])
def test_what_the_runner_cannot_do_ends_the_login(code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(authorize(LOGIN, "s", VERIFIER), [Beat(OPENS, LoginError("no", code=code))])
    assert caught.value.code == code


def granted() -> Granted:
    return Granted(code=Secret("c0de"), redirect_url=REDIRECT, pkce=from_random(VERIFIER), state="s")


def test_exchange_sends_the_verifier_and_no_secret_for_a_public_client() -> None:
    form = {
        "grant_type": "authorization_code",
        "client_id": "the-client",
        "code": "c0de",
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
    }
    sends = Sends(method="POST", url=LOGIN.token_url, form=form)
    tokens = play(exchange(LOGIN, granted()), [Beat(sends, answer(200, {"access_token": "a"}))])
    assert tokens == {"access_token": "a"}


def test_a_confidential_client_sends_its_secret() -> None:
    login = CodeLogin(
        vendor="Example",
        authorize_url="",
        token_url="https://e/t",
        client_id="c",
        client_secret=Secret("s3cret"),
        callback_port=1,
    )
    form = {
        "grant_type": "refresh_token",
        "refresh_token": "old",
        "client_id": "c",
        "client_secret": "s3cret",
    }
    play(
        refresh(login, Secret("old")),
        [Beat(Sends(method="POST", url="https://e/t", form=form), answer(200, {"access_token": "a"}))],
    )


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant", "error_description": "revoked"}, "invalid_grant"),
        (401, {"error": "invalid_client"}, "invalid_client"),
        (200, {"error": "invalid_grant"}, "invalid_grant"),
        (400, {"error": "invalid_scope"}, "missing_scope"),
        (400, {"error": "something_new"}, "refused"),
        (401, {"error": {"message": "used before", "code": "refresh_token_reused"}}, "invalid_grant"),
        (401, {"error": {"code": "refresh_token_expired", "type": "x"}}, "invalid_grant"),
        (401, {"error": {"code": "refresh_token_invalidated"}}, "invalid_grant"),
        (400, {"error": {"type": "invalid_request_error", "message": "no"}}, "refused"),
        (429, {}, "rate_limited"),
        (502, b"<html>bad gateway</html>", "unreachable"),
        (200, {"token_type": "Bearer"}, "bad_answer"),
        (200, b"<html>captive portal</html>", "bad_answer"),
    ],
)
def test_what_a_token_endpoint_refuses_and_what_that_means(status: int, body: object, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        tokens_of(answer(status, body), "Example")
    assert caught.value.code == code
    assert caught.value.status == status


def test_an_error_in_the_form_of_an_api_is_told_in_its_words() -> None:
    body = {"error": {"message": "Your refresh token was used.", "code": "refresh_token_reused"}}
    with pytest.raises(LoginError) as caught:
        tokens_of(answer(401, body), "Example")
    assert caught.value.message == "Example refused the login data: Your refresh token was used."
    assert "log in again" in caught.value.hint


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": "1"}, 5.0),
        ({"retry_after": "999999"}, 300.0),
        ({"retry_after_ms": "20500"}, 20.5),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_token_endpoint_may_ask_for_a_pause(headers: dict[str, str], pause: float | None) -> None:
    with pytest.raises(LoginError) as caught:
        tokens_of(answer(429, {"error": {"type": "rate_limit_error"}}, **headers), "Example")
    assert (caught.value.code, caught.value.retry_after) == ("rate_limited", pause)


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        (f"{REDIRECT}?code=c&state=s", {"code": "c", "state": "s"}),
        (f"  '{REDIRECT}?code=c&state=s'  ", {"code": "c", "state": "s"}),
        ("?code=c&state=s", {"code": "c", "state": "s"}),
        ("localhost:17171/auth/callback?code=c&state=s", {"code": "c", "state": "s"}),
        ("code=a/b:c&state=s", {"code": "a/b:c", "state": "s"}),
        (f"{REDIRECT}#code=c&state=s", {"code": "c", "state": "s"}),
        (f"{REDIRECT}?code=c", {"code": "c", "state": ""}),
        ("c0de#s", {"code": "c0de", "state": "s"}),
        (f"{REDIRECT}?code=c%23s", {"code": "c", "state": "s"}),
        ("c0de-c0de-c0de", {"code": "c0de-c0de-c0de"}),
        (f"{REDIRECT}?error=access_denied&state=s", {"error": "access_denied", "state": "s"}),
        (
            f"{REDIRECT}?error_description=no",
            {"error": "no", "error_description": "no", "state": ""},
        ),
        (f"{REDIRECT}?code=c&state=s&iss=x", {"code": "c", "state": "s"}),
    ],
)
def test_what_owners_paste(pasted: str, expected: dict[str, str]) -> None:
    assert parse_pasted(pasted) == expected


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        ("", "nothing_pasted"),
        ("   ", "nothing_pasted"),
        ("https://example.org/", "bad_paste"),
        ("code=", "bad_paste"),
        ("what am I to do", "bad_paste"),
        ("rubbish", "bad_paste"),
    ],
)
def test_pastes_that_are_no_answer(pasted: str, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        parse_pasted(pasted)
    assert caught.value.code == code


@given(st.text())
def test_pasting_anything_gives_a_code_or_our_own_error(pasted: str) -> None:
    try:
        found = parse_pasted(pasted)
    except LoginError:
        return
    assert found.get("code") or found.get("error")


@pytest.mark.parametrize(
    ("tokens", "end"),
    [
        ({"expires_in": 7200.5}, 8200.5),
        ({"expires_in": 7200, "created_at": 995}, 8195.0),
        ({"expires_in": 7200}, 8200.0),
        ({"expires_in": 7200, "created_at": 999_999}, 8200.0),
        ({"expires_in": 0}, None),
        ({}, None),
    ],
)
def test_the_end_of_a_token(tokens: dict[str, float], end: float | None) -> None:
    """A server whose clock is far off is not believed about the time of creation."""
    assert expires_at(dict(tokens), 1000.0) == end


def test_vendor_texts_become_one_bounded_line() -> None:
    assert one_line("a\x1b[31m\r\n b") == "a [31m b"
    assert len(one_line("x" * 5000)) == 300


# --- vendors that want it differently --------------------------------------------------------------------

ODD = evolve(
    LOGIN,
    client_secret=Secret("s3cret"),
    redirect_url="http://localhost:1455/auth/callback",
    redirect_name="redirect",
    uses_pkce=False,
    is_json=True,
    sends_state=True,
    uses_basic=True,
    headers={"X-Device": "d"},
)


def test_a_fixed_redirect_goes_into_the_address_wherever_the_listener_is() -> None:
    def shows(step: Step) -> None:
        assert isinstance(step, Show)
        query = dict(parse_qsl(urlsplit(step.url).query))
        assert query["redirect"] == "http://localhost:1455/auth/callback"
        assert "redirect_uri" not in query
        assert "code_challenge" not in query

    script = [Beat(OPENS, REDIRECT), Beat(shows), Beat(WAITS, {"code": "c", "state": "the-state"})]
    granted = play(authorize(ODD, "the-state", VERIFIER), script)
    assert granted.redirect_url == "http://localhost:1455/auth/callback"


def test_a_token_endpoint_may_want_json_the_state_and_basic_authentication() -> None:
    def sends(step: Step) -> None:
        Sends(
            method="POST",
            url="https://example.org/oauth/token",
            json={
                "grant_type": "authorization_code",
                "client_id": "the-client",
                "client_secret": "s3cret",
                "code": "c",
                "redirect_uri": REDIRECT,
                "state": "the-state",
            },
        )(step)
        assert isinstance(step, Send)
        assert step.call.headers.get("authorization") == "Basic dGhlLWNsaWVudDpzM2NyZXQ="
        assert step.call.headers.get("content-type") == "application/json"
        assert step.call.headers.get("x-device") == "d"

    granted = Granted(code=Secret("c"), redirect_url=REDIRECT, pkce=from_random(VERIFIER), state="the-state")
    tokens = {"access_token": "t"}
    assert play(exchange(ODD, granted), [Beat(sends, answer(200, tokens))]) == tokens


def test_a_renewal_may_carry_further_fields() -> None:
    sends = Sends(
        method="POST",
        url="https://example.org/oauth/token",
        form={"grant_type": "refresh_token", "refresh_token": "r", "client_id": "the-client", "scope": "all"},
    )
    tokens = {"access_token": "t"}
    flow = refresh(LOGIN, Secret("r"), {"scope": "all"})
    assert play(flow, [Beat(sends, answer(200, tokens))]) == tokens
