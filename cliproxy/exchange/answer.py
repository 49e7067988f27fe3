"""The exchanges as the server calls them: a stream, one body, a token count.

All three run the same attempts and differ in what they do with an open upstream answer. Each leaves exactly
one record, whatever happens: an answer, an error, or a client that left.

What the upstream was asked for and what it sends are two things. Some stream although nobody asked them to,
some do not although they were asked; the content type decides how an answer is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import trio

from cliproxy.config.model import Config
from cliproxy.dialects import by_id
from cliproxy.dialects.base import ClientRequest, Framing, Glimpse
from cliproxy.errors import (
    AnswerCut,
    AttemptFailed,
    BadRequest,
    DialectError,
    Failure,
    FrameError,
    Kind,
    NothingReady,
    ProxyError,
    UpstreamError,
)
from cliproxy.exchange.attempts import Attempts
from cliproxy.exchange.carry import CUT_OFF, Carrier, WholeAnswer, carrier_for
from cliproxy.exchange.cause import EndedBy, ended_by
from cliproxy.exchange.deps import Deps
from cliproxy.exchange.patience import Patient
from cliproxy.exchange.plan import Plan
from cliproxy.exchange.portions import Answer, completed
from cliproxy.exchange.pump import Outlet, Pump, StreamHead
from cliproxy.exchange.record import Outcome, Recorder
from cliproxy.ir.collect import Collector
from cliproxy.ir.estimate import estimate_tokens
from cliproxy.ir.events import End, Event, StreamError
from cliproxy.net.http import UpstreamStream
from cliproxy.routing.classify import broken_answer, empty_answer, failure_from_stream
from cliproxy.wire.jsontext import JsonError, JsonObject, dumps
from cliproxy.wire.sse import FrameParser

MEGABYTE: Final = 1024 * 1024
EVENT_STREAM: Final = "text/event-stream"
STREAM_TYPES: Final = frozenset({"", "application/octet-stream", "text/plain"})
"""What servers call a stream that was asked for when they do not call it by its name."""
PAGE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})


@contextmanager
def _recorded(request: ClientRequest, deps: Deps) -> Iterator[Recorder]:
    recorder = Recorder(
        sink=deps.record,
        wall=deps.wall,
        monotonic=deps.monotonic,
        request_id=request.request_id,
        client=request.client,
        client_id=request.client_id,
        dialect=request.dialect,
        action=request.action,
        model=request.model,
        stream=request.stream,
    )
    try:
        yield recorder
    except trio.Cancelled:
        # Once the exchanges are over, it is the server that cancels what is left of them.
        left = EndedBy.SERVER if deps.ending.is_over else EndedBy.CLIENT
        recorder.finish(Outcome.CANCELLED, 499, Kind.CANCELLED, left)
        raise
    except ProxyError as exc:
        recorder.finish(Outcome.ERROR, exc.status, exc.kind, ended_by(exc))
        raise
    except BaseException as exc:
        recorder.finish(Outcome.ERROR, 500, Kind.INTERNAL, ended_by(exc))
        raise
    recorder.succeed()


async def stream_exchange(  # noqa: ASYNC128, ASYNC910 - the task status is handed on; the attempts do wait
    request: ClientRequest, deps: Deps, *, task_status: trio.TaskStatus[StreamHead] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve a streamed answer. ``started`` is called at the commit point; errors before it are raised.

    Runs in the request's nursery: when the client leaves, the nursery is cancelled and the upstream closed
    with it.
    """
    config = deps.snapshot().config
    with _recorded(request, deps) as recorder:
        outlet = Outlet(task_status, recorder)

        async def serve(stream: UpstreamStream, plan: Plan) -> None:
            outlet.reset()
            source, carrier = await _carried(stream, plan, request.framing, config)
            pump = Pump(
                stream=source,
                carrier=carrier,
                outlet=outlet,
                keepalive=plan.client.keepalive,
                idle_s=config.timeouts.idle_seconds,
                total_s=config.timeouts.total_seconds or inf,
                veil=plan.veil,
                ending=deps.ending,
                remember=plan.remember,
            )
            try:
                await pump.run()
            finally:
                recorder.usage = carrier.usage

        try:
            await Attempts(request, deps, recorder, serve).run()
        except AnswerCut as exc:
            # The status a client would have seen, had nothing reached it before.
            status = UpstreamError([exc.failure]).status
            recorder.finish(Outcome.ERROR, status, exc.failure.kind, ended_by(exc))
        outlet.close()


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
    stream: UpstreamStream, plan: Plan, framing: Framing, config: Config
) -> tuple[UpstreamStream, Carrier]:
    """Return what to read and what to read it with, also when the upstream answers in one piece.

    Raises :class:`~cliproxy.errors.AttemptFailed` for an error inside a success and for anything that is no
    answer.
    """
    if _streams(stream, plan):
        return stream, carrier_for(plan, framing, config.limits.event_mb * MEGABYTE)
    body = await _body(stream, config)
    try:
        value = _answer_value(body, plan)
        _check(plan.upstream.inspect_response(value))
        response = plan.upstream.decode_response(value, plan.context)
    except (JsonError, DialectError) as exc:
        raise AttemptFailed(_unreadable(stream, exc)) from exc
    return _Replay(stream, body), WholeAnswer(plan, framing, response)


def _content_type(stream: UpstreamStream) -> str:
    return stream.headers.get("content-type").partition(";")[0].strip().lower()


def _streams(stream: UpstreamStream, plan: Plan) -> bool:
    """Whether an answer comes as a stream of events."""
    kind = _content_type(stream)
    return kind == EVENT_STREAM or (plan.stream and kind in STREAM_TYPES)


def _unreadable(stream: UpstreamStream, reason: Exception) -> Failure:
    """Describe an answer that is none: often the login page of a network in between."""
    kind = _content_type(stream)
    if kind in PAGE_TYPES:
        return broken_answer(f"the upstream answered with {kind} instead of JSON or an event stream")
    return broken_answer(f"the upstream's answer cannot be read: {reason}")


async def _body(stream: UpstreamStream, config: Config) -> bytes:
    return await Patient(stream, config.timeouts.idle_seconds).read_all(_most(config))


def _most(config: Config) -> int:
    """Return how many bytes an answer may have."""
    return config.limits.answer_mb * MEGABYTE


async def answer_exchange(request: ClientRequest, deps: Deps) -> Answer:
    """Serve an answer in one body. Raises :class:`~cliproxy.errors.ProxyError`."""
    with _recorded(request, deps) as recorder:

        async def ask(wanted: ClientRequest) -> Answer:
            return await _answered(wanted, deps, recorder.part())

        answer = await _answered(request, deps, recorder)
        if answer.portions is not None:
            answer = await completed(request, answer, ask)
        recorder.usage = answer.usage
        return answer


async def _answered(request: ClientRequest, deps: Deps, recorder: Recorder) -> Answer:
    config = deps.snapshot().config
    total_s = config.timeouts.total_seconds or inf

    async def serve(stream: UpstreamStream, plan: Plan) -> Answer:
        patient = Patient(stream, config.timeouts.idle_seconds, total_s)
        if _streams(stream, plan):
            body = await _collected(patient, plan, recorder, config)
        else:
            body = _whole(stream, await patient.read_all(_most(config)), plan, recorder)
        recorder.first_byte()
        return Answer(
            body=body,
            headers=stream.headers,
            veil=plan.veil,
            usage=recorder.usage,
            portions=plan.portions,
        )

    return await Attempts(request, deps, recorder, serve).run()


def _whole(stream: UpstreamStream, body: bytes, plan: Plan, recorder: Recorder) -> bytes:
    """Turn a complete upstream body into the client's."""
    try:
        value = _answer_value(body, plan)
        glimpse = plan.inspect(value)
        _check(glimpse)
        plan.remember(glimpse.answer_id)
        if glimpse.usage is not None:
            recorder.usage = glimpse.usage
        if plan.passes_through:
            return body
        translated, recorder.usage = plan.translate(value)
        return dumps(translated)
    except (JsonError, DialectError) as exc:
        raise AttemptFailed(_unreadable(stream, exc)) from exc


def _answer_value(body: bytes, plan: Plan) -> JsonObject:
    if not body.strip():
        raise AttemptFailed(empty_answer())
    return plan.upstream.read_answer(body)


def _check(glimpse: Glimpse) -> None:
    if glimpse.error is not None:
        raise AttemptFailed(failure_from_stream(glimpse.error))
    if not glimpse.has_content:
        raise AttemptFailed(empty_answer())


async def _collected(stream: Patient, plan: Plan, recorder: Recorder, config: Config) -> bytes:
    """Collect a streamed upstream answer into one body."""
    collector = Collector()
    try:
        await _collect(stream, plan, collector, config)
    except FrameError as exc:
        raise AttemptFailed(broken_answer(f"the upstream sent {exc}")) from exc
    finally:
        recorder.usage = collector.result().usage
    response = collector.result()
    if not any(choice.parts for choice in response.choices) and not collector.ended_for_a_reason:
        raise AttemptFailed(empty_answer())
    plan.remember(response.id)
    return dumps(plan.client.encode_response(response, plan.context))


async def _collect(stream: Patient, plan: Plan, collector: Collector, config: Config) -> None:
    parser = FrameParser(config.limits.event_mb * MEGABYTE)
    decoder = plan.upstream.stream_decoder(plan.context)
    while data := await stream.read():
        for frame in parser.feed(data):
            _take(decoder.feed(frame), collector)
    for frame in parser.finish():
        _take(decoder.feed(frame), collector)
    _take(decoder.finish(), collector)


def _take(events: list[Event], collector: Collector) -> None:
    for event in events:
        match event:
            case StreamError():
                raise AttemptFailed(failure_from_stream(event))
            case End(clean=False) if not collector.is_finished:
                raise AttemptFailed(broken_answer(CUT_OFF))
            case _:
                collector.feed(event)


async def count_exchange(request: ClientRequest, deps: Deps) -> Answer:
    """Count the tokens of a request: by the upstream where it can, by estimate otherwise."""
    client = by_id(request.dialect)
    config = deps.snapshot().config
    with _recorded(request, deps) as recorder:
        encode = client.encode_count
        if encode is None:
            raise BadRequest(f"counting tokens is not part of the `{client.id}` API")

        async def serve(stream: UpstreamStream, plan: Plan) -> int:
            try:
                value = _answer_value(await _body(stream, config), plan)
            except JsonError as exc:
                raise AttemptFailed(_unreadable(stream, exc)) from exc
            count = plan.upstream.decode_count(value) if plan.upstream.decode_count is not None else None
            if count is None:
                raise AttemptFailed(broken_answer("the upstream's token count cannot be read"))
            return count

        attempts = Attempts(request, deps, recorder, serve)
        count = await _counted(attempts)
        try:
            counted = estimate_tokens(attempts.decoded()) if count is None else count
        except DialectError as exc:
            raise BadRequest(exc.message, param=exc.param) from exc
        return Answer(body=dumps(encode(counted)))


async def _counted(attempts: Attempts[int]) -> int | None:
    """Return the upstream's count; ``None`` when nobody counts, or nobody can be asked just now, which is
    not worth an error."""
    if not attempts.is_supported():
        await trio.lowlevel.checkpoint()
        return None
    try:
        return await attempts.run()
    except NothingReady:
        return None
    except UpstreamError as exc:
        if exc.failures[-1].ends_exchange:
            raise
        return None
