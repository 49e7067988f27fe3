"""How often something may be asked, as data, and the decision whether it may be asked now.

A rule is a count in a sliding window. Who sends keeps the times of what was sent and asks :func:`wait_for`;
nothing here knows a clock.
"""

from collections.abc import Iterable, Sequence

from attrs import frozen


@frozen
class RateRule:
    """At most ``count`` calls in any ``seconds``."""

    count: int
    seconds: float


def wait_for(rules: Iterable[RateRule], sent: Sequence[float], now: float) -> float:
    """Return the seconds until one more call is allowed; 0 when it is. ``sent`` is in ascending order."""
    return max((_wait(rule, sent, now) for rule in rules), default=0.0)


def _wait(rule: RateRule, sent: Sequence[float], now: float) -> float:
    recent = [moment for moment in sent if now - moment < rule.seconds]
    if len(recent) < rule.count:
        return 0.0
    return recent[-rule.count] + rule.seconds - now


def still_counting(rules: Iterable[RateRule], sent: Iterable[float], now: float) -> list[float]:
    """Return the times that still matter to a rule, so that a record of them stays bounded."""
    longest = max((rule.seconds for rule in rules), default=0.0)
    return [moment for moment in sent if now - moment < longest]
