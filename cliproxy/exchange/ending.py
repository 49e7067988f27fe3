"""The end of all exchanges, when the server stops and its patience is over.

A client whose stream just breaks off cannot tell a stop from a fault of its network. So each exchange under
way says how it is to be interrupted *at this moment*: while it waits for an upstream by a plain error, and
once its answer has begun by the error frame of the client's dialect. Both are cancel scopes of the exchange's
own; the innermost named last is the one that counts, and is cancelled in place of the outer ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field

STOPPING: Final = "the server is stopping"


@define(eq=False)
class Ending:
    """Ends every exchange, each in its own way."""

    is_over: bool = field(default=False, init=False)
    _scopes: dict[object, trio.CancelScope] = field(factory=dict, init=False)

    @contextmanager
    def by(self, exchange: object, scope: trio.CancelScope) -> Iterator[None]:
        """Let an exchange be interrupted by a scope for the length of the block."""
        before = self._scopes.get(exchange)
        self._scopes[exchange] = scope
        if self.is_over:
            scope.cancel(reason=STOPPING)
        try:
            yield
        finally:
            if before is None:
                del self._scopes[exchange]
            else:
                self._scopes[exchange] = before

    def end(self) -> None:
        """Interrupt all exchanges, and those to come."""
        self.is_over = True
        for scope in list(self._scopes.values()):
            scope.cancel(reason=STOPPING)
