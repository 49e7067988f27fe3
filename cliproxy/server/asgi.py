"""The seam between the ASGI server and the framework.

Three things are arranged here that neither side does by itself:

* the nursery of a request is put into its scope, so that the pump of a streamed answer runs in it and dies
  with it: when the client disconnects, the nursery is cancelled, and the upstream connection closes in the
  same instant;
* the **last** message of a response is sent under a short shield. At the end of a response the server reports
  a disconnect to the application before it has closed or re-armed the connection, in the very task that is
  sending; the framework answers by cancelling that task, and the connection would stay open for ever;
* a fault of ours behind the head of a response is logged, and the connection is cut: there is no status to
  tell it with any more, and a proper end would make half an answer look like a whole one.

A response with a complete body is sent as one message instead of two.
"""

import logging
from typing import Final, TypeVar, cast

import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPResponseBodyEvent,
    HTTPResponseStartEvent,
)
from quart.utils import encode_headers
from quart.wrappers import Request, Response
from quart.wrappers.response import DataBody
from quart_trio.asgi import TrioASGIHTTPConnection
from werkzeug.wrappers import Response as WerkzeugResponse

from cliproxy.observe.transcript import current
from cliproxy.server import rules

logger = logging.getLogger(__name__)

T = TypeVar("T")

NURSERY: Final = "cliproxy.nursery"
BODY_RECEIVED: Final = "cliproxy.body-received"
LAST_MESSAGE_S: Final = 5.0
REST_S: Final = 0.2
"""How long the rest of a request is waited for that is answered already; mostly it is under way."""
LAST_MESSAGE_BYTES: Final = 64 * 1024
"""What a connection takes within that time, also a slow one."""


class HttpConnection(TrioASGIHTTPConnection):
    """One request and its response."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Run the request in a nursery of its own."""
        request = self._create_request_from_scope(send)
        rules.write_down(request, self.app.config.get(rules.SCRIBE))
        received = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                # The scope is an open dictionary by specification.
                cast("dict[str, object]", self.scope).update({NURSERY: nursery, BODY_RECEIVED: received})
                nursery.start_soon(self.handle_messages, nursery, request, receive)
                await self.handle_request(nursery, request, send)
        except* Exception as group:
            logger.error("connection cut by a fault of this program path=%s", request.path, exc_info=group)
            if (transcript := current.get()) is not None:
                transcript.has_failed = True
        finally:
            rules.over(request, self.app.config[rules.COUNTS])

    async def handle_messages(  # type: ignore[override]  # the parent widens its parent's signature too
        self, nursery: trio.Nursery, request: Request, receive: ASGIReceiveCallable
    ) -> None:
        """Feed the request's body, and say when all of it has arrived."""
        received = _fact(request, BODY_RECEIVED, trio.Event)
        transcript = current.get()

        async def watched() -> ASGIReceiveEvent:
            message = await receive()
            if message["type"] == "http.request":
                if transcript is not None:
                    transcript.request_body(message["body"])
                if not message.get("more_body"):
                    received.set()
            return message

        await super().handle_messages(nursery, request, watched)

    async def handle_request(  # type: ignore[override]  # the parent widens its parent's signature too
        self, nursery: trio.Nursery, request: Request, send: ASGISendCallable
    ) -> None:
        """Answer the request; limits on streams are the exchange's, not the framework's."""
        response = await self.app.handle_request(request)
        received = _fact(request, BODY_RECEIVED, trio.Event)
        if not received.is_set():
            # Refused before all of it has come. A connection that still receives is closed behind the answer,
            # and a client that had sent its next request by then would see no answer to that.
            with trio.move_on_after(REST_S):
                await received.wait()
        await self._send_response(_written_down(send), response)
        nursery.cancel_scope.cancel()

    async def _send_response(self, send: ASGISendCallable, response: Response | WerkzeugResponse) -> None:
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": encode_headers(response.headers),
        }
        await send(cast("HTTPResponseStartEvent", start))
        last = b""
        if isinstance(response, WerkzeugResponse):
            last = response.get_data()
        elif isinstance(response.response, DataBody):
            last = await response.get_data(as_text=False)
            if len(last) > LAST_MESSAGE_BYTES:
                await send(_body(last, more=True))
                last = b""
        else:
            async with response.response as body:
                async for data in body:
                    await send(_body(data, more=True))
        with trio.move_on_after(LAST_MESSAGE_S, shield=True):
            await send(_body(last, more=False))


def _written_down(send: ASGISendCallable) -> ASGISendCallable:
    """Return a way to send whose messages are written down, where the request is."""
    transcript = current.get()
    if transcript is None:
        return send

    async def sent(message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"])
            transcript.response(message["status"], fields)
        elif message["type"] == "http.response.body":
            transcript.response_body(message["body"])
        await send(message)

    return sent


def _body(data: bytes | str, *, more: bool) -> HTTPResponseBodyEvent:
    raw = data.encode() if isinstance(data, str) else data
    return {"type": "http.response.body", "body": raw, "more_body": more}


def nursery_of(request: Request) -> trio.Nursery:
    """Return the nursery of a request; its tasks end with the request or when the client leaves."""
    return _fact(request, NURSERY, trio.Nursery)


async def body_received(request: Request) -> None:
    """Wait until the whole body of a request has arrived, wanted or not.

    An answer sent before would reset the connection under a client that is still sending, and be lost.
    """
    await _fact(request, BODY_RECEIVED, trio.Event).wait()


def _fact(request: Request, name: str, kind: type[T]) -> T:
    """Return what the connection put into a request's scope."""
    fact = cast("dict[str, object]", request.scope)[name]
    assert isinstance(fact, kind)
    return fact
