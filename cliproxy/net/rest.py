"""The rest of an answer in one piece, within a bound: the same for every kind of upstream."""

from collections.abc import Awaitable, Callable

from cliproxy.errors import Kind, TransportError


async def read_rest(read: Callable[[], Awaitable[bytes]], limit: int, what: str) -> bytes:
    """Read until nothing comes any more, and return it all.

    ``what`` names the answer in the :class:`~cliproxy.errors.TransportError` raised when it has more than
    ``limit`` bytes.
    """
    pieces: list[bytes] = []
    size = 0
    while data := await read():
        size += len(data)
        if size > limit:
            raise TransportError(f"{what} exceeds {limit} bytes", kind=Kind.UPSTREAM, phase="body")
        pieces.append(data)
    return b"".join(pieces)
