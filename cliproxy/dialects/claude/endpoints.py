"""The routes of the Claude dialect, read just far enough to be routed.

No header is required and every query is accepted: clients differ in what they send, and what an upstream
needs is the provider's business.
"""

from typing import Final

from cliproxy.dialects.base import Action, ClientRequest, Endpoint, PathFacts
from cliproxy.dialects.claude.reading import ID
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import Changes, Document, JsonObject, flag, integer, text


def _read(document: Document, facts: PathFacts, action: Action) -> ClientRequest:
    body = document.value
    model = text(body, "model")
    if not model:
        raise BadRequest("model: a model name is required", param="model")
    stream = flag(body, "stream")
    if stream is None and body.get("stream") is not None:
        raise BadRequest("stream: must be true or false", param="stream")
    return ClientRequest(
        dialect=ID,
        action=action,
        model=model,
        stream=stream is True and action is Action.GENERATE,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


def _read_messages(document: Document, facts: PathFacts) -> ClientRequest:
    return _read(document, facts, Action.GENERATE)


def _read_count(document: Document, facts: PathFacts) -> ClientRequest:
    return _read(document, facts, Action.COUNT)


def patch_model(model: str) -> Changes:
    """Return the member that names the model."""
    return {"model": model}


def encode_count(count: int) -> JsonObject:
    """Write a token count."""
    return {"input_tokens": count}


def decode_count(body: JsonObject) -> int | None:
    """Read a token count."""
    return integer(body, "input_tokens")


ENDPOINTS: Final = (
    Endpoint(path="/v1/messages", read=_read_messages),
    Endpoint(path="/v1/messages/count_tokens", read=_read_count),
)
