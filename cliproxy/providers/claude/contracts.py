"""The ways to the Messages API, and what its refusals mean.

What a Claude client says about itself (``anthropic-*``, ``x-app``, ``x-stainless-*``, the user agent of the
vendor's command line) is passed on, and nothing of the kind is made up for clients that do not say it.

Betas come from the client's header and from a list ``betas`` in the body, which the API does not know; they
are merged into the header.

A used-up subscription answers 429 with the state of its windows in headers
(``anthropic-ratelimit-unified-5h-status: rejected``, ``…-reset: 1767225600``). The moments are measured
against the answer's own ``Date``, since two clocks would have to agree otherwise.

An access token needs one beta, which is added to the client's. The vendor lets a subscription serve its own
coding agent, which it knows by the first system block. That block is the client's to send: a client that is
another one is not passed off as the agent. What the vendor refuses for that reason leaves the account as it
is, since its next request may be one of the agent's.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from cliproxy.credentials.model import Credential, CredentialKind, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.claude.errors import decode_error
from cliproxy.dialects.claude.final import (
    add_cache_marks,
    for_counting,
    make_legal,
    put_system_first,
    take_betas,
)
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.base import Call, Contract, own_headers
from cliproxy.wire import waits
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import Document, JsonError, JsonObject, changes_between, loads_object

KEY: Final = "claude"
HOST: Final = "api.anthropic.com"
BASE_URL: Final = f"https://{HOST}"
API_VERSION: Final = "2023-06-01"
OAUTH_BETA: Final = "oauth-2025-04-20"
"""Needed with OAuth tokens."""
LONG_CONTEXT_BETA: Final = "context-1m-2025-08-07"
_LONG_CONTEXT_HEADER: Final = "x-cpa-claude-1m"
"""A client that cannot name betas asks for the long context with this header."""
_OAUTH_TOKEN: Final = "sk-ant-oat"
_CLIENT_AGENT: Final = "claude-cli"
_SAID_BY_CLIENTS: Final = ("anthropic-dangerous-", "x-app", "x-stainless-", "x-claude-code-")
"""How the names of the headers begin in which the vendor's clients describe themselves."""

_PATHS: Final = {Action.GENERATE: "/v1/messages", Action.COUNT: "/v1/messages/count_tokens"}
_REJECTED: Final = "rejected"
_LIMIT: Final = "anthropic-ratelimit-unified"
_ACCOUNT_WINDOWS: Final = ("5h", "7d")
_MODEL_WINDOWS: Final = ("7d_oi",)
"""A window of some models alone: the others go on."""
_ONLY_THE_AGENT: Final = "only authorized for use with claude code"
_ACCOUNT_FAULTS: Final = ("organization has been disabled", "account has been disabled")


@frozen(kw_only=True)
class ClaudeContract:
    """The API, reached with a key or an access token."""

    id: str = "api-key"
    dialect: str = "claude"
    framing: Framing = Framing.SSE
    needs: TokenSlot | None = None
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It generates and counts."""
        return action in _PATHS

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the API; the owner's own headers have the last word."""
        document = Document.parse(call.body)
        body, betas = take_betas(_prepared(document.value, call))
        headers = Headers(
            {
                "Content-Type": "application/json",
                "Accept": "text/event-stream" if call.stream else "application/json",
                "Anthropic-Version": call.client_headers.get("anthropic-version") or API_VERSION,
            }
        )
        headers = headers.merged(_authorization(call)).merged(_said_by_client(call))
        merged = _betas(call, betas)
        if merged:
            headers = headers.with_field("Anthropic-Beta", ",".join(merged))
        return HttpCall(
            method="POST",
            url=f"{_base(call.credential)}{_PATHS[call.action]}?beta=true",
            headers=headers.merged(own_headers(call)),
            body=document.patch(changes_between(document.value, body)),
            stream=call.stream,
        )

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Read used-up windows and closed accounts; the rest is judged by the general rules."""
        try:
            error = decode_error(status, loads_object(body))
        except JsonError:
            return None
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return _used_up(headers, error.message, error.code)
        said = error.message.lower()
        if any(fault in said for fault in _ACCOUNT_FAULTS):
            kind, scope = Kind.PERMISSION, Scope.CREDENTIAL
        elif _ONLY_THE_AGENT in said:
            # Of this kind nothing pauses: another account may serve the request, this one the next request.
            kind, scope = Kind.INVALID_REQUEST, Scope.MODEL
        else:
            return None
        return Failure(
            kind=kind,
            scope=scope,
            message=error.message,
            status=status,
            code=error.code or None,
        )


# --- requests -----------------------------------------------------------------------------------------------


def _base(credential: Credential) -> str:
    """Return the address without a version, which some owners include and some leave out."""
    return (credential.base_url or BASE_URL).rstrip("/").removesuffix("/v1")


def is_anthropic(credential: Credential) -> bool:
    """Tell whether a credential is used at the vendor's own host."""
    parts = urlsplit(_base(credential))
    return (parts.scheme, parts.netloc) == ("https", HOST)


def _secret(call: Call) -> str:
    secret = call.token.value if call.token is not None else call.credential.api_key
    return secret.reveal() if secret is not None else ""


def _is_access_token(call: Call) -> bool:
    return call.token is not None or _OAUTH_TOKEN in _secret(call)


def _authorization(call: Call) -> dict[str, str]:
    secret = _secret(call)
    if not secret:
        return {}
    if is_anthropic(call.credential) and not _is_access_token(call):
        return {"X-Api-Key": secret}
    return {"Authorization": f"Bearer {secret}"}


def _betas(call: Call, named_in_body: tuple[str, ...]) -> tuple[str, ...]:
    """Return all betas, each once, in the order they were named."""
    client = call.client_headers
    named = [beta.strip() for beta in client.get("anthropic-beta", "").split(",")]
    named += named_in_body
    if _is_access_token(call):
        named.append(OAUTH_BETA)
    if _LONG_CONTEXT_HEADER in client:
        named.append(LONG_CONTEXT_BETA)
    return tuple(dict.fromkeys(filter(None, named)))


def _said_by_client(call: Call) -> dict[str, str]:
    """Return what a Claude client says about itself; other vendors' clients have nothing to say here."""
    client = call.client_headers
    if "anthropic-version" not in client:
        return {}
    said = {name: value for name, value in client.items() if name.startswith(_SAID_BY_CLIENTS) and value}
    agent = client.get("user-agent", "")
    return said | ({"User-Agent": agent} if agent.startswith(_CLIENT_AGENT) else {})


def _prepared(body: JsonObject, call: Call) -> JsonObject:
    if call.credential.options.get("rebuild-mid-system-message") is True:
        body = put_system_first(body)
    if call.action is Action.COUNT:
        return for_counting(body)
    return make_legal(add_cache_marks(body))


# --- failures -----------------------------------------------------------------------------------------------


def _used_up(headers: Headers, message: str, code: str) -> Failure | None:
    """Say which windows of a subscription are used up, and when the last of them opens again."""
    rejected = [window for window in (*_ACCOUNT_WINDOWS, *_MODEL_WINDOWS) if _is_rejected(headers, window)]
    if not rejected:
        return None
    now = waits.moment(headers.get("date"))
    resets = [waits.moment(headers.get(f"{_LIMIT}-{window}-reset")) for window in rejected]
    if not any(resets):
        resets = [waits.moment(headers.get(f"{_LIMIT}-reset"))]
    rests = [reset - now for reset in resets if reset is not None and now is not None and reset > now]
    asked = waits.asked(headers, now)
    is_whole_account = any(window in _ACCOUNT_WINDOWS for window in rejected)
    return Failure(
        kind=Kind.QUOTA,
        scope=Scope.CREDENTIAL if is_whole_account else Scope.MODEL,
        message=message,
        status=HTTPStatus.TOO_MANY_REQUESTS,
        code=code or None,
        retry_after=max([*rests, *([] if asked is None else [asked])], default=None),
    )


def _is_rejected(headers: Headers, window: str) -> bool:
    return headers.get(f"{_LIMIT}-{window}-status").strip().lower() == _REJECTED


# --- the ways -----------------------------------------------------------------------------------------------

WITH_KEY: Final = ClaudeContract()
WITH_TOKEN: Final = ClaudeContract(id="account", needs=TokenSlot.ACCOUNT)


def contracts_for(credential: Credential, _model: str, action: Action) -> tuple[Contract, ...]:
    """Return the one way there is. Only the vendor's own host is known to count."""
    if action is Action.COUNT and not is_anthropic(credential):
        return ()
    return (WITH_TOKEN if credential.kind is CredentialKind.ACCOUNT else WITH_KEY,)
