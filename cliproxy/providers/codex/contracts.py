"""The routes of the coding agent's backend, and what its refusals mean.

The vendor's own client says more about itself, in headers (its version, its window, its turn) and in the
member ``client_metadata``; what a client sends of these is passed on, nothing is made up. The member goes to
the vendor's backend only, since other servers refuse what they do not know.

A conversation is known by ``prompt_cache_key`` in the body, or by the session a client names in a header; the
header's value is then put into the body, so that requests translated from another dialect hit the cache too.

The vendor's backend takes pictures to edit in a JSON body only; a client's form is turned into one. Other
servers get it as it is.

A used-up plan is a 429 of type ``usage_limit_reached`` that names the moment it is renewed. The moment is
measured against the answer's own ``Date``, since two clocks would have to agree otherwise. Where the body
names none, the state of the plan's two windows in the headers tells: ``x-codex-primary-used-percent``,
``x-codex-primary-reset-after-seconds``.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve, frozen

from cliproxy.catalog import static
from cliproxy.credentials.model import Credential, CredentialKind, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.openai_images.form import path_of, read_form
from cliproxy.dialects.openai_responses.endpoints import for_counting
from cliproxy.dialects.openai_responses.errors import decode_error, retry_after
from cliproxy.dialects.openai_responses.names import CLIENT_METADATA
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.base import Call, Contract, own_headers
from cliproxy.wire.formdata import FormData, is_form
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall, http_date
from cliproxy.wire.jsontext import DELETE, Change, Document, JsonError, JsonObject, dumps, loads_object, text

KEY: Final = "codex"
HOST: Final = "chatgpt.com"
PLATFORM_HOST: Final = "api.openai.com"
"""The vendor's API for everybody, which a key may be for as well; it counts tokens, the backend does not."""
BASE_URL: Final = f"https://{HOST}/backend-api/codex"

_CACHE_KEY: Final = "prompt_cache_key"
_SESSIONS: Final = ("session-id", "session_id", "x-claude-code-session-id")
"""Headers in which clients name their session."""
_PASSED_ON: Final = (
    *("Version", "Originator", "Thread-Id", "X-Client-Request-Id", "X-Codex-Beta-Features"),
    *("X-Codex-Turn-Metadata", "X-Codex-Window-Id", "X-Openai-Internal-Codex-Responses-Lite"),
)
"""What the vendor's client says about itself."""
_CLIENT_AGENT: Final = "codex"
"""How the user agents of the vendor's clients begin."""

_USED_UP: Final = frozenset({"usage_limit_reached", "usage_not_included", "insufficient_quota"})
_AT_CAPACITY: Final = "at capacity"
_WINDOWS: Final = ("x-codex-primary", "x-codex-secondary")
"""How the headers begin that describe a plan's short and its long window."""
_FULL: Final = 100.0
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


@frozen(kw_only=True)
class CodexContract:
    """One route of the coding agent's own."""

    id: str
    dialect: str
    path: str
    action: Action
    framing: Framing
    streams_only: bool
    needs: TokenSlot | None = None

    def supports(self, action: Action) -> bool:
        """Each route does one thing."""
        return action is self.action

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the route; the owner's own headers have the last word."""
        document = Document.parse(call.body)
        session = _session(document, call)
        changes: dict[str, Change] = {}
        if self.action is Action.COMPACT:
            changes["stream"] = DELETE
        elif self.action is Action.COUNT:
            changes |= for_counting(document.value)
        elif session:
            changes[_CACHE_KEY] = session
        base_url = call.credential.base_url or BASE_URL
        if CLIENT_METADATA in document.value and not _is_vendor(call.credential):
            changes[CLIENT_METADATA] = DELETE
        headers = _headers(call, Document.content_type, streams=self.streams_only)
        if session:
            headers = headers.merged({"Session-Id": session, "Conversation_id": session})
        return HttpCall(
            method="POST",
            url=base_url.rstrip("/") + self.path,
            headers=headers.merged(_said_by_client(call)).merged(own_headers(call)),
            body=document.patch(changes),
            stream=self.streams_only,
        )

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Read what the general rules would misjudge."""
        return _read_failure(status, headers, body)


@frozen(kw_only=True)
class PlainContract:
    """A route that knows no conversations: embeddings, pictures."""

    id: str
    dialect: str
    actions: frozenset[Action]
    path: Callable[[bytes, str], str]
    """(body, content type) → path."""
    framing: Framing
    streams_only: bool = False
    needs: TokenSlot | None = None

    def supports(self, action: Action) -> bool:
        """Tell whether the route does it."""
        return action in self.actions

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the route; the owner's own headers have the last word."""
        body, content_type = call.body, call.content_type
        path = self.path(body, content_type)
        if is_form(content_type) and _is_vendor(call.credential):
            body, content_type = dumps(read_form(FormData.parse(body, content_type))), Document.content_type
        headers = _headers(call, content_type, streams=call.stream)
        return HttpCall(
            method="POST",
            url=(call.credential.base_url or BASE_URL).rstrip("/") + path,
            headers=headers.merged(_said_by_client(call)).merged(own_headers(call)),
            body=body,
            stream=call.stream,
        )

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Read what the general rules would misjudge."""
        return _read_failure(status, headers, body)


def _is_vendor(credential: Credential) -> bool:
    return urlsplit(credential.base_url or BASE_URL).hostname == HOST


def _headers(call: Call, content_type: str, *, streams: bool) -> Headers:
    accepted = "text/event-stream" if streams else "application/json"
    headers = Headers({"Content-Type": content_type, "Accept": accepted})
    if call.token is not None:
        headers = headers.merged(call.token.headers)
    secret = call.token.value if call.token is not None else call.credential.api_key
    return headers if secret is None else headers.with_field("Authorization", f"Bearer {secret.reveal()}")


def _read_failure(status: int, headers: Headers, body: bytes) -> Failure | None:
    """Read a used-up plan, and a model without capacity."""
    try:
        value = loads_object(body)
    except JsonError:
        return None
    error = decode_error(status, value)
    if status == HTTPStatus.TOO_MANY_REQUESTS and error.code in _USED_UP:
        kind, scope = Kind.QUOTA, Scope.CREDENTIAL
    elif status >= HTTPStatus.BAD_REQUEST and _AT_CAPACITY in error.message.lower():
        kind, scope = Kind.OVERLOADED, Scope.MODEL
    else:
        return None
    return Failure(
        kind=kind,
        scope=scope,
        message=error.message,
        status=status,
        code=error.code or None,
        retry_after=_wait(error.raw or {}, headers),
    )


def _wait(error: JsonObject, headers: Headers) -> float | None:
    """Return the seconds until the plan is renewed: by the body, else by its windows that are used up."""
    now = http_date(headers.get("date"))
    said = retry_after(error, now)
    if said is not None:
        return said
    full = [window for window in _WINDOWS if (_number(headers, f"{window}-used-percent") or 0.0) >= _FULL]
    waits = [_number(headers, f"{window}-reset-after-seconds") for window in full]
    moments = [_number(headers, f"{window}-reset-at") for window in full]
    if now is not None:
        waits += [moment - now for moment in moments if moment is not None]
    return max((wait for wait in waits if wait is not None and wait > 0), default=None)


def _number(headers: Headers, name: str) -> float | None:
    said = headers.get(name).strip()
    return float(said) if _NUMBER.fullmatch(said) else None


def _session(document: Document, call: Call) -> str:
    """Return what the conversation is called; empty when nobody says."""
    named = (call.client_headers.get(name, "").strip() for name in _SESSIONS)
    return text(document.value, _CACHE_KEY) or next(filter(None, named), "")


def _said_by_client(call: Call) -> dict[str, str]:
    said = {name: call.client_headers.get(name.lower(), "").strip() for name in _PASSED_ON}
    agent = call.client_headers.get("user-agent", "")
    if agent.lower().startswith(_CLIENT_AGENT):
        said["User-Agent"] = agent
    return {name: value for name, value in said.items() if value}


GENERATE: Final = CodexContract(
    id="responses",
    dialect="codex",
    path="/responses",
    action=Action.GENERATE,
    framing=Framing.SSE,
    streams_only=True,
)
COMPACT: Final = CodexContract(
    id="compact",
    dialect="openai-response",
    path="/responses/compact",
    action=Action.COMPACT,
    framing=Framing.WHOLE,
    streams_only=False,
)
COUNT: Final = evolve(COMPACT, id="count", path="/responses/input_tokens", action=Action.COUNT)
PICTURE: Final = PlainContract(
    id="images",
    dialect="openai-images",
    actions=frozenset({Action.IMAGE}),
    path=path_of,
    framing=Framing.SSE,
)
DRAW: Final = evolve(PICTURE, id="draw", actions=frozenset({Action.GENERATE}), framing=Framing.WHOLE)
"""A conversation with a model that only draws."""
EMBED: Final = PlainContract(
    id="embeddings",
    dialect="openai",
    actions=frozenset({Action.EMBED}),
    path=lambda _body, _content_type: "/embeddings",
    framing=Framing.WHOLE,
)


_WITH_TOKEN: Final[Mapping[str, Contract]] = {
    contract.id: evolve(contract, needs=TokenSlot.ACCOUNT) for contract in (GENERATE, COMPACT)
} | {contract.id: evolve(contract, needs=TokenSlot.ACCOUNT) for contract in (PICTURE, DRAW)}
"""The same routes as accounts use them."""


def contracts_for(credential: Credential, model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the routes: for a model that only draws other ones."""
    is_account = credential.kind is CredentialKind.ACCOUNT
    if static.only_draws(credential, KEY, model):
        found: tuple[Contract, ...] = (PICTURE, DRAW)
    elif is_account or _is_vendor(credential):
        found = (GENERATE, COMPACT)
    else:
        counted = (COUNT,) if urlsplit(credential.base_url).hostname == PLATFORM_HOST else ()
        found = (GENERATE, COMPACT, EMBED, PICTURE, *counted)
    return tuple(_WITH_TOKEN[contract.id] for contract in found) if is_account else found
