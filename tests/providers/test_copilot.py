"""GitHub Copilot: login, the exchanged token, the list of models, what requests are sent with."""

import json
from collections.abc import Mapping

import pytest
from attrs import evolve

from cliproxy.credentials.files import codec_table, decode_credential
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.errors import Kind, LoginError, Scope
from cliproxy.login.device import GRANT_TYPE
from cliproxy.login.steps import Now, Pause, Send, Show, Step
from cliproxy.providers.base import Call, LoginInputs, LoginResult
from cliproxy.providers.chat import ChatContract
from cliproxy.providers.copilot import (
    BASE_URL,
    CHAT,
    CLIENT_ID,
    EDITOR,
    EXCHANGE,
    HOSTS,
    PROVIDER,
    RESPONSES,
    USER,
    base_from,
    discover,
    read_failure,
    renew,
)
from cliproxy.wire.http import Headers, HttpCall
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Expectation, Sends, answer, play

NOW = 1_790_000_000.0
INDIVIDUAL = "https://api.individual.githubcopilot.com"
CODE: JsonObject = {
    "device_code": "d",
    "user_code": "ABCD-1234",
    "verification_uri": "https://github.com/login/device",
    "expires_in": 899,
    "interval": 5,
}
TOKENS: JsonObject = {"access_token": "ghu_1", "token_type": "bearer", "scope": "read:user,user:email"}
PROFILE: JsonObject = {"login": "octocat", "email": None, "name": "The Octocat"}
MADE: JsonObject = {"token": "tid=1", "expires_at": int(NOW) + 1800, "endpoints": {"api": INDIVIDUAL}}
FILE = {
    "type": "github-copilot",
    "access_token": "ghu_1",
    "token_type": "bearer",
    "scope": "read:user,user:email",
    "username": "octocat",
    "email": "",
    "name": "The Octocat",
}
"""A credential file as the reference server writes it."""

ASKS = Sends(
    method="POST",
    url="https://github.com/login/device/code",
    form={"client_id": CLIENT_ID, "scope": "read:user user:email"},
)
POLLS = Sends(
    method="POST",
    url="https://github.com/login/oauth/access_token",
    form={"grant_type": GRANT_TYPE, "client_id": CLIENT_ID, "device_code": "d"},
)
ASKS_WHO = Sends(method="GET", url=USER, bearer="ghu_1")
OPENING = [Beat(ASKS, answer(200, CODE)), Beat(Now(), NOW), Beat(Show), Beat(Pause(5.0))]


def exchanges(**headers: str) -> Expectation:
    """Expect the exchange, with the headers of an editor."""

    def check(step: Step) -> None:
        Sends(method="GET", url=EXCHANGE)(step)
        assert isinstance(step, Send)
        sent = step.call.headers
        assert sent.get("authorization") == "token ghu_1"
        for name, value in {**EDITOR, **headers}.items():
            assert sent.get(name) == value

    return check


def log_in(*script: Beat) -> LoginResult:
    [login] = PROVIDER.logins
    inputs = LoginInputs(random_token=lambda: "v" * 43, now=lambda: NOW)
    return play(login.flow(inputs), [*OPENING, *script])


SUCCESS = [Beat(POLLS, answer(200, TOKENS)), Beat(ASKS_WHO, answer(200, PROFILE))]


def test_a_login_looks_for_the_seat_and_keeps_the_lasting_token_alone() -> None:
    result = log_in(*SUCCESS, Beat(exchanges(), answer(200, MADE)), Beat(Now(), NOW))
    assert result.file_name == "github-copilot-octocat.json"
    assert result.data == FILE


@pytest.mark.parametrize("reply", [answer(503, {}), answer(200, b"?"), LoginError("no", code="unreachable")])
def test_a_profile_that_is_not_to_be_had_stops_nobody(reply: object) -> None:
    result = log_in(
        Beat(POLLS, answer(200, TOKENS)),
        Beat(ASKS_WHO, reply),
        Beat(exchanges(), answer(200, MADE)),
        Beat(Now(), NOW),
    )
    assert result.file_name == "github-copilot-github-user.json"


def test_a_login_waits_slows_down_and_survives_a_broken_connection() -> None:
    """The vendor says that nobody was there yet in answers of success."""
    result = log_in(
        Beat(POLLS, answer(200, {"error": "authorization_pending"})),
        Beat(Now(), NOW),
        Beat(Pause(5.0)),
        Beat(POLLS, answer(200, {"error": "slow_down", "interval": 10})),
        Beat(Now(), NOW),
        Beat(Pause(10.0)),
        Beat(POLLS, LoginError("no connection", code="timeout")),
        Beat(Now(), NOW),
        Beat(Pause(10.0)),
        *SUCCESS,
        Beat(exchanges(), answer(200, MADE)),
        Beat(Now(), NOW),
    )
    assert result.label == "octocat"


@pytest.mark.parametrize(
    ("error", "code"), [("access_denied", "denied"), ("expired_token", "timeout"), ("odd", "refused")]
)
def test_what_ends_a_login(error: str, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(Beat(POLLS, answer(200, {"error": error})))
    assert caught.value.code == code


NO_SEAT: JsonObject = {"error_details": {"message": "No access to GitHub Copilot found."}}


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (403, NO_SEAT, "no_seat", "No access to GitHub Copilot found"),
        (404, {"message": "Not Found"}, "no_seat", "Not Found"),
        (401, {"message": "Bad credentials"}, "invalid_grant", "Bad credentials"),
        (500, b"<html>", "unavailable", "status 500"),
        (200, {"endpoints": {}}, "bad_answer", "without a token"),
    ],
)
def test_accounts_that_get_no_token(status: int, body: "JsonValue | bytes", code: str, said: str) -> None:
    with pytest.raises(LoginError, match=said) as caught:
        log_in(*SUCCESS, Beat(exchanges(), answer(status, body)))
    assert (caught.value.code, caught.value.status) == (code, status)


# --- tokens ---


def credential(headers: Mapping[str, str] | None = None, base_url: str = "") -> Credential:
    return Credential(
        id=CredentialId("github-copilot-octocat.json"),
        provider="github-copilot",
        kind=CredentialKind.ACCOUNT,
        data=FILE,
        headers=headers or {},
        base_url=base_url,
    )


ACCOUNT = {TokenSlot.ACCOUNT: Token(value=Secret("ghu_1"))}


def test_a_file_of_the_reference_server_holds_a_token_without_an_end() -> None:
    assert PROVIDER.codec is not None
    read = decode_credential("c.json", json.dumps(FILE).encode(), codec_table([PROVIDER.codec]))
    assert read.warnings == ()
    assert read.credential.label == "octocat"
    account, gateway = PROVIDER.slots[TokenSlot.ACCOUNT], PROVIDER.slots[TokenSlot.GATEWAY]
    token = account.initial(read.credential)
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("ghu_1", None)
    assert gateway.initial(read.credential) is None
    assert gateway.depends_on is TokenSlot.ACCOUNT


def test_the_second_token_knows_its_address_and_its_end() -> None:
    token = play(renew(credential(), ACCOUNT), [Beat(exchanges(), answer(200, MADE)), Beat(Now(), NOW)])
    assert (token.value.reveal(), token.expires_at, token.base_url) == ("tid=1", NOW + 1800, INDIVIDUAL)


def test_a_second_token_that_says_little_is_good_for_a_while() -> None:
    script = [Beat(exchanges(), answer(200, {"token": "tid=1"})), Beat(Now(), NOW)]
    token = play(renew(credential(), ACCOUNT), script)
    assert (token.expires_at, token.base_url) == (NOW + 1500, BASE_URL)


def test_an_owner_may_name_another_editor() -> None:
    own = credential({"Editor-Version": "mine/1", "X-Copied": "$X-Client"})
    expected = exchanges(**{"Editor-Version": "mine/1"})
    play(renew(own, ACCOUNT), [Beat(expected, answer(200, MADE)), Beat(Now(), NOW)])


@pytest.mark.parametrize(
    ("address", "base"),
    [
        *((f"https://{host}/", f"https://{host}") for host in sorted(HOSTS)),
        ("http://api.githubcopilot.com", BASE_URL),
        ("https://api.githubcopilot.com.example.org", BASE_URL),
        ("https://user@api.githubcopilot.com", BASE_URL),
        ("https://evil.example.org", BASE_URL),
        ("https://[", BASE_URL),
        ("", BASE_URL),
    ],
)
def test_only_the_services_own_hosts_get_the_token(address: str, base: str) -> None:
    assert base_from(address) == base


# --- models ---

GATEWAY = {TokenSlot.GATEWAY: Token(value=Secret("tid=1"), base_url=INDIVIDUAL)}
LISTS = Sends(method="GET", url=f"{INDIVIDUAL}/models", bearer="tid=1")


def listed(*entries: JsonObject) -> list[tuple[str, tuple[str, ...]]]:
    found = play(discover(credential(), GATEWAY), [Beat(LISTS, answer(200, {"data": [*entries]}))])
    return [(info.id, info.contracts) for info in found]


def test_a_model_is_reached_as_the_service_says() -> None:
    assert listed(
        {"id": "a", "supported_endpoints": ["/chat/completions", "/responses", "/v1/messages"]},
        {"id": "b", "supported_endpoints": ["/responses"]},
        {"id": "c"},
        {"id": "d-codex"},
        {"id": "a", "supported_endpoints": ["/chat/completions", "/responses"]},
    ) == [
        ("a", ("chat", "responses")),
        ("b", ("responses",)),
        ("c", ("chat",)),
        ("d-codex", ("responses",)),
    ]


def test_models_nobody_here_can_use_are_left_out() -> None:
    assert (
        listed(
            {"id": "embeds", "capabilities": {"type": "embeddings"}},
            {"id": "off", "policy": {"state": "disabled"}},
            {"id": "elsewhere", "supported_endpoints": ["/v1/messages"]},
            {"name": "nameless"},
        )
        == []
    )


def test_what_the_service_says_of_a_model_goes_before_what_is_known() -> None:
    limits: JsonObject = {"max_context_window_tokens": 1, "max_output_tokens": 2}
    supports: JsonObject = {"vision": True, "reasoning_effort": ["Low", "high"]}
    entry: JsonObject = {
        "id": "gpt-5",
        "name": "GPT-5 (new)",
        "capabilities": {"limits": limits, "supports": supports},
    }
    script = [Beat(LISTS, answer(200, {"data": [entry, {"id": "gpt-5.2"}, {"id": "new"}]}))]
    told, known, new = play(discover(credential(), GATEWAY), script)
    assert (told.display_name, told.context_tokens, told.output_tokens) == ("GPT-5 (new)", 1, 2)
    assert told.thinking is not None
    assert told.thinking.levels == ("low", "high")
    assert "image" in told.input_modalities
    assert known.thinking is not None
    assert "xhigh" in known.thinking.levels
    assert new.thinking is not None
    assert not new.thinking.can_think


@pytest.mark.parametrize(("status", "code"), [(401, "expired"), (500, "unavailable")])
def test_a_list_that_is_refused(status: int, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(discover(credential(), GATEWAY), [Beat(LISTS, answer(status, {}))])
    assert caught.value.code == code


def test_an_owners_address_is_asked() -> None:
    asks = Sends(method="GET", url="https://mine.example.org/models")
    own = credential(base_url="https://mine.example.org/")
    assert play(discover(own, GATEWAY), [Beat(asks, answer(200, {}))]) == ()


def test_until_then_the_bundled_models_are_served() -> None:
    models = {info.id: info for info in PROVIDER.static_models(credential())}
    assert models["gpt-5-codex"].contracts == ("responses",)
    assert models["claude-sonnet-4.5"].contracts == ("chat",)


# --- requests ---


def prepared(contract: ChatContract, **body: JsonValue) -> HttpCall:
    made = contract.prepare(
        Call(
            credential=credential(),
            token=GATEWAY[TokenSlot.GATEWAY],
            model="gpt-5",
            action=Action.GENERATE,
            body=json.dumps({"model": "gpt-5", **body}).encode(),
            stream=True,
            nonce="0" * 32,
        )
    )
    assert isinstance(made, HttpCall)
    return made


def test_requests_go_to_the_address_of_the_token() -> None:
    made = prepared(CHAT, messages=[])
    assert made.url == f"{INDIVIDUAL}/chat/completions"
    assert prepared(RESPONSES, input=[]).url == f"{INDIVIDUAL}/responses"
    assert made.headers.get("authorization") == "Bearer tid=1"
    assert made.headers.get("x-request-id") == "00000000-0000-4000-8000-000000000000"
    assert {name: made.headers.get(name) for name in EDITOR} == EDITOR


@pytest.mark.parametrize(
    ("contract", "member", "last", "initiator"),
    [
        (CHAT, "messages", {"role": "user", "content": "x"}, "user"),
        (CHAT, "messages", {"role": "tool", "content": "x"}, "agent"),
        (CHAT, "messages", {"role": "assistant", "content": "x"}, "agent"),
        (RESPONSES, "input", {"role": "user", "content": "x"}, "user"),
        (RESPONSES, "input", {"type": "function_call_output", "output": "x"}, "agent"),
        (RESPONSES, "input", {"type": "message", "role": "assistant", "content": "x"}, "agent"),
    ],
)
def test_who_asks(contract: ChatContract, member: str, last: JsonObject, initiator: str) -> None:
    said: JsonValue = [{"role": "user", "content": "x"}, last]
    assert prepared(contract, **{member: said}).headers.get("x-initiator") == initiator


def test_a_question_of_one_text_is_a_persons() -> None:
    assert prepared(RESPONSES, input="hi").headers.get("x-initiator") == "user"


@pytest.mark.parametrize(
    ("contract", "member", "part"),
    [
        (CHAT, "messages", {"type": "image_url", "image_url": {"url": "x"}}),
        (RESPONSES, "input", {"type": "input_image", "image_url": "x"}),
    ],
)
def test_pictures_are_announced(contract: ChatContract, member: str, part: JsonObject) -> None:
    said: JsonValue = [{"role": "user", "content": [part]}]
    assert prepared(contract, **{member: said}).headers.get("copilot-vision-request") == "true"
    assert "copilot-vision-request" not in prepared(contract, **{member: []}).headers


FUNCTION: JsonObject = {"type": "function", "function": {"name": "f"}}
OTHER: JsonObject = {"type": "custom", "custom": {"name": "g"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tools": [FUNCTION, OTHER]}, {"tools": [FUNCTION]}),
        ({"tools": [OTHER], "tool_choice": "auto"}, {}),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tools": [FUNCTION], "tool_choice": "auto"},
        ),
        ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [FUNCTION], "tool_choice": "required"}),
        ({"tools": []}, {"tools": []}),
    ],
)
def test_tools_are_functions_and_choices_are_words(body: JsonObject, expected: JsonObject) -> None:
    sent = json.loads(prepared(CHAT, **body).body)
    assert {key: sent[key] for key in sent if key.startswith("tool")} == expected


@pytest.mark.parametrize(
    ("role", "content", "sent"),
    [
        ("assistant", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ("assistant", [{"type": "refusal", "refusal": "n"}], [{"type": "refusal", "refusal": "n"}]),
        ("assistant", None, None),
        ("user", [{"type": "text", "text": "a"}], [{"type": "text", "text": "a"}]),
    ],
)
def test_what_the_model_said_is_one_text(role: str, content: JsonValue, sent: JsonValue) -> None:
    [message] = json.loads(prepared(CHAT, messages=[{"role": role, "content": content}]).body)["messages"]
    assert message["content"] == sent


def test_bodies_without_need_stay_as_they_are() -> None:
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}).encode()
    assert prepared(CHAT, messages=[{"role": "user", "content": "x"}]).body == body


def test_the_plan_decides_about_the_tier() -> None:
    assert "service_tier" not in json.loads(prepared(RESPONSES, input="x", service_tier="flex").body)


def test_a_model_that_is_not_there_is_no_fault_of_the_request() -> None:
    body = json.dumps({"error": {"code": "model_not_supported", "message": "no"}}).encode()
    failure = read_failure(400, Headers(), body)
    assert failure is not None
    assert (failure.kind, failure.scope, failure.status) == (Kind.NOT_FOUND, Scope.MODEL, 404)
    assert read_failure(500, Headers(), body) is None
    assert read_failure(400, Headers(), b"?") is None


def test_an_owners_headers_have_the_last_word() -> None:
    own = evolve(credential(), headers={"Copilot-Integration-Id": "mine"})
    call = Call(
        credential=own,
        token=GATEWAY[TokenSlot.GATEWAY],
        model="m",
        action=Action.GENERATE,
        body=b"{}",
        stream=False,
        nonce="1" * 32,
    )
    made = CHAT.prepare(call)
    assert isinstance(made, HttpCall)
    assert made.headers.get("copilot-integration-id") == "mine"
