"""OpenAI's images API: ``POST /v1/images/generations`` and ``/v1/images/edits``.

Contract: OpenAI API reference, "Images".

A picture is asked for in the hub's words of a conversation: a prompt, perhaps pictures, and the wish that the
answer be an image of a certain shape. So a client of this dialect reaches every upstream whose models draw in
the course of a conversation, and a conversation may be led with a model that only draws.

==========  =============================================================================================
request     the body ⇄ the hub's request; ``sizes`` the shape of a picture
form        edits as forms with files ⇄ as JSON
response    whole answers, and how several are put together; ``stream`` streamed ones
endpoints   the routes
==========  =============================================================================================

Errors are those of the vendor's chat dialect.
"""

from typing import Final

from cliproxy.dialects.base import Dialect
from cliproxy.dialects.openai_chat.errors import decode_error, encode_error
from cliproxy.dialects.openai_images.endpoints import ENDPOINTS
from cliproxy.dialects.openai_images.form import read_form, write_request
from cliproxy.dialects.openai_images.names import DIALECT_ID
from cliproxy.dialects.openai_images.request import decode_request, encode_request, patch_model
from cliproxy.dialects.openai_images.response import (
    PORTIONS,
    decode_response,
    encode_response,
    inspect_response,
)
from cliproxy.dialects.openai_images.stream import ImageStreamDecoder, ImageStreamEncoder, inspect
from cliproxy.ir.request import Reasoning
from cliproxy.wire.jsontext import Changes, JsonObject

__all__ = ["DIALECT"]


def _no_reasoning(_wish: Reasoning, _body: JsonObject) -> Changes:
    """Change nothing: these models do not think aloud."""
    return {}


DIALECT: Final = Dialect(
    id=DIALECT_ID,
    endpoints=ENDPOINTS,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ImageStreamDecoder,
    stream_encoder=ImageStreamEncoder,
    encode_error=encode_error,
    decode_error=decode_error,
    inspect=inspect,
    inspect_response=inspect_response,
    patch_model=patch_model,
    patch_reasoning=_no_reasoning,
    read_form=read_form,
    write_request=write_request,
    shows_model=False,
    portions=PORTIONS,
)
