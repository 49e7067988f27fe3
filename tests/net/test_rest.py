"""Reading an answer to its end."""

from collections import deque

import pytest
import trio

from cliproxy.errors import Kind, TransportError
from cliproxy.net.rest import read_rest


class Source:
    """Gives pieces, then nothing."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = deque(pieces)

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.pieces.popleft() if self.pieces else b""


async def test_the_pieces_are_joined_up_to_the_bound() -> None:
    assert await read_rest(Source(b"ab", b"c").read, 3, "the answer") == b"abc"
    assert await read_rest(Source().read, 0, "the answer") == b""


async def test_more_than_the_bound_is_an_error_and_reading_stops() -> None:
    source = Source(b"ab", b"cd", b"ef")
    with pytest.raises(TransportError, match=r"^the answer exceeds 3 bytes$") as caught:
        await read_rest(source.read, 3, "the answer")
    assert (caught.value.kind, caught.value.phase) == (Kind.UPSTREAM, "body")
    assert list(source.pieces) == [b"ef"]
