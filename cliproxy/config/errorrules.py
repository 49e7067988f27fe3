"""The owner's rules about errors of upstreams (``request-scoped-errors``), understood once.

A rule names a status, or none for every error status, and texts or patterns, one of which the error has to
contain; without any the status alone decides. The first rule that is about an error says what is done. Texts
are compared without regard to case, patterns as they are written.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen

from cliproxy.config.entries import ScopedError
from cliproxy.errors import Treatment

MAX_SAID: Final = 65536
"""Characters of an error that rules look at."""


@frozen(kw_only=True)
class ErrorRule:
    """One rule."""

    status: int
    texts: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    treatment: Treatment

    def is_about(self, status: int, said: str) -> bool:
        """Tell whether an error with this status and these words is meant."""
        if self.status not in {0, status}:
            return False
        if not self.texts and not self.patterns:
            return True
        beginning = said[:MAX_SAID]
        folded = beginning.lower()
        return any(text in folded for text in self.texts) or any(
            pattern.search(beginning) for pattern in self.patterns
        )


def compiled(rules: Iterable[ScopedError]) -> tuple[ErrorRule, ...]:
    """Understand rules that have no faults."""
    return tuple(
        ErrorRule(
            status=rule.status,
            texts=tuple(text.lower() for text in rule.match if text),
            patterns=tuple(re.compile(pattern) for pattern in rule.match_regexr if pattern),
            treatment=Treatment(rule.action),
        )
        for rule in rules
    )


def faults_of(rule: ScopedError) -> Iterator[tuple[str, str]]:
    """Yield which pattern is none, and why: a rule with one missing would mean something else."""
    for index, pattern in enumerate(rule.match_regexr):
        try:
            re.compile(pattern)
        except re.error as exc:
            yield f".match-regexr[{index}]", f"is not a regular expression: {exc}"


def treatment_of(rules: Iterable[ErrorRule], status: int, said: str) -> Treatment | None:
    """Return what the first rule that is about an error wants done."""
    return next((rule.treatment for rule in rules if rule.is_about(status, said)), None)
