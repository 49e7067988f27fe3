"""Points in time as credential files spell them, read and written as Unix seconds.

Files come from several programs: RFC 3339, ``YYYY-MM-DD HH:MM[:SS]`` (taken as UTC), Unix seconds or
milliseconds, as numbers or as texts.
"""

import math
import re
from datetime import UTC, datetime
from typing import Final

from cliproxy.wire.jsontext import JsonValue

_MILLISECONDS_FROM: Final = 100_000_000_000
"""Numbers from here on are milliseconds: as seconds they would lie beyond the year 5000."""
_LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999."""
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_FRACTION: Final = re.compile(r"\.([0-9]{1,6})[0-9]*")


def unix_time(value: JsonValue) -> float | None:
    """Read a point in time; ``None`` when it is none."""
    if isinstance(value, str):
        spelled = value.strip()
        if not _NUMBER.fullmatch(spelled):
            return _from_text(spelled)
        value = float(spelled)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    seconds = value / 1000 if value >= _MILLISECONDS_FROM else float(value)
    return seconds if 0 < seconds <= _LATEST else None


def _from_text(spelled: str) -> float | None:
    try:
        # More digits of a second than six are legal and of no use.
        moment = datetime.fromisoformat(_FRACTION.sub(r".\1", spelled))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def rfc3339(seconds: float) -> str:
    """Write a point in time, to the second, in UTC."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
