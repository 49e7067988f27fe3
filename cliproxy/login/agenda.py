"""What is due when, for thousands of things whose times keep changing: a heap that forgets lazily.

Putting a key again moves it. The entry it had stays in the heap and is dropped when it comes up, because
finding it there would take as long as looking at everything; when more than half of the heap is of that kind,
it is made anew, so that memory is bounded by the keys. Every operation takes logarithmic time, on average for
those that tidy up.
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Generic, TypeVar

from attrs import define, field

K = TypeVar("K", bound=Hashable)

TIDY_FROM: Final = 64
"""A heap smaller than this is not worth tidying."""


@define(eq=False)
class Agenda(Generic[K]):
    """Keys with the times at which they are due. A key that is never due is not kept."""

    _times: dict[K, tuple[float, int]] = field(factory=dict, init=False)
    """When each key is due, and the number of its entry in the heap."""
    _heap: list[tuple[float, int, K]] = field(factory=list, init=False)
    """Numbers are unique, so that keys are never compared."""
    _number: int = field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._times)

    def put(self, key: K, when: float) -> None:
        """Set when a key is due, in place of what was set before; infinity takes it out."""
        if when == inf:
            self._times.pop(key, None)
        else:
            known = self._times.get(key)
            if known is not None and known[0] == when:
                return
            self._number += 1
            self._times[key] = (when, self._number)
            heappush(self._heap, (when, self._number, key))
        if len(self._heap) > max(2 * len(self._times), TIDY_FROM):
            self._heap = [(when, number, key) for key, (when, number) in self._times.items()]
            heapify(self._heap)

    def first(self) -> float:
        """Return when the first key is due; infinity when there is none."""
        while self._heap and not self._is_current(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def take(self, now: float) -> K | None:
        """Take out the key that is due first, if its time has come; of equal times, the one put first."""
        if self.first() > now:
            return None
        _, _, key = heappop(self._heap)
        del self._times[key]
        return key

    def _is_current(self, entry: tuple[float, int, K]) -> bool:
        when, number, key = entry
        return self._times.get(key) == (when, number)
