"""Any server that speaks OpenAI's chat dialect, as the owner's configuration describes it.

The wire, in short::

    POST {base}/chat/completions                the base address includes the version: …/v1
    POST {base}/responses/compact               for clients that have a conversation shortened
    POST {base}/responses/input_tokens          the vendor only: tokens are counted
    POST {base}/embeddings
    POST {base}/images/generations              and /images/edits: pictures, as JSON or as a form
    Authorization: Bearer {key}                 nothing, where a server wants no key
    Accept: text/event-stream                   for streams

Each key of an entry of ``openai-compatibility`` is a credential; an entry without keys is one credential
without a key. Nothing is known about such a server beforehand: it serves the models its entry lists, and a
wish for reasoning is passed on unchecked unless the entry says what a model supports. A model that the entry
marks with ``image`` only makes images: what is asked of it in a conversation goes to the images API.

Most of these servers refuse members of a request they do not know. ``prompt_cache_key``, which some clients
always send, is therefore removed unless the entry says that it is understood.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve, frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.config.sections import Section
from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.dialects.openai_images.form import path_of
from cliproxy.dialects.openai_responses.endpoints import for_counting
from cliproxy.errors import Failure, Scope, kind_of_status
from cliproxy.providers.base import Call, Contract, Provider, own_headers
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import DELETE, Change, Document, flag, text

KEY: Final = "openai-compatibility"
VENDOR_HOST: Final = "api.openai.com"
"""Home of the dialect, where all of its members are understood."""

CHAT: Final = "/chat/completions"
COMPACT: Final = "/responses/compact"
COUNT: Final = "/responses/input_tokens"
CACHE_KEY: Final = "prompt_cache_key"

EMBEDDINGS: Final = "/embeddings"

_ABSENT: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_TAILS: Final = (CHAT, "/completions", "/responses", EMBEDDINGS, "/images/generations", "/images/edits")
"""What owners copy into the base address although it does not belong there."""


@frozen(kw_only=True)
class CompatibleContract:
    """One path of the server, reached with the entry's key."""

    id: str
    dialect: str
    path: str
    action: Action
    framing: Framing = Framing.SSE
    needs: TokenSlot | None = None
    streams_only: bool = False

    def supports(self, action: Action) -> bool:
        """It does one thing."""
        return action is self.action

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the server. The owner's own headers replace these, except what a stream needs."""
        key = call.credential.api_key
        fields = [("Content-Type", call.content_type)]
        if key is not None:
            fields.append(("Authorization", f"Bearer {key.reveal()}"))
        headers, own = Headers(fields), own_headers(call)
        if own:
            headers = headers.merged(own)
        if call.stream:
            headers = headers.merged({"Accept": "text/event-stream", "Cache-Control": "no-cache"})
        return HttpCall(
            method="POST",
            url=base_of(call.credential) + self._path(call),
            headers=headers,
            body=_body(call),
            stream=call.stream,
        )

    def _path(self, _call: Call) -> str:
        return self.path

    def read_failure(self, status: int, _headers: Headers, _body: bytes) -> Failure | None:
        """Leave it to the general rules, since nothing is known about how such a server fails. Only where
        tokens cannot be counted, that says nothing about the model."""
        if self.action is not Action.COUNT or status not in _ABSENT:
            return None
        message = f"{self.path} is not there"
        return Failure(kind=kind_of_status(status), scope=Scope.CONTRACT, message=message, status=status)


@frozen(kw_only=True)
class ImagesContract(CompatibleContract):
    """The images API. Whether pictures are made or edited is seen from the request."""

    path: str = ""

    def _path(self, call: Call) -> str:
        return path_of(call.body, call.content_type)


GENERATE: Final = CompatibleContract(id="chat", dialect="openai", path=CHAT, action=Action.GENERATE)
SHORTEN: Final = CompatibleContract(
    id="compact", dialect="openai-response", path=COMPACT, action=Action.COMPACT, framing=Framing.WHOLE
)
ADD_UP: Final = CompatibleContract(
    id="count", dialect="openai-response", path=COUNT, action=Action.COUNT, framing=Framing.WHOLE
)
EMBED: Final = CompatibleContract(
    id="embeddings", dialect="openai", path=EMBEDDINGS, action=Action.EMBED, framing=Framing.WHOLE
)
PICTURE: Final = ImagesContract(id="images", dialect="openai-images", action=Action.IMAGE)
DRAW: Final = ImagesContract(
    id="draw", dialect="openai-images", action=Action.GENERATE, framing=Framing.WHOLE
)
"""A conversation with a model that only draws; in one piece, since few such servers stream pictures."""


def base_of(credential: Credential) -> str:
    """Return the address that paths are added to."""
    base = credential.base_url.rstrip("/")
    for tail in _TAILS:
        base = base.removesuffix(tail)
    return base


def _body(call: Call) -> bytes:
    """Return a body without what the server would refuse."""
    strays: dict[str, Change] = {}
    if call.action is Action.COMPACT:
        strays["stream"] = DELETE
    if call.action is Action.COUNT:
        strays |= for_counting(Document.parse(call.body).value)
    is_json = call.content_type == Document.content_type
    if is_json and f'"{CACHE_KEY}"'.encode() in call.body and not _takes_cache_key(call.credential):
        strays[CACHE_KEY] = DELETE
    return Document.parse(call.body).patch(strays) if strays else call.body


def _is_vendor(credential: Credential) -> bool:
    return urlsplit(credential.base_url).hostname == VENDOR_HOST


def _takes_cache_key(credential: Credential) -> bool:
    return _is_vendor(credential) or flag(credential.options, "support-prompt-cache-key") is True


def contracts_for(credential: Credential, model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the ways to the server; none for a credential that does not say where it is."""
    if not credential.base_url:
        return ()
    if static.only_draws(credential, KEY, model):
        return (PICTURE, DRAW)
    return (GENERATE, SHORTEN, EMBED, PICTURE, *((ADD_UP,) if _is_vendor(credential) else ()))


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the models of the entry; there are no others."""
    owner = text(credential.options, "name") or KEY
    declared = static.models_of(credential, KEY) if credential.models else ()
    return tuple(evolve(info, owned_by=info.owned_by or owner) for info in declared)


PROVIDER: Final = Provider(
    key=KEY,
    label="OpenAI-compatible server",
    contracts_for=contracts_for,
    static_models=static_models,
    sections=(Section(key="openai-compatibility", provider=KEY),),
    summary="Any server with OpenAI's chat API, such as OpenRouter, Groq, Mistral, vLLM or Ollama",
)
