"""Settings that a model would answer with an error, taken out of a request.

Reasoning models choose their own sampling, and newer Claude models do, too. A client that speaks to such a
model in another vendor's words cannot know that, so that what it says of temperature and the like is left
out, with a note. A client that speaks the upstream's own language gets the upstream's own answer instead:
its request is not translated.

``max_tokens`` is different: OpenAI's reasoning models refuse the name and not the thing. It stays, and the
encoder of that dialect writes the newer name.

Two things a model may be unable to do stand in the same list. An answer begun for the model (:data:`PREFILL`)
is dropped by the repair passes. An answer in a form (:data:`OUTPUT`) must not be dropped: who asks for JSON
cannot use prose. It is refused by name, and another account may have a model that can.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from attrs import evolve

from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Sampling

RENAMED: Final = frozenset({"max_tokens"})
PREFILL: Final = "prefill"
OUTPUT: Final = "output"
ABILITIES: Final = frozenset({PREFILL, OUTPUT})
"""What may be refused besides settings."""
_OUTPUT_PARAMS: Final[Mapping[str, str]] = {
    "openai": "response_format",
    "openai-response": "text.format",
    "claude": "output_config.format",
    "gemini": "generationConfig.responseSchema",
}
"""Where clients ask for a form, by their dialect."""


def without_refused(request: IRRequest, refused: AbstractSet[str], context: ExchangeContext) -> IRRequest:
    """Return the request without the settings its model refuses.

    Raises :class:`~cliproxy.errors.DialectError` for what the client cannot do without.
    """
    if OUTPUT in refused and request.output is not None and request.output.kind == "json_schema":
        param = _OUTPUT_PARAMS.get(context.client_dialect)
        raise DialectError(f"the model {request.model} cannot keep its answer to a schema", param)
    unset = Sampling()
    gone = {
        name: getattr(unset, name)
        for name in sorted(refused - RENAMED - ABILITIES)
        if getattr(request.sampling, name) != getattr(unset, name)
    }
    for name in gone:
        context.note(f"the model does not take {name}")
    return evolve(request, sampling=evolve(request.sampling, **gone)) if gone else request
