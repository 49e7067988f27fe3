"""What the commands print: aligned tables, and verdicts against budgets."""

import sys
from collections.abc import Sequence
from typing import Final

from attrs import frozen

WITHIN: Final = "ok"
OVER: Final = "OVER"


def verdict(value: float, budget: float | None) -> str:
    """Judge a value; a value without a budget is only reported."""
    if budget is None:
        return ""
    return WITHIN if value <= budget else OVER


VALUE_HEAD: Final = ("value", "measured", "budget", "")


@frozen
class Value:
    """Something that was measured; a row of a table with :data:`VALUE_HEAD`."""

    name: str
    value: float
    budget: float | None = None
    digits: int = 2

    def row(self) -> list[str]:
        """Render it."""
        budget = "-" if self.budget is None else f"{self.budget:g}"
        return [self.name, f"{self.value:.{self.digits}f}", budget, verdict(self.value, self.budget)]


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        first, *others = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]).rstrip())


def print_overruns(count: int) -> None:
    """Say how many values are over their budget."""
    print("every budget is kept" if not count else f"{count} over budget")


def show_progress(text: str) -> None:
    """Say on a terminal's last line what is going on; an empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
