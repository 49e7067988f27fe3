"""OpenAI Chat Completions, the dialect most servers speak: ``POST /v1/chat/completions``.

==========  =============================================================================================
request     the body ⇄ the hub's request
messages    the conversation; ``parts`` what a message holds, ``tools`` what the model may call,
            ``reasoning`` how much it should think
response    whole answers; ``decoder`` and ``encoder`` streamed ones, ``answers`` what both share
outcome     finish reasons and usage
errors      error bodies; ``glimpse`` looks at what is passed through
endpoints   the route; ``models`` the list of models
embeddings  ``POST /v1/embeddings``, which has values of its own
==========  =============================================================================================
"""

from typing import Final

from cliproxy.dialects.base import Dialect, RuleForm
from cliproxy.dialects.openai_chat.decoder import ChatStreamDecoder
from cliproxy.dialects.openai_chat.embeddings import EMBEDDINGS
from cliproxy.dialects.openai_chat.embeddings import ENDPOINT as EMBEDDINGS_ENDPOINT
from cliproxy.dialects.openai_chat.encoder import ChatStreamEncoder
from cliproxy.dialects.openai_chat.endpoints import ENDPOINTS
from cliproxy.dialects.openai_chat.errors import decode_error, encode_error
from cliproxy.dialects.openai_chat.glimpse import inspect, inspect_response, skim
from cliproxy.dialects.openai_chat.models import MODEL_LISTS
from cliproxy.dialects.openai_chat.names import DIALECT_ID
from cliproxy.dialects.openai_chat.reasoning import patch_reasoning
from cliproxy.dialects.openai_chat.request import (
    decode_request,
    encode_request,
    patch_model,
    patch_refused,
    patch_stream,
)
from cliproxy.dialects.openai_chat.response import decode_response, encode_response
from cliproxy.ir.rules import TargetRules

__all__ = ["DIALECT"]

DIALECT: Final = Dialect(
    id=DIALECT_ID,
    endpoints=(*ENDPOINTS, EMBEDDINGS_ENDPOINT),
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ChatStreamDecoder,
    stream_encoder=ChatStreamEncoder,
    encode_error=encode_error,
    decode_error=decode_error,
    inspect=inspect,
    inspect_response=inspect_response,
    skim=skim,
    patch_model=patch_model,
    patch_reasoning=patch_reasoning,
    patch_stream=patch_stream,
    patch_refused=patch_refused,
    # Servers differ in what they demand; the vendor demands all of this.
    payload=RuleForm(names=frozenset({"openai"})),
    rules=TargetRules(
        speaks=frozenset({DIALECT_ID}),
        drops_orphan_results=False,
        max_call_id=40,
        tool_names="openai64",
        schemas="openai",
    ),
    embeddings=EMBEDDINGS,
    models=MODEL_LISTS,
    terminator=b"data: [DONE]\n\n",
)
