"""The access log line: ``status | latency | client | METHOD "path"``, a shape existing log viewers filter by.

Query parameters that may carry a key are masked before anything else sees them.
"""

import re
from typing import Final

_SECRET_QUERY: Final = re.compile(r"(?i)([?&](?:key|auth_token|token|api_key|access_token|code|state)=)[^&]*")


def masked_path(path: str) -> str:
    """Return a path whose query shows no secrets."""
    return _SECRET_QUERY.sub(r"\1***", path)


def access_line(status: int, seconds: float, client: str, method: str, path: str) -> str:
    """Return one line about a finished request."""
    return f'{status} | {latency(seconds):>12} | {client:>15} | {method:<7} "{masked_path(path)}"'


def latency(seconds: float) -> str:
    """Render a duration for people."""
    if seconds >= 1:
        return f"{seconds:.2f}s"
    return f"{seconds * 1000:.1f}ms"
