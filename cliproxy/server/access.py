"""Who may use the API: the client keys of the configuration.

A key is accepted in any of the places clients of the four dialects put it; the first place that holds a valid
one decides, a wrong value in an earlier place does not spoil a right one later. Keys are looked up by a keyed
hash made with a random key of this process, so that the time a comparison takes says nothing about the keys.
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from cliproxy.errors import Unauthorized
from cliproxy.wire.secret import Secret

KEY_HEADERS: Final = ("x-goog-api-key", "x-api-key")
KEY_QUERY: Final = ("key", "auth_token")
ID_DIGITS: Final = 16
CREDENTIAL_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization", *KEY_HEADERS})


@frozen
class Client:
    """Who sent a request."""

    name: str = ""
    """For people: the masked key. Empty where no key is asked for."""
    id: str = ""
    """Stable, for accounting: the beginning of the key's SHA-256. Empty like the name."""


class KeyRing:
    """The client keys, indexed. An empty ring lets everybody in."""

    def __init__(self, keys: Iterable[Secret]) -> None:
        self._pepper = secrets.token_bytes(32)
        self._clients = {self._digest(key.reveal()): _client(key) for key in keys}

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._pepper).digest()

    def __len__(self) -> int:
        return len(self._clients)

    def admit(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Client:
        """Return whose key a request carries. Raises :class:`~cliproxy.errors.Unauthorized`.

        ``headers`` have lower-case names.
        """
        if not self._clients:
            return Client()
        presented = list(_presented(headers, query))
        for text in presented:
            client = self._clients.get(self._digest(text))
            if client is not None:
                return client
        if not presented:
            raise Unauthorized(
                "Missing API key. Send one of the configured `api-keys` as a bearer token, in `x-api-key` or "
                "`x-goog-api-key`.",
                code="missing_api_key",
            )
        raise Unauthorized("Invalid API key.", code="invalid_api_key")


def _client(key: Secret) -> Client:
    digest = hashlib.sha256(key.reveal().encode("utf-8", "surrogatepass"))
    return Client(name=key.hint(), id=digest.hexdigest()[:ID_DIGITS])


def _presented(headers: Mapping[str, str], query: Mapping[str, str]) -> Iterable[str]:
    authorization = headers.get("authorization", "").strip()
    scheme, _, rest = authorization.partition(" ")
    if authorization:
        yield rest.strip() if rest and scheme.lower() == "bearer" else authorization
    for name in KEY_HEADERS:
        if headers.get(name):
            yield headers[name]
    for name in KEY_QUERY:
        if query.get(name):
            yield query[name]
