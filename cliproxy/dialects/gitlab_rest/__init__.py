"""GitLab's own text endpoints as upstreams: the last resort where an instance offers no model gateway.

Both take text and return text, so a conversation is flattened: the last user message becomes the instruction,
everything else becomes context. What cannot be said in text is refused by name (tools, inline media,
structured output); what merely shapes the answer (sampling, reasoning) is dropped with a note.

``gitlab-chat`` (``chat/completions``) answers with one JSON string and never streams. ``gitlab-suggestions``
(``code_suggestions/completions``) answers with a text completion or a stream of small events, and also serves
completions in the middle of a file.

No client speaks these dialects: they have no routes and read no requests.
"""

from typing import Final

from attrs import evolve

from cliproxy.dialects.base import Dialect
from cliproxy.dialects.gitlab_rest.answer import (
    decode_error,
    decode_response,
    encode_error,
    encode_response,
    inspect_response,
    read_answer,
)
from cliproxy.dialects.gitlab_rest.request import (
    encode_chat,
    encode_suggestion,
    no_clients,
    nothing_to_patch,
    nothing_to_patch_for,
)
from cliproxy.dialects.gitlab_rest.stream import RestStreamDecoder, RestStreamEncoder, inspect
from cliproxy.ir.rules import TargetRules

CHAT: Final = Dialect(
    id="gitlab-chat",
    decode_request=no_clients,
    encode_request=encode_chat,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=RestStreamDecoder,
    stream_encoder=RestStreamEncoder,
    encode_error=encode_error,
    decode_error=decode_error,
    inspect=inspect,
    inspect_response=inspect_response,
    patch_model=nothing_to_patch,
    patch_reasoning=nothing_to_patch_for,
    read_answer=read_answer,
    rules=TargetRules(needs_paired_results=False, drops_orphan_results=False, hoists_system=True),
)

SUGGESTIONS: Final = evolve(CHAT, id="gitlab-suggestions", encode_request=encode_suggestion)

DIALECTS: Final = (CHAT, SUGGESTIONS)

__all__ = ["CHAT", "DIALECTS", "SUGGESTIONS"]
