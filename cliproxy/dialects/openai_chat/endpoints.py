"""The route of chat completions: ``POST /v1/chat/completions``.

Some clients post a body of the vendor's other dialect here; ``input`` or ``instructions`` in the
place of ``messages`` betray it. It is read as what it is, and answered as a chat.
"""

from typing import Final

from cliproxy.dialects.base import Action, ClientRequest, Endpoint, PathFacts
from cliproxy.dialects.openai_chat.names import DIALECT_ID, RESPONSES_ID
from cliproxy.errors import BadRequest
from cliproxy.wire.jsontext import Document, JsonObject

PATH: Final = "/v1/chat/completions"


def model_of(body: JsonObject) -> str:
    """Return the model a request names. Raises :class:`BadRequest` when it names none."""
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise BadRequest("`model` must name a model", param="model")
    return model.strip()


def read(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request just far enough to route it."""
    body = document.value
    model = model_of(body)
    is_foreign = "messages" not in body and ("input" in body or "instructions" in body)
    if not is_foreign and not isinstance(body.get("messages"), list):
        raise BadRequest("`messages` must be a list of messages", param="messages")
    return ClientRequest(
        dialect=RESPONSES_ID if is_foreign else DIALECT_ID,
        answer_dialect=DIALECT_ID if is_foreign else "",
        action=Action.GENERATE,
        model=model,
        stream=body.get("stream") is True,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


ENDPOINTS: Final = (Endpoint(path=PATH, read=read),)
