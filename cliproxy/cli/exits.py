"""Exit codes."""

from typing import Final

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
PORT_IN_USE: Final = 13
"""The callback port of a login is taken."""
INTERRUPTED: Final = 130
