"""Threads that do something beside a test, and are over when it is."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def beside(work: Sequence[Callable[[], None]], is_over: threading.Event) -> Iterator[None]:
    """Run each piece of work in a thread of its own; leaving sets the event, which ends them, and waits."""
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
