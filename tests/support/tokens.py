"""JSON web tokens for tests: they show claims and are signed by nobody."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping

from cliproxy.wire.jsontext import JsonValue, dumps


def unsigned_jwt(claims: Mapping[str, JsonValue]) -> str:
    """Make a token with these claims."""
    head, body = (
        urlsafe_b64encode(dumps(part)).rstrip(b"=").decode() for part in ({"alg": "none"}, {**claims})
    )
    return f"{head}.{body}.c2lnbmF0dXJl"
