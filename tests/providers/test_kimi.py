"""Kimi: login, renewal, what its two endpoints are sent."""

import json
from collections.abc import Mapping

import pytest
from attrs import evolve

from cliproxy import __version__
from cliproxy.credentials.files import codec_table, decode_credential, merge_tokens
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.dialects.base import Action
from cliproxy.errors import LoginError
from cliproxy.login.device import GRANT_TYPE
from cliproxy.login.steps import Now, Pause, Persist, Send, Show, Step
from cliproxy.providers.base import Call, LoginInputs
from cliproxy.providers.kimi import (
    CHAT,
    CLIENT_ID,
    COUNT,
    MESSAGES,
    NO_REASONING,
    PROVIDER,
    device_id_of,
    mend,
    renew,
    thinking_of,
)
from cliproxy.wire.http import HttpCall
from cliproxy.wire.jsontext import JsonObject, JsonValue
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.25
VERIFIER = "v" * 43
DEVICE = "00000000-0000-4000-8000-000000000001"
TOKENS: JsonObject = {
    "access_token": "acc3ss",
    "refresh_token": "r3fresh",
    "token_type": "Bearer",
    "scope": "kimi-code",
    "expires_in": 900.5,
}
CODE: JsonObject = {
    "device_code": "d",
    "user_code": "ABCD",
    "verification_uri": "https://www.kimi.com/code/authorize_device",
    "verification_uri_complete": "https://www.kimi.com/code/authorize_device?user_code=ABCD",
    "expires_in": 600,
    "interval": 5,
}
POLLS = Sends(
    method="POST",
    url="https://auth.kimi.com/api/oauth/token",
    form={"grant_type": GRANT_TYPE, "client_id": CLIENT_ID, "device_code": "d"},
)
RENEWS = Sends(
    method="POST",
    url="https://auth.kimi.com/api/oauth/token",
    form={"grant_type": "refresh_token", "refresh_token": "r", "client_id": CLIENT_ID},
)
FILE = {
    "type": "kimi",
    "access_token": "acc3ss",
    "refresh_token": "r",
    "token_type": "Bearer",
    "scope": "kimi-code",
    "device_id": DEVICE,
    "expired": "2026-09-21T14:28:20Z",
    "timestamp": 1_790_000_000_250,
    "of_another_program": [1],
}
"""A credential file as the reference server writes it."""


def inputs() -> LoginInputs:
    return LoginInputs(options={}, random_token=lambda: VERIFIER, now=lambda: NOW)


def asks(step: Step) -> None:
    """Expects the request for a code, with nothing but the client's id and honest headers."""
    Sends(
        method="POST",
        url="https://auth.kimi.com/api/oauth/device_authorization",
        form={"client_id": CLIENT_ID},
    )(step)
    assert isinstance(step, Send)
    headers = step.call.headers
    assert headers.get("x-msh-platform") == "cliproxy"
    assert headers.get("x-msh-version") == __version__
    assert headers.get("x-msh-device-id").count("-") == 4


OPENING = [Beat(asks, answer(200, CODE)), Beat(Now(), NOW), Beat(Show), Beat(Pause(5.0))]


def log_in(*script: Beat) -> JsonObject:
    [login] = PROVIDER.logins
    return dict(play(login.flow(inputs()), [*OPENING, *script]).data)


def test_a_login_makes_a_file_with_a_device_of_its_own() -> None:
    [login] = PROVIDER.logins
    result = play(login.flow(inputs()), [*OPENING, Beat(POLLS, answer(200, TOKENS))])
    assert result.file_name == "kimi-1790000000250.json"
    device = str(result.data["device_id"])
    assert result.data == {
        "type": "kimi",
        "access_token": "acc3ss",
        "refresh_token": "r3fresh",
        "token_type": "Bearer",
        "scope": "kimi-code",
        "expired": "2026-09-21T14:28:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
        "device_id": device,
        "timestamp": 1_790_000_000_250,
    }


def test_a_login_waits_slows_down_and_survives_a_broken_connection() -> None:
    """The vendor says that nobody was there yet in answers of success."""
    data = log_in(
        Beat(POLLS, answer(200, {"error": "authorization_pending"})),
        Beat(Now(), NOW),
        Beat(Pause(5.0)),
        Beat(POLLS, answer(200, {"error": "slow_down"})),
        Beat(Now(), NOW),
        Beat(Pause(10.0)),
        Beat(POLLS, LoginError("no connection", code="unreachable")),
        Beat(Now(), NOW),
        Beat(Pause(10.0)),
        Beat(POLLS, answer(200, TOKENS)),
    )
    assert data["access_token"] == "acc3ss"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": "access_denied"}, "denied"),
        ({"error": "expired_token"}, "timeout"),
        ({"error": "something_else"}, "refused"),
        ({"token_type": "Bearer"}, "bad_answer"),
    ],
)
def test_a_login_that_ends_without_tokens(body: JsonObject, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in(Beat(POLLS, answer(200, body)))
    assert caught.value.code == code


def test_a_login_that_nobody_finishes() -> None:
    with pytest.raises(LoginError) as caught:
        log_in(Beat(POLLS, answer(200, {"error": "authorization_pending"})), Beat(Now(), NOW + 600))
    assert caught.value.code == "timeout"


def test_without_a_code_there_is_nothing_to_show() -> None:
    with pytest.raises(LoginError, match="gave no code"):
        play(PROVIDER.logins[0].flow(inputs()), [Beat(asks, answer(200, {"user_code": "ABCD"}))])


def credential(**data: object) -> Credential:
    return Credential(id=CredentialId("kimi-1.json"), provider="kimi", kind=CredentialKind.ACCOUNT, data=data)


def test_a_file_of_the_reference_server_is_read_and_loses_nothing() -> None:
    assert PROVIDER.codec is not None
    read = decode_credential("kimi-1.json", json.dumps(FILE).encode(), codec_table([PROVIDER.codec]))
    assert read.warnings == ()
    token = PROVIDER.slots[TokenSlot.ACCOUNT].initial(read.credential)
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("acc3ss", 1_790_000_900.0)
    assert device_id_of(read.credential) == DEVICE
    assert merge_tokens(read.credential.data, {"access_token": "new"})["of_another_program"] == [1]


def test_a_renewal_comes_from_the_device_of_the_login() -> None:
    def sends(step: Step) -> None:
        RENEWS(step)
        assert isinstance(step, Send)
        assert step.call.headers.get("x-msh-device-id") == DEVICE

    def saves(step: Step) -> None:
        assert isinstance(step, Persist)
        assert step.patch["refresh_token"] == "r3fresh"
        assert step.patch["timestamp"] == 1_790_000_000_250

    script = [Beat(Now(), NOW), Beat(sends, answer(200, TOKENS)), Beat(Now(), NOW), Beat(saves)]
    token = play(renew(credential(refresh_token="r", device_id=DEVICE), {}), script)
    assert token.expires_at == NOW + 900.5


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"message": "no"}, "invalid_grant"),
        (403, {"error": "forbidden"}, "invalid_grant"),
        (400, {"error": "invalid_grant"}, "invalid_grant"),
        (503, {}, "unreachable"),
    ],
)
def test_only_a_refused_renewal_needs_the_owner(status: int, body: JsonObject, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(refresh_token="r"), {}), [Beat(Now(), NOW), Beat(RENEWS, answer(status, body))])
    assert caught.value.code == code


def test_a_renewal_without_a_refresh_token_needs_the_owner() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(access_token="a"), {}), [Beat(Now(), NOW)])
    assert caught.value.code == "not_renewable"


def test_a_file_without_a_device_keeps_the_one_its_name_gives() -> None:
    assert device_id_of(credential()) == device_id_of(credential(access_token="x"))
    assert len(device_id_of(credential())) == len(DEVICE)


# --- requests ---


def call(body: Mapping[str, JsonValue], action: Action = Action.GENERATE) -> Call:
    return Call(
        credential=credential(device_id=DEVICE),
        token=Token(value=Secret("acc3ss")),
        model="kimi-k2.5",
        action=action,
        body=json.dumps({"model": "kimi-k2.5", **body}).encode(),
        stream=True,
        client_headers={"anthropic-beta": "some-beta-2026-01-01"},
    )


def test_the_chat_endpoint_knows_the_model_without_its_first_name() -> None:
    made = CHAT.prepare(call({"messages": [], "reasoning_effort": "high"}))
    assert isinstance(made, HttpCall)
    assert made.url == "https://api.kimi.com/coding/v1/chat/completions"
    assert json.loads(made.body) == {
        "model": "k2.5",
        "messages": [],
        "thinking": {"type": "enabled", "effort": "high"},
    }
    assert made.headers.get("x-msh-device-id") == DEVICE
    assert made.headers.get("authorization") == "Bearer acc3ss"


@pytest.mark.parametrize(
    ("body", "thinking"),
    [
        ({}, {}),
        ({"thinking": {"type": "enabled"}}, {}),
        ({"reasoning_effort": "none"}, {"type": "disabled"}),
        ({"reasoning_effort": "auto"}, {"type": "enabled"}),
        ({"reasoning_effort": "low"}, {"type": "enabled", "effort": "low"}),
        (
            {"reasoning_effort": "none", "thinking": {"type": "enabled", "effort": "high", "keep": "all"}},
            {"type": "disabled", "keep": "all"},
        ),
    ],
)
def test_how_thinking_is_asked_for(body: JsonObject, thinking: JsonObject) -> None:
    assert thinking_of(body) == thinking


def test_the_messages_endpoint_gets_the_whole_name_and_the_clients_betas() -> None:
    said: JsonObject = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "betas": ["x"]}
    made = MESSAGES.prepare(call(said))
    assert isinstance(made, HttpCall)
    assert made.url == "https://api.kimi.com/coding/v1/messages?beta=true"
    body = json.loads(made.body)
    assert body["model"] == "kimi-k2.5"
    assert "betas" not in body
    assert made.headers.get("anthropic-version") == "2023-06-01"
    assert made.headers.get("anthropic-beta") == "some-beta-2026-01-01"


def test_tokens_are_counted_by_the_messages_endpoint() -> None:
    made = COUNT.prepare(call({"max_tokens": 9, "messages": []}, Action.COUNT))
    assert isinstance(made, HttpCall)
    assert made.url == "https://api.kimi.com/coding/v1/messages/count_tokens?beta=true"
    assert "max_tokens" not in json.loads(made.body)
    able = [way.id for way in PROVIDER.contracts_for(credential(), "m", Action.COUNT)]
    assert able == ["chat", "messages", "count"]
    assert [way.supports(Action.COUNT) for way in (CHAT, MESSAGES, COUNT)] == [False, False, True]


def test_an_owner_may_say_where_the_service_is() -> None:
    elsewhere = evolve(
        call({"messages": []}), credential=evolve(credential(), base_url="https://mine.example.org")
    )
    made = CHAT.prepare(elsewhere)
    assert isinstance(made, HttpCall)
    assert made.url == "https://mine.example.org/v1/chat/completions"


# --- conversations ---

CALL: JsonObject = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def turn(**members: JsonValue) -> JsonObject:
    return {"role": "assistant", "tool_calls": [CALL], **members}


@pytest.mark.parametrize(
    ("before", "message", "reasoning"),
    [
        ([], turn(reasoning_content="mine"), "mine"),
        ([{"role": "assistant", "content": "x", "reasoning_content": "earlier"}], turn(), "earlier"),
        ([], turn(content="I look it up"), "I look it up"),
        ([], turn(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "a\nb"),
        ([], turn(content=None, reasoning_content="  "), NO_REASONING),
    ],
)
def test_reasoning_beside_every_tool_call(
    before: list[JsonValue], message: JsonObject, reasoning: str
) -> None:
    *same, last = mend([*before, message])
    assert same == before
    assert last == {**message, "reasoning_content": reasoning}


def test_a_message_without_calls_needs_no_reasoning() -> None:
    messages: list[JsonValue] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y"},
        "odd",
    ]
    assert mend(messages) == messages


@pytest.mark.parametrize(
    ("calls", "result", "named"),
    [
        (["c1"], {}, "c1"),
        (["c1"], {"call_id": "c1"}, "c1"),
        (["c1", "c2"], {"tool_call_id": "c2"}, "c2"),
        (["c1", "c2"], {}, None),
        ([], {}, None),
    ],
)
def test_a_result_names_its_call_where_there_is_no_doubt(
    calls: list[str], result: JsonObject, named: str | None
) -> None:
    said: list[JsonValue] = [
        {"role": "assistant", "reasoning_content": "r", "tool_calls": [{"id": name} for name in calls]},
        {"role": "tool", "content": "ok", **result},
    ]
    last = mend(said)[-1]
    assert isinstance(last, dict)
    assert last.get("tool_call_id") == named


def test_an_answered_call_waits_no_longer() -> None:
    said: list[JsonValue] = [
        {"role": "assistant", "reasoning_content": "r", "tool_calls": [{"id": "c1"}, {"id": "c2"}]},
        {"role": "tool", "content": "ok", "tool_call_id": "c1"},
        {"role": "tool", "content": "ok"},
    ]
    last = mend(said)[-1]
    assert isinstance(last, dict)
    assert last["tool_call_id"] == "c2"


def test_models_are_the_bundled_ones() -> None:
    assert "kimi-k2.5" in {model.id for model in PROVIDER.static_models(credential())}
