"""Who may use the API: the client keys of the configuration.

There are two kinds: ``api-keys``, which may do everything, and ``client-keys``, entries with a name and
limits. As soon as there is one of either kind a key is asked for, even if the only one is switched off.

A key is accepted in any of the places clients of the four dialects put it; the first place that holds a
known one decides, a wrong value in an earlier place does not spoil a right one later. Keys are looked up by
their SHA-256, hashed once more with a random key of this process, so that the time a comparison takes says
nothing about the keys.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from cliproxy.catalog.allowance import EVERYTHING, Allowance
from cliproxy.config.clientkeys import HASH_MARK, entry_hash, hash_of
from cliproxy.config.entries import ClientKey
from cliproxy.config.normalize import end_of
from cliproxy.errors import Forbidden, Unauthorized
from cliproxy.wire.secret import Secret

KEY_HEADERS: Final = ("x-goog-api-key", "x-api-key")
KEY_QUERY: Final = ("key", "auth_token")
ID_DIGITS: Final = 16
CREDENTIAL_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization", *KEY_HEADERS})


@frozen
class Client:
    """Who sent a request."""

    name: str = ""
    """For people: the name of the key, or the masked key. Empty where no key is asked for."""
    id: str = ""
    """Stable, for accounting: the beginning of the key's SHA-256. Empty like the name."""
    entry: ClientKey | None = None
    """What the owner says about the key; ``None``: it may do everything."""
    allowance: Allowance = EVERYTHING
    """What of the models it may use."""
    end: float | None = None
    """Until when the key can be used, in Unix seconds."""


class KeyRing:
    """The client keys, indexed. An empty ring lets everybody in."""

    def __init__(
        self,
        keys: Iterable[Secret],
        entries: Iterable[ClientKey] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._pepper = secrets.token_bytes(32)
        self._wall = wall
        clients = (*map(_plain_client, keys), *map(_client, entries))
        self._clients = {self._digest(hashed): client for hashed, client in clients}

    def _digest(self, hashed: str) -> bytes:
        return hashlib.blake2b(hashed.encode(), key=self._pepper).digest()

    def __len__(self) -> int:
        return len(self._clients)

    def admit(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Client:
        """Return whose key a request carries. ``headers`` have lower-case names.

        Raises :class:`~cliproxy.errors.Unauthorized`, and :class:`~cliproxy.errors.Forbidden` for a key that
        is known and cannot be used any more.
        """
        if not self._clients:
            return Client()
        presented = list(_presented(headers, query))
        for text in presented:
            client = self._clients.get(self._digest(hash_of(text)))
            if client is not None:
                return self._in_force(client)
        if not presented:
            raise Unauthorized(
                "Missing API key. Send a client key of this server as a bearer token, in `x-api-key` or "
                "`x-goog-api-key`.",
                code="missing_api_key",
            )
        raise Unauthorized("Invalid API key.", code="invalid_api_key")

    def _in_force(self, client: Client) -> Client:
        if client.entry is not None and client.entry.disabled:
            raise Forbidden(f"The API key `{client.name}` is switched off.", code="key_disabled")
        if client.end is not None and self._wall() >= client.end:
            since = datetime.fromtimestamp(client.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
            raise Forbidden(f"The API key `{client.name}` expired on {since}.", code="key_expired")
        return client


def _plain_client(key: Secret) -> tuple[str, Client]:
    hashed = hash_of(key.reveal())
    return hashed, Client(key.hint(), _id_of(hashed))


def _client(entry: ClientKey) -> tuple[str, Client]:
    hashed = entry_hash(entry)
    allowance = Allowance(models=entry.models, providers=entry.providers)
    return hashed, Client(entry.name, _id_of(hashed), entry, allowance, end_of(entry.expires))


def _id_of(hashed: str) -> str:
    return hashed.removeprefix(HASH_MARK)[:ID_DIGITS]


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
