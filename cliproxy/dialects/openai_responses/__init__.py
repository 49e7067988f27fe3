"""The OpenAI Responses API, spoken by clients and by upstreams.

===============  =========================================================================
module           content
===============  =========================================================================
``endpoints``    routes
``request``      requests: settings
``items``        requests: the conversation
``content``      content parts of messages and results
``tools``        tools, namespaces, tool choice
``response``     whole answers: the response object, its echo, usage
``decoder``      stream of an upstream → events
``ledger``       the items of that stream, found again (used by ``decoder``)
``encoder``      events → stream to a client
``assembly``     how blocks become items (used by ``encoder`` and ``response``)
``output``       the items of an answer while they grow
``annotations``  citations
``errors``       error bodies and events
``glimpse``      pass-through
``mending``      what a stream that passes through lacks
``names``        words and ids shared by these
===============  =========================================================================
"""

from cliproxy.dialects.base import Dialect, KeptForm, RuleForm
from cliproxy.dialects.openai_responses.decoder import ResponsesDecoder
from cliproxy.dialects.openai_responses.encoder import ResponsesEncoder
from cliproxy.dialects.openai_responses.endpoints import ENDPOINTS, decode_count, encode_count
from cliproxy.dialects.openai_responses.errors import decode_error, encode_error
from cliproxy.dialects.openai_responses.glimpse import (
    inspect,
    inspect_response,
    may_pass,
    patch_model,
    patch_reasoning,
    skim,
)
from cliproxy.dialects.openai_responses.mending import ResponsesMender
from cliproxy.dialects.openai_responses.names import DIALECT_ID, KEPT_STATE
from cliproxy.dialects.openai_responses.request import decode_request, encode_request, keeps, named
from cliproxy.dialects.openai_responses.response import decode_response, encode_response
from cliproxy.ir.rules import TargetRules

__all__ = ["DIALECT", "RULES"]

RULES = TargetRules(
    speaks=frozenset({DIALECT_ID, KEPT_STATE}),
    results_follow_calls=False,
    drops_orphan_results=False,
    keeps_conversations=True,
    takes_reminders=True,
    max_call_id=64,
    tool_names="openai64",
    schemas="openai",
)

DIALECT = Dialect(
    id=DIALECT_ID,
    endpoints=ENDPOINTS,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ResponsesDecoder,
    stream_encoder=ResponsesEncoder,
    encode_error=encode_error,
    decode_error=decode_error,
    inspect=inspect,
    inspect_response=inspect_response,
    skim=skim,
    may_pass=may_pass,
    signature_faults=(
        "invalid_encrypted_content",
        "thinking_signature_invalid",
        "could not be verified",
        "could not be decrypted",
        "required 'reasoning' item",
    ),
    patch_model=patch_model,
    patch_reasoning=patch_reasoning,
    decode_count=decode_count,
    encode_count=encode_count,
    answers_as=DIALECT_ID,
    stream_mender=ResponsesMender,
    kept=KeptForm(named=named, keeps=keeps),
    rules=RULES,
    payload=RuleForm(names=frozenset({"openai-response", "responses", "codex"})),
)
