"""What the emulated Claude accounts refuse, and how."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from emulators.claude_account import AGENT, APP, ClaudeAccount
from emulators.oauth import challenge_of
from support.refusals import answered, json_of

VERIFIER = "v" * 43
JSON = {"content-type": "application/json"}
REDIRECT = "http://localhost:54545/callback"
API = "api.anthropic.com"
VERSION = {"anthropic-version": "2023-06-01"}
BODY = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def claude():
    return ClaudeAccount(lambda: 1_000_000.0)


def ask(claude, host, call, body=None, headers=None):
    method, _, path = call.partition(" ")
    answer = answered(claude, method, path, body, {"host": host, **JSON, **(headers or {})})
    return answer.status, json_of(answer)


def code_of(claude, **changes):
    query = {
        "client_id": APP.id,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": " ".join(APP.scopes),
        "state": "s",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "code": "true",
        **changes,
    }
    answer = answered(claude, "GET", f"/oauth/authorize?{urlencode(query)}", headers={"host": "claude.ai"})
    return parse_qs(urlsplit(dict(answer.headers).get("location", "")).query).get("code", [""])[0]


def token(claude, **fields):
    return ask(claude, "platform.claude.com", "POST /v1/oauth/token", {"client_id": APP.id, **fields})


def exchanged(claude, **changes):
    fields = {"redirect_uri": REDIRECT, "code_verifier": VERIFIER, "state": "s", **changes}
    return token(claude, grant_type="authorization_code", **{"code": code_of(claude), **fields})


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://localhost:2455/callback"},
        {"code": ""},
        {"scope": "user:inference"},
        {"code_challenge": ""},
        {"state": ""},
    ],
)
def test_a_wrong_authorization_is_refused(claude, changes):
    assert code_of(claude, **changes) == ""


@pytest.mark.parametrize(
    "changes",
    [{"state": "t"}, {"state": ""}, {"redirect_uri": "x"}, {"code_verifier": "w" * 43}, {"code": "x"}],
)
def test_a_wrong_exchange_is_refused(claude, changes):
    assert exchanged(claude, **changes)[0] == 400


def test_the_token_endpoint_takes_json_only(claude):
    form = urlencode({"client_id": APP.id, "grant_type": "refresh_token", "refresh_token": "r"}).encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert ask(claude, "platform.claude.com", "POST /v1/oauth/token", form, kind)[0] == 400


def test_codes_and_refresh_tokens_are_good_once(claude):
    code = code_of(claude)
    first = exchanged(claude, code=code)[1]["refresh_token"]
    assert exchanged(claude, code=code)[0] == 400
    assert token(claude, grant_type="refresh_token", refresh_token=first)[0] == 200
    status, refusal = token(claude, grant_type="refresh_token", refresh_token=first)
    assert (status, refusal["error"]) == (400, "invalid_grant")


def test_a_renewal_asks_for_no_more_than_there_is(claude):
    first = exchanged(claude)[1]["refresh_token"]
    more = token(claude, grant_type="refresh_token", refresh_token=first, scope="org:everything")
    assert more[1]["error"] == "invalid_scope"


@pytest.fixture
def bearer(claude):
    return {"authorization": f"Bearer {exchanged(claude)[1]['access_token']}", **VERSION}


def messages(claude, headers, **changes):
    return ask(claude, API, "POST /v1/messages", {**BODY, **changes}, headers)[0]


def test_a_subscription_serves_the_agent(claude, bearer):
    headers = {**bearer, "anthropic-beta": "oauth-2025-04-20"}
    assert messages(claude, headers) == 400
    assert messages(claude, headers, system="Be brief.") == 400
    assert messages(claude, headers, system=AGENT[0]) == 200
    blocks = [{"type": "text", "text": AGENT[1]}, {"type": "text", "text": "Be brief."}]
    assert messages(claude, headers, system=blocks) == 200
    assert messages(claude, headers, model="claude-3-5-haiku-20241022") == 200


def test_an_access_token_needs_its_beta(claude, bearer):
    assert messages(claude, bearer, system=AGENT[0]) == 401


def test_a_key_serves_everybody_and_is_no_bearer(claude, bearer):
    assert messages(claude, {"x-api-key": "sk-ant-api03-k", **VERSION}) == 200
    assert messages(claude, {"x-api-key": "other", **VERSION}) == 401
    assert messages(claude, {"authorization": "Bearer sk-ant-api03-k", **VERSION}) == 401


def test_the_profile_wants_a_token(claude, bearer):
    assert ask(claude, API, "GET /api/oauth/profile")[0] == 401
    assert ask(claude, API, "GET /api/oauth/profile", headers=bearer)[1]["account"]["uuid"] == "person-1"
