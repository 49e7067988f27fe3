"""What the handlers see of the running service, and small readings of a request."""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import define, field, frozen
from quart import Request

from cliproxy.catalog.registry import Candidate
from cliproxy.dialects.base import ClientRequest
from cliproxy.errors import Kind, LimitExceeded
from cliproxy.exchange.deps import Deps
from cliproxy.observe.metrics import Counts, Family
from cliproxy.server.access import Client, KeyRing
from cliproxy.service.clientkeys import ClientKeys
from cliproxy.wire.jsontext import JsonObject

MEGABYTE: Final = 1024 * 1024
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@define(eq=False)
class Gate:
    """Bounds how many requests are served at the same time, in total and for each client key. 0 means no
    bound."""

    limits: Callable[[], tuple[int, int]]
    """Current bounds: (in total, for each key)."""
    _total: int = field(default=0, init=False)
    _by_key: Counter[str] = field(factory=Counter, init=False)

    def __len__(self) -> int:
        return self._total

    @contextmanager
    def entered(self, key: str, most: int | None = None) -> Iterator[None]:
        """Hold a place. ``most`` is what this key may hold at the same time, if not the same as all.

        Raises :class:`~cliproxy.errors.LimitExceeded` when there is none.
        """
        total, each = self.limits()
        each = each if most is None else most
        if total and self._total >= total:
            raise LimitExceeded(
                f"the server is serving {total} requests already, its limit",
                kind=Kind.OVERLOADED,
                status=503,
                retry_after=1,
            )
        if key and each and self._by_key[key] >= each:
            raise LimitExceeded(
                f"this API key has {each} requests under way already, its limit",
                kind=Kind.RATE_LIMIT,
                retry_after=1,
            )
        self._total += 1
        self._by_key[key] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]


@frozen(kw_only=True, eq=False)
class World:
    """The service as the handlers see it. Callables are asked for every request, so that a reload takes
    effect at once."""

    deps: Deps
    keys: Callable[[], KeyRing]
    gate: Gate
    obstacles: Callable[[], Sequence[str]]
    """Why requests cannot be served, if they cannot; see :mod:`cliproxy.service.readiness`."""
    is_usable: Callable[[Candidate], bool]
    version: str
    client_keys: ClientKeys = field(factory=ClientKeys)
    details: Callable[[], JsonObject] = dict
    """The state of the process, for its owner."""
    figures: Callable[[], Sequence[Family]] = tuple
    """What a monitoring system may want to know."""
    responses: Counts = field(factory=Counts)
    """How many requests, whatever they were about, had which status in the end."""

    @contextmanager
    def serving(self, client: Client, request: ClientRequest) -> Iterator[Deps]:
        """Serve a request of a client: hold its place, measure it, and give the world as this client sees it.

        Raises :class:`~cliproxy.errors.ProxyError` when it is not let in.
        """
        entry = client.entry
        if entry is None:
            with self.gate.entered(client.id):
                yield self.deps
            return
        seen = self.deps.within(client.allowance)
        with (
            self.gate.entered(client.id, entry.concurrent),
            self.client_keys.metered(entry, request, seen) as deps,
        ):
            yield deps

    def body_limit(self) -> int:
        """Largest request body in bytes."""
        return self.deps.snapshot().config.limits.body_mb * MEGABYTE

    def keepalive_s(self) -> float:
        """Silence after which a stream shows a sign of life; 0: never."""
        return float(self.deps.snapshot().config.streaming.keepalive_seconds)

    def blanks_s(self) -> float:
        """Interval of blanks before an answer in one piece; 0: none."""
        return float(self.deps.snapshot().config.nonstream_keepalive_interval)

    def makes_images(self) -> bool:
        """Whether the routes for images are served."""
        return self.deps.snapshot().config.disable_image_generation != "true"

    def shows_metrics(self) -> bool:
        """Whether figures for monitoring are served."""
        return self.deps.snapshot().config.metrics.enable

    def passes_headers(self) -> bool:
        """Whether upstream response headers are shown to clients."""
        return self.deps.snapshot().config.passthrough_headers


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers with lower-case names; of repeated ones the first."""
    headers: dict[str, str] = {}
    for name, value in request.scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


def query_of(request: Request) -> dict[str, str]:
    """Return the query parameters; of repeated ones the first."""
    return dict(request.args.items()) if request.query_string else {}


def new_request_id(given: str | None) -> str:
    """Return the client's own request id if it is one, or a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(16)
