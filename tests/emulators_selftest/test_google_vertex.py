"""Service accounts and Vertex AI at the emulated Google."""

import json
from base64 import urlsafe_b64encode
from urllib.parse import urlencode

import pytest

from cliproxy.login.keys import sign
from cliproxy.wire.secret import Secret
from emulators.google import Google
from emulators.google_vertex import GRANT_TYPE
from support.keys import EMAIL, KEY_ID, known_account, pem
from support.refusals import answered, json_of

NOW = 1_000_000
FORM = {"content-type": "application/x-www-form-urlencoded", "host": "oauth2.googleapis.com"}
REQUEST = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
HOST = "us-central1-aiplatform.googleapis.com"
MODELS = "/v1/projects/my-project/locations/us-central1/publishers/google/models"


@pytest.fixture
def google():
    vendor = Google(lambda: float(NOW))
    vendor.configure({"vertex": {"accounts": known_account(), "keys": ["AQ.key"]}})
    return vendor


def encoded(value) -> bytes:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def assertion(**claims) -> str:
    own = {
        "iss": EMAIL,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": NOW,
        "exp": NOW + 3600,
    }
    message = encoded({"alg": "RS256", "typ": "JWT", "kid": KEY_ID}) + b"." + encoded(own | claims)
    signature = urlsafe_b64encode(sign(Secret(pem()), message)).rstrip(b"=")
    return (message + b"." + signature).decode()


def token(google, signed: str):
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": signed}).encode()
    answer = answered(google, "POST", "/token", form, FORM)
    return answer.status, json_of(answer)


@pytest.fixture
def bearer(google):
    return {"authorization": f"Bearer {token(google, assertion())[1]['access_token']}"}


def test_an_assertion_brings_a_token(google):
    status, body = token(google, assertion())
    assert status == 200
    assert set(body) == {"access_token", "expires_in", "token_type"}
    assert google.state()["vertex"]["tokens"] == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "stranger@example.org"},
        {"exp": NOW + 3601},
        {"iat": NOW - 4000, "exp": NOW - 400},
        {"aud": "https://example.org"},
        {"scope": "email"},
        {"sub": "somebody"},
    ],
)
def test_a_wrong_assertion_is_refused(google, claims):
    assert token(google, assertion(**claims))[0] == 400


def test_a_forged_assertion_is_refused(google):
    head, claims, _ = assertion().split(".")
    _, _, signature = assertion(iat=NOW - 1).split(".")
    status, body = token(google, f"{head}.{claims}.{signature}")
    assert (status, body["error_description"]) == (400, "Invalid JWT Signature.")


def ask(google, path, body, headers, host=HOST):
    answer = answered(google, "POST", path, body, {"host": host, **headers})
    return answer.status, json_of(answer)


def test_a_model_answers_in_its_project(google, bearer):
    status, body = ask(google, f"{MODELS}/gemini-2.5-pro:generateContent", REQUEST, bearer)
    assert status == 200
    assert body["candidates"][0]["content"]["parts"] == [{"text": "You said: hello"}]
    status, body = ask(google, f"{MODELS}/gemini-2.5-pro:countTokens", REQUEST, bearer)
    assert (status, body["totalTokens"] > 0) == (200, True)


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        (MODELS.replace("my-project", "other"), HOST, 403),
        (MODELS, "aiplatform.googleapis.com", 400),
        ("/v1/publishers/google/models", HOST, 404),
        ("/v1/publishers/google/models", "aiplatform.googleapis.com", 401),
    ],
)
def test_a_wrong_place_is_refused(google, bearer, path, host, status):
    assert ask(google, f"{path}/gemini-2.5-pro:generateContent", REQUEST, bearer, host)[0] == status


def test_a_key_is_enough(google):
    path = "/v1/publishers/google/models/gemini-2.5-pro:generateContent"
    assert ask(google, path, REQUEST, {"x-goog-api-key": "AQ.key"}, "aiplatform.googleapis.com")[0] == 200
    assert ask(google, path, REQUEST, {"x-goog-api-key": "x"}, "aiplatform.googleapis.com")[0] == 401


def test_a_count_takes_no_envelope(google, bearer):
    body = {"generateContentRequest": REQUEST}
    assert ask(google, f"{MODELS}/gemini-2.5-pro:countTokens", body, bearer)[0] == 400
