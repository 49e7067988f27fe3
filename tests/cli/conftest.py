"""Commands set up the log of the process; every test gets it back as it was."""

from collections.abc import Iterator

import pytest

from support.logs import restored


@pytest.fixture(autouse=True)
def untouched_log() -> Iterator[None]:
    """Restore the handlers and levels that a command has changed."""
    with restored():
        yield
