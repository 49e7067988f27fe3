"""Logins at the emulated GitLab: codes, verifiers, rotating tokens, personal access tokens."""

import hashlib
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from attrs import define

from emulators.gitlab import GitLab
from support.refusals import answered, json_of

REDIRECT = "http://localhost:17171/auth/callback"
VERIFIER = "v" * 50
CHALLENGE = urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = {"content-type": "application/x-www-form-urlencoded"}


@define
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gitlab(clock):
    return GitLab(clock)


def authorize(gitlab, **changes):
    query = {
        "client_id": "emulated-public",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "api read_user",
        "state": "s1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    query = {key: value for key, value in query.items() if value is not None}
    return answered(gitlab, "GET", f"/oauth/authorize?{urlencode(query)}")


def back(answer):
    location = dict(answer.headers)["location"]
    return {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}


def token(gitlab, headers=FORM, **form):
    answer = answered(gitlab, "POST", "/oauth/token", urlencode(form).encode(), headers)
    return answer.status, json_of(answer)


def exchange(gitlab, issued, **changes):
    form = {
        "grant_type": "authorization_code",
        "client_id": "emulated-public",
        "code": issued,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **changes,
    }
    return token(gitlab, **form)


def log_in(gitlab):
    status, pair = exchange(gitlab, back(authorize(gitlab))["code"])
    assert status == 200
    return pair


def refresh(gitlab, value):
    return token(gitlab, grant_type="refresh_token", client_id="emulated-public", refresh_token=value)


def user(gitlab, value):
    answer = answered(gitlab, "GET", "/api/v4/user", None, {"authorization": f"Bearer {value}"})
    return answer.status, json_of(answer)


def test_a_code_is_exchanged_once(gitlab):
    redirected = back(authorize(gitlab))
    assert redirected["state"] == "s1"
    status, pair = exchange(gitlab, redirected["code"])
    assert status == 200
    assert pair["token_type"] == "Bearer"
    assert pair["expires_in"] == 7200
    assert pair["scope"] == "api read_user"
    assert user(gitlab, pair["access_token"])[1]["username"] == "duo.dev"
    assert exchange(gitlab, redirected["code"])[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "other"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:8080/callback"}, "invalid_grant"),
        ({"code": "unknown"}, "invalid_grant"),
        ({"client_id": "emulated-confidential", "client_secret": "emulated-secret"}, "invalid_grant"),
        ({"client_id": "unknown"}, "invalid_client"),
        ({"client_id": "emulated-confidential"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_exchanges_that_fail(gitlab, changes, error):
    code = back(authorize(gitlab))["code"]
    status, body = exchange(gitlab, code, **changes)
    assert status == (401 if error == "invalid_client" else 400)
    assert body["error"] == error


def test_a_code_grows_old(gitlab, clock):
    code = back(authorize(gitlab))["code"]
    clock.now += 601
    assert exchange(gitlab, code)[1]["error"] == "invalid_grant"


def test_a_confidential_client_may_use_a_basic_header(gitlab):
    code = back(authorize(gitlab, client_id="emulated-confidential"))["code"]
    basic = b64encode(b"emulated-confidential:emulated-secret").decode()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    status, _ = token(gitlab, {**FORM, "authorization": f"Basic {basic}"}, **form, code_verifier=VERIFIER)
    assert status == 200


def test_the_token_endpoint_wants_a_form(gitlab):
    status, body = token(gitlab, {"content-type": "application/json"}, grant_type="refresh_token")
    assert (status, body["error"]) == (400, "invalid_request")


def test_a_refresh_replaces_both_tokens(gitlab):
    first = log_in(gitlab)
    status, second = refresh(gitlab, first["refresh_token"])
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert user(gitlab, first["access_token"]) == (
        401,
        {
            "error": "invalid_token",
            "error_description": "Token was revoked. You have to re-authorize from the user.",
        },
    )
    assert user(gitlab, second["access_token"])[0] == 200
    assert refresh(gitlab, first["refresh_token"])[1]["error"] == "invalid_grant"
    assert refresh(gitlab, second["refresh_token"])[0] == 200


def test_access_tokens_live_two_hours(gitlab, clock):
    pair = log_in(gitlab)
    clock.now += 7199
    assert user(gitlab, pair["access_token"])[0] == 200
    clock.now += 1
    assert user(gitlab, pair["access_token"])[1]["error"] == "invalid_token"
    assert refresh(gitlab, pair["refresh_token"])[0] == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "sudo"}, "invalid_scope"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_authorizations_that_fail_go_back_with_the_error(gitlab, changes, error):
    assert back(authorize(gitlab, **changes)) == {"error": error, "state": "s1"}


def test_a_denied_authorization(gitlab):
    gitlab.configure({"authorize": "deny"})
    assert back(authorize(gitlab))["error"] == "access_denied"


@pytest.mark.parametrize("changes", [{"client_id": "x"}, {"redirect_uri": "http://localhost:1/auth"}])
def test_an_unknown_client_or_redirect_shows_a_page(gitlab, changes):
    assert authorize(gitlab, **changes).status == 400


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("glpat-good", 200),
        ("glpat-noscope", 403),
        ("glpat-expired", 401),
        ("glpat-revoked", 401),
        ("unknown", 401),
    ],
)
def test_personal_tokens(gitlab, value, status):
    assert user(gitlab, value)[0] == status


def test_the_own_token_is_for_personal_tokens_only(gitlab):
    def own(value):
        path = "/api/v4/personal_access_tokens/self"
        return answered(gitlab, "GET", path, None, {"private-token": value})

    assert json_of(own("glpat-good"))["scopes"] == ["api", "read_user"]
    assert own(log_in(gitlab)["access_token"]).status == 400


def test_tokens_can_be_revoked_from_outside(gitlab):
    pair = log_in(gitlab)
    gitlab.configure({"revoke": "access"})
    assert user(gitlab, pair["access_token"])[0] == 401
    gitlab.configure({"revoke": "refresh"})
    assert refresh(gitlab, pair["refresh_token"])[1]["error"] == "invalid_grant"
    gitlab.configure({"revoke": "glpat-good"})
    assert user(gitlab, "glpat-good")[0] == 401
    gitlab.reset()
    assert user(gitlab, "glpat-good")[0] == 200


def test_an_instance_below_a_path(gitlab):
    gitlab.configure({"relative_url": "/gitlab"})
    headers = {"private-token": "glpat-good"}
    assert answered(gitlab, "GET", "/gitlab/api/v4/user", None, headers).status == 200
    assert answered(gitlab, "GET", "/api/v4/user", None, headers).status == 404
