"""What has changed since somebody last looked.

A reader keeps a *bookmark* and asks for what came after it. The journal is short; a reader that has been
away for longer than it reaches back is told so, and looks at everything.
"""

from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import Final, Generic, TypeVar

from attrs import define, field

MAX_ENTRIES: Final = 4096

T = TypeVar("T", bound=Hashable)


@define(eq=False)
class Journal(Generic[T]):
    """The last changes, in order."""

    _entries: deque[T] = field(factory=lambda: deque(maxlen=MAX_ENTRIES), init=False)
    _count: int = field(default=0, init=False)

    @property
    def bookmark(self) -> int:
        """How many changes there have been."""
        return self._count

    def note(self, changed: T) -> None:
        """Enter a change."""
        self._entries.append(changed)
        self._count += 1

    def since(self, bookmark: int) -> frozenset[T] | None:
        """Return what changed after a bookmark; ``None`` when the journal does not reach back that far."""
        count = self._count - bookmark
        return None if count > len(self._entries) else frozenset(islice(reversed(self._entries), count))
