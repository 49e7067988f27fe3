"""Commands set up the log of the process; every test gets it back as it was."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def untouched_log() -> Iterator[None]:
    """Restore the handlers and levels that a command has changed."""
    loggers = [
        logging.getLogger(name) for name in ("", "cliproxy", "httpx2", "httpcore2", "hypercorn.access")
    ]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
