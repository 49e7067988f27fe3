"""The routes of the Responses API: an answer, the compaction of a conversation, the count of its tokens.

Contract: the OpenAI API reference, "Create a model response", "Compact a response" and "Get input token
counts". A compaction is not streamed; its answer is an encrypted item that only the upstream which made it
can read, so the request is carried by upstreams of this wire or by none.
"""

from typing import Final

from cliproxy.dialects.base import Action, ClientRequest, Endpoint, PathFacts
from cliproxy.dialects.openai_responses.names import DIALECT_ID
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import DELETE, Changes, Document, JsonObject, flag, integer


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


def _read(document: Document, facts: PathFacts, action: Action, *, stream: bool = False) -> ClientRequest:
    return ClientRequest(
        dialect=DIALECT_ID,
        action=action,
        model=_model(document),
        stream=stream,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


def read_create(document: Document, facts: PathFacts) -> ClientRequest:
    """Read ``POST /v1/responses``."""
    return _read(document, facts, Action.GENERATE, stream=_wants_stream(document))


def read_compact(document: Document, facts: PathFacts) -> ClientRequest:
    """Read ``POST /v1/responses/compact``."""
    if _wants_stream(document):
        raise BadRequest("Streaming not supported for compact responses", param="stream")
    return _read(document, facts, Action.COMPACT)


def read_count(document: Document, facts: PathFacts) -> ClientRequest:
    """Read ``POST /v1/responses/input_tokens``."""
    return _read(document, facts, Action.COUNT)


ENDPOINTS = (
    Endpoint(path="/v1/responses", read=read_create),
    Endpoint(path="/v1/responses/compact", read=read_compact),
    Endpoint(path="/v1/responses/input_tokens", read=read_count),
)


# --- counting ---------------------------------------------------------------------------------------------

_COUNTED: Final = frozenset(
    {
        *("model", "input", "instructions", "previous_response_id", "conversation", "truncation"),
        *("tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "personality"),
    }
)
"""Members of a request that its count depends on."""


def for_counting(body: JsonObject) -> Changes:
    """Return what to remove from a request to have its tokens counted: the vendor refuses anything else."""
    return dict.fromkeys(body.keys() - _COUNTED, DELETE)


def encode_count(count: int) -> JsonObject:
    """Write a token count."""
    return {"object": "response.input_tokens", "input_tokens": count}


def decode_count(body: JsonObject) -> int | None:
    """Read a token count."""
    return integer(body, "input_tokens")
