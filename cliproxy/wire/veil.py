"""Takes what we sent in confidence out of what comes back.

Some upstreams quote the token they refuse, some gateways the whole request. Their errors are shown to clients
and written to the log, so whatever a call carried in confidence is masked in them first: values of header
fields whose names speak of credentials, and such fields of a form, or of a JSON object where no header field
speaks of any, as in requests for tokens; also the password of the proxy, in the open and as it is sent.

What a call carried in confidence is looked up when somebody asks: most calls succeed, and nobody does.

Only exact quotations are found, which is why the veil goes over errors and not over answers: a model never
sees a request's headers.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from cliproxy.wire.http import SENSITIVE_HEADERS, Headers, HttpCall, UpstreamCall
from cliproxy.wire.jsontext import JsonError, loads_object
from cliproxy.wire.secret import MASK, Secret

SHORTEST: Final = 8
"""Shorter values are words rather than secrets, and masking them would spoil texts."""
FORM_TYPE: Final = "application/x-www-form-urlencoded"
JSON_TYPE: Final = "application/json"
MAX_JSON: Final = 16 * 1024
"""A longer body is no request for tokens, and not worth being read."""
_TELLING: Final = re.compile(r"(?i)auth|cookie|credential|key|password|secret|token|verifier|^code$")


class Veil:
    """Masks certain texts wherever they are quoted."""

    __slots__ = ("_found", "_sources")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._sources = [texts]
        self._found: frozenset[str] = frozenset()

    def cover(self, texts: Iterable[str]) -> None:
        """Mask some more; they are read when they are needed."""
        self._sources.append(texts)

    def text(self, said: str) -> str:
        """Return a text without the quotations."""
        for text in self._texts():
            said = said.replace(text, MASK)
        return said

    def data(self, said: bytes) -> bytes:
        """Return bytes without the quotations."""
        for text in self._texts():
            said = said.replace(text.encode("utf-8", "surrogatepass"), MASK.encode())
        return said

    def headers(self, said: Headers) -> Headers:
        """Return header fields without the quotations."""
        return Headers((name, self.text(value)) for name, value in said)

    def _texts(self) -> list[str]:
        """Return what is masked, the longest first: one may be a part of another."""
        found = {text for source in self._sources for text in source if len(text) >= SHORTEST}
        # JSON may spell a slash with a backslash.
        escaped = {text.replace("/", r"\/") for text in found if "/" in text}
        self._sources.clear()
        self._found |= found | escaped
        return sorted(self._found, key=lambda text: (-len(text), text))


def veil_of(call: UpstreamCall) -> Veil:
    """Return the veil over everything confidential in a call."""
    return Veil(confidential_in(call))


def confidential_in(call: UpstreamCall) -> Iterator[str]:
    """Yield what a call carries in confidence."""
    texts = list(secrets_in(call.headers))
    kind = call.headers.get("content-type").partition(";")[0].strip().lower()
    if kind == FORM_TYPE:
        texts += secrets_in(parse_qsl(call.body.decode("utf-8", "replace")))
    elif kind == JSON_TYPE and not texts and len(call.body) <= MAX_JSON:
        texts += secrets_in(_members(call.body))
    yield from texts
    if isinstance(call, HttpCall) and call.proxy_url is not None:
        yield from secrets_of_proxy(call.proxy_url)


def secrets_of_proxy(url: Secret) -> Iterator[str]:
    """Yield the password in a proxy's address, and the credentials that are made of it."""
    try:
        parts = urlsplit(url.reveal().strip())
    except ValueError:
        return
    if parts.password:
        password = unquote(parts.password)
        yield from {parts.password, password}
        yield base64.b64encode(f"{unquote(parts.username or '')}:{password}".encode()).decode()


def _members(body: bytes) -> list[tuple[str, str]]:
    try:
        return [(name, value) for name, value in loads_object(body).items() if isinstance(value, str)]
    except JsonError:
        return []


def names_secret(name: str) -> bool:
    """Tell whether the name of a field speaks of a secret."""
    return name.lower() in SENSITIVE_HEADERS or _TELLING.search(name) is not None


def secrets_in(fields: Headers | Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the secrets among the values of fields."""
    for name, value in fields:
        if names_secret(name):
            scheme, _, rest = value.strip().partition(" ")
            yield rest.strip() or scheme
