"""When a token is renewed, when a failed renewal is repeated, and which failures need the owner: pure
decisions.

Issuers name ends in Unix time; decisions are made on a clock that never jumps. :func:`span_of` is the one
place where the two meet, at the moment a token arrives: a wall clock that is corrected later neither ends a
token early nor keeps it alive.
"""

from enum import Enum, auto
from math import inf
from typing import Final

from attrs import frozen

from cliproxy.errors import LoginError

FIRST_PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 900.0
JITTER: Final = 0.1
MARGIN_S: Final = 20.0
"""A token with less than this left is not handed out, lest it ends on its way to the upstream."""
SHORTEST_LIFE_S: Final = 60.0
"""A token that has just been issued is good for this long, whatever a server with a wrong clock says."""
NEEDS_LOGIN: Final = frozenset(
    {"invalid_grant", "invalid_client", "not_renewable", "missing_scope", "expired"}
)
"""Codes of :class:`~cliproxy.errors.LoginError` that only the owner can cure."""


@frozen
class Span:
    """The life of a token on the monotonic clock."""

    begin: float
    """Minus infinity when it is not known when the token was issued."""
    end: float | None
    """``None``: no known end."""


def span_of(expires_at: float | None, wall: float, monotonic: float, *, is_new: bool) -> Span:
    """Place a token's life on the monotonic clock, at the moment it arrived. ``is_new``: just issued."""
    begin = monotonic if is_new else -inf
    if expires_at is None:
        return Span(begin, None)
    end = monotonic + (expires_at - wall)
    return Span(begin, max(end, monotonic + SHORTEST_LIFE_S) if is_new else end)


class Advice(Enum):
    """What to do about a token."""

    USE = auto()
    USE_AND_RENEW = auto()
    """Good for now, and due: hand it out, and renew beside it."""
    RENEW = auto()
    """Of no use any more: whoever wants it waits."""


def advise(span: Span, lead_s: float, now: float) -> Advice:
    """Say whether a token may be used, and whether it is time to renew it."""
    if span.end is None:
        return Advice.USE
    if now >= span.end - min(MARGIN_S, (span.end - span.begin) / 4):
        return Advice.RENEW
    return Advice.USE_AND_RENEW if now >= due_at(span, lead_s) else Advice.USE


def due_at(span: Span, lead_s: float, early: float = 0.0) -> float:
    """Return when renewal is due. The lead never exceeds half the life, or short-lived tokens would always be
    due.

    ``early`` is the part of the lead by which it comes before that, so that accounts do not renew in step.
    """
    if span.end is None:
        return inf
    return span.end - min(lead_s, max(span.end - span.begin, 0.0) / 2) * (1 + early)


def pause_after(failures: int, asked: float | None, chance: float) -> float:
    """Return how long to leave a failed renewal alone: doubling, bounded, spread by ``chance`` in 0…1.

    What the issuer asked for is respected when it is longer.
    """
    pause = min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_S)
    spread = pause * (1 + JITTER * (2 * chance - 1))
    return max(spread, asked or 0.0)


def needs_login(error: LoginError) -> bool:
    """Tell whether trying again is useless until the owner has done something."""
    return error.code in NEEDS_LOGIN
