"""Errors and answers as HTTP responses. What they look like inside is the dialect's decision."""

from collections.abc import Mapping
from math import ceil
from typing import Final

from quart import Response

from cliproxy.dialects.base import Dialect
from cliproxy.errors import ProxyError
from cliproxy.wire.http import Headers
from cliproxy.wire.jsontext import JsonObject, dumps

JSON_TYPE: Final = "application/json"
SSE_TYPE: Final = "text/event-stream"

_NOT_FORWARDED: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "server",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def json_response(
    body: bytes | JsonObject, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Make a JSON response."""
    data = body if isinstance(body, bytes) else dumps(body)
    return Response(data, status=status, headers=dict(headers or {}), content_type=JSON_TYPE)


def error_response(error: ProxyError, dialect: Dialect) -> Response:
    """Render an error in a client's dialect; an upstream's own error body of that dialect goes through
    unchanged."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(ceil(error.retry_after), 1))
    native = error.native
    if native is not None and native.dialect == dialect.id:
        return json_response(native.body, error.status, headers)
    status = dialect.statuses.get(error.kind, error.status)
    return json_response(dumps(dialect.encode_error(error)), status, headers)


def forwarded(headers: Headers) -> dict[str, str]:
    """Return the upstream's headers that may reach a client: none that speak about one connection or one
    encoding."""
    named = {token.strip().lower() for token in headers.get("connection").split(",")}
    return {
        name: value
        for name, value in headers
        if name.lower() not in _NOT_FORWARDED
        and name.lower() not in named
        and not name.lower().startswith("proxy-")
    }
