"""The routes of the Gemini API: ``POST /v1beta/models/{model}:{action}``, and the same under ``/v1``.

The vendor's Python client uses ``/v1`` by default and writes names with a slash as they are. The action is
what follows the last colon, so names may contain colons as well.

``streamGenerateContent`` answers with server-sent events when asked to by ``alt=sse`` (every client of the
vendor asks) or by the ``Accept`` header; otherwise with one JSON array, as the API itself does.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.dialects.base import Action, ClientRequest, Endpoint, Framing, PathFacts
from cliproxy.dialects.gemini.embeddings import REQUESTS, is_batch
from cliproxy.dialects.gemini.parts import DIALECT_ID
from cliproxy.errors import BadRequest, NotFound
from cliproxy.wire.jsontext import Document

STREAM: Final = "streamGenerateContent"
_ACTIONS: Final[Mapping[str, Action]] = {
    "generateContent": Action.GENERATE,
    STREAM: Action.GENERATE,
    "countTokens": Action.COUNT,
}
_BATCH: Final = "batchEmbedContents"
_EMBEDS: Final = frozenset({"embedContent", _BATCH})
_NOT_SERVED: Final = frozenset(
    {
        "embedContent",
        "batchEmbedContents",
        "asyncBatchEmbedContent",
        "batchGenerateContent",
        "predict",
        "predictLongRunning",
        "generateAnswer",
        "bidiGenerateContent",
    }
)
"""Actions of the API that exist and are not implemented here."""
_UNIMPLEMENTED: Final = 501
_EVENT_STREAM: Final = "text/event-stream"


def read(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request; the model and the action stand in the path."""
    model, colon, name = facts.args.get("target", "").rpartition(":")
    model = model.removeprefix("models/")
    if not colon or not model:
        raise NotFound(f"{facts.args.get('target', '')} is not of the form model:action.")
    if name in _EMBEDS and is_batch(document.value) is not (name == _BATCH):
        raise BadRequest(f"`{REQUESTS}` belongs to {_BATCH}, and only to that.", param=REQUESTS)
    return ClientRequest(
        dialect=DIALECT_ID,
        action=Action.EMBED if name in _EMBEDS else action_of(name),
        model=model,
        stream=name == STREAM,
        document=document,
        headers=facts.headers,
        query=facts.query,
        framing=framing_of(facts) if name == STREAM else Framing.SSE,
    )


def action_of(name: str) -> Action:
    """Return what a method does that this API shares with its relatives. Raises
    :class:`~cliproxy.errors.NotFound`."""
    action = _ACTIONS.get(name)
    if action is not None:
        return action
    if name in _NOT_SERVED:
        raise NotFound(f"The action {name} is not served here.", status=_UNIMPLEMENTED)
    raise NotFound(f"There is no action {name}; there are {', '.join(_ACTIONS)}.")


def framing_of(facts: PathFacts) -> Framing:
    """Return how a client wants its stream cut. Raises :class:`~cliproxy.errors.BadRequest`."""
    wanted = facts.query.get("alt") or facts.query.get("$alt") or ""
    match wanted.lower():
        case "sse":
            return Framing.SSE
        case "" | "json":
            is_sse = not wanted and _EVENT_STREAM in facts.headers.get("accept", "")
            return Framing.SSE if is_sse else Framing.JSON_ARRAY
        case _:
            raise BadRequest(f"alt={wanted} is not served; there are sse and json.", param="alt")


ENDPOINTS: Final = tuple(
    Endpoint(path=f"/{version}/models/{{target:path}}", read=read) for version in ("v1beta", "v1")
)
