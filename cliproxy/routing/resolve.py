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
    lineup: str
    """The name under which turns among the candidates are remembered."""
    reasoning: Reasoning | None = None


def resolve(registry: Registry, wanted: str) -> Resolution | None:
    """Find the candidates of a model name; ``None`` when nobody serves it.

    A client that may not use everything is given what it may see of the registry.
    """
    if found := _found(registry, wanted):
        return found
    base, reasoning = split_suffix(wanted)
    if base == AUTO and AUTO not in registry:
        names = registry.names()
        return _found(registry, names[0], _stated(reasoning)) if names else None
    if reasoning is not None and (found := _found(registry, base, _stated(reasoning))):
        return found
    base, reasoning = split_level_name(wanted)
    return _found(registry, base, reasoning) if reasoning is not None else None


def _found(registry: Registry, name: str, reasoning: Reasoning | None = None) -> Resolution | None:
    candidates = registry.candidates(name)
    return Resolution(name, candidates, registry.lineup(name), reasoning) if candidates else None


def _stated(wish: Reasoning | None) -> Reasoning | None:
    """Return a wish that asks for something. A suffix that means nothing is only taken off the name: what the
    body says of thinking holds, and stays as the client wrote it."""
    says_nothing = wish is None or (wish.level is None and wish.budget is None)
    return None if says_nothing else wish
