"""The log of the process, given back as it was: what sets it up changes it for every test that follows."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CHANGED: Final = ("", "cliproxy", "httpx2", "httpcore2", "hypercorn.access")
"""Loggers whose level the program sets; the first one has the handlers."""


@contextmanager
def restored() -> Iterator[None]:
    """Restore handlers and levels at the end."""
    loggers = [logging.getLogger(name) for name in _CHANGED]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    try:
        yield
    finally:
        loggers[0].handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
