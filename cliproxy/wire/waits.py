"""When to come back: the ways in which upstreams say it, as seconds from now.

==============================================  =============================================================
where                                           what
==============================================  =============================================================
``Retry-After-Ms``, ``Retry-After``             milliseconds; seconds or a date
``…RateLimit-Remaining-X``, ``…-Reset-X``       windows; those with nothing left count, the last of them to
                                                open again
a message                                       "try again in 6m0s", "retry in 3.5 seconds", "after 12s"
==============================================  =============================================================

A time of reset is a duration (``6m0s``, ``20ms``, a number of seconds) or a moment: Unix seconds or
milliseconds, ISO 8601, an HTTP date. Small numbers are durations and large ones moments; there is nothing in
between.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from cliproxy.wire.http import Headers, http_date

_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:d|h|ms|m|us|µs|ns|s))+")
_DURATION_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|us|µs|ns|s)")
_NUMBER: Final = re.compile(r"\d{1,16}(?:\.\d+)?")
_UNITS: Final[Mapping[str, float]] = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_SAID: Final = re.compile(
    r"\b(?:(?:try|available) again in|retry (?:in|after)|after|resets? in|wait)\s+"
    r"((?:\d+(?:\.\d+)?(?:d|h|ms|m|s))+|\d+(?:\.\d+)?)(?![\w.]*\d)"
    r"(?:\s?(days?|hours?|minutes?|mins?|milliseconds?|seconds?|secs?|[dhms]|ms)\b)?",
    re.IGNORECASE,
)
_WORDS: Final[Mapping[str, float]] = {
    **_UNITS,
    "day": 86400.0,
    "hou": 3600.0,
    "min": 60.0,
    "mil": 1e-3,
    "sec": 1.0,
}
"""Units, words by their first three letters."""
_FIRST_MOMENT: Final = 10**9
"""The least number of seconds that is a moment; as milliseconds, a thousand times as many."""
_MILLI: Final = 1000
_LIMIT: Final = "ratelimit-"
_RESET: Final = "reset"
_REMAINING: Final = "remaining"


def duration(text: str) -> float | None:
    """Read a duration such as ``1h2m3.5s`` or ``373.8ms`` as seconds."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in _DURATION_PIECE.findall(text))


def moment(text: str) -> float | None:
    """Read a moment as Unix seconds: of them, of milliseconds, of ISO 8601, of an HTTP date."""
    if _NUMBER.fullmatch(text):
        value = float(text)
        return value / _MILLI if value >= _FIRST_MOMENT * _MILLI else value
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return http_date(text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def until(text: str, now: float | None) -> float | None:
    """Return the seconds to a time of reset, a duration or a moment; moments are only understood where
    ``now`` (Unix seconds) is known, and only those to come count."""
    spelled = text.strip()
    if (seconds := duration(spelled)) is not None:
        return seconds
    if _NUMBER.fullmatch(spelled) and float(spelled) < _FIRST_MOMENT:
        return float(spelled)
    at = moment(spelled)
    return at - now if at is not None and now is not None and at > now else None


def asked(headers: Headers, now: float | None) -> float | None:
    """Return the seconds an upstream asks to wait: ``retry-after-ms``, or ``retry-after`` as seconds or as a
    date."""
    milliseconds = headers.get("retry-after-ms").strip()
    if _NUMBER.fullmatch(milliseconds) and float(milliseconds) < _FIRST_MOMENT * _MILLI:
        return float(milliseconds) / _MILLI
    said = headers.get("retry-after").strip()
    if _NUMBER.fullmatch(said):
        return float(said) if float(said) < _FIRST_MOMENT else None
    at = http_date(said) if said else None
    return max(at - now, 0.0) if at is not None and now is not None else None


def windows(headers: Headers, now: float | None) -> float | None:
    """Return the seconds until the last of the windows opens again that have nothing left."""
    waits = (until(reset, now) for left, reset in _windows(headers) if _is_nothing(left))
    return max((wait for wait in waits if wait is not None), default=None)


def _windows(headers: Headers) -> Iterator[tuple[str, str]]:
    """Yield what is left of each window, and when it is whole again."""
    for name, value in headers:
        before, found, after = name.lower().partition(_LIMIT)
        if not found or _RESET not in after.split("-"):
            continue
        left = "-".join(_REMAINING if part == _RESET else part for part in after.split("-"))
        yield headers.get(f"{before}{_LIMIT}{left}"), value


def _is_nothing(left: str) -> bool:
    return _NUMBER.fullmatch(left.strip()) is not None and float(left) <= 0


def said(message: str) -> float | None:
    """Return the seconds that a message asks to wait."""
    match = _SAID.search(message)
    if match is None:
        return None
    exact = duration(match[1].lower())
    if exact is not None:
        return exact
    return float(match[1]) * _WORDS[match[2][:3].lower()] if match[2] else None
