"""The exchanges as the server calls them: a stream, one body, a token count.

All three run the same attempts and differ in what they do with an open upstream answer. Each leaves exactly
one record, whatever happens: an answer, an error, or a client that left.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import field, frozen

from cliproxy.config.groups import Limits
from cliproxy.dialects import by_id
from cliproxy.dialects.base import ClientRequest, Framing, Glimpse
from cliproxy.errors import (
    AttemptFailed,
    BadRequest,
    DialectError,
    Failure,
    FrameError,
    Kind,
    ProxyError,
    Scope,
    UpstreamError,
)
from cliproxy.exchange.attempts import Attempts
from cliproxy.exchange.carry import Carrier, WholeAnswer, carrier_for
from cliproxy.exchange.deps import Deps
from cliproxy.exchange.plan import Plan
from cliproxy.exchange.pump import Outlet, Pump, StreamHead
from cliproxy.exchange.record import Outcome, Recorder
from cliproxy.ir.collect import Collector
from cliproxy.ir.estimate import estimate_tokens
from cliproxy.ir.events import End, Event
from cliproxy.net.http import UpstreamStream
from cliproxy.routing.classify import broken_answer, empty_answer, failure_from_stream
from cliproxy.wire.http import Headers
from cliproxy.wire.jsontext import JsonError, JsonObject, dumps
from cliproxy.wire.sse import FrameParser

MEGABYTE: Final = 1024 * 1024
STREAM_TYPES: Final = frozenset({"", "text/event-stream", "application/octet-stream", "text/plain"})
PAGE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})


@frozen(kw_only=True)
class Answer:
    """A complete answer in the client's dialect."""

    body: bytes = field(repr=False)
    headers: Headers = field(factory=Headers)
    """The upstream's headers."""
    status: int = 200


@asynccontextmanager
async def _recorded(request: ClientRequest, deps: Deps) -> AsyncIterator[Recorder]:
    recorder = Recorder(
        sink=deps.record,
        wall=deps.wall,
        monotonic=deps.monotonic,
        request_id=request.request_id,
        client=request.client,
        dialect=request.dialect,
        action=request.action,
        model=request.model,
        stream=request.stream,
    )
    try:
        yield recorder
    except trio.Cancelled:
        recorder.finish(Outcome.CANCELLED, 499, Kind.CANCELLED)
        raise
    except ProxyError as exc:
        recorder.finish(Outcome.ERROR, exc.status, exc.kind)
        raise
    except Exception:
        recorder.finish(Outcome.ERROR, 500, Kind.INTERNAL)
        raise
    recorder.finish(Outcome.OK)


async def stream_exchange(
    request: ClientRequest, deps: Deps, *, task_status: trio.TaskStatus[StreamHead] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve a streamed answer. ``started`` is called at the commit point; errors before it are raised.

    Runs in the request's nursery: when the client leaves, the nursery is cancelled and the upstream closed
    with it.
    """
    config = deps.snapshot().config
    async with _recorded(request, deps) as recorder:
        outlet = Outlet(task_status, recorder)

        async def serve(stream: UpstreamStream, plan: Plan) -> Failure | None:
            outlet.reset()
            source, carrier = await _carried(stream, plan, request.framing, config.limits)
            pump = Pump(
                stream=source,
                carrier=carrier,
                outlet=outlet,
                keepalive=plan.client.keepalive,
                idle_s=config.timeouts.idle_seconds,
            )
            try:
                return await pump.run()
            finally:
                recorder.usage = carrier.usage

        try:
            failure = await Attempts(request, deps, recorder, serve).run()
        finally:
            outlet.close()
        if failure is not None:
            recorder.finish(Outcome.ERROR, failure.status or 502, failure.kind)


class _Replay:
    """A body that was read already, offered as a stream."""

    def __init__(self, stream: UpstreamStream, body: bytes) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._body = body

    async def read(self) -> bytes:
        """Return the body once, then the end."""
        await trio.lowlevel.checkpoint()
        body, self._body = self._body, b""
        return body

    async def read_all(self, _limit: int) -> bytes:
        """Return the body."""
        return await self.read()


async def _carried(
    stream: UpstreamStream, plan: Plan, framing: Framing, limits: Limits
) -> tuple[UpstreamStream, Carrier]:
    """Return what to read and what to read it with, also when the upstream answers in one piece.

    Raises :class:`~cliproxy.errors.AttemptFailed` for an error inside a success and for anything that is no
    answer.
    """
    kind = stream.headers.get("content-type").partition(";")[0].strip().lower()
    if plan.stream and kind in STREAM_TYPES:
        return stream, carrier_for(plan, framing, limits.event_mb * MEGABYTE)
    body = await stream.read_all(limits.answer_mb * MEGABYTE)
    if kind in PAGE_TYPES:
        raise AttemptFailed(broken_answer(f"the upstream answered with {kind} instead of an event stream"))
    try:
        value = _answer_value(body, plan)
        _check(plan.upstream.inspect_response(value))
        response = plan.upstream.decode_response(value, plan.context)
    except (JsonError, DialectError) as exc:
        raise AttemptFailed(broken_answer(f"the upstream's answer cannot be read: {exc}")) from exc
    return _Replay(stream, body), WholeAnswer(plan, framing, response)


async def answer_exchange(request: ClientRequest, deps: Deps) -> Answer:
    """Serve an answer in one body. Raises :class:`~cliproxy.errors.ProxyError`."""
    config = deps.snapshot().config
    limit = config.limits.answer_mb * MEGABYTE
    event_limit = config.limits.event_mb * MEGABYTE
    body_s = config.timeouts.total_seconds or float("inf")
    async with _recorded(request, deps) as recorder:

        async def serve(stream: UpstreamStream, plan: Plan) -> Answer:
            with trio.move_on_after(body_s):
                if plan.stream and not request.stream:
                    body = await _collected(stream, plan, recorder, event_limit)
                else:
                    body = _whole(await stream.read_all(limit), plan, recorder)
                recorder.first_byte()
                return Answer(body=body, headers=stream.headers)
            message = f"the upstream's answer was not complete after {body_s:g} s"
            raise AttemptFailed(Failure(kind=Kind.TIMEOUT, scope=Scope.MODEL, message=message))

        return await Attempts(request, deps, recorder, serve).run()


def _whole(body: bytes, plan: Plan, recorder: Recorder) -> bytes:
    """Turn a complete upstream body into the client's."""
    try:
        value = _answer_value(body, plan)
        glimpse = plan.upstream.inspect_response(value)
        _check(glimpse)
        if glimpse.usage is not None:
            recorder.usage = glimpse.usage
        if plan.passes_through:
            return body
        response = plan.upstream.decode_response(value, plan.context)
        recorder.usage = response.usage
        return dumps(plan.client.encode_response(response, plan.context))
    except (JsonError, DialectError) as exc:
        raise AttemptFailed(broken_answer(f"the upstream's answer cannot be read: {exc}")) from exc


def _answer_value(body: bytes, plan: Plan) -> JsonObject:
    if not body.strip():
        raise AttemptFailed(empty_answer())
    return plan.upstream.read_answer(body)


def _check(glimpse: Glimpse) -> None:
    if glimpse.error is not None:
        raise AttemptFailed(failure_from_stream(glimpse.error))
    if not glimpse.has_content:
        raise AttemptFailed(empty_answer())


async def _collected(stream: UpstreamStream, plan: Plan, recorder: Recorder, event_limit: int) -> bytes:
    """Collect a streamed upstream answer into one body."""
    parser = FrameParser(event_limit)
    decoder = plan.upstream.stream_decoder(plan.context)
    collector = Collector()
    try:
        while data := await stream.read():
            for frame in parser.feed(data):
                _collect(decoder.feed(frame), collector)
        for frame in parser.finish():
            _collect(decoder.feed(frame), collector)
        _collect(decoder.finish(), collector)
    except FrameError as exc:
        raise AttemptFailed(broken_answer(f"the upstream sent {exc}")) from exc
    except UpstreamError as exc:
        raise AttemptFailed(exc.failures[-1]) from exc
    response = collector.result()
    recorder.usage = response.usage
    if not any(choice.parts for choice in response.choices) and not collector.ended_for_a_reason:
        raise AttemptFailed(empty_answer())
    return dumps(plan.client.encode_response(response, plan.context))


def _collect(events: list[Event], collector: Collector) -> None:
    for event in events:
        if isinstance(event, End) and not event.clean and not collector.is_finished:
            raise AttemptFailed(broken_answer("the upstream closed the stream before the end of the answer"))
        collector.feed(event)


async def count_exchange(request: ClientRequest, deps: Deps) -> Answer:
    """Count the tokens of a request: by the upstream where it can, by estimate otherwise."""
    client = by_id(request.dialect)
    encode = client.encode_count
    if encode is None:
        raise BadRequest(f"counting tokens is not part of the `{client.id}` API")
    async with _recorded(request, deps) as recorder:

        async def serve(stream: UpstreamStream, plan: Plan) -> int:
            value = _answer_value(await stream.read_all(MEGABYTE), plan)
            count = plan.upstream.decode_count(value) if plan.upstream.decode_count is not None else None
            if count is None:
                raise AttemptFailed(broken_answer("the upstream's token count cannot be read"))
            return count

        attempts = Attempts(request, deps, recorder, serve)
        try:
            count = await attempts.run() if attempts.is_supported() else estimate_tokens(attempts.decoded())
        except DialectError as exc:
            raise BadRequest(exc.message, param=exc.param) from exc
        return Answer(body=dumps(encode(count)))
