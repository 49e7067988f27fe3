"""Which credentials behind a name are in use, where the owner wants no more than so many at a time.

In use are the first that are usable, by priority and then by id: the same ones after every rebuild and every
restart. When one of them rests the next in line stands in, and when it is back it takes its place again. Who
is usable and not in use waits on the *bench*.

Credentials are known here by their ranks: their place in the order, from 0. Both lists are kept sorted; a
change costs a search in them.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from attrs import define, field


@define(eq=False)
class Reserve:
    """See the module's text."""

    most: int
    """How many may be in use; at least 1."""
    _active: list[int] = field(factory=list, init=False)
    _bench: list[int] = field(factory=list, init=False)

    def clear(self) -> None:
        """Begin anew with nobody usable."""
        self._active.clear()
        self._bench.clear()

    def is_active(self, rank: int) -> bool:
        """Whether a credential is in use."""
        return _has(self._active, rank)

    def is_waiting(self, rank: int) -> bool:
        """Whether a credential could be used and is not."""
        return _has(self._bench, rank)

    def waiting(self) -> Iterator[int]:
        """Yield who waits, the next in line first."""
        return iter(self._bench)

    def active(self) -> Iterator[int]:
        """Yield who is in use."""
        return iter(self._active)

    def enter(self, rank: int) -> tuple[int, ...]:
        """Learn that a credential can be used; return the others for whom that changes something."""
        if self.is_active(rank) or self.is_waiting(rank):
            return ()
        if len(self._active) < self.most:
            insort(self._active, rank)
            return ()
        if self._active[-1] < rank:
            insort(self._bench, rank)
            return ()
        displaced = self._active.pop()
        insort(self._bench, displaced)
        insort(self._active, rank)
        return (displaced,)

    def leave(self, rank: int) -> tuple[int, ...]:
        """Learn that a credential cannot be used; return the others for whom that changes something."""
        if self.is_waiting(rank):
            del self._bench[bisect_left(self._bench, rank)]
            return ()
        if not self.is_active(rank):
            return ()
        del self._active[bisect_left(self._active, rank)]
        if not self._bench:
            return ()
        called = self._bench.pop(0)
        insort(self._active, called)
        return (called,)


def _has(ranks: list[int], rank: int) -> bool:
    place = bisect_left(ranks, rank)
    return place < len(ranks) and ranks[place] == rank
