"""What the emulated ChatGPT refuses, and how."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from emulators.codex_account import APP, DEVICE_REDIRECT, CodexAccount
from emulators.oauth import challenge_of
from support.refusals import answered, json_of

FORM = {"content-type": "application/x-www-form-urlencoded"}
ISSUER = "auth.openai.com"
VERIFIER = "v" * 43
JSON = {"content-type": "application/json"}
REDIRECT = "http://localhost:1455/auth/callback"
BODY = {"model": "gpt-5.4", "instructions": "", "input": "hello", "stream": True, "store": False}


@pytest.fixture
def codex():
    return CodexAccount(lambda: 1_000_000.0)


def ask(codex, host, call, body=None, headers=None):
    method, _, path = call.partition(" ")
    answer = answered(codex, method, path, body, {"host": host, **JSON, **(headers or {})})
    return answer.status, json_of(answer)


def code_of(codex, **changes):
    query = {
        "client_id": APP.id,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": " ".join(APP.scopes),
        "state": "s",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
        "prompt": "login",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        **changes,
    }
    answer = answered(codex, "GET", f"/oauth/authorize?{urlencode(query)}", headers={"host": ISSUER})
    return parse_qs(urlsplit(dict(answer.headers).get("location", "")).query).get("code", [""])[0]


def token(codex, **form):
    return ask(codex, ISSUER, "POST /oauth/token", urlencode({"client_id": APP.id, **form}).encode(), FORM)


def exchanged(codex, **changes):
    form = {"code": code_of(codex), "redirect_uri": REDIRECT, "code_verifier": VERIFIER, **changes}
    return token(codex, grant_type="authorization_code", **form)


def renewed(codex, refresh, scope="openid profile email"):
    return token(codex, grant_type="refresh_token", refresh_token=refresh, scope=scope)


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://localhost:2455/auth/callback"},
        {"prompt": ""},
        {"id_token_add_organizations": "false"},
        {"codex_cli_simplified_flow": ""},
        {"code_challenge_method": "plain"},
        {"scope": "openid"},
        {"state": ""},
        {"client_id": "app_other"},
    ],
)
def test_a_wrong_authorization_is_refused(codex, changes):
    assert code_of(codex, **changes) == ""


@pytest.mark.parametrize("changes", [{"redirect_uri": "x"}, {"code_verifier": "w" * 43}, {"code": "other"}])
def test_a_wrong_exchange_is_refused(codex, changes):
    assert exchanged(codex, **changes)[0] == 400


def test_a_code_is_good_once(codex):
    code = code_of(codex)
    assert exchanged(codex, code=code)[0] == 200
    assert exchanged(codex, code=code)[0] == 400


def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_login(codex):
    first = exchanged(codex)[1]["refresh_token"]
    status, second = renewed(codex, first)
    assert status == 200
    status, refusal = renewed(codex, first)
    assert (status, refusal["error"]["code"]) == (401, "refresh_token_reused")
    status, refusal = renewed(codex, second["refresh_token"])
    assert (status, refusal["error"]["code"]) == (401, "refresh_token_invalidated")


def test_a_renewal_names_its_scope(codex):
    assert renewed(codex, exchanged(codex)[1]["refresh_token"], scope="openid")[0] == 400


def device(codex, path, body):
    return ask(codex, ISSUER, f"POST /api/accounts/deviceauth/{path}", body)


def test_a_device_waits_for_its_owner_and_exchanges_the_vendors_verifier(codex):
    _, begun = device(codex, "usercode", {"client_id": APP.id})
    asked = {name: begun[name] for name in ("device_auth_id", "user_code")}
    assert device(codex, "token", asked)[0] == 403
    status, granted = device(codex, "token", asked)
    assert status == 200
    assert device(codex, "token", asked)[0] == 400, "a code is handed out once"
    form = {"code": granted["authorization_code"], "code_verifier": granted["code_verifier"]}
    assert exchanged(codex, **form)[0] == 400, "the redirect is the vendor's own"
    assert exchanged(codex, **form, redirect_uri=DEVICE_REDIRECT)[0] == 200


@pytest.mark.parametrize("body", [{}, {"client_id": "x"}, {"client_id": APP.id, "scope": "openid"}])
def test_a_device_asks_with_the_client_id_alone(codex, body):
    assert device(codex, "usercode", body)[0] == 400


@pytest.fixture
def headers(codex):
    access = exchanged(codex)[1]["access_token"]
    return {"authorization": f"Bearer {access}", "chatgpt-account-id": "acct-emulated"}


def responses(codex, headers, **changes):
    body = {name: value for name, value in {**BODY, **changes}.items() if value is not None}
    answer = answered(
        codex, "POST", "/backend-api/codex/responses", body, {"host": "chatgpt.com", **JSON, **headers}
    )
    return answer.status


def test_the_backend_answers_its_agent(codex, headers):
    assert responses(codex, headers) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": False},
        {"stream": None},
        {"store": True},
        {"store": None},
        {"instructions": None},
        {"max_output_tokens": 9},
        {"temperature": 1},
        {"previous_response_id": "resp_1"},
        {"metadata": {}},
        {"input": [{"role": "system", "content": "be brief"}]},
    ],
)
def test_the_backend_refuses_the_habits_of_others(codex, headers, changes):
    assert responses(codex, headers, **changes) == 400


@pytest.mark.parametrize("name", ["authorization", "chatgpt-account-id"])
def test_the_backend_wants_token_and_account(codex, headers, name):
    assert responses(codex, {**headers, name: "other"}) == 401


def test_a_used_up_plan(codex, headers):
    codex.configure({"used_up": 60})
    assert responses(codex, headers) == 429
