"""Gemini with an API key: Google's Generative Language API, or a server that speaks like it.

The wire, in short::

    POST {base}/v1beta/models/{model}:generateContent
    POST {base}/v1beta/models/{model}:streamGenerateContent?alt=sse
    POST {base}/v1beta/models/{model}:countTokens
    POST {base}/v1beta/models/{model}:embedContent, :batchEmbedContents
    x-goog-api-key: {key}                      never in the URL, where logs would keep it

A stream is always asked for as server-sent events, whatever framing the client wants. A count takes either
contents alone or a whole request under ``generateContentRequest``; Google's own service gets the latter, so
that tools and instructions are counted, other servers are only sent what all of them know. A picture is
generated content like any other.

Refusals need a second look: an invalid key comes as a 400, a country or a missing bill as a failed
precondition, and a 429 is either over in a minute or lasts until tomorrow.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from attrs import frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.config.sections import Section
from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.gemini.canvas import put_on_canvas
from cliproxy.dialects.gemini.embeddings import is_batch
from cliproxy.dialects.gemini.errors import GoogleError, is_long, read_error, read_refusal
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.base import Call, Contract, Provider, own_headers
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import DELETE, Change, Document, JsonError, JsonObject, child, dumps

KEY: Final = "gemini"
HOST: Final = "generativelanguage.googleapis.com"
BASE_URL: Final = f"https://{HOST}"
VERSION: Final = "v1beta"
_VERSIONS: Final = frozenset({"v1", "v1beta", "v1alpha"})

GENERATE: Final = "generateContent"
STREAM: Final = "streamGenerateContent?alt=sse"

_KEY_REASONS: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"})
_ACCOUNT_REASONS: Final = frozenset(
    {
        "SERVICE_DISABLED",
        "BILLING_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_ANDROID_APP_BLOCKED",
        "API_KEY_IOS_APP_BLOCKED",
    }
)
_STRAY: Final = re.compile(rb'"(?:session_id|model)"\s*:')
_LONG_DELAY_S: Final = 600.0
"""Delays named for a daily quota are often those of the minute; only longer ones are believed."""


@frozen
class GeminiContract:
    """The API, reached with a key."""

    id: str = "api-key"
    dialect: str = "gemini"
    framing: Framing = Framing.SSE
    needs: TokenSlot | None = None
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It generates, pictures included, embeds and counts."""
        return action in _BODIES

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the model; the owner's own headers have the last word."""
        key = call.credential.api_key
        headers = Headers({"Content-Type": "application/json"})
        if key is not None:
            headers = headers.with_field("x-goog-api-key", key.reveal())
        method, body = _BODIES[call.action](call)
        return HttpCall(
            method="POST",
            url=f"{address_of(call.credential.base_url, call.model)}:{method}",
            headers=headers.merged(own_headers(call)),
            body=body,
            stream=call.stream,
        )

    def read_failure(self, status: int, _headers: Headers, body: bytes) -> Failure | None:
        """Tell the key, the account and the quota apart; the rest is judged by the general rules."""
        return failure_of(status, body)


def failure_of(status: int, body: bytes) -> Failure | None:
    """Read a refusal that is about the key, the account or a long quota; ``None`` for any other."""
    try:
        error = read_error(read_refusal(body))
    except JsonError:
        return None
    verdict = _verdict(status, error)
    if verdict is None:
        return None
    kind, scope = verdict
    delay = error.retry_after
    if kind is Kind.QUOTA and (delay or 0.0) < _LONG_DELAY_S:
        delay = None
    return Failure(
        kind=kind,
        scope=scope,
        message=error.message or f"the upstream answered with status {status}",
        status=status,
        code=error.reason or error.status or None,
        retry_after=delay,
    )


def _verdict(status: int, error: GoogleError) -> tuple[Kind, Scope] | None:
    if status == HTTPStatus.UNAUTHORIZED or error.reason in _KEY_REASONS:
        return Kind.AUTHENTICATION, Scope.CREDENTIAL
    if error.reason in _ACCOUNT_REASONS or error.status == "FAILED_PRECONDITION":
        return Kind.PERMISSION, Scope.CREDENTIAL
    if status == HTTPStatus.FORBIDDEN and "api key" in error.message.lower():
        return Kind.PERMISSION, Scope.CREDENTIAL
    if status == HTTPStatus.TOO_MANY_REQUESTS and is_long(error):
        is_of_model = all("permodel" in quota.lower() for quota in error.quotas)
        return Kind.QUOTA, Scope.MODEL if is_of_model else Scope.CREDENTIAL
    return None


def address_of(base_url: str, model: str) -> str:
    """Return the address of a model. A base that ends in a version of the API keeps it."""
    base = (base_url or BASE_URL).rstrip("/")
    if base.rpartition("/")[2] not in _VERSIONS:
        base = f"{base}/{VERSION}"
    name = quote(model.removeprefix("models/"), safe="/:@.-_~")
    return f"{base}/{name}" if name.startswith("tunedModels/") else f"{base}/models/{name}"


def _generated(call: Call) -> tuple[str, bytes]:
    return (STREAM if call.stream else GENERATE), generate_body(call)


def generate_body(call: Call) -> bytes:
    """Return the body of a request for content as the model at hand takes it."""
    return put_on_canvas(call.model, without_strays(call.body))


def without_strays(body: bytes) -> bytes:
    """Leave out what some clients put into a body and the API refuses."""
    if _STRAY.search(body) is None:
        return body
    document = Document.parse(body)
    strays: dict[str, Change] = {name: DELETE for name in ("session_id", "model") if name in document.value}
    return document.patch(strays)


def _embedded(call: Call) -> tuple[str, bytes]:
    """Tell a batch from a single request: they have methods of their own."""
    batch = is_batch(Document.parse(call.body).value)
    return "batchEmbedContents" if batch else "embedContent", call.body


def _counted(call: Call) -> tuple[str, bytes]:
    return "countTokens", _count_body(call)


_BODIES: Final[Mapping[Action, Callable[[Call], tuple[str, bytes]]]] = {
    Action.GENERATE: _generated,
    Action.IMAGE: _generated,
    Action.EMBED: _embedded,
    Action.COUNT: _counted,
}
"""Action → the method of the API, and the body as the service at hand takes it."""


def _count_body(call: Call) -> bytes:
    """Return what is to be counted."""
    is_google = urlsplit(call.credential.base_url or BASE_URL).hostname == HOST
    wanted = counted(call.body)
    if set(wanted) <= {"contents"}:
        return dumps(wanted)
    if is_google:
        return dumps({"generateContentRequest": {"model": f"models/{call.model}", **wanted}})
    return dumps({name: value for name, value in wanted.items() if name not in {"tools", "toolConfig"}})


def counted(body: bytes) -> JsonObject:
    """Return the members of a request for a count that have tokens."""
    whole = Document.parse(body).value
    inner = child(whole, "generateContentRequest") or child(whole, "generate_content_request")
    return {name: value for name, value in (inner or whole).items() if name not in _NOT_COUNTED}


_NOT_COUNTED: Final = frozenset(
    {
        "model",
        "session_id",
        "generationConfig",
        "generation_config",
        "safetySettings",
        "safety_settings",
    }
)

CONTRACT: Final = GeminiContract()


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the one contract."""
    return (CONTRACT,)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the models of the entry, else the known ones."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label="Gemini (API key)",
    contracts_for=contracts_for,
    static_models=static_models,
    sections=(Section(key="gemini-api-key", provider=KEY),),
    api_hosts=(HOST,),
    summary="Google's Generative Language API with a key from AI Studio",
)
