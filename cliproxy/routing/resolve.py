"""From the model name a client wrote to candidates and a reasoning wish.

In this order: the name as it stands; the name without a thinking suffix ``model(high)``; ``base-level``
spellings such as ``gpt-5-high`` when only the base is known; ``auto`` for the best model that can be used
now, in the order of :mod:`cliproxy.catalog.ranking`.

Upper and lower case differ in names of models; a name says exactly one thing. Names that mean a reasoning
wish besides are taken apart only where nobody serves a model that is called like that.
"""

from collections.abc import Callable
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


def resolve(
    registry: Registry, wanted: str, usable: Callable[[Candidate], bool] = lambda _: True
) -> Resolution | None:
    """Find the candidates of a model name; ``None`` when nobody serves it.

    ``registry`` is what the client may see of it. ``usable`` tells who could answer now; it is asked only
    where there is a choice among models.
    """
    if found := _found(registry, wanted):
        return found
    base, reasoning = split_suffix(wanted)
    if base == AUTO and AUTO not in registry:
        best = _best(registry, usable)
        return _found(registry, best, _stated(reasoning)) if best is not None else None
    if reasoning is not None and (found := _found(registry, base, _stated(reasoning))):
        return found
    base, reasoning = split_level_name(wanted)
    return _found(registry, base, reasoning) if reasoning is not None else None


def _found(registry: Registry, name: str, reasoning: Reasoning | None = None) -> Resolution | None:
    candidates = registry.candidates(name)
    return Resolution(name, candidates, registry.lineup(name), reasoning) if candidates else None


def _best(registry: Registry, usable: Callable[[Candidate], bool]) -> str | None:
    """Return the first model of the ranking that can be used now, or else the first, to be waited for."""
    ranked = registry.ranked()
    ready = (name for name in ranked if any(map(usable, registry.candidates(name))))
    return next(ready, next(iter(ranked), None))


def _stated(wish: Reasoning | None) -> Reasoning | None:
    """Return a wish that asks for something. A suffix that means nothing is only taken off the name: what the
    body says of thinking holds, and stays as the client wrote it."""
    says_nothing = wish is None or (wish.level is None and wish.budget is None)
    return None if says_nothing else wish
