"""The routes of the Responses API: an answer, and the compaction of a conversation.

Contract: the OpenAI API reference, "Create a model response" and "Compact a response". A compaction is not
streamed; its answer is an encrypted item that only the upstream which made it can read, so the request is
carried by upstreams of this wire or by none.
"""

from cliproxy.dialects.base import Action, ClientRequest, Endpoint, PathFacts
from cliproxy.dialects.openai_responses.names import DIALECT_ID
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import Document, flag


def _model(document: Document) -> str:
    model = document.value.get("model")
    if model is None or model == "":
        raise BadRequest("`model` is missing", param="model")
    if not isinstance(model, str):
        raise BadRequest("`model` must be a text", param="model")
    return model


def _wants_stream(document: Document) -> bool:
    stream = document.value.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("`stream` must be true or false", param="stream")
    return bool(flag(document.value, "stream"))


def read_create(document: Document, facts: PathFacts) -> ClientRequest:
    """Read ``POST /v1/responses``."""
    return ClientRequest(
        dialect=DIALECT_ID,
        action=Action.GENERATE,
        model=_model(document),
        stream=_wants_stream(document),
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


def read_compact(document: Document, facts: PathFacts) -> ClientRequest:
    """Read ``POST /v1/responses/compact``."""
    if _wants_stream(document):
        raise BadRequest("Streaming not supported for compact responses", param="stream")
    return ClientRequest(
        dialect=DIALECT_ID,
        action=Action.COMPACT,
        model=_model(document),
        stream=False,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


ENDPOINTS = (
    Endpoint(path="/v1/responses", read=read_create),
    Endpoint(path="/v1/responses/compact", read=read_compact),
)
