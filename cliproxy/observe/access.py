"""The access log line: ``status | latency | client | METHOD "path"``, a shape existing log viewers filter by.

Query parameters that may carry a key are masked before anything else sees them.
"""

from typing import Final
from urllib.parse import unquote_plus

from cliproxy.wire.secret import MASK

_MAPPED: Final = "::ffff:"
_CONFIDENTIAL: Final = frozenset(
    {"key", "auth_token", "token", "api_key", "access_token", "refresh_token", "code", "state"}
)


def masked_path(path: str) -> str:
    """Return a path whose query shows no secrets, however the names of its parameters are spelled."""
    path, mark, query = path.partition("?")
    return path + mark + "&".join(_masked(parameter) for parameter in query.split("&"))


def _masked(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    is_confidential = equals and unquote_plus(name).lower() in _CONFIDENTIAL
    return f"{name}={MASK}" if is_confidential else parameter


def access_line(status: int, seconds: float, client: str, method: str, path: str) -> str:
    """Return one line about a finished request. An IPv4 client of an IPv6 socket is shown as what it is."""
    client = client.removeprefix(_MAPPED)
    return f'{status} | {latency(seconds):>12} | {client:>15} | {method:<7} "{masked_path(path)}"'


def latency(seconds: float) -> str:
    """Render a duration for people."""
    if seconds >= 1:
        return f"{seconds:.2f}s"
    return f"{seconds * 1000:.1f}ms"
