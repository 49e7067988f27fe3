"""The Codex provider: prepared requests, refusals, the record."""

import json

import pytest

from cliproxy.config.keys import keys_of
from cliproxy.config.model import Config
from cliproxy.credentials.model import (
    Credential,
    CredentialId,
    CredentialKind,
    ModelEntry,
    Token,
    TokenSlot,
)
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Kind, Scope
from cliproxy.providers.base import Call
from cliproxy.providers.codex import PROVIDER
from cliproxy.providers.codex.contracts import COMPACT, COUNT, EMBED, GENERATE, PICTURE
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.http import Headers
from cliproxy.wire.secret import Secret

BODY = {"model": "gpt-5.4", "input": [], "stream": True}
DATE = "Sat, 14 Nov 2026 22:13:20 GMT"
AT = 1794694400


def credential(**fields) -> Credential:
    return Credential(
        **{
            "id": CredentialId("codex:apikey:1"),
            "provider": "codex",
            "kind": CredentialKind.KEY,
            "api_key": Secret("sk-very-secret"),
            "base_url": "https://codex.example.com/v1",
            **fields,
        }
    )


def prepared(body=BODY, *, contract=GENERATE, client=None, agent="", **fields):
    return contract.prepare(
        Call(
            credential=credential(**fields),
            token=None,
            model="gpt-5.4",
            action=contract.action,
            body=json.dumps(body).encode(),
            stream=contract.streams_only,
            client_headers=client or {},
            user_agent=agent,
        )
    )


def test_generation_is_a_stream():
    call = prepared()
    assert (call.method, call.url, call.stream) == ("POST", "https://codex.example.com/v1/responses", True)
    assert dict(call.headers) == {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Authorization": "Bearer sk-very-secret",
    }
    assert json.loads(call.body) == BODY


def test_compaction_is_one_body_and_never_streamed():
    call = prepared(contract=COMPACT)
    assert (call.url, call.stream) == ("https://codex.example.com/v1/responses/compact", False)
    assert call.headers.get("accept") == "application/json"
    assert json.loads(call.body) == {"model": "gpt-5.4", "input": []}


def test_compaction_body_is_otherwise_untouched():
    call = prepared({**BODY, "prompt_cache_key": "k", "odd": 1}, contract=COMPACT, client={"session-id": "s"})
    assert json.loads(call.body) == {"model": "gpt-5.4", "input": [], "prompt_cache_key": "k", "odd": 1}


def test_what_codex_says_about_itself_goes_to_its_own_backend_only():
    body = {**BODY, "client_metadata": {"k": "v"}}
    assert json.loads(prepared(body, base_url="").body) == body
    assert json.loads(prepared(body, base_url="https://api.openai.com/v1").body) == BODY


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("", "https://chatgpt.com/backend-api/codex/responses"),
        ("https://codex.example.com/", "https://codex.example.com/responses"),
    ],
)
def test_address(base, url):
    assert prepared(base_url=base).url == url


@pytest.mark.parametrize(
    ("body", "client", "session"),
    [
        ({"prompt_cache_key": "k"}, {"session-id": "s"}, "k"),
        ({}, {"session-id": "s"}, "s"),
        ({}, {"session_id": "s"}, "s"),
        ({}, {"x-claude-code-session-id": "c"}, "c"),
    ],
)
def test_conversation_is_named_for_the_prompt_cache(body, client, session):
    call = prepared({**BODY, **body}, client=client)
    assert json.loads(call.body)["prompt_cache_key"] == session
    assert call.headers.get("session-id") == call.headers.get("conversation_id") == session


def test_words_of_the_vendors_client_are_passed_on():
    said = {
        "user-agent": "codex_exec/0.169.0 (Linux)",
        "originator": "codex_exec",
        "thread-id": "t",
        "x-codex-window-id": "w",
        "x-codex-turn-metadata": "{}",
        "accept": "text/event-stream",
        "x-stainless-lang": "python",
    }
    headers = prepared(client=said).headers
    for name in ("user-agent", "originator", "thread-id", "x-codex-window-id", "x-codex-turn-metadata"):
        assert headers.get(name) == said[name]
    assert "x-stainless-lang" not in headers


def test_other_clients_are_not_passed_off_as_the_vendors():
    headers = prepared(client={"user-agent": "claude-cli/2.1"}).headers
    assert "user-agent" not in headers
    assert "originator" not in headers


def test_own_headers_have_the_last_word():
    headers = prepared(
        client={"user-agent": "codex_exec/1", "x-mine": "1"},
        headers={"X-Copy": "$X-Mine", "User-Agent": "me"},
    ).headers
    assert (headers.get("x-copy"), headers.get("user-agent")) == ("1", "me")


def test_key_is_shown_nowhere():
    call = prepared()
    assert "secret" not in repr(call)
    assert "secret" not in call.url


def test_entry_without_a_key_sends_none():
    assert "authorization" not in prepared(api_key=None).headers


def failure(status, error, date=DATE):
    body = json.dumps({"error": error}).encode()
    return GENERATE.read_failure(status, Headers({"Date": date} if date else {}), body)


@pytest.mark.parametrize(
    ("fields", "date", "expected"),
    [
        ({"resets_at": AT + 3600, "resets_in_seconds": 10}, DATE, 3600),
        ({"resets_at": AT - 5, "resets_in_seconds": 10}, DATE, 10),
        ({"resets_at": AT + 3600}, "", None),
        ({"resets_in_seconds": 10}, "", 10),
        ({"resets_at": AT + 3600, "resets_in_seconds": 10}, "yesterday", 10),
        ({}, DATE, None),
    ],
)
def test_used_up_plan_says_when_it_is_renewed(fields, date, expected):
    said = failure(429, {"type": "usage_limit_reached", "message": "m", "plan_type": "plus", **fields}, date)
    assert (said.kind, said.scope, said.status, said.code) == (
        Kind.QUOTA,
        Scope.CREDENTIAL,
        429,
        "usage_limit_reached",
    )
    assert said.message == "m"
    assert said.retry_after == expected


def test_model_without_capacity_is_overloaded():
    said = failure(400, {"message": "Selected model is at capacity. Please try a different model."})
    assert (said.kind, said.scope) == (Kind.OVERLOADED, Scope.MODEL)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"error":{"type":"requests","code":"rate_limit_exceeded","message":"slow"}}'),
        (400, b'{"error":{"code":"context_length_exceeded","message":"long"}}'),
        (401, b'{"detail":"Unauthorized"}'),
        (502, b"<html>"),
        (500, b""),
    ],
)
def test_other_refusals_are_left_to_the_general_rules(status, body):
    assert GENERATE.read_failure(status, Headers(), body) is None


def plain(contract, body, *, content_type="application/json", stream=False, **fields):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return contract.prepare(
        Call(
            credential=credential(**fields),
            token=None,
            model="m",
            action=Action.IMAGE,
            body=raw,
            content_type=content_type,
            stream=stream,
            client_headers={"version": "1.2"},
        )
    )


def test_embeddings():
    call = plain(EMBED, {"model": "m", "input": "hi"})
    assert (call.url, call.stream) == ("https://codex.example.com/v1/embeddings", False)
    assert call.headers.get("authorization") == "Bearer sk-very-secret"
    assert call.headers.get("version") == "1.2"
    assert json.loads(call.body) == {"model": "m", "input": "hi"}


def test_pictures():
    call = plain(PICTURE, {"prompt": "a cat"}, stream=True)
    assert (call.url, call.stream) == ("https://codex.example.com/v1/images/generations", True)
    assert call.headers.get("accept") == "text/event-stream"
    assert plain(PICTURE, {"prompt": "a", "images": []}).url.endswith("/v1/images/edits")


FORM = FormData.of(
    [Part(name="prompt", data=b"a cat"), Part(name="image", data=b"\x89PNG", filename="a.png")]
)


def test_a_form_stays_one_elsewhere():
    call = plain(PICTURE, FORM.raw, content_type=FORM.content_type)
    assert (call.url, call.body) == ("https://codex.example.com/v1/images/edits", FORM.raw)
    assert call.headers.get("content-type") == FORM.content_type


def test_the_vendors_backend_gets_a_form_as_json():
    call = plain(PICTURE, FORM.raw, content_type=FORM.content_type, base_url="")
    assert call.url == "https://chatgpt.com/backend-api/codex/images/edits"
    assert call.headers.get("content-type") == "application/json"
    assert json.loads(call.body) == {
        "prompt": "a cat",
        "images": [{"image_url": "data:image/png;base64,iVBORw=="}],
    }


def test_refusals_are_read_alike_on_all_routes():
    body = json.dumps({"error": {"type": "usage_limit_reached", "message": "used up"}}).encode()
    failure = EMBED.read_failure(429, Headers(), body)
    assert (failure.kind, failure.scope) == (Kind.QUOTA, Scope.CREDENTIAL)


def ways(model, **fields):
    found = PROVIDER.contracts_for(credential(**fields), model, Action.GENERATE)
    return {action: [way.id for way in found if way.supports(action)] for action in Action}


def test_the_vendors_backend_embeds_nothing_and_draws_with_its_drawing_models():
    backend = ways("gpt-5.4", base_url="")
    assert (backend[Action.EMBED], backend[Action.IMAGE]) == ([], [])
    painter = ways("gpt-image-2", base_url="")
    assert (painter[Action.IMAGE], painter[Action.GENERATE]) == (["images"], ["draw"])
    elsewhere = ways("gpt-5.4")
    assert (elsewhere[Action.EMBED], elsewhere[Action.IMAGE]) == (["embeddings"], ["images"])


def test_an_entry_may_say_that_a_model_only_draws():
    painter = ways("painter", models=(ModelEntry(name="painter", image=True),))
    assert painter[Action.GENERATE] == ["draw"]


def test_contracts():
    account = credential()
    contracts = PROVIDER.contracts_for(account, "gpt-5.4", Action.GENERATE)
    assert [contract.id for contract in contracts if contract.supports(Action.GENERATE)] == ["responses"]
    assert [contract.id for contract in contracts if contract.supports(Action.COMPACT)] == ["compact"]
    assert not any(contract.supports(Action.COUNT) for contract in contracts), "tokens are estimated"
    assert (GENERATE.dialect, GENERATE.framing, GENERATE.streams_only) == ("codex", Framing.SSE, True)
    assert (COMPACT.dialect, COMPACT.framing, COMPACT.streams_only) == (
        "openai-response",
        Framing.WHOLE,
        False,
    )


def test_tokens_are_counted_by_the_vendors_api():
    assert ways("gpt-5.4", base_url="https://api.openai.com/v1")[Action.COUNT] == ["count"]
    body = {**BODY, "store": False, "include": [], "prompt_cache_key": "k", "instructions": "I"}
    call = prepared(body, contract=COUNT, base_url="https://api.openai.com/v1")
    assert (call.url, call.stream) == ("https://api.openai.com/v1/responses/input_tokens", False)
    assert json.loads(call.body) == {"model": "gpt-5.4", "input": [], "instructions": "I"}


def test_models_are_the_known_ones_or_the_entrys():
    assert {"gpt-5.4", "gpt-5.6-sol"} <= {model.id for model in PROVIDER.static_models(credential())}
    (declared,) = PROVIDER.static_models(credential(models=(ModelEntry(name="gpt-5.4", alias="g"),)))
    assert declared.thinking.levels == ("low", "medium", "high", "xhigh")


def test_record():
    assert PROVIDER.key == "codex"
    (section,) = PROVIDER.sections
    assert section.key in keys_of(Config)


# --- windows of a plan ---


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"primary-used-percent": "100", "primary-reset-after-seconds": "60"}, 60),
        (
            {
                "primary-used-percent": "100",
                "primary-reset-after-seconds": "60",
                "secondary-used-percent": "100.0",
                "secondary-reset-after-seconds": "7200",
            },
            7200,
        ),
        (
            {
                "primary-used-percent": "100",
                "primary-reset-after-seconds": "60",
                "secondary-used-percent": "40",
                "secondary-reset-after-seconds": "7200",
            },
            60,
        ),
        ({"secondary-used-percent": "100", "secondary-reset-at": str(AT + 30)}, 30),
        ({"secondary-used-percent": "100", "secondary-reset-at": str(AT - 30)}, None),
        ({"primary-used-percent": "all", "primary-reset-after-seconds": "60"}, None),
        ({"primary-used-percent": "100", "primary-reset-after-seconds": "-1"}, None),
    ],
)
def test_the_headers_tell_when_the_body_does_not(said, expected):
    headers = Headers({"Date": DATE} | {f"x-codex-{name}": value for name, value in said.items()})
    body = json.dumps({"error": {"type": "usage_limit_reached", "message": "m"}}).encode()
    assert GENERATE.read_failure(429, headers, body).retry_after == expected


def test_the_body_has_the_first_word_about_the_end():
    headers = Headers({"x-codex-primary-used-percent": "100", "x-codex-primary-reset-after-seconds": "60"})
    body = json.dumps({"error": {"type": "usage_limit_reached", "resets_in_seconds": 5}}).encode()
    assert GENERATE.read_failure(429, headers, body).retry_after == 5


# --- accounts ---


def account(**fields):
    return credential(kind=CredentialKind.ACCOUNT, api_key=None, base_url="", **fields)


@pytest.mark.parametrize(
    ("model", "ids"), [("gpt-5.4", ["responses", "compact"]), ("gpt-image-2", ["images", "draw"])]
)
def test_an_account_has_the_vendors_routes_and_needs_its_token(model, ids):
    contracts = PROVIDER.contracts_for(account(), model, Action.GENERATE)
    assert [contract.id for contract in contracts] == ids
    assert {contract.needs for contract in contracts} == {TokenSlot.ACCOUNT}


def test_a_token_is_sent_with_the_account_it_is_for():
    [contract, _] = PROVIDER.contracts_for(account(), "gpt-5.4", Action.GENERATE)
    call = contract.prepare(
        Call(
            credential=account(),
            token=Token(value=Secret("the-token"), headers={"Chatgpt-Account-Id": "acct-1"}),
            model="gpt-5.4",
            action=Action.GENERATE,
            body=json.dumps(BODY).encode(),
            stream=True,
        )
    )
    assert call.url == "https://chatgpt.com/backend-api/codex/responses"
    assert dict(call.headers) == {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Chatgpt-Account-Id": "acct-1",
        "Authorization": "Bearer the-token",
    }
    assert "the-token" not in repr(call)
