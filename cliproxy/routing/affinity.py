"""Which credential a conversation stays with.

Upstreams keep the beginnings of prompts they have seen, for each account on its own, and charge a fraction
for what they recognise. A conversation that wanders from account to account pays in full every time. So it
is *bound* to the credential that serves it, and each use renews the binding. It moves when it was served
elsewhere while its credential could not be used (:meth:`cliproxy.routing.select.Selector.served`): a
failure alone does not end it, since after an outage of everybody the old place is the one that still knows
the conversation. Bindings are a preference and never an obligation.

Conversations are known here by opaque marks (:mod:`cliproxy.routing.conversation`), credentials by their
keys: a rebuild of the registry changes nothing, and a binding to somebody who has gone leads nowhere.
"""

from collections import OrderedDict
from typing import Final

from attrs import define, field, frozen

from cliproxy.routing.runtime import RouteKey

Mark = bytes
"""A conversation about one model name."""

MAX_BINDINGS: Final = 65536


@frozen
class Binding:
    """Who serves a conversation, and until when that is remembered."""

    route: RouteKey
    until: float


@define(eq=False)
class Bindings:
    """The bindings, the least recently used first. Bounded in number and age."""

    _bound: OrderedDict[Mark, Binding] = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._bound)

    def get(self, mark: Mark, now: float) -> RouteKey | None:
        """Return who serves a conversation."""
        binding = self._bound.get(mark)
        return binding.route if binding is not None and now < binding.until else None

    def bind(self, mark: Mark, route: RouteKey, now: float, seconds: float) -> None:
        """Let a credential serve a conversation from now on."""
        self._bound[mark] = Binding(route, now + seconds)
        self._bound.move_to_end(mark)
        while len(self._bound) > 1 and (len(self._bound) > MAX_BINDINGS or self._oldest().until <= now):
            self._bound.popitem(last=False)

    def _oldest(self) -> Binding:
        return next(iter(self._bound.values()))
