"""Which way a request takes, the prepared requests as they go out, and how refusals are read."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import BadRequest, Kind, Scope
from cliproxy.providers.base import Call
from cliproxy.providers.gitlab.contracts import (
    FILL,
    LIMITS,
    REST_CHAT,
    REST_CODE,
    contracts_for,
    gateway_url,
)
from cliproxy.providers.gitlab.models import Vendor
from cliproxy.wire.http import Headers, HttpCall
from cliproxy.wire.jsontext import dumps, loads, loads_object
from cliproxy.wire.secret import Secret

HOST = "https://gitlab.example.com"
ANTHROPIC, OPENAI = Vendor.ANTHROPIC, Vendor.OPENAI


def account(options=None, headers=None, **data) -> Credential:
    return Credential(
        id=CredentialId("g"),
        provider="gitlab",
        kind=CredentialKind.ACCOUNT,
        data={"base_url": HOST, **data},
        options=options or {},
        headers=headers or {},
    )


def ids(model: str, action: Action = Action.GENERATE, credential: Credential | None = None) -> list[str]:
    return [contract.id for contract in contracts_for(credential or account(), model, action)]


# --- the order of ways -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-5", ["agent-anthropic", "gateway-anthropic", "rest-chat", "rest-code"]),
        ("duo-chat-sonnet-4-5", ["agent-anthropic", "gateway-anthropic", "rest-chat", "rest-code"]),
        ("gitlab-duo", ["agent-anthropic", "gateway-anthropic", "rest-chat", "rest-code"]),
        ("gpt-5.1-2025-11-13", ["agent-openai-chat", "gateway-openai", "rest-chat", "rest-code"]),
        ("gpt-5-codex", ["agent-openai-responses", "gateway-openai", "rest-chat", "rest-code"]),
        ("duo-chat-gpt-5-6-sol", ["agent-openai-responses", "gateway-openai", "rest-chat", "rest-code"]),
        ("mistral-large", ["rest-chat", "rest-code"]),
    ],
)
def test_the_model_decides_which_ways_there_are(model: str, expected: list[str]) -> None:
    assert ids(model) == expected


def test_dialects_and_tokens_of_the_ways() -> None:
    found = {
        contract.id: (contract.dialect, contract.needs, contract.streams_only)
        for model in ("claude-opus-5", "gpt-5", "gpt-5-codex")
        for contract in contracts_for(account(), model, Action.GENERATE)
    }
    assert found == {
        "agent-anthropic": ("claude", TokenSlot.AGENT_GATEWAY, False),
        "agent-openai-chat": ("openai", TokenSlot.AGENT_GATEWAY, False),
        "agent-openai-responses": ("openai-response", TokenSlot.AGENT_GATEWAY, False),
        "gateway-anthropic": ("claude", TokenSlot.GATEWAY, False),
        "gateway-openai": ("codex", TokenSlot.GATEWAY, True),
        "rest-chat": ("gitlab-chat", TokenSlot.ACCOUNT, False),
        "rest-code": ("gitlab-suggestions", TokenSlot.ACCOUNT, False),
    }


def test_only_code_suggestions_stream_among_the_text_endpoints() -> None:
    assert (REST_CHAT.framing, REST_CODE.framing) == (Framing.WHOLE, Framing.SSE)


@pytest.mark.parametrize(
    ("model", "action", "expected"),
    [
        ("claude-opus-5", Action.COUNT, ["gateway-anthropic-count"]),
        ("gpt-5", Action.COUNT, []),
        ("gpt-5", Action.COMPACT, ["gateway-openai-compact"]),
        ("claude-opus-5", Action.COMPACT, []),
        ("anything", Action.FILL_IN_THE_MIDDLE, ["fill"]),
        ("claude-opus-5", Action.EMBED, []),
    ],
)
def test_other_actions(model: str, action: Action, expected: list[str]) -> None:
    assert ids(model, action) == expected
    assert all(c.supports(action) for c in contracts_for(account(), model, action))


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("never", ["agent-anthropic", "gateway-anthropic"]),
        ("always", ["rest-chat", "rest-code"]),
        ("auto", ["agent-anthropic", "gateway-anthropic", "rest-chat", "rest-code"]),
    ],
)
def test_the_owner_may_forbid_or_force_the_text_endpoints(wish: str, expected: list[str]) -> None:
    assert ids("claude-opus-5", credential=account(rest_fallback=wish)) == expected
    assert ids("claude-opus-5", credential=account(options={"rest_fallback": wish})) == expected


# --- addresses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "vendor", "expected"),
    [
        ("https://cloud.gitlab.com", ANTHROPIC, "https://cloud.gitlab.com/ai/v1/proxy/anthropic"),
        ("https://cloud.gitlab.com", OPENAI, "https://cloud.gitlab.com/ai/v1/proxy/openai/v1"),
        ("https://cloud.gitlab.com/ai", ANTHROPIC, "https://cloud.gitlab.com/ai/v1/proxy/anthropic"),
        ("https://cloud.gitlab.com/ai/", OPENAI, "https://cloud.gitlab.com/ai/v1/proxy/openai/v1"),
        ("https://gw.example.org", ANTHROPIC, "https://gw.example.org/v1/proxy/anthropic"),
        ("https://gw.example.org/duo", OPENAI, "https://gw.example.org/duo/v1/proxy/openai/v1"),
        (
            "https://gw.example.org/ai/v1/proxy/anthropic",
            ANTHROPIC,
            "https://gw.example.org/ai/v1/proxy/anthropic",
        ),
        ("https://gw.example.org/v1/proxy/openai/v1", OPENAI, "https://gw.example.org/v1/proxy/openai/v1"),
        ("https://gitlab.com.example.org", ANTHROPIC, "https://gitlab.com.example.org/v1/proxy/anthropic"),
    ],
)
def test_addresses_of_the_vendors_proxies(base: str, vendor: Vendor, expected: str) -> None:
    assert gateway_url(base, vendor) == expected


# --- prepared requests -------------------------------------------------------------------------------------

GATEWAY_TOKEN = Token(
    value=Secret("G"),
    base_url="https://cloud.gitlab.com/ai",
    headers={"X-Gitlab-Realm": "saas", "User-Agent": "from the token"},
)


@pytest.mark.parametrize(
    ("settings", "token_url", "base"),
    [
        ({}, "", "https://cloud.gitlab.com/ai"),
        ({"duo_gateway_base_url": "https://gw/ai"}, "", "https://gw/ai"),
        ({"duo_gateway_base_url": "https://old/ai"}, "https://told/ai", "https://told/ai"),
        ({"options": {"ai-gateway-url": "https://own"}}, "https://told/ai", "https://own"),
        ({"ai_gateway_url": "https://own/"}, "https://told/ai", "https://own"),
    ],
)
def test_the_owner_the_token_and_the_last_login_say_where_a_gateway_is(
    settings: dict, token_url: str, base: str
) -> None:
    token = Token(value=Secret("T"), base_url=token_url)
    call = prepared(account(**settings), "claude-opus-5", "agent-anthropic", token=token)
    assert call.url == f"{base}/v1/proxy/anthropic/v1/messages"


def prepared(credential: Credential, model: str, contract_id: str, **changes) -> HttpCall:
    action = changes.pop("action", Action.GENERATE)
    contract = next(c for c in contracts_for(credential, model, action) if c.id == contract_id)
    usual = GATEWAY_TOKEN if contract.needs is not TokenSlot.ACCOUNT else Token(value=Secret("glpat"))
    token = changes.pop("token", usual)
    facts = {"body": dumps({"model": model, "x": 1}), "stream": True, "user_agent": "cliproxy/1", **changes}
    call = contract.prepare(Call(credential=credential, token=token, model=model, action=action, **facts))
    assert isinstance(call, HttpCall)
    return call


def fields(call: HttpCall) -> dict[str, str]:
    return {name.lower(): value for name, value in call.headers}


def test_a_claude_request_to_the_gateway() -> None:
    client = {
        "anthropic-version": "2024-01-01",
        "anthropic-beta": "oauth-2025-04-20, context-1m-2025-08-07",
        "x-api-key": "client's",
    }
    call = prepared(account(), "claude-opus-5", "gateway-anthropic", client_headers=client)
    assert (call.method, call.stream) == ("POST", True)
    assert call.url == "https://cloud.gitlab.com/ai/v1/proxy/anthropic/v1/messages?beta=true"
    assert fields(call) == {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "anthropic-version": "2024-01-01",
        "anthropic-beta": "context-1m-2025-08-07",
        "x-gitlab-realm": "saas",
        "user-agent": "from the token",
        "authorization": "Bearer G",
    }
    assert call.body == b'{"model":"claude-opus-5","x":1}'


def test_a_claude_request_is_made_as_the_vendor_takes_it() -> None:
    """Marks for the cache, betas in the header, and nothing besides."""
    body = (
        b'{"model":"claude-opus-5","betas":["b-1","oauth-2025-04-20"],"tools":[{"name":"t","input_schema":{}}],'
        b'"messages":[{"role":"user","content":"hi"}],"max_tokens":9}'
    )
    call = prepared(account(), "claude-opus-5", "agent-anthropic", body=body)
    assert fields(call)["anthropic-beta"] == "b-1"
    sent = loads_object(call.body)
    assert "betas" not in sent
    assert sent["tools"] == [{"name": "t", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]
    assert call.body.endswith(b'"messages":[{"role":"user","content":"hi"}],"max_tokens":9}')


def test_a_count_leaves_out_what_the_counting_endpoint_refuses() -> None:
    body = b'{"model":"claude-opus-5","messages":[],"max_tokens":9,"stream":false}'
    call = prepared(account(), "claude-opus-5", "gateway-anthropic-count", action=Action.COUNT, body=body)
    assert loads_object(call.body) == {"model": "claude-opus-5", "messages": []}


def test_the_agent_platform_has_no_query_and_a_default_version() -> None:
    call = prepared(account(), "claude-opus-5", "agent-anthropic", stream=False)
    assert call.url == "https://cloud.gitlab.com/ai/v1/proxy/anthropic/v1/messages"
    assert fields(call)["anthropic-version"] == "2023-06-01"
    assert fields(call)["accept"] == "application/json"
    assert "anthropic-beta" not in fields(call)


@pytest.mark.parametrize(
    ("model", "contract", "path"),
    [
        ("gpt-5", "agent-openai-chat", "/chat/completions"),
        ("gpt-5-codex", "agent-openai-responses", "/responses"),
        ("gpt-5", "gateway-openai", "/responses"),
    ],
)
def test_openai_requests_to_the_gateways(model: str, contract: str, path: str) -> None:
    call = prepared(account(), model, contract)
    assert call.url == f"https://cloud.gitlab.com/ai/v1/proxy/openai/v1{path}"
    assert not {"anthropic-version", "x-api-key", "originator", "chatgpt-account-id"} & set(fields(call))


def test_counting_and_compacting_have_their_own_addresses() -> None:
    count = prepared(account(), "claude-opus-5", "gateway-anthropic-count", action=Action.COUNT)
    assert count.url.endswith("/v1/proxy/anthropic/v1/messages/count_tokens?beta=true")
    compact = prepared(account(), "gpt-5", "gateway-openai-compact", action=Action.COMPACT)
    assert compact.url.endswith("/v1/proxy/openai/v1/responses/compact")


def test_a_reference_or_the_alias_is_replaced_by_the_vendors_name() -> None:
    """Only needed where an owner lists such a name himself; discovery offers the vendors' names."""
    call = prepared(account(), "duo-chat-sonnet-4-5", "agent-anthropic")
    assert loads(call.body) == {"model": "claude-sonnet-4-5-20250929", "x": 1}
    call = prepared(account(), "gitlab-duo", "agent-anthropic")
    assert loads(call.body)["model"] == "claude-sonnet-4-5-20250929"


def test_extra_headers_of_the_credential_and_copies_of_the_clients() -> None:
    credential = account(headers={"X-Team": "a", "X-Trace": "$X-Request-Trace", "X-Gone": "$Missing"})
    call = prepared(credential, "gpt-5", "agent-openai-chat", client_headers={"x-request-trace": "t1"})
    assert fields(call)["x-team"] == "a"
    assert fields(call)["x-trace"] == "t1"
    assert "x-gone" not in fields(call)


def test_a_text_request_to_the_instance() -> None:
    call = prepared(account(), "mistral-large", "rest-code")
    assert call.url == f"{HOST}/api/v4/code_suggestions/completions"
    assert fields(call) == {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "x-supports-sse-streaming": "true",
        "user-agent": "cliproxy/1",
        "authorization": "Bearer glpat",
    }


def test_chat_is_never_asked_to_stream() -> None:
    call = prepared(account(base_url=f"{HOST}/gitlab"), "mistral-large", "rest-chat")
    assert call.url == f"{HOST}/gitlab/api/v4/chat/completions"
    assert not call.stream
    assert fields(call)["accept"] == "application/json"


def test_filling_in_turns_the_clients_request_into_a_suggestion() -> None:
    body = dumps({"model": "gitlab-duo", "prompt": "a", "suffix": "b", "stream": True})
    call = prepared(
        account(),
        "gitlab-duo",
        "fill",
        action=Action.FILL_IN_THE_MIDDLE,
        body=body,
        client_headers={"x-file-name": "a.py"},
    )
    assert call.url.endswith("/code_suggestions/completions")
    file = {"file_name": "a.py", "content_above_cursor": "a", "content_below_cursor": "b"}
    assert loads(call.body) == {"current_file": file, "intent": "completion", "stream": True}
    with pytest.raises(BadRequest):
        prepared(account(), "gitlab-duo", "fill", action=Action.FILL_IN_THE_MIDDLE, body=b"{}")


def test_chatting_and_filling_share_gitlabs_limit_on_code_suggestions() -> None:
    assert LIMITS[REST_CODE.id] == LIMITS[FILL.id]
    assert (LIMITS[FILL.id].rule.count, LIMITS[FILL.id].rule.seconds) == (60, 60.0)


def test_the_accounts_project_stands_in_for_one_the_client_does_not_name() -> None:
    owner = account(options={"project-path": "group/own"})
    bodies = [b'{"prompt": "x"}', b'{"prompt": "x", "project_path": "group/other"}']
    calls = [
        prepared(owner, "gitlab-duo", "fill", action=Action.FILL_IN_THE_MIDDLE, body=body) for body in bodies
    ]
    assert [loads_object(call.body)["project_path"] for call in calls] == ["group/own", "group/other"]


# --- refusals ----------------------------------------------------------------------------------------------


def read(contract_id: str, status: int, body: object, model: str = "claude-opus-5", action=Action.GENERATE):
    contract = next(c for c in contracts_for(account(), model, action) if c.id == contract_id)
    raw = body if isinstance(body, bytes) else dumps(body)
    return contract.read_failure(status, Headers(), raw)


@pytest.mark.parametrize(
    ("status", "body", "kind", "scope"),
    [
        (401, {"error": "Forbidden by auth provider"}, Kind.AUTHENTICATION, Scope.CONTRACT),
        (401, b"", Kind.AUTHENTICATION, Scope.CONTRACT),
        (403, {"error": "Token expired"}, Kind.AUTHENTICATION, Scope.CONTRACT),
        (400, {"error": {"message": "token has been revoked"}}, Kind.AUTHENTICATION, Scope.CONTRACT),
        (403, {"error": "Forbidden by auth provider"}, Kind.PERMISSION, Scope.CONTRACT),
        (403, {"detail": "Unauthorized to access proxy"}, Kind.PERMISSION, Scope.CONTRACT),
        (403, {"error": "Model claude-opus-5 is not allowed for this token"}, Kind.PERMISSION, Scope.MODEL),
        (
            404,
            {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}},
            Kind.NOT_FOUND,
            Scope.MODEL,
        ),
        (404, {"detail": "Not Found"}, Kind.NOT_FOUND, Scope.CONTRACT),
        (405, b"", Kind.INVALID_REQUEST, Scope.CONTRACT),
        (501, b"<html>", Kind.UPSTREAM, Scope.CONTRACT),
    ],
)
def test_refusals_of_a_gateway(status: int, body: object, kind: Kind, scope: Scope) -> None:
    for contract in ("agent-anthropic", "gateway-anthropic"):
        failure = read(contract, status, body)
        assert failure is not None
        assert (failure.kind, failure.scope, failure.status) == (kind, scope, status)
        assert failure.message
        assert "<html>" not in failure.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            {
                "error": {
                    "type": "invalid_request_error",
                    "message": "prompt is too long: 210000 tokens, invalid",
                }
            },
        ),
        (400, {"error": {"code": "context_length_exceeded", "message": "invalid: 300000 tokens"}}),
        (
            400,
            {"error": {"type": "invalid_request_error", "message": "thinking.budget_tokens: Field required"}},
        ),
        (400, {"error": {"type": "invalid_request_error", "message": "max_tokens: invalid value"}}),
        (400, {"error": {"message": "max_tokens: must be positive"}}),
        (429, {"error": {"message": "slow down"}}),
        (500, {"error": {"message": "token backend"}}),
        (529, b""),
    ],
)
def test_refusals_that_say_nothing_about_the_way_are_left_to_the_general_rules(
    status: int, body: object
) -> None:
    assert read("agent-anthropic", status, body) is None


def test_counting_that_is_missing_closes_only_counting() -> None:
    failure = read("gateway-anthropic-count", 404, {"error": "no model route"}, action=Action.COUNT)
    assert failure is not None
    assert failure.scope is Scope.CONTRACT


@pytest.mark.parametrize(
    ("status", "body", "kind", "scope"),
    [
        (401, {"message": "401 Unauthorized"}, Kind.AUTHENTICATION, Scope.CREDENTIAL),
        (403, {"message": "403 Forbidden"}, Kind.PERMISSION, Scope.CONTRACT),
        (404, {"error": "404 Not Found"}, Kind.NOT_FOUND, Scope.CONTRACT),
        (405, b"", Kind.INVALID_REQUEST, Scope.CONTRACT),
        (501, b"", Kind.UPSTREAM, Scope.CONTRACT),
    ],
)
def test_refusals_of_the_text_endpoints(status: int, body: object, kind: Kind, scope: Scope) -> None:
    failure = read("rest-chat", status, body)
    assert failure is not None
    assert (failure.kind, failure.scope) == (kind, scope)


@pytest.mark.parametrize(("headers", "wait"), [({"Retry-After": "17"}, 17.0), ({}, 60.0)])
def test_the_limit_of_a_text_endpoint_closes_that_endpoint_only(headers: dict, wait: float) -> None:
    failure = FILL.read_failure(429, Headers(headers), b'{"message": {"error": "too often"}}')
    assert failure is not None
    assert (failure.kind, failure.scope, failure.retry_after) == (Kind.RATE_LIMIT, Scope.CONTRACT, wait)


def test_a_missing_scope_is_named() -> None:
    failure = read(
        "rest-code", 403, {"error": "insufficient_scope", "error_description": "Higher privileges."}
    )
    assert failure is not None
    assert failure.scope is Scope.CREDENTIAL
    assert "scope api" in failure.message
