"""Settings that a model would answer with an error, taken out of a request.

Reasoning models choose their own sampling, and newer Claude models do, too. A client that speaks to such a
model in another vendor's words cannot know that, so that what it says of temperature and the like is left
out, with a note. A client that speaks the upstream's own language gets the upstream's own answer instead:
its request is not translated.

``max_tokens`` is different: OpenAI's reasoning models refuse the name and not the thing. It stays, and the
encoder of that dialect writes the newer name.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from attrs import evolve

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Sampling

RENAMED: Final = frozenset({"max_tokens"})


def without_refused(request: IRRequest, refused: AbstractSet[str], context: ExchangeContext) -> IRRequest:
    """Return the request without the settings its model refuses."""
    unset = Sampling()
    gone = {
        name: getattr(unset, name)
        for name in sorted(refused - RENAMED)
        if getattr(request.sampling, name) != getattr(unset, name)
    }
    for name in gone:
        context.note(f"the model does not take {name}")
    return evolve(request, sampling=evolve(request.sampling, **gone)) if gone else request
