"""Logins, projects and Code Assist at the emulated Google."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from emulators.google import GEMINI_CLI, Google
from support.refusals import answered, json_of

FORM = {"content-type": "application/x-www-form-urlencoded"}
METADATA = {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"}
REQUEST = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


@pytest.fixture
def google():
    return Google(lambda: 1_000_000.0)


def ask(google, host, call, body=None, headers=None):
    method, _, path = call.partition(" ")
    answer = answered(google, method, path, body, {"host": host, **(headers or {})})
    return answer.status, json_of(answer)


def code_of(google, **changes):
    query = {
        "client_id": GEMINI_CLI.id,
        "response_type": "code",
        "redirect_uri": "http://localhost:9999/oauth2callback",
        "scope": " ".join(GEMINI_CLI.scopes),
        "state": "s",
        "access_type": "offline",
        "prompt": "consent",
        **changes,
    }
    answer = answered(
        google, "GET", f"/o/oauth2/auth?{urlencode(query)}", headers={"host": "accounts.google.com"}
    )
    location = dict(answer.headers).get("location", "")
    return parse_qs(urlsplit(location).query).get("code", [""])[0]


def token(google, **form):
    own = {"client_id": GEMINI_CLI.id, "client_secret": GEMINI_CLI.secret}
    body = urlencode({**own, **form}).encode()
    return ask(google, "oauth2.googleapis.com", "POST /token", body, FORM)


def logged_in(google):
    redirect = "http://localhost:9999/oauth2callback"
    return token(google, grant_type="authorization_code", code=code_of(google), redirect_uri=redirect)[1]


@pytest.fixture
def bearer(google):
    return {"authorization": f"Bearer {logged_in(google)['access_token']}"}


def test_a_renewal_brings_no_refresh_token(google):
    tokens = logged_in(google)
    assert tokens["refresh_token"]
    status, renewed = token(google, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert status == 200
    assert "refresh_token" not in renewed
    assert renewed["access_token"] != tokens["access_token"]


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://localhost:9999/other"},
        {"redirect_uri": "https://example.org/oauth2callback"},
        {"access_type": "online"},
        {"scope": "email"},
        {"state": ""},
    ],
)
def test_a_wrong_authorization_is_refused(google, changes):
    assert code_of(google, **changes) == ""


def test_projects_come_in_pages(google, bearer):
    google.configure({"projects": ["a", {"projectId": "b", "name": "Bee"}], "page_size": 1})
    host = "cloudresourcemanager.googleapis.com"
    _, first = ask(google, host, "GET /v1/projects", headers=bearer)
    _, second = ask(google, host, f"GET /v1/projects?pageToken={first['nextPageToken']}", headers=bearer)
    assert [first["projects"][0]["projectId"], second["projects"][0]["name"]] == ["a", "Bee"]
    assert "nextPageToken" not in second


def test_a_service_is_enabled(google, bearer):
    google.configure({"services": {"a": "DISABLED"}})
    host, path = "serviceusage.googleapis.com", "/v1/projects/a/services/cloudaicompanion.googleapis.com"
    assert ask(google, host, f"GET {path}", headers=bearer)[1]["state"] == "DISABLED"
    assert ask(google, host, f"POST {path}:enable", {}, headers=bearer)[0] == 200
    assert ask(google, host, f"GET {path}", headers=bearer)[1]["state"] == "ENABLED"


def call(google, bearer, method, body):
    return ask(google, "cloudcode-pa.googleapis.com", f"POST /v1internal:{method}", body, bearer)


def set_up(google, bearer, project):
    body = {"tierId": "free-tier", "metadata": METADATA, "cloudaicompanionProject": project}
    return call(google, bearer, "onboardUser", body)[1]


def test_a_project_is_set_up_and_asked(google, bearer):
    google.configure({"code_assist": {"pending": 1}})
    assert set_up(google, bearer, "a")["done"] is False
    assert set_up(google, bearer, "a")["response"]["cloudaicompanionProject"]["id"] == "a"
    body = {"model": "gemini-2.5-pro", "project": "a", "request": REQUEST}
    status, answer = call(google, bearer, "generateContent", body)
    assert status == 200
    assert answer["response"]["candidates"][0]["content"]["parts"] == [{"text": "You said: hello"}]


@pytest.mark.parametrize("project", ["", "b"])
def test_a_project_that_was_not_set_up_is_refused(google, bearer, project):
    set_up(google, bearer, "a")
    body = {"model": "gemini-2.5-pro", "project": project, "request": REQUEST}
    assert call(google, bearer, "generateContent", body)[0] == 403


@pytest.mark.parametrize("key", ["a", "a/gemini-2.5-pro"])
def test_a_quota_is_of_a_project_or_of_a_model_in_it(google, bearer, key):
    google.configure({"code_assist": {"set_up": ["a", "b"], "quota": {key: "34s"}}})
    body = {"model": "gemini-2.5-pro", "project": "a", "request": REQUEST}
    status, answer = call(google, bearer, "generateContent", body)
    assert status == 429
    assert answer["error"]["details"][1]["retryDelay"] == "34s"
    assert call(google, bearer, "generateContent", {**body, "project": "b"})[0] == 200


def test_without_a_token_nothing_is_told(google):
    for host, path in (
        ("www.googleapis.com", "GET /oauth2/v1/userinfo?alt=json"),
        ("cloudresourcemanager.googleapis.com", "GET /v1/projects"),
        ("serviceusage.googleapis.com", "GET /v1/projects/a/services/b"),
        ("cloudcode-pa.googleapis.com", "POST /v1internal:loadCodeAssist"),
    ):
        assert ask(google, host, path, {})[0] == 401, host
