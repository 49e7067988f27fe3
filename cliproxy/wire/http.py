"""Plain HTTP values: what is to be sent and what came back. No I/O, no library types."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Protocol

from attrs import field, frozen

from cliproxy.wire.secret import Secret

SENSITIVE_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
        "cookie",
        "set-cookie",
        "private-token",
    }
)

PROXY_SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})
"""How the URLs of proxies may begin."""


def http_date(spelled: str) -> float | None:
    """Read the date of a header field as Unix seconds; ``None`` when it is none."""
    try:
        moment = parsedate_to_datetime(spelled)
        # The zone ``-0000`` leaves the place open, not the moment: it is UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class Headers:
    """An ordered, immutable list of header fields with case-insensitive lookup. Sensitive values print as
    ``***``."""

    __slots__ = ("_fields",)

    def __init__(self, fields: "Iterable[tuple[str, str]] | Mapping[str, str]" = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self._fields = tuple((name, value) for name, value in pairs)

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a field, or the default."""
        wanted = name.lower()
        return next((value for key, value in self._fields if key.lower() == wanted), default)

    def get_all(self, name: str) -> list[str]:
        """Return all values of a field in order."""
        wanted = name.lower()
        return [value for key, value in self._fields if key.lower() == wanted]

    def with_field(self, name: str, value: str) -> "Headers":
        """Return a copy in which a field has exactly this value."""
        return Headers((*self.without(name), (name, value)))

    def without(self, *names: str) -> "Headers":
        """Return a copy that lacks some fields."""
        gone = {name.lower() for name in names}
        return Headers((key, value) for key, value in self._fields if key.lower() not in gone)

    def merged(self, other: "Headers | Mapping[str, str]") -> "Headers":
        """Return a copy in which the fields of ``other`` replace those of the same name."""
        newer = other if isinstance(other, Headers) else Headers(other)
        return Headers((*self.without(*(name for name, _ in newer)), *newer))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key.lower() == name.lower() for key, _ in self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        shown = [(key, "***" if key.lower() in SENSITIVE_HEADERS else value) for key, value in self._fields]
        return f"Headers({shown!r})"


@frozen(kw_only=True)
class Limits:
    """Time limits of one upstream call, in seconds; ``None`` means no limit of this kind."""

    connect: float = 10.0
    first_byte: float | None = 300.0
    idle: float | None = 300.0
    """Longest silence inside the body."""
    total: float | None = None


@frozen(kw_only=True)
class HttpCall:
    """An HTTP request that is ready to be sent."""

    method: str
    url: str
    headers: Headers = field(factory=Headers)
    body: bytes = field(default=b"", repr=False)
    stream: bool = False
    limits: Limits = field(factory=Limits)
    proxy_url: Secret | None = None
    """``None``: the environment decides; an empty text or ``direct``: no proxy. May contain a password."""


@frozen(kw_only=True)
class MemoryCall:
    """A request to an upstream inside this process, named by ``target``."""

    target: str
    body: bytes = field(default=b"", repr=False)
    headers: Headers = field(factory=Headers)
    stream: bool = False
    limits: Limits = field(factory=Limits)


class MemoryReply(Protocol):
    """What an upstream inside this process answers: pairs of (seconds to wait, bytes) make up the body."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def chunks(self) -> Sequence[tuple[float, bytes]]: ...


MemoryUpstream = Callable[[MemoryCall], MemoryReply]

UpstreamCall = HttpCall | MemoryCall
"""Everything ``net.http.Upstreams.open`` can carry out. Further kinds of transport join this union."""


@frozen(kw_only=True)
class HttpAnswer:
    """A complete HTTP response."""

    status: int
    headers: Headers = field(factory=Headers)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status says that the request was carried out."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES
