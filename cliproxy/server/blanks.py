"""An answer in one piece that takes long, kept alive by blanks.

JSON may begin with white space, so a newline now and then keeps a connection open that a proxy in between
would close for its silence. Beginning the answer commits status 200: an error that comes later is the
dialect's error object under that status, which is why nothing of this happens unless the owner wants it, and
nothing before the first interval is over.
"""

from collections.abc import Awaitable, Callable

import trio
from quart import Response

from cliproxy.server.body import ChannelBody
from cliproxy.server.render import JSON_TYPE

BLANK = b"\n"


async def with_blanks(
    nursery: trio.Nursery, interval_s: float, work: Callable[[], Awaitable[Response]]
) -> Response:
    """Return the response ``work`` makes if that is soon; otherwise one that has begun and ends in its body.

    ``work`` runs in the request's nursery.
    """
    send, receive = trio.open_memory_channel[bytes](1)
    finished: list[Response] = []
    is_finished = trio.Event()

    async def run() -> None:
        response = await work()
        finished.append(response)
        is_finished.set()
        async with send:
            await send.send(await response.get_data(as_text=False))

    nursery.start_soon(run, name="answer kept alive")
    with trio.move_on_after(interval_s):
        await is_finished.wait()
    if finished:
        return finished[0]
    begun = Response(b"", content_type=JSON_TYPE)
    del begun.headers["Content-Length"]
    # Nothing leaves for the client before there is something of the body.
    send.send_nowait(BLANK)
    begun.response = body = ChannelBody(receive)
    nursery.start_soon(body.keep_alive, send, BLANK, interval_s)
    return begun
