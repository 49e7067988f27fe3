"""The Gemini dialect: Google's ``generateContent`` family.

Contract: Gemini API reference ("Generating content", "Counting tokens", "Function calling", "Thought
signatures"). Real clients add facts of their own: both spellings of every name, tools described in
``parametersJsonSchema``, a ``systemInstruction`` without role, CR LF between events.

Relatives (Code Assist and its kin) wrap the same bodies in an envelope; what they need of this dialect
besides the record is in ``request`` (:class:`~cliproxy.dialects.gemini.request.Style`), ``errors`` and
``response``.
"""

from cliproxy.dialects.base import Dialect, RuleForm
from cliproxy.dialects.gemini.decoder import GeminiStreamDecoder
from cliproxy.dialects.gemini.embeddings import EMBEDDINGS
from cliproxy.dialects.gemini.encoder import GeminiStreamEncoder
from cliproxy.dialects.gemini.endpoints import ENDPOINTS
from cliproxy.dialects.gemini.errors import CODE_OF_KIND, decode_error, encode_error, read_refusal
from cliproxy.dialects.gemini.models import MODEL_LISTS
from cliproxy.dialects.gemini.parts import DIALECT_ID
from cliproxy.dialects.gemini.request import decode_request, encode_request, may_pass
from cliproxy.dialects.gemini.response import (
    decode_count,
    decode_response,
    encode_count,
    encode_response,
    inspect,
    inspect_response,
)
from cliproxy.dialects.gemini.settings import patch_reasoning, read_reasoning
from cliproxy.ir.rules import TargetRules
from cliproxy.wire.jsontext import Changes

__all__ = ["DIALECT", "RULES", "may_pass", "patch_reasoning", "read_reasoning"]

RULES = TargetRules(
    speaks=frozenset({DIALECT_ID}),
    merges_roles=True,
    results_first=True,
    results_in_call_order=True,
    hoists_system=True,
    drops_prefill=True,
    tool_names="gemini",
    schemas="gemini-json",
    needs_user_message=True,
)


def _patch_model(_model: str) -> Changes:
    """Change nothing: the model stands in the address."""
    return {}


DIALECT = Dialect(
    id=DIALECT_ID,
    endpoints=ENDPOINTS,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=GeminiStreamDecoder,
    stream_encoder=GeminiStreamEncoder,
    encode_error=encode_error,
    statuses=CODE_OF_KIND,
    decode_error=decode_error,
    read_refusal=read_refusal,
    inspect=inspect,
    inspect_response=inspect_response,
    patch_model=_patch_model,
    patch_reasoning=patch_reasoning,
    read_reasoning=read_reasoning,
    decode_count=decode_count,
    encode_count=encode_count,
    may_pass=may_pass,
    signature_faults=("thought signature", "thought_signature", "thoughtsignature"),
    rules=RULES,
    payload=RuleForm(names=frozenset({"gemini"})),
    embeddings=EMBEDDINGS,
    models=MODEL_LISTS,
    # A blank line: harmless between events and in JSON alike. The vendor's Python client takes a comment for
    # a piece of JSON and fails.
    keepalive=b"\n",
)
