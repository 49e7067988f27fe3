"""Antigravity at the emulated Google."""

import pytest

from emulators.google import ANTIGRAVITY, GEMINI_CLI, Google
from support.refusals import answered, json_of

DAILY, PRODUCTION = "daily-cloudcode-pa.googleapis.com", "cloudcode-pa.googleapis.com"
BODY = {
    "model": "gemini-3-flash",
    "project": "antigravity-project",
    "userAgent": "antigravity",
    "requestType": "agent",
    "requestId": "agent-00000000-0000-4000-8000-000000000000",
    "request": {"contents": [{"role": "user", "parts": [{"text": "hello"}]}], "sessionId": "-1"},
}
METADATA = {"ideType": "ANTIGRAVITY"}


@pytest.fixture
def google():
    return Google(lambda: 1_000_000.0)


def bearer(google, app=ANTIGRAVITY):
    login = google.authority.new_login(app.id)
    return {"authorization": f"Bearer {login.access}"}


def call(google, method, body, host=DAILY, app=ANTIGRAVITY):
    headers = {"host": host, **bearer(google, app)}
    answer = answered(google, "POST", f"/v1internal:{method}", body, headers)
    return answer.status, json_of(answer)


@pytest.mark.parametrize("host", [DAILY, PRODUCTION])
def test_both_hosts_answer(google, host):
    status, body = call(google, "generateContent", BODY, host)
    assert status == 200
    assert body["response"]["candidates"][0]["content"]["parts"][0] == {"text": "You said: hello"}
    assert google.state()["antigravity"]["asked"] == [host]


def test_another_application_is_refused(google):
    assert call(google, "generateContent", BODY, app=GEMINI_CLI)[0] == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"userAgent": "other"},
        {"requestType": "chat"},
        {"requestId": "1"},
        {"more": 1},
        {"request": {**BODY["request"], "safetySettings": []}},
        {"request": {**BODY["request"], "sessionId": "1"}},
        {"request": {**BODY["request"], "generationConfig": {"maxOutputTokens": 5}}},
    ],
)
def test_another_envelope_is_refused(google, changes):
    assert call(google, "generateContent", BODY | changes)[0] == 400


def test_a_claude_model_wants_its_tools_followed_to_the_letter(google):
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    body = {**BODY, "model": "claude-sonnet-4-6", "request": {**BODY["request"], "tools": tools}}
    assert call(google, "generateContent", body)[0] == 400
    body["request"]["toolConfig"] = {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert call(google, "generateContent", body)[0] == 200


def test_a_claude_model_compares_ids(google):
    contents = [
        *BODY["request"]["contents"],
        {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "b", "name": "f", "response": {}}}]},
    ]
    body = {**BODY, "model": "claude-sonnet-4-6", "request": {**BODY["request"], "contents": contents}}
    assert call(google, "generateContent", body)[0] == 400


def test_a_project_is_made(google):
    google.configure({"antigravity": {"own_project": "", "pending": 1}})
    assert call(google, "generateContent", BODY)[0] == 403
    assert "cloudaicompanionProject" not in call(google, "loadCodeAssist", {"metadata": METADATA})[1]
    asked = {"tier_id": "free-tier", "metadata": METADATA}
    assert call(google, "onboardUser", asked)[1]["done"] is False
    assert call(google, "onboardUser", asked)[1]["done"] is True
    assert call(google, "generateContent", BODY)[0] == 200


def test_a_host_without_capacity_and_one_with_a_quota(google):
    google.configure({"antigravity": {"no_capacity": [DAILY], "quota": {PRODUCTION: "34s"}}})
    assert call(google, "generateContent", BODY)[0] == 503
    status, body = call(google, "generateContent", BODY, PRODUCTION)
    assert (status, body["error"]["details"][0]["metadata"]["quotaResetDelay"]) == (429, "34s")


def test_the_list_and_a_count(google):
    assert (
        "gemini-3-flash"
        in call(google, "fetchAvailableModels", {"project": "antigravity-project"})[1]["models"]
    )
    counted = {"model": "models/gemini-3-flash", "contents": BODY["request"]["contents"]}
    assert call(google, "countTokens", {"request": counted})[1]["totalTokens"] > 0
