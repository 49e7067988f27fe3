"""iFlow: both logins, both renewals, signed requests, thinking by model."""

import base64
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import pytest
from attrs import evolve

from cliproxy.credentials.files import codec_table, decode_credential
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.errors import LoginError
from cliproxy.login.clients import OAuthClient
from cliproxy.login.steps import AwaitCallback, Now, OpenCallback, Persist, Send, Show, Step, UseClient
from cliproxy.providers.base import Call, LoginInputs, LoginResult
from cliproxy.providers.iflow import (
    APPLICATION,
    CHAT,
    COOKIE,
    NO_TOOL,
    PROVIDER,
    login_part,
    normal_cookie,
    renew,
    signature,
    switched,
)
from cliproxy.wire.http import HttpCall
from cliproxy.wire.jsontext import DELETE, JsonObject, JsonValue
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Expectation, Sends, answer, play

NOW = 1_790_000_000.0
STATE = "s" * 43
REDIRECT = "http://localhost:11451/oauth2callback"
CLIENT = OAuthClient(id="10009311001", secret=Secret("s3cret"))
TOKENS: JsonObject = {
    "access_token": "acc3ss/+",
    "refresh_token": "r3fresh",
    "token_type": "Bearer",
    "scope": "read",
    "expires_in": 172800,
}
INFO: JsonObject = {"success": True, "data": {"apiKey": "sk-1", "email": "me@example.org", "phone": "1"}}
ASKS_INFO = Sends(method="GET", url="https://iflow.cn/api/oauth/getUserInfo?accessToken=acc3ss%2F%2B")
KEYS = "https://platform.iflow.cn/api/openapi/apikey"
FILE = {
    "type": "iflow",
    "access_token": "acc3ss",
    "refresh_token": "r",
    "api_key": "sk-old",
    "email": "me@example.org",
    "expired": "2026-09-23T14:13:20Z",
    "last_refresh": "2026-09-21T14:13:20Z",
    "token_type": "Bearer",
    "scope": "read",
    "cookie": "",
}
"""A credential file as the reference server writes it after a login in the browser."""
COOKIE_FILE = {
    "type": "iflow",
    "access_token": "",
    "refresh_token": "",
    "api_key": "sk-old",
    "email": "me",
    "expired": "2026-09-28 14:13",
    "cookie": "BXAuth=abc;",
}


def inputs(**files: Mapping[str, JsonValue]) -> LoginInputs:
    known = {f"{name}.json": data for name, data in files.items()}
    return LoginInputs(random_token=lambda: STATE, now=lambda: NOW, files=known)


def with_basic(expected: Sends) -> Expectation:
    """Expect the application's id and secret in the header as well."""

    def check(step: Step) -> None:
        expected(step)
        assert isinstance(step, Send)
        pair = base64.b64encode(b"10009311001:s3cret").decode()
        assert step.call.headers.get("authorization") == f"Basic {pair}"

    return check


def shows(step: Step) -> None:
    """Expects the address with the vendor's own parameters and no others."""
    assert isinstance(step, Show)
    parts = urlsplit(step.url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://iflow.cn/oauth"
    assert dict(parse_qsl(parts.query)) == {
        "loginMethod": "phone",
        "type": "phone",
        "redirect": REDIRECT,
        "state": STATE,
        "client_id": "10009311001",
    }


EXCHANGES = with_basic(
    Sends(
        method="POST",
        url="https://iflow.cn/oauth/token",
        form={
            "grant_type": "authorization_code",
            "code": "c0de",
            "redirect_uri": REDIRECT,
            "client_id": "10009311001",
            "client_secret": "s3cret",
        },
    )
)
RENEWS = with_basic(
    Sends(
        method="POST",
        url="https://iflow.cn/oauth/token",
        form={
            "grant_type": "refresh_token",
            "refresh_token": "r",
            "client_id": "10009311001",
            "client_secret": "s3cret",
        },
    )
)


def browser(*script: Beat, came_back: Mapping[str, str] | None = None) -> LoginResult:
    """Play the login in the browser up to the code, then the script."""
    opening = [
        Beat(UseClient(APPLICATION), CLIENT),
        Beat(OpenCallback(port=11451, path="/oauth2callback"), REDIRECT),
        Beat(shows),
        Beat(AwaitCallback, came_back or {"code": "c0de", "state": STATE}),
    ]
    return play(PROVIDER.logins[0].flow(inputs()), [*opening, *script])


def test_the_login_in_the_browser_ends_in_a_key() -> None:
    result = browser(Beat(EXCHANGES, answer(200, TOKENS)), Beat(ASKS_INFO, answer(200, INFO)))
    assert result.file_name == "iflow-me@example.org.json"
    assert result.data == {
        "type": "iflow",
        "access_token": "acc3ss/+",
        "refresh_token": "r3fresh",
        "api_key": "sk-1",
        "email": "me@example.org",
        "expired": "2026-09-23T14:13:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
        "token_type": "Bearer",
        "scope": "read",
        "cookie": "",
    }


def test_who_has_no_address_is_known_by_his_telephone() -> None:
    info: JsonObject = {"success": True, "data": {"apiKey": "sk-1", "email": " ", "phone": "123"}}
    result = browser(Beat(EXCHANGES, answer(200, TOKENS)), Beat(ASKS_INFO, answer(200, info)))
    assert (result.label, result.file_name) == ("123", "iflow-123.json")


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (200, {"success": False, "message": "come back later"}, "unavailable", "come back later"),
        (200, {"success": True, "data": {"email": "me"}}, "bad_answer", "a key for models"),
        (200, {"success": True, "data": {"apiKey": "sk"}}, "bad_answer", "the account's name"),
        (401, {"success": False, "message": "no"}, "invalid_grant", "no"),
        (502, b"<html>", "unavailable", "status 502"),
    ],
)
def test_user_infos_that_end_the_login(status: int, body: "JsonValue | bytes", code: str, said: str) -> None:
    with pytest.raises(LoginError, match=said) as caught:
        browser(Beat(EXCHANGES, answer(200, TOKENS)), Beat(ASKS_INFO, answer(status, body)))
    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize(
    ("came_back", "code"),
    [
        ({"code": "c0de", "state": "another"}, "state_mismatch"),
        ({"error": "access_denied", "state": STATE}, "denied"),
    ],
)
def test_what_ends_the_login_in_the_browser(came_back: Mapping[str, str], code: str) -> None:
    with pytest.raises(LoginError) as caught:
        browser(came_back=came_back)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(400, {"error": "invalid_grant"}), "invalid_grant"),
        (answer(200, {"token_type": "Bearer"}), "bad_answer"),
        (LoginError("no connection", code="unreachable"), "unreachable"),
    ],
)
def test_a_code_that_gives_no_tokens(reply: object, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        browser(Beat(EXCHANGES, reply))
    assert caught.value.code == code


def test_without_the_applications_secret_nothing_is_asked() -> None:
    missing = LoginError("no secret", code="missing_client")
    with pytest.raises(LoginError) as caught:
        play(PROVIDER.logins[0].flow(inputs()), [Beat(UseClient(APPLICATION), missing)])
    assert caught.value.code == "missing_client"


# --- the cookie ---

DESCRIBED: JsonObject = {
    "success": True,
    "data": {"name": "me", "apiKeyMask": "sk-***", "expireTime": "2026-09-22 00:00"},
}
MADE: JsonObject = {
    "success": True,
    "data": {"name": "me", "apiKey": "sk-new", "expireTime": "2026-09-28 14:13"},
}


def describes(step: Step) -> None:
    Sends(method="GET", url=KEYS)(step)
    assert isinstance(step, Send)
    assert step.call.headers.get("cookie") == "a=b; BXAuth=abc; c=d;"


def makes(cookie: str) -> Expectation:
    def check(step: Step) -> None:
        Sends(method="POST", url=KEYS, json={"name": "me"})(step)
        assert isinstance(step, Send)
        assert step.call.headers.get("cookie") == cookie
        assert step.call.headers.get("origin") == "https://platform.iflow.cn"
        assert step.call.headers.get("referer") == "https://platform.iflow.cn/"

    return check


MAKES = makes("a=b; BXAuth=abc; c=d;")


def by_cookie(*script: Beat, **files: Mapping[str, JsonValue]) -> LoginResult:
    given = "  a=b;\n BXAuth=abc;  c=d "
    return play(PROVIDER.logins[1].flow(inputs(**files)), [Beat(COOKIE, given), *script])


def test_a_cookie_gives_a_key_and_is_kept_as_far_as_it_is_needed() -> None:
    other = {"iflow-other": {"type": "iflow", "cookie": "BXAuth=other;"}}
    result = by_cookie(Beat(describes, answer(200, DESCRIBED)), Beat(MAKES, answer(200, MADE)), **other)
    assert result.file_name == "iflow-me-1790000000.json"
    assert result.data == {
        "type": "iflow",
        "api_key": "sk-new",
        "email": "me",
        "expired": "2026-09-28 14:13",
        "last_refresh": "2026-09-21T14:13:20Z",
        "cookie": "BXAuth=abc;",
    }


def test_a_cookie_is_used_once() -> None:
    with pytest.raises(LoginError, match=r"iflow-me\.json") as caught:
        by_cookie(**{"iflow-me": COOKIE_FILE})
    assert caught.value.code == "duplicate"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {"success": False, "message": "not logged in"}, "unavailable"),
        (200, {"success": True, "data": {}}, "bad_answer"),
        (403, {}, "invalid_grant"),
    ],
)
def test_cookies_that_nobody_knows(status: int, body: JsonObject, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        by_cookie(Beat(describes, answer(status, body)))
    assert caught.value.code == code


def test_a_key_that_was_not_made() -> None:
    masked: JsonObject = {"success": True, "data": {"name": "me", "apiKeyMask": "sk-***"}}
    with pytest.raises(LoginError, match="without a key"):
        by_cookie(Beat(describes, answer(200, DESCRIBED)), Beat(MAKES, answer(200, masked)))


@pytest.mark.parametrize("given", ["", "a=b", "xBXAuth=1; a=b", "BXAuth=; a=b"])
def test_cookies_that_log_nobody_in(given: str) -> None:
    with pytest.raises(LoginError, match="BXAuth"):
        normal_cookie(given)


def test_a_cookie_on_one_line() -> None:
    assert normal_cookie("a=b;\t BXAuth=x=y") == "a=b; BXAuth=x=y;"
    assert login_part("a=b; BXAuth=x=y;") == "BXAuth=x=y;"


# --- renewal ---


def credential(**data: JsonValue) -> Credential:
    return Credential(
        id=CredentialId("iflow-me.json"), provider="iflow", kind=CredentialKind.ACCOUNT, data=data
    )


@pytest.mark.parametrize(("file", "end"), [(FILE, 1_790_172_800.0), (COOKIE_FILE, 1_790_604_780.0)])
def test_files_of_the_reference_server_hold_a_key_with_an_end(file: JsonObject, end: float) -> None:
    assert PROVIDER.codec is not None
    read = decode_credential("iflow-me.json", json.dumps(file).encode(), codec_table([PROVIDER.codec]))
    assert read.warnings == ()
    token = PROVIDER.slots[TokenSlot.ACCOUNT].initial(read.credential)
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("sk-old", end)


def test_a_file_without_a_key_has_no_token_yet() -> None:
    assert PROVIDER.slots[TokenSlot.ACCOUNT].initial(credential(refresh_token="r")) is None


def saves(**members: str) -> Expectation:
    def check(step: Step) -> None:
        assert isinstance(step, Persist)
        assert {name: step.patch[name] for name in members} == members

    return check


OPENING = [
    Beat(UseClient(APPLICATION), CLIENT),
    Beat(RENEWS, answer(200, TOKENS)),
    Beat(Now(), NOW),
    Beat(saves(refresh_token="r3fresh", access_token="acc3ss/+")),
]


def test_a_renewal_saves_the_tokens_before_it_asks_for_the_key() -> None:
    script = [
        *OPENING,
        Beat(ASKS_INFO, answer(200, INFO)),
        Beat(saves(api_key="sk-1", email="me@example.org")),
    ]
    token = play(renew(credential(**FILE), {}), script)
    assert (token.value.reveal(), token.expires_at) == ("sk-1", NOW + 172800)


def test_a_failing_user_info_loses_no_refresh_token() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(**FILE), {}), [*OPENING, Beat(ASKS_INFO, answer(500, b""))])
    assert (caught.value.code, caught.value.status) == ("unavailable", 500)


def test_a_cookies_key_is_renewed_by_the_cookie() -> None:
    script = [
        Beat(makes("BXAuth=abc;"), answer(200, MADE)),
        Beat(Now(), NOW),
        Beat(saves(api_key="sk-new", expired="2026-09-28 14:13", last_refresh="2026-09-21T14:13:20Z")),
    ]
    token = play(renew(credential(**COOKIE_FILE), {}), script)
    assert (token.value.reveal(), token.expires_at) == ("sk-new", 1_790_604_780.0)


def test_a_key_with_an_odd_end_is_used_until_it_is_refused() -> None:
    odd: JsonObject = {"success": True, "data": {"apiKey": "sk-new", "expireTime": "some day"}}
    script = [Beat(makes("BXAuth=abc;"), answer(200, odd)), Beat(Now(), NOW), Beat(Persist)]
    assert play(renew(credential(**COOKIE_FILE), {}), script).expires_at is None


# --- requests ---


def call(model: str = "glm-4.6", *, stream: bool = True, **members: JsonValue) -> Call:
    return Call(
        credential=credential(),
        token=Token(value=Secret("sk-1")),
        model=model,
        action=Action.GENERATE,
        body=json.dumps({"model": model, **members}).encode(),
        stream=stream,
        now=1_790_000_000.123,
        nonce="0" * 32,
    )


def prepared(wanted: Call) -> HttpCall:
    made = CHAT.prepare(wanted)
    assert isinstance(made, HttpCall)
    return made


def test_the_signature_of_a_known_request() -> None:
    """The expected value comes from another program: ``openssl dgst -sha256 -hmac``."""
    expected = "05f3d5ab5af418ac031091b593bd422dd8d31dc0f0f872f710a355291c7fc564"
    made = signature(Secret("sk-1"), "iFlow-Cli", "session-1", "1700000000000")
    assert made == expected


def test_requests_are_signed_with_the_key() -> None:
    headers = prepared(call()).headers
    session = "session-00000000-0000-4000-8000-000000000000"
    assert headers.get("user-agent") == "iFlow-Cli"
    assert headers.get("session-id") == session
    assert headers.get("x-iflow-timestamp") == "1790000000123"
    assert headers.get("x-iflow-signature") == signature(
        Secret("sk-1"), "iFlow-Cli", session, "1790000000123"
    )
    assert headers.get("authorization") == "Bearer sk-1"


def test_an_owners_name_of_the_program_is_the_one_that_is_signed() -> None:
    own = evolve(call(), credential=evolve(credential(), headers={"user-agent": "mine/1"}))
    headers = prepared(own).headers
    session = headers.get("session-id")
    assert headers.get("user-agent") == "mine/1"
    assert headers.get("x-iflow-signature") == signature(Secret("sk-1"), "mine/1", session, "1790000000123")


def test_without_a_key_nothing_is_signed() -> None:
    assert "x-iflow-signature" not in prepared(evolve(call(), token=None)).headers


ON = {"chat_template_kwargs": {"enable_thinking": True}}
OFF = {"chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("model", "effort", "members"),
    [
        ("glm-4.6", "medium", {"chat_template_kwargs": {"enable_thinking": True, "clear_thinking": False}}),
        ("GLM-5", "auto", {"chat_template_kwargs": {"enable_thinking": True, "clear_thinking": False}}),
        ("glm-4.6", "none", OFF),
        ("qwen3-max-preview", "high", ON),
        ("deepseek-v3.2", "low", ON),
        ("deepseek-v3.1", "none", OFF),
        ("minimax-m2", "high", {"reasoning_split": True}),
        ("minimax-m2", "none", {"reasoning_split": False}),
    ],
)
def test_every_model_is_told_to_think_in_its_own_way(model: str, effort: str, members: JsonObject) -> None:
    assert switched(model, {"reasoning_effort": effort}) == {"reasoning_effort": DELETE, **members}


def test_what_a_client_says_to_the_template_is_kept_except_for_earlier_thoughts() -> None:
    said: JsonObject = {"clear_thinking": True, "style": "brief"}
    body: JsonObject = {"reasoning_effort": "none", "chat_template_kwargs": said}
    made = switched("glm-4.6", body)["chat_template_kwargs"]
    assert made == {"style": "brief", "enable_thinking": False}


@pytest.mark.parametrize(
    ("model", "effort"), [("qwen3-max", "high"), ("deepseek-v3", "none"), ("glm-4.6", "")]
)
def test_other_bodies_stay_as_they_are(model: str, effort: str) -> None:
    wanted = call(model, **({"reasoning_effort": effort} if effort else {}))
    assert prepared(wanted).body == wanted.body


@pytest.mark.parametrize(
    ("stream", "tools", "sent"), [(True, [], [NO_TOOL]), (False, [], []), (True, [NO_TOOL], [NO_TOOL])]
)
def test_a_stream_without_tools_gets_one_that_does_nothing(
    stream: bool, tools: list[JsonValue], sent: list[JsonValue]
) -> None:
    assert json.loads(prepared(call(stream=stream, tools=tools)).body)["tools"] == sent


def test_models_are_the_bundled_ones() -> None:
    assert "glm-4.6" in {model.id for model in PROVIDER.static_models(credential())}
