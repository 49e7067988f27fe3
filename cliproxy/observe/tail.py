"""The last lines of the log, kept in memory for whoever wants to look at them without a file.

Bounded in lines and in characters. Every line has a number that only grows, so that a viewer can ask for what
is new since it last looked, and sees when something has been dropped meanwhile.
"""

from collections import deque
from itertools import islice
from typing import Final

from attrs import define, field

LINES: Final = 2000
CHARACTERS: Final = 1024 * 1024


@define(eq=False)
class Tail:
    """A ring of lines. May be used from any thread: it does one atomic thing at a time."""

    most_lines: int = LINES
    most_characters: int = CHARACTERS
    count: int = field(default=0, init=False)
    """How many lines there have been; the number of the newest."""
    _lines: deque[str] = field(factory=deque, init=False)
    _characters: int = field(default=0, init=False)

    def add(self, line: str) -> None:
        """Add a line, and drop the oldest ones that are too many."""
        self._lines.append(line)
        self.count += 1
        self._characters += len(line)
        while len(self._lines) > self.most_lines or (
            self._characters > self.most_characters and len(self._lines) > 1
        ):
            self._characters -= len(self._lines.popleft())

    def since(self, number: int = 0, most: int = LINES) -> list[str]:
        """Return the lines after a number, the newest of them if there are more than ``most``."""
        wanted = min(max(self.count - number, 0), len(self._lines), most)
        return list(islice(self._lines, len(self._lines) - wanted, None)) if wanted else []

    def clear(self) -> None:
        """Forget the lines; the numbers go on."""
        self._lines.clear()
        self._characters = 0
