import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import LoginError
from cliproxy.login.device import GRANT_TYPE, DeviceLogin, begin, log_in
from cliproxy.login.pkce import from_random
from cliproxy.login.steps import Now, Pause, Show
from cliproxy.wire.jsontext import JsonObject
from support.playbook import Beat, Sends, answer, play

VERIFIER = "v" * 43
LOGIN = DeviceLogin(
    vendor="Example",
    device_url="https://example.org/device",
    token_url="https://example.org/token",
    client_id="the-client",
    scope="all",
    uses_pkce=True,
)
CODE: JsonObject = {
    "device_code": "d3v1ce",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://example.org/enter",
    "verification_uri_complete": "https://example.org/enter?code=ABCD-EFGH",
    "interval": 7,
    "expires_in": 60,
}
ASKS = Sends(
    method="POST",
    url="https://example.org/device",
    form={
        "client_id": "the-client",
        "scope": "all",
        "code_challenge": from_random(VERIFIER).challenge,
        "code_challenge_method": "S256",
    },
)
POLLS = Sends(
    method="POST",
    url="https://example.org/token",
    form={
        "grant_type": GRANT_TYPE,
        "client_id": "the-client",
        "device_code": "d3v1ce",
        "code_verifier": VERIFIER,
    },
)
SHOWS = Show(
    url="https://example.org/enter?code=ABCD-EFGH",
    code="ABCD-EFGH",
    text="Sign in to Example",
    expires_in=60.0,
)
TOKENS: JsonObject = {"access_token": "t0ken", "token_type": "Bearer"}
OPENING = [Beat(ASKS, answer(200, CODE)), Beat(Now(), 1000.0), Beat(SHOWS)]


def refused(error: str, status: int = 400) -> object:
    return answer(status, {"error": error})


def test_a_code_that_is_entered_gives_tokens() -> None:
    script = [*OPENING, Beat(Pause(7.0)), Beat(POLLS, answer(200, TOKENS))]
    assert play(log_in(LOGIN, VERIFIER), script) == TOKENS


@pytest.mark.parametrize("status", [200, 400], ids=["in an answer of success", "in an error answer"])
def test_pending_keeps_the_pace_and_slow_down_slows_it_for_good(status: int) -> None:
    script = [
        *OPENING,
        Beat(Pause(7.0)),
        Beat(POLLS, refused("authorization_pending", status)),
        Beat(Now(), 1007.0),
        Beat(Pause(7.0)),
        Beat(POLLS, refused("slow_down", status)),
        Beat(Now(), 1014.0),
        Beat(Pause(12.0)),
        Beat(POLLS, refused("authorization_pending", status)),
        Beat(Now(), 1026.0),
        Beat(Pause(12.0)),
        Beat(POLLS, answer(200, TOKENS)),
    ]
    assert play(log_in(LOGIN, VERIFIER), script) == TOKENS


@pytest.mark.parametrize(
    "reply",
    [
        LoginError("no answer", code="timeout"),
        LoginError("no way", code="unreachable"),
        answer(502, b"<html>"),
    ],
    ids=["timeout", "unreachable", "a server error"],
)
def test_a_poll_without_an_answer_is_repeated(reply: object) -> None:
    script = [
        *OPENING,
        Beat(Pause(7.0)),
        Beat(POLLS, reply),
        Beat(Now(), 1010.0),
        Beat(Pause(7.0)),
        Beat(POLLS, answer(200, TOKENS)),
    ]
    assert play(log_in(LOGIN, VERIFIER), script) == TOKENS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("access_denied", "denied"),
        ("expired_token", "timeout"),
        ("invalid_grant", "invalid_grant"),
        ("odd", "refused"),
    ],
)
def test_answers_that_end_the_login(error: str, code: str) -> None:
    script = [*OPENING, Beat(Pause(7.0)), Beat(POLLS, refused(error))]
    with pytest.raises(LoginError) as caught:
        play(log_in(LOGIN, VERIFIER), script)
    assert caught.value.code == code


def test_a_failure_that_is_no_passing_one_ends_the_login() -> None:
    script = [*OPENING, Beat(Pause(7.0)), Beat(POLLS, LoginError("nobody to ask", code="needs_owner"))]
    with pytest.raises(LoginError, match="nobody to ask"):
        play(log_in(LOGIN, VERIFIER), script)


def test_the_vendors_end_is_kept_even_if_it_never_says_so() -> None:
    script = [
        *OPENING,
        Beat(Pause(7.0)),
        Beat(POLLS, refused("authorization_pending")),
        Beat(Now(), 1060.0),
    ]
    with pytest.raises(LoginError, match="not entered in time") as caught:
        play(log_in(LOGIN, VERIFIER), script)
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": "not_found"}),
        (200, {}),
        (200, {"device_code": "d", "verification_uri": "javascript:alert(1)"}),
        (200, b"<html>"),
    ],
    ids=["refused", "empty", "an address no browser should be sent to", "not JSON"],
)
def test_no_code_no_login(status: int, body: JsonObject | bytes) -> None:
    with pytest.raises(LoginError, match="gave no code") as caught:
        play(begin(LOGIN, VERIFIER), [Beat(ASKS, answer(status, body))])
    assert caught.value.code == "bad_answer"


@given(st.one_of(st.none(), st.floats(-10, 1e6), st.integers(-10, 10**6)))
def test_pace_and_end_are_bounded_whatever_the_vendor_says(value: float | None) -> None:
    body = {**CODE, "interval": value, "expires_in": value}
    code = play(begin(LOGIN, VERIFIER), [Beat(ASKS, answer(200, body))])
    assert code.pace_s >= 5.0
    assert 0 < code.expires_in <= 900.0
