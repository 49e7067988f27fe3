"""The routes: ``POST /v1/images/generations`` and ``POST /v1/images/edits``; the latter takes a form, too."""

from typing import Final

from cliproxy.dialects.base import Action, Body, ClientRequest, Endpoint, PathFacts
from cliproxy.dialects.openai_images.names import (
    DEFAULT_MODEL,
    DIALECT_ID,
    EDITS,
    FORM_IMAGES,
    GENERATIONS,
    IMAGES,
)
from cliproxy.errors import BadRequest
from cliproxy.wire.formdata import FormData
from cliproxy.wire.jsontext import Document, flag, text

VERSION: Final = "/v1"


def read_generation(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request for new pictures just far enough to route it."""
    if IMAGES in document.value:
        raise BadRequest(f"`{IMAGES}` belongs to {VERSION}{EDITS}", param=IMAGES)
    return _request(document, facts, stream=flag(document.value, "stream") is True)


def read_edit(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request to edit pictures."""
    if not document.value.get(IMAGES):
        raise BadRequest(
            f"`{IMAGES}` is required: the pictures to edit, each with an `image_url`", param=IMAGES
        )
    return _request(document, facts, stream=flag(document.value, "stream") is True)


def read_edit_form(form: FormData, facts: PathFacts) -> ClientRequest:
    """Read a request to edit pictures that comes with them."""
    if not any(file.name in FORM_IMAGES for file in form.files):
        raise BadRequest("`image` is required: the picture to edit, as a file", param="image")
    return _request(form, facts, stream=text(form.value, "stream").strip().lower() in {"true", "1"})


def _request(document: Body, facts: PathFacts, *, stream: bool) -> ClientRequest:
    body = document.value
    if not text(body, "prompt").strip():
        raise BadRequest("`prompt` is required", param="prompt")
    model = body.get("model") or DEFAULT_MODEL
    if not isinstance(model, str):
        raise BadRequest("`model` must name a model", param="model")
    return ClientRequest(
        dialect=DIALECT_ID,
        action=Action.IMAGE,
        model=model.strip(),
        stream=stream,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


ENDPOINTS: Final = (
    Endpoint(path=VERSION + GENERATIONS, read=read_generation),
    Endpoint(path=VERSION + EDITS, read=read_edit, read_form=read_edit_form),
)
