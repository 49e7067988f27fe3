"""A thread that writes files, so that nobody who serves a request ever waits for a disk.

Work is handed over as small functions with the number of bytes they hold, and is done in order. What waits is
bounded: when a disk cannot keep up, work is refused, and whoever handed it over says so in its own way. The
thread begins with the first piece of work and ends with :meth:`Writer.close`, which its owner calls; what was
accepted by then is done first. A function that fails is none of the others' business.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field

logger = logging.getLogger(__name__)

Work = Callable[[], None]

MOST_BYTES: Final = 16 * 1024 * 1024


@define(eq=False)
class Writer:
    """Does work in a thread of its own."""

    most_bytes: int = MOST_BYTES
    waiting_bytes: int = field(default=0, init=False)
    _waiting: deque[tuple[Work, int]] = field(factory=deque, init=False)
    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _is_closed: bool = field(default=False, init=False)

    def submit(self, work: Work, size: int = 0) -> bool:
        """Hand over work that holds some bytes; tell whether it was accepted. Never waits for a file."""
        with self._changed:
            if self._is_closed or (size and self.waiting_bytes + size > self.most_bytes):
                return False
            self.waiting_bytes += size
            self._waiting.append((work, size))
            if self._thread is None:
                # A disk that hangs must not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()
            self._changed.notify()
        return True

    def close(self, limit_s: float) -> bool:
        """Accept nothing more, and wait until all is done, or not longer; tell whether it is."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is None:
            return True
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (next_one := self._next()) is not None:
            work, size = next_one
            try:
                work()
            except Exception:
                logger.exception("writing a log file failed")
            with self._changed:
                self.waiting_bytes -= size

    def _next(self) -> tuple[Work, int] | None:
        with self._changed:
            while not self._waiting:
                if self._is_closed:
                    return None
                self._changed.wait()
            return self._waiting.popleft()
