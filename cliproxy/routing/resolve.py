"""From the model name a client wrote to candidates and a reasoning wish.

In this order: the name as it stands; the name without a thinking suffix ``model(high)``; ``base-level``
spellings such as ``gpt-5-high`` when only the base is known; ``auto`` for any model that can be served.
"""

from typing import Final

from attrs import frozen

from cliproxy.catalog.registry import Candidate, Registry
from cliproxy.ir.request import Reasoning
from cliproxy.ir.thinking import split_level_name, split_suffix

AUTO: Final = "auto"


@frozen
class Resolution:
    """Who could serve the request, under which name, with which reasoning wish from the name."""

    name: str
    """The client's model name without a suffix."""
    candidates: tuple[Candidate, ...]
    reasoning: Reasoning | None = None


def resolve(registry: Registry, wanted: str) -> Resolution | None:
    """Find the candidates of a model name; ``None`` when nobody serves it."""
    if found := registry.candidates(wanted):
        return Resolution(wanted, found)
    base, reasoning = split_suffix(wanted)
    if base == AUTO and AUTO not in registry:
        names = registry.names()
        wish = _stated(reasoning)
        return Resolution(names[0], registry.candidates(names[0]), wish) if names else None
    if reasoning is not None and (found := registry.candidates(base)):
        return Resolution(base, found, _stated(reasoning))
    base, reasoning = split_level_name(wanted)
    if reasoning is not None and (found := registry.candidates(base)):
        return Resolution(base, found, reasoning)
    return None


def _stated(wish: Reasoning | None) -> Reasoning | None:
    """Return a wish that asks for something. A suffix that means nothing is only taken off the name: what the
    body says of thinking holds, and stays as the client wrote it."""
    says_nothing = wish is None or (wish.level is None and wish.budget is None)
    return None if says_nothing else wish
