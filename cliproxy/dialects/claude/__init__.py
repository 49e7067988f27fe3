"""The Claude dialect: Anthropic's Messages API.

Contract: Anthropic API reference, version ``2023-06-01``: "Messages", "Count message tokens", "Streaming
messages", "Errors".
"""

from cliproxy.dialects.base import Dialect, RuleForm
from cliproxy.dialects.claude.decoder import ClaudeStreamDecoder
from cliproxy.dialects.claude.encoder import KEEPALIVE, ClaudeStreamEncoder
from cliproxy.dialects.claude.endpoints import ENDPOINTS, decode_count, encode_count, patch_model
from cliproxy.dialects.claude.errors import decode_error, encode_error
from cliproxy.dialects.claude.glimpse import inspect, inspect_response, skim
from cliproxy.dialects.claude.models import MODEL_LISTS
from cliproxy.dialects.claude.reading import ID
from cliproxy.dialects.claude.reasoning import patch_reasoning, read_reasoning
from cliproxy.dialects.claude.request import decode_request, encode_request, may_pass
from cliproxy.dialects.claude.response import decode_response, encode_response
from cliproxy.ir.rules import TargetRules

__all__ = ["DIALECT"]


RULES = TargetRules(
    speaks=frozenset({ID}),
    merges_roles=True,
    results_first=True,
    calls_last=True,
    hoists_system=True,
    takes_reminders=True,
    drops_blank_text=True,
    opening="[The conversation begins with the assistant.]",
    call_id_charset="[A-Za-z0-9_-]",
    call_id_prefix="toolu_",
    tool_names="claude",
    schemas="claude",
    needs_user_message=True,
)

DIALECT = Dialect(
    id=ID,
    endpoints=ENDPOINTS,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ClaudeStreamDecoder,
    stream_encoder=ClaudeStreamEncoder,
    encode_error=encode_error,
    decode_error=decode_error,
    inspect=inspect,
    inspect_response=inspect_response,
    skim=skim,
    patch_model=patch_model,
    patch_reasoning=patch_reasoning,
    read_reasoning=read_reasoning,
    may_pass=may_pass,
    signature_faults=(
        "`signature`",
        "signature in thinking block",
        "thinking.signature",
        "`redacted_thinking`",
    ),
    decode_count=decode_count,
    encode_count=encode_count,
    rules=RULES,
    payload=RuleForm(names=frozenset({"claude"})),
    models=MODEL_LISTS,
    keepalive=KEEPALIVE,
)
