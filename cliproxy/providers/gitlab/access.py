"""The tokens of a GitLab account: its own, and the two it is exchanged for.

==================  ==============================================  =======================================
slot                comes from                                      ends
==================  ==============================================  =======================================
``account``         the file or the configuration; OAuth tokens     never told (personal), 2 h (OAuth; the
                    are renewed at ``/oauth/token``                  refresh token rotates)
``gateway``         ``code_suggestions/direct_access``               ``expires_at``, else 10 min
``agent-gateway``   ``ai/third_party_agents/direct_access``          30 min, not told
==================  ==============================================  =======================================

A personal token cannot be renewed. When an upstream refuses one, "renewing" it asks ``/user`` whether GitLab
still takes it, so that a passing refusal does not condemn a good token.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.errors import LoginError
from cliproxy.login.code import CodeLogin, body_of, expires_at, refresh
from cliproxy.login.rates import RateRule
from cliproxy.login.steps import Flow, Now, Persist, Send
from cliproxy.providers.base import SlotPolicy
from cliproxy.providers.gitlab.instance import (
    SCOPE,
    account_error,
    api_call,
    duo_error,
    instance_of,
    text_map,
)
from cliproxy.wire.http import HttpAnswer
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, integer, items, text
from cliproxy.wire.secret import Secret

AGENT_PATH: Final = "/ai/third_party_agents/direct_access"
GATEWAY_PATH: Final = "/code_suggestions/direct_access"
AGENT_BODY: Final[JsonObject] = {
    "feature_flags": {
        "DuoAgentPlatformNext": True,
        "duo_agent_platform": True,
        "duo_agent_platform_agentic_chat": True,
    }
}
"""The flags that clients of the agent platform set; their names differ between GitLab's versions."""
AGENT_LIFE_S: Final = 1800.0
UNTOLD_LIFE_S: Final = 600.0
"""Of a gateway token that names no end: it is asked for anew in the second half."""
NO_ADDRESS_S: Final = 300.0
LEAD_S: Final = 300.0
DIRECT_ACCESS_RATE: Final = RateRule(8, 300.0)
"""GitLab allows ten in five minutes; two are left for logins and checks."""
CALLBACK_PORT: Final = 17171
CALLBACK_PATH: Final = "/auth/callback"
AGENT_WHAT: Final = "the agent platform"
GATEWAY_WHAT: Final = "the Code Suggestions gateway"
_NOT_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "transfer-encoding",
        "x-api-key",
    }
)
"""Headers a token answer must not set: they carry the credential or describe our own message."""


# --- the account's own token --------------------------------------------------------------------------------


def oauth_login(data: Mapping[str, JsonValue], instance: str, port: int = CALLBACK_PORT) -> CodeLogin:
    """Return what the OAuth login of an instance looks like; client id and secret come from ``data``."""
    secret = text(data, "oauth_client_secret")
    return CodeLogin(
        vendor=f"GitLab ({urlsplit(instance).netloc})",
        authorize_url=f"{instance}/oauth/authorize",
        token_url=f"{instance}/oauth/token",
        client_id=text(data, "oauth_client_id"),
        client_secret=Secret(secret) if secret else None,
        scope=SCOPE,
        callback_port=port,
        callback_path=CALLBACK_PATH,
    )


def initial_account(credential: Credential) -> Token | None:
    """Return the token the credential holds: a configured key, an OAuth access token, a personal token."""
    if credential.api_key:
        return Token(value=credential.api_key)
    access = text(credential.data, "access_token")
    if access:
        return Token(value=Secret(access), expires_at=unix_time(credential.data.get("oauth_expires_at")))
    personal = text(credential.data, "personal_access_token")
    return Token(value=Secret(personal)) if personal else None


def renew_account(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew an OAuth token; ask whether a personal one is still good."""
    refresh_token = text(credential.data, "refresh_token")
    if credential.api_key or not (refresh_token and text(credential.data, "access_token")):
        return (yield from _still_good(credential))
    tokens = yield from refresh(oauth_login(credential.data, instance_of(credential)), Secret(refresh_token))
    now = yield Now()
    # Saved before it is used: the refresh token it came from is of no use any more.
    yield Persist(patch=oauth_members(tokens, now))
    return Token(value=Secret(text(tokens, "access_token")), expires_at=expires_at(tokens, now))


def _still_good(credential: Credential) -> Flow[Token]:
    token = initial_account(credential)
    if token is None:
        raise LoginError("the credential holds no GitLab token", code="not_renewable", hint="Log in again.")
    instance = instance_of(credential)
    answer = yield Send(api_call(instance, "/user", token.value, method="GET"))
    if answer.is_success:
        return token
    raise account_error(answer, instance)


def oauth_members(tokens: JsonObject, now: float) -> dict[str, JsonValue]:
    """Return the members of a credential file that a token answer fills."""
    end = expires_at(tokens, now)
    members: dict[str, JsonValue] = {
        name: text(tokens, name)
        for name in ("access_token", "refresh_token", "token_type", "scope")
        if text(tokens, name)
    }
    return members | {
        "oauth_expires_at": rfc3339(end) if end is not None else "",
        "last_refresh": rfc3339(now),
    }


# --- gateway tokens -----------------------------------------------------------------------------------------


def ask_agent_platform(instance: str, account: Secret) -> Flow[Token]:
    """Exchange the account's token for one of the agent platform's model proxy."""
    answer = yield Send(api_call(instance, AGENT_PATH, account, body=AGENT_BODY))
    body = _token_body(answer, instance, AGENT_WHAT)
    now = yield Now()
    return Token(
        value=Secret(text(body, "token")),
        expires_at=now + AGENT_LIFE_S,
        base_url=text(body, "base_url").rstrip("/"),
        headers=_headers_of(body),
    )


def ask_gateway(instance: str, account: Secret) -> Flow[Token]:
    """Exchange the account's token for one of the Code Suggestions gateway."""
    answer = yield Send(api_call(instance, GATEWAY_PATH, account))
    body = _token_body(answer, instance, GATEWAY_WHAT)
    return gateway_token(body, instance)


def gateway_token(body: JsonObject, instance: str) -> Token:
    """Read a token with its address, its headers, and what is said about models."""
    base_url = text(body, "base_url").rstrip("/")
    if urlsplit(base_url).scheme not in {"http", "https"}:
        raise LoginError(
            f"{instance} names no address for {GATEWAY_WHAT}", code="unavailable", retry_after=NO_ADDRESS_S
        )
    details = child(body, "model_details")
    facts: dict[str, JsonValue] = {"model_details": details} if details else {}
    for name in ("models", "supported_models"):
        if items(body, name):
            facts[name] = body[name]
    end = integer(body, "expires_at")
    return Token(
        value=Secret(text(body, "token")),
        expires_at=float(end) if end is not None and end > 0 else None,
        base_url=base_url,
        headers=_headers_of(body),
        data=facts,
    )


def _token_body(answer: HttpAnswer, instance: str, what: str) -> JsonObject:
    if not answer.is_success:
        raise duo_error(answer, instance, what)
    body = body_of(answer)
    if not text(body, "token"):
        raise LoginError(
            f"{instance} answers without a token for {what}", code="unavailable", status=answer.status
        )
    return body


def _headers_of(body: JsonObject) -> dict[str, str]:
    fields = text_map(child(body, "headers"))
    return {name: value for name, value in fields.items() if name.lower() not in _NOT_OURS}


def _renew_agent(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    return ask_agent_platform(instance_of(credential), tokens[TokenSlot.ACCOUNT].value)


def _renew_gateway(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    token = yield from ask_gateway(instance_of(credential), tokens[TokenSlot.ACCOUNT].value)
    if token.expires_at is not None:
        return token
    now = yield Now()
    return evolve(token, expires_at=now + UNTOLD_LIFE_S)


def initial_gateway(credential: Credential) -> Token | None:
    """Return the gateway token the last login left in the file; one without a known end is not trusted."""
    data = credential.data
    value, end = text(data, "duo_gateway_token"), unix_time(data.get("duo_gateway_expires_at"))
    base_url = text(data, "duo_gateway_base_url").rstrip("/")
    if not value or end is None or not base_url:
        return None
    return Token(
        value=Secret(value),
        expires_at=end,
        base_url=base_url,
        headers=_headers_of({"headers": child(data, "duo_gateway_headers")}),
        data={"model_details": child(data, "model_details")},
    )


def gateway_members(token: Token) -> dict[str, JsonValue]:
    """Return the members of a credential file that a gateway token fills."""
    details = token.data.get("model_details")
    details = details if isinstance(details, dict) else {}
    members: dict[str, JsonValue] = {
        "duo_gateway_base_url": token.base_url,
        "duo_gateway_token": token.value.reveal(),
        "duo_gateway_headers": dict(token.headers),
    }
    if token.expires_at is not None:
        members["duo_gateway_expires_at"] = rfc3339(token.expires_at)
    for name in ("model_provider", "model_name"):
        if text(details, name):
            members[name] = text(details, name)
    return members | ({"model_details": details} if details else {})


SLOTS: Final[Mapping[TokenSlot, SlotPolicy]] = {
    TokenSlot.ACCOUNT: SlotPolicy(
        initial=initial_account, renew=renew_account, lead_s=LEAD_S, background=True
    ),
    TokenSlot.AGENT_GATEWAY: SlotPolicy(
        initial=lambda _credential: None,
        renew=_renew_agent,
        depends_on=TokenSlot.ACCOUNT,
        lead_s=LEAD_S,
        rates=(DIRECT_ACCESS_RATE,),
    ),
    TokenSlot.GATEWAY: SlotPolicy(
        initial=initial_gateway,
        renew=_renew_gateway,
        depends_on=TokenSlot.ACCOUNT,
        lead_s=LEAD_S,
        rates=(DIRECT_ACCESS_RATE,),
    ),
}
