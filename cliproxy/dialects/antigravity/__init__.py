"""The Antigravity form of the Gemini API. Only upstreams speak it.

Everything inside is Gemini's; the envelope is Code Assist's with a few members more, and the service behind
it differs in its habits, since it hands some requests to Claude models. See
:mod:`~cliproxy.dialects.antigravity.request` and :mod:`~cliproxy.dialects.antigravity.response`.
"""

from attrs import evolve

from cliproxy.dialects import gemini
from cliproxy.dialects.antigravity.request import DIALECT_ID, encode_request
from cliproxy.dialects.antigravity.response import decode_response, stream_decoder
from cliproxy.dialects.base import RuleForm

__all__ = ["DIALECT"]

DIALECT = evolve(
    gemini.DIALECT,
    id=DIALECT_ID,
    endpoints=(),
    encode_request=encode_request,
    decode_response=decode_response,
    stream_decoder=stream_decoder,
    rules=evolve(
        gemini.RULES,
        schemas="antigravity",
        # Claude's rule; the ids of calls and results are compared.
        call_id_charset="[A-Za-z0-9_-]",
    ),
    payload=RuleForm(names=frozenset({"antigravity"}), envelope="request"),
    models=None,
)
