"""The access log line: ``status | latency | client | METHOD "path"``, a shape existing log viewers filter by.

Query parameters that may carry a key are masked before anything else sees them.
"""

import logging
import re
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_plus

from cliproxy.observe.lines import Facts
from cliproxy.wire.secret import MASK

_MAPPED: Final = "::ffff:"
_CONFIDENTIAL: Final = re.compile(
    r"(?i)(?:auth|key|code|sig|state|"
    r".*(?:(?:api|access)[-_]?key|authorization|credential|password|secret|signature|token).*)(?:\[\])?"
)
_LEVELS: Final = (
    (HTTPStatus.INTERNAL_SERVER_ERROR, logging.ERROR),
    (HTTPStatus.BAD_REQUEST, logging.WARNING),
    (0, logging.INFO),
)
"""Least status and the level of its line, the worst first."""


def masked_path(path: str) -> str:
    """Return a path whose query shows no secrets, however the names of its parameters are spelled."""
    path, mark, query = path.partition("?")
    return path + mark + "&".join(_masked(parameter) for parameter in query.split("&"))


def _masked(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    is_confidential = equals and _CONFIDENTIAL.fullmatch(unquote_plus(name))
    return f"{name}={MASK}" if is_confidential else parameter


def access_line(status: int, seconds: float, client: str, method: str, path: str) -> str:
    """Return one line about a finished request."""
    return f'{status} | {latency(seconds):>12} | {client:>15} | {method:<7} "{path}"'


def log_access(
    logger: logging.Logger, status: int, seconds: float, client: str, asked: tuple[str, str]
) -> None:
    """Log a finished request; ``asked`` are its method and path. An IPv4 client of an IPv6 socket is shown as
    what it is."""
    level = next(level for least, level in _LEVELS if status >= least)
    if not logger.isEnabledFor(level):
        return
    method, path = asked[0], masked_path(asked[1])
    client = client.removeprefix(_MAPPED)
    facts = Facts(
        event="access",
        values={
            "status": status,
            "seconds": round(seconds, 4),
            "client": client,
            "method": method,
            "path": path,
        },
        text=access_line(status, seconds, client, method, path),
    )
    logger.log(level, facts)


def latency(seconds: float) -> str:
    """Render a duration for people."""
    if seconds >= 1:
        return f"{seconds:.2f}s"
    return f"{seconds * 1000:.1f}ms"
