"""The ways to reach a model through GitLab, in order of preference.

==================  =================  ==========================  ========================================
contract            token              dialect                     for
==================  =================  ==========================  ========================================
``agent-…``         agent-gateway      claude, openai, responses   the agent platform's model proxy
``gateway-…``       gateway            claude, codex               the Code Suggestions gateway
``rest-chat``       account            gitlab-chat                 text only, in one piece
``rest-code``       account            gitlab-suggestions          text only, streams; fills in the middle
==================  =================  ==========================  ========================================

Both gateways are one kind of server: behind ``/v1/proxy/anthropic`` and ``/v1/proxy/openai`` stand the
vendors' own APIs. Whose proxy is used depends on the requested model alone. The token answer names headers
that every request must carry; they win over all others, and the token travels as a bearer, never as
``x-api-key``.

A gateway's refusal is about the token (renew it, try once more), about one model (this model only), or about
this way of access (try the next one). None of them condemns the account.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve, frozen

from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.claude.final import (
    add_cache_marks,
    for_counting,
    make_legal,
    take_betas,
)
from cliproxy.errors import Failure, Kind, Scope, kind_of_status
from cliproxy.login.code import one_line
from cliproxy.login.rates import RateRule
from cliproxy.providers.base import Call, CallLimit, Contract, own_headers
from cliproxy.providers.gitlab.fill import suggestion_of
from cliproxy.providers.gitlab.instance import SCOPE, instance_of, retry_after_of, setting_of
from cliproxy.providers.gitlab.models import Target, Vendor, target_of
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import (
    Changes,
    Document,
    JsonError,
    JsonObject,
    changes_between,
    child,
    dumps,
    loads_object,
    text,
)

CLOUD_GATEWAY: Final = "https://cloud.gitlab.com"
ANTHROPIC_VERSION: Final = "2023-06-01"
LIMITED_S: Final = 60.0
"""The pause after a refusal that names none."""
SUGGESTIONS_LIMIT: Final = CallLimit(name="GitLab's code suggestions", rule=RateRule(60, 60.0))
"""GitLab's own limit, for each user."""
_PROXY: Final[Mapping[Vendor, str]] = {
    Vendor.ANTHROPIC: "/v1/proxy/anthropic",
    Vendor.OPENAI: "/v1/proxy/openai/v1",
}
_TOO_LONG: Final = ("prompt is too long", "prompt too long", "context overflow", "context_length", "maximum")
_TOKEN_FAULT: Final = re.compile(
    r"\btoken\b.*\b(?:expired|revoked|invalid)\b|\b(?:expired|revoked|invalid)\b.*\btoken\b"
)
_ABSENT: Final = frozenset(
    {
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)
_MODEL_WORD: Final = re.compile(r"\bmodels?\b")


def gateway_url(base: str, vendor: Vendor) -> str:
    """Return the address of a vendor's proxy at a gateway. GitLab's own gateway keeps it below ``/ai``."""
    base, suffix = base.rstrip("/"), _PROXY[vendor]
    parts = urlsplit(base)
    if parts.path.endswith(suffix):
        return base
    host = parts.hostname or ""
    is_gitlabs = host == "gitlab.com" or host.endswith(".gitlab.com")
    return f"{base}/ai{suffix}" if is_gitlabs and not parts.path else f"{base}{suffix}"


@frozen(kw_only=True)
class GatewayContract:
    """One of the vendors' APIs behind a gateway."""

    id: str
    dialect: str
    needs: TokenSlot
    vendor: Vendor
    path: str
    action: Action
    model: str
    """The name the vendor knows the model by."""
    own_url: str = ""
    """Where the owner says the gateway is."""
    known_url: str = CLOUD_GATEWAY
    """Where it is when neither the owner nor the token says."""
    framing: Framing = Framing.SSE
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It is made for one action."""
        return action is self.action

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the proxy; the token's headers have the last word."""
        assert call.token is not None, "a gateway is never called without its token"
        token = call.token
        headers = Headers(
            {
                "Content-Type": "application/json",
                "Accept": "text/event-stream" if call.stream else "application/json",
            }
        )
        document = Document.parse(call.body)
        body = document.value
        if self.vendor is Vendor.ANTHROPIC:
            body, betas = take_betas(self._legal(body))
            headers = headers.merged(_anthropic_headers(call.client_headers, betas))
        headers = headers.merged(own_headers(call)).merged(token.headers)
        return HttpCall(
            method="POST",
            url=gateway_url(self.own_url or token.base_url or self.known_url, self.vendor) + self.path,
            headers=headers.with_field("Authorization", f"Bearer {token.value.reveal()}"),
            body=document.patch(self._changes(document.value, body, call.model)),
            stream=call.stream,
        )

    def _legal(self, body: JsonObject) -> JsonObject:
        """Return a Claude request as the vendor takes it; one without cache marks gets the usual ones."""
        return for_counting(body) if self.action is Action.COUNT else make_legal(add_cache_marks(body))

    def _changes(self, old: JsonObject, new: JsonObject, model: str) -> Changes:
        """Return what is to be replaced; the model, too, should it be there under another name."""
        changes = changes_between(old, new)
        return changes if model == self.model else {**changes, "model": self.model}

    def read_failure(self, status: int, _headers: Headers, body: bytes) -> Failure | None:
        """Tell token, model and access apart; everything else is judged by the general rules."""
        code, message = _said(body)
        words = f"{code} {message}".lower()
        if any(phrase in words for phrase in _TOO_LONG):
            return None
        if status == HTTPStatus.UNAUTHORIZED or _blames_token(status, message):
            return _failure(
                status, Kind.AUTHENTICATION, Scope.CONTRACT, message or "the gateway refused the token"
            )
        if status not in _ABSENT:
            return None
        if self.action is Action.GENERATE and _MODEL_WORD.search(words):
            return _failure(status, kind_of_status(status), Scope.MODEL, message)
        return _failure(
            status, kind_of_status(status), Scope.CONTRACT, message or f"{self.id} is not available"
        )


@frozen(kw_only=True)
class RestContract:
    """One of GitLab's own text endpoints."""

    id: str
    dialect: str
    path: str
    action: Action = Action.GENERATE
    framing: Framing = Framing.SSE
    needs: TokenSlot = TokenSlot.ACCOUNT
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It is made for one action."""
        return action is self.action

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the instance."""
        assert call.token is not None, "an instance is never called without the account's token"
        streams = call.stream and self.framing is not Framing.WHOLE
        fields = {"Content-Type": "application/json", "Accept": "application/json"}
        if streams:
            fields |= {"Accept": "text/event-stream", "X-Supports-Sse-Streaming": "true"}
        headers = Headers(fields).merged(own_headers(call))
        return HttpCall(
            method="POST",
            url=f"{instance_of(call.credential)}/api/v4{self.path}",
            headers=headers.with_field("Authorization", f"Bearer {call.token.value.reveal()}"),
            body=self._body(call),
            stream=streams,
        )

    def _body(self, call: Call) -> bytes:
        if self.action is not Action.FILL_IN_THE_MIDDLE:
            return call.body
        project = setting_of(call.credential, "project_path")
        return dumps(suggestion_of(Document.parse(call.body).value, call.client_headers, project))

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Tell the token, a missing scope, a missing endpoint and this endpoint's own limit apart."""
        code, message = _said(body)
        if status == HTTPStatus.UNAUTHORIZED:
            return _failure(
                status, Kind.AUTHENTICATION, Scope.CREDENTIAL, message or "GitLab refused the token"
            )
        if status == HTTPStatus.FORBIDDEN and code == "insufficient_scope":
            said = f"{message} The token needs the scope {SCOPE}."
            return _failure(status, Kind.PERMISSION, Scope.CREDENTIAL, said)
        if status in _ABSENT:
            said = f"GitLab's {self.path[1:]} is not open to the account: {message or f'status {status}'}"
            return _failure(status, kind_of_status(status), Scope.CONTRACT, said)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            failure = _failure(status, Kind.RATE_LIMIT, Scope.CONTRACT, message or "GitLab limits the rate")
            return evolve(failure, retry_after=retry_after_of(headers, LIMITED_S))
        return None


def _failure(status: int, kind: Kind, scope: Scope, message: str) -> Failure:
    return Failure(kind=kind, scope=scope, message=one_line(message), status=status)


def _blames_token(status: int, message: str) -> bool:
    """Whether a refusal speaks of a token that has ended.

    Prompts are measured in tokens, settings are called ``max_tokens``, and the vendors' word for any mistake
    is ``invalid_request_error``: only the message counts, and in it only whole words.
    """
    blameworthy = status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN}
    return blameworthy and _TOKEN_FAULT.search(message.lower()) is not None


def _said(body: bytes) -> tuple[str, str]:
    """Return code and message of an error body, in the spellings of both vendors and of GitLab."""
    try:
        value = loads_object(body)
    except JsonError:
        said = body[:500].decode("utf-8", "replace")
        return "", "" if said.lstrip().startswith("<") else said
    error = child(value, "error")
    message = text(error, "message") or text(value, "error_description") or text(value, "message")
    message = message or text(value, "detail") or text(value, "error")
    return text(error, "type") or text(error, "code") or text(value, "error"), message


def _anthropic_headers(client: Mapping[str, str], named_in_body: tuple[str, ...]) -> dict[str, str]:
    """Return the API version and the betas the client asked for; those about logins mean nothing here."""
    named = [beta.strip() for beta in client.get("anthropic-beta", "").split(",")]
    betas = dict.fromkeys([*named, *named_in_body])
    kept = ",".join(beta for beta in betas if beta and not beta.startswith("oauth"))
    fields = {"Anthropic-Version": client.get("anthropic-version", "") or ANTHROPIC_VERSION}
    return fields | ({"Anthropic-Beta": kept} if kept else {})


# --- which ones, in which order -----------------------------------------------------------------------------

REST_CHAT: Final = RestContract(
    id="rest-chat", dialect="gitlab-chat", path="/chat/completions", framing=Framing.WHOLE
)
REST_CODE: Final = RestContract(
    id="rest-code", dialect="gitlab-suggestions", path="/code_suggestions/completions"
)
FILL: Final = evolve(REST_CODE, id="fill", action=Action.FILL_IN_THE_MIDDLE)
LIMITS: Final[Mapping[str, CallLimit]] = {REST_CODE.id: SUGGESTIONS_LIMIT, FILL.id: SUGGESTIONS_LIMIT}
"""How often GitLab takes calls, by contract."""


@frozen
class _Way:
    """How one vendor's API is reached for one action over one of the gateways."""

    name: str
    dialect: str
    path: str
    streams_only: bool = False


_AGENT_WAYS: Final[Mapping[tuple[Vendor, bool, Action], _Way]] = {
    (Vendor.ANTHROPIC, False, Action.GENERATE): _Way("anthropic", "claude", "/v1/messages"),
    (Vendor.OPENAI, False, Action.GENERATE): _Way("openai-chat", "openai", "/chat/completions"),
    (Vendor.OPENAI, True, Action.GENERATE): _Way("openai-responses", "openai-response", "/responses"),
}
"""(vendor, reached by Responses, action)."""
_GATEWAY_WAYS: Final[Mapping[tuple[Vendor, Action], _Way]] = {
    (Vendor.ANTHROPIC, Action.GENERATE): _Way("anthropic", "claude", "/v1/messages?beta=true"),
    (Vendor.ANTHROPIC, Action.COUNT): _Way(
        "anthropic-count", "claude", "/v1/messages/count_tokens?beta=true"
    ),
    (Vendor.OPENAI, Action.GENERATE): _Way("openai", "codex", "/responses", streams_only=True),
    (Vendor.OPENAI, Action.COMPACT): _Way("openai-compact", "openai-response", "/responses/compact"),
}
"""Counting and compacting have names of their own, so that their absence closes nothing else."""


def contracts_for(credential: Credential, model: str, action: Action) -> tuple[Contract, ...]:
    """Return the ways to do something with a model, the best first. The model decides, not the account."""
    if action is Action.FILL_IN_THE_MIDDLE:
        return (FILL,)
    target = target_of(credential, model)
    wish = setting_of(credential, "rest_fallback")
    gateways = () if wish == "always" else _gateways(credential, target, action)
    if action is not Action.GENERATE or wish == "never":
        return gateways
    return (*gateways, REST_CHAT, REST_CODE)


def _gateways(credential: Credential, target: Target, action: Action) -> tuple[Contract, ...]:
    vendor = target.vendor
    if vendor is None:
        return ()
    ways = (
        (TokenSlot.AGENT_GATEWAY, "agent", _AGENT_WAYS.get((vendor, target.uses_responses, action))),
        (TokenSlot.GATEWAY, "gateway", _GATEWAY_WAYS.get((vendor, action))),
    )
    return tuple(
        GatewayContract(
            id=f"{name}-{way.name}",
            dialect=way.dialect,
            needs=slot,
            vendor=vendor,
            path=way.path,
            action=action,
            model=target.name,
            own_url=setting_of(credential, "ai_gateway_url"),
            known_url=text(credential.data, "duo_gateway_base_url") or CLOUD_GATEWAY,
            streams_only=way.streams_only,
        )
        for slot, name, way in ways
        if way is not None
    )
