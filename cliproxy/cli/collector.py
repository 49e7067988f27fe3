"""Python's search for garbage, made to suit a program that starts once and then serves for weeks.

The search goes through all objects that may be part of a cycle. While modules are loaded and the state is
read nearly nothing becomes garbage, and looking for it takes a quarter of the start. Later, each full search
would stop every stream for a tenth of a second, to find all of that still in use.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG_OBJECTS: Final = 5_000
"""So many new objects make a search among the new ones worth while: those of a few requests. Python's own
number is less than what a single request is made of, and most of it is still in use then."""


@contextmanager
def paused() -> Iterator[None]:
    """Do without the search meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle() -> None:
    """Search from now on, and only among what is new: what is here already stays to the end."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    gc.enable()
