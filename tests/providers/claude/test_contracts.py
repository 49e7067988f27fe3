"""The Claude provider: prepared requests, refusals, the record."""

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
from cliproxy.dialects.base import Action
from cliproxy.dialects.claude import DIALECT
from cliproxy.errors import Kind, Scope
from cliproxy.providers.base import Call
from cliproxy.providers.claude import PROVIDER
from cliproxy.providers.claude.contracts import is_anthropic
from cliproxy.wire.http import Headers
from cliproxy.wire.secret import Secret

HOST = "https://api.anthropic.com"
BODY = {"model": "claude-opus-4-8", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
MARK = {"type": "ephemeral"}
CLAUDE_CODE = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access": "true",
    "user-agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "s",
    "x-stainless-os": "Linux",
    "x-other": "not for the upstream",
    "accept-encoding": "br",
}


def credential(**fields) -> Credential:
    return Credential(
        **{
            "id": CredentialId("claude:apikey:1"),
            "provider": "claude",
            "kind": CredentialKind.KEY,
            "api_key": Secret("sk-ant-api03-secret"),
            **fields,
        }
    )


def prepared(body=BODY, *, action=Action.GENERATE, stream=False, client=None, **fields):
    account = credential(**fields)
    [contract] = PROVIDER.contracts_for(account, "claude-opus-4-8", action)
    assert contract.supports(action)
    return contract.prepare(
        Call(
            credential=account,
            token=None,
            model="claude-opus-4-8",
            action=action,
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            stream=stream,
            client_headers=client or {},
        )
    )


def test_the_request():
    call = prepared()
    assert (call.method, call.url, call.stream) == ("POST", f"{HOST}/v1/messages?beta=true", False)
    assert dict(call.headers) == {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Anthropic-Version": "2023-06-01",
        "X-Api-Key": "sk-ant-api03-secret",
    }
    assert call.body == json.dumps(BODY).encode()


def test_a_stream_is_asked_for():
    call = prepared(stream=True)
    assert call.stream
    assert call.headers.get("accept") == "text/event-stream"


def test_the_key_is_shown_nowhere():
    assert "secret" not in repr(prepared())


@pytest.mark.parametrize(
    ("base", "key", "url", "header"),
    [
        ("", "sk-ant-api03-k", f"{HOST}/v1/messages", "X-Api-Key"),
        (HOST, "sk-ant-api03-k", f"{HOST}/v1/messages", "X-Api-Key"),
        (f"{HOST}/", "sk-ant-api03-k", f"{HOST}/v1/messages", "X-Api-Key"),
        (f"{HOST}/v1", "sk-ant-api03-k", f"{HOST}/v1/messages", "X-Api-Key"),
        ("", "sk-ant-oat01-k", f"{HOST}/v1/messages", "Authorization"),
        ("http://api.anthropic.com", "k", "http://api.anthropic.com/v1/messages", "Authorization"),
        (
            "https://api.anthropic.com.evil",
            "k",
            "https://api.anthropic.com.evil/v1/messages",
            "Authorization",
        ),
        (
            "https://relay.example/anthropic",
            "k",
            "https://relay.example/anthropic/v1/messages",
            "Authorization",
        ),
    ],
)
def test_addresses_and_keys(base, key, url, header):
    call = prepared(base_url=base, api_key=Secret(key))
    assert call.url == f"{url}?beta=true"
    assert call.headers.get(header) == (key if header == "X-Api-Key" else f"Bearer {key}")
    assert ("X-Api-Key" in call.headers) != ("Authorization" in call.headers)


def test_a_server_may_want_no_key():
    call = prepared(base_url="http://localhost:1", api_key=None)
    assert "Authorization" not in call.headers


def test_what_a_claude_client_says_is_passed_on():
    headers = prepared(client=CLAUDE_CODE).headers
    for name, value in CLAUDE_CODE.items():
        assert headers.get(name) == ("" if name in {"x-other", "accept-encoding"} else value)


def test_other_clients_do_not_look_like_claudes():
    headers = prepared(client={"user-agent": "claude-cli/1", "x-stainless-os": "Linux"}).headers
    assert "User-Agent" not in headers
    assert "x-stainless-os" not in headers
    agent = prepared(client={"anthropic-version": "v", "user-agent": "Anthropic/Python 2.11"}).headers
    assert agent.get("anthropic-version") == "v"
    assert "User-Agent" not in agent


@pytest.mark.parametrize(
    ("client", "in_body", "key", "betas"),
    [
        ({}, None, "k", ""),
        ({"anthropic-beta": "a, b"}, None, "k", "a,b"),
        ({"anthropic-beta": "a,b"}, ["b", "c"], "k", "a,b,c"),
        ({}, "c,d", "k", "c,d"),
        ({"anthropic-beta": "a"}, None, "sk-ant-oat01", "a,oauth-2025-04-20"),
        ({"anthropic-beta": "oauth-2025-04-20"}, None, "sk-ant-oat01", "oauth-2025-04-20"),
        ({"x-cpa-claude-1m": ""}, None, "k", "context-1m-2025-08-07"),
        (
            {"x-cpa-claude-1m": "1", "anthropic-beta": "context-1m-2025-08-07"},
            None,
            "k",
            "context-1m-2025-08-07",
        ),
    ],
)
def test_betas(client, in_body, key, betas):
    body = BODY if in_body is None else {**BODY, "betas": in_body}
    call = prepared(body, client=client, api_key=Secret(key))
    assert call.headers.get("anthropic-beta") == betas
    assert b"betas" not in call.body


def test_the_owners_headers_have_the_last_word():
    call = prepared(
        client=CLAUDE_CODE,
        headers={
            "Anthropic-Beta": "own",
            "X-Copied": "$X-Other",
            "X-Api-Key": "other",
            "X-Absent": "$X-Nothing",
        },
    )
    assert call.headers.get("anthropic-beta") == "own"
    assert call.headers.get("x-copied") == "not for the upstream"
    assert call.headers.get_all("x-api-key") == ["other"]
    assert "x-absent" not in call.headers


def test_a_body_without_need_of_change_keeps_its_bytes():
    raw = b'{ "max_tokens":9,\n"new": 1.50, "model":"m","messages":[{"role":"user","content":"\\u00fc"}] }'
    assert prepared(raw).body == raw


def test_last_touches_change_only_what_they_must():
    raw = (
        b'{"system": "s", "tool_choice":{"type":"any"}, "thinking": {"type":"adaptive"},'
        b' "temperature": 0.50, "messages": [ ]}'
    )
    assert prepared(raw).body == (
        b'{"system": [{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],'
        b'"tool_choice":{"type":"any"},"temperature": 0.50,"messages": [ ]}'
    )


def test_system_messages_are_put_first_where_the_owner_says_so():
    body = {**BODY, "messages": [*BODY["messages"], {"role": "system", "content": "note"}]}
    rebuilt = json.loads(prepared(body, options={"rebuild-mid-system-message": True}).body)
    assert rebuilt["messages"] == BODY["messages"]
    assert rebuilt["system"][0]["text"] == "note"
    kept = json.loads(prepared(body, options={"rebuild-mid-system-message": False}).body)
    assert kept["messages"] == body["messages"]


def test_counting():
    body = {**BODY, "stream": True, "metadata": {}, "thinking": {"type": "adaptive"}, "system": "s"}
    call = prepared(body, action=Action.COUNT)
    assert call.url == f"{HOST}/v1/messages/count_tokens?beta=true"
    assert json.loads(call.body) == {
        "model": "claude-opus-4-8",
        "messages": BODY["messages"],
        "thinking": {"type": "adaptive"},
        "system": "s",
    }


def test_only_the_vendors_host_counts():
    assert PROVIDER.contracts_for(credential(base_url="https://relay.example"), "m", Action.COUNT) == ()
    assert not PROVIDER.contracts_for(credential(), "m", Action.GENERATE)[0].supports(Action.EMBED)
    assert is_anthropic(credential())


# --- refusals ---

NOW = "Wed, 31 Dec 2025 23:00:00 GMT"
LIMIT = "anthropic-ratelimit-unified"


def failure(status, headers=(), kind="rate_limit_error", message="why"):
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    return contract.read_failure(status, Headers(headers), body)


@pytest.mark.parametrize(
    ("windows", "headers", "scope", "seconds"),
    [
        (["5h"], {f"{LIMIT}-5h-reset": "1767225600"}, Scope.CREDENTIAL, 3600.0),
        (["5h"], {f"{LIMIT}-5h-reset": "2026-01-01T00:00:00Z"}, Scope.CREDENTIAL, 3600.0),
        (["5h"], {f"{LIMIT}-5h-reset": "2026-01-01T00:00:00"}, Scope.CREDENTIAL, 3600.0),
        (["7d"], {f"{LIMIT}-reset": "1767225600"}, Scope.CREDENTIAL, 3600.0),
        (
            ["5h", "7d"],
            {f"{LIMIT}-5h-reset": "1767225600", f"{LIMIT}-7d-reset": "1767229200"},
            Scope.CREDENTIAL,
            7200.0,
        ),
        (["7d_oi"], {f"{LIMIT}-7d_oi-reset": "1767225600"}, Scope.MODEL, 3600.0),
        (["5h", "7d_oi"], {f"{LIMIT}-5h-reset": "1767225600"}, Scope.CREDENTIAL, 3600.0),
        (["5h"], {"retry-after": "12"}, Scope.CREDENTIAL, 12.0),
        (["5h"], {f"{LIMIT}-5h-reset": "1767225600", "retry-after": "12"}, Scope.CREDENTIAL, 3600.0),
        (["5h"], {f"{LIMIT}-5h-reset": "1"}, Scope.CREDENTIAL, None),
        (["5h"], {f"{LIMIT}-5h-reset": "soon", "retry-after": "later"}, Scope.CREDENTIAL, None),
        (["5h"], {}, Scope.CREDENTIAL, None),
    ],
)
def test_used_up_windows(windows, headers, scope, seconds):
    said = {"date": NOW, **{f"{LIMIT}-{window}-status": "rejected" for window in windows}, **headers}
    found = failure(429, said)
    assert (found.kind, found.scope, found.retry_after) == (Kind.QUOTA, scope, seconds)
    assert (found.status, found.code, found.message) == (429, "rate_limit_error", "why")


def test_moments_mean_nothing_without_the_answers_own_clock():
    found = failure(429, {f"{LIMIT}-5h-status": "rejected", f"{LIMIT}-5h-reset": "1767225600"})
    assert found.retry_after is None


def test_passing_limits_are_judged_by_the_general_rules():
    assert failure(429, {"retry-after": "12", f"{LIMIT}-5h-status": "allowed"}) is None
    assert failure(529, kind="overloaded_error") is None
    assert failure(400, kind="invalid_request_error") is None


def test_closed_account():
    found = failure(400, kind="invalid_request_error", message="This organization has been disabled.")
    assert (found.kind, found.scope) == (Kind.PERMISSION, Scope.CREDENTIAL)


def test_what_is_no_json_is_judged_by_the_general_rules():
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    assert contract.read_failure(429, Headers(), b"<html>") is None


# --- the record ---


def test_the_record_fits_the_rest():
    [section] = PROVIDER.sections
    assert section.key in keys_of(Config)
    assert PROVIDER.key == section.provider == "claude"
    [contract] = PROVIDER.contracts_for(credential(), "m", Action.GENERATE)
    assert (contract.id, contract.dialect, contract.needs, contract.streams_only) == (
        "api-key",
        DIALECT.id,
        None,
        False,
    )
    assert PROVIDER.api_hosts == ("api.anthropic.com",)


def test_models():
    assert "claude-opus-4-8" in {model.id for model in PROVIDER.static_models(credential())}
    own = credential(models=(ModelEntry(name="claude-opus-4-8", alias="best"),))
    assert [model.id for model in PROVIDER.static_models(own)] == ["claude-opus-4-8"]


# --- accounts ---


def of_account(*, action=Action.GENERATE, client=None, body=BODY, **fields):
    account = credential(kind=CredentialKind.ACCOUNT, api_key=None, **fields)
    [contract] = PROVIDER.contracts_for(account, "claude-opus-4-8", action)
    assert contract.needs is TokenSlot.ACCOUNT
    call = Call(
        credential=account,
        token=Token(value=Secret("the-access-token")),
        model="claude-opus-4-8",
        action=action,
        body=json.dumps(body).encode(),
        stream=False,
        client_headers=client or {},
    )
    return contract.prepare(call)


@pytest.mark.parametrize("action", [Action.GENERATE, Action.COUNT])
def test_an_access_token_is_a_bearer_and_needs_its_beta(action):
    call = of_account(action=action)
    assert call.headers.get("authorization") == "Bearer the-access-token"
    assert "x-api-key" not in call.headers
    assert call.headers.get("anthropic-beta") == "oauth-2025-04-20"


def test_the_beta_joins_those_of_the_client_and_of_the_body():
    call = of_account(client=CLAUDE_CODE, body={**BODY, "betas": ["context-1m-2025-08-07"]})
    assert call.headers.get("anthropic-beta").split(",") == [
        "claude-code-20250219",
        "effort-2025-11-24",
        "context-1m-2025-08-07",
        "oauth-2025-04-20",
    ]


def test_a_beta_the_client_names_is_not_repeated():
    call = of_account(client={"anthropic-beta": "oauth-2025-04-20"})
    assert call.headers.get("anthropic-beta") == "oauth-2025-04-20"


def test_a_client_of_an_account_is_not_passed_off_as_the_vendors_agent():
    call = of_account(client={"user-agent": "curl/8"})
    assert "system" not in json.loads(call.body)
    assert not {"user-agent", "x-app"} & {name.lower() for name, _ in call.headers}


def test_a_subscription_that_serves_only_the_agent_stays_ready_for_it():
    words = "This credential is only authorized for use with Claude Code and cannot be used otherwise."
    found = failure(400, kind="invalid_request_error", message=words)
    assert (found.kind, found.scope, found.status) == (Kind.INVALID_REQUEST, Scope.MODEL, 400)
    assert found.message == words
