"""The accepted spellings of common settings, shared by the configuration file and the credential files.

Each function takes what an owner wrote and returns the form the program works with. Where a value can be
wrong, a second function says what is wrong with it; neither ever repeats a secret.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import SplitResult, urlsplit

from cliproxy.wire.http import PROXY_SCHEMES

NO_PROXY_WORDS: Final = frozenset({"direct", "none"})
"""Proxy settings that mean: no proxy at all, whatever is set elsewhere."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE_BAN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_URL_BAN: Final = re.compile(r"[\s\x00-\x1f\x7f]")
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNIT_S: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def normal_prefix(text: str) -> str:
    """Return a model prefix without slashes at its ends; one with a slash inside is no prefix at all."""
    prefix = text.strip().strip("/").strip()
    return "" if "/" in prefix else prefix


def normal_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that can be sent: names and values trimmed, empty and malformed ones left out."""
    trimmed = ((name.strip(), value.strip()) for name, value in headers.items())
    return {name: value for name, value in trimmed if value and is_header(name, value)}


def is_header(name: str, value: str) -> bool:
    """Tell whether a header can be sent at all. Line breaks would end it early."""
    return bool(_HEADER_NAME.fullmatch(name)) and not _HEADER_VALUE_BAN.search(value)


def normal_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return model patterns in lower case, without repetitions, in their order."""
    return tuple(dict.fromkeys(name for pattern in patterns if (name := pattern.strip().lower())))


def normal_url(text: str, *, assume_https: bool = False) -> str:
    """Return a base URL without slashes at its end; ``assume_https`` completes one that names no scheme."""
    url = text.strip().rstrip("/")
    return f"https://{url}" if assume_https and url and "://" not in url else url


def url_problem(url: str) -> str | None:
    """Say what is wrong with a base URL, or ``None``."""
    parts = _split(url)
    if parts is None or _URL_BAN.search(url):
        return "is not a URL"
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if parts.query or parts.fragment:
        return "must end with its path: no ? or #"
    return None


def is_no_proxy(text: str) -> bool:
    """Tell whether a proxy setting forbids any proxy."""
    return text.strip().lower() in NO_PROXY_WORDS


def proxy_problem(text: str) -> str | None:
    """Say what is wrong with a proxy setting, or ``None``. The text may hold a password and is not
    repeated."""
    url = text.strip()
    if not url or is_no_proxy(url):
        return None
    parts = _split(url)
    if parts is None or _URL_BAN.search(url):
        return "is not a URL"
    if parts.scheme not in PROXY_SCHEMES:
        return "must begin with http://, https://, socks5:// or socks5h://, or be the word direct"
    return None if parts.hostname else "names no host"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        # A port that is no number is found out when it is asked for.
        _ = parts.port
    except ValueError:
        return None
    return parts


def duration_s(text: str) -> float | None:
    """Read a duration such as ``30s``, ``1h30m`` or ``90`` (seconds); ``None`` when it is none."""
    spelled = text.strip().lower()
    if spelled.isascii() and spelled.isdecimal():
        return float(spelled)
    if not _DURATION.fullmatch(spelled):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(spelled))


def delay_range_s(text: str) -> tuple[float, float] | None:
    """Read ``"min,max"`` in seconds; ``None`` when it is not such a pair."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return (low, high) if 0 <= low <= high < float("inf") else None


def end_of(text: str) -> float | None:
    """Read until when something holds, as Unix seconds; ``None`` when it is no moment.

    A date holds to the end of its day in UTC; a time (RFC 3339) has to name its zone.
    """
    try:
        moment = datetime.fromisoformat(text)
        if _DATE.fullmatch(text):
            moment = moment.replace(tzinfo=UTC) + timedelta(days=1)
        return None if moment.tzinfo is None else moment.timestamp()
    except (ValueError, OverflowError):
        return None


def is_hashed_secret(text: str) -> bool:
    """Tell whether a management key is already a bcrypt hash."""
    return text.startswith(("$2a$", "$2b$", "$2y$")) and len(text) > len("$2a$")
