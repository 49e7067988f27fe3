"""What holds of every dialect, and of every two: one statement each, for all that are declared.

A dialect's own tests say what it does; these say what none may do differently. A dialect that is new to
``DIALECTS`` is held to them without anybody's doing. Token counts: see ``test_usage.py``.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliproxy.dialects import DIALECTS, Dialect, by_id
from cliproxy.dialects.base import Framing
from cliproxy.errors import DialectError
from cliproxy.exchange.carry import PassThrough
from cliproxy.exchange.plan import Plan
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import BlockKind, End, Event, Finish, StreamError
from cliproxy.ir.request import IRRequest, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse
from cliproxy.wire.jsontext import dumps, loads_object
from cliproxy.wire.sse import MAX_FRAME_BYTES
from support import ir_strategies
from support.exchange import FakeContract
from support.frames import collect, cuts_of, decode, decode_cut, encode, one_byte_cuts
from support.properties import (
    CLIENTS,
    REQUEST_GRAMMARS,
    are_strangers,
    asked,
    check_answer,
    check_request,
    check_stream,
    check_told,
    context_of,
)

READ = (*CLIENTS, by_id("codex"))
"""Dialects of conversations whose requests are both read and written."""
SPOKEN = (*READ, by_id("antigravity"))
"""Dialects of conversations whose answers are."""
WITH_CALLS = tuple(dialect for dialect in SPOKEN if dialect.id != "completions")

fewer = settings(max_examples=settings().max_examples // 4)
"""There are many dialects; a run with more examples has more of these as well."""
spoken = pytest.mark.parametrize("dialect", SPOKEN, ids=lambda dialect: dialect.id)
with_calls = pytest.mark.parametrize("dialect", WITH_CALLS, ids=lambda dialect: dialect.id)
all_dialects = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.id)
clients = pytest.mark.parametrize("client", CLIENTS, ids=lambda dialect: dialect.id)
upstreams = st.sampled_from(DIALECTS)

plain_answers = st.builds(
    lambda parts, calls, usage: IRResponse(
        id="id-1",
        model="m",
        choices=[Choice([*parts, *calls], Ending(FinishReason.TOOL_CALLS if calls else FinishReason.STOP))],
        usage=usage,
        created=1_700_000_000,
    ),
    st.lists(ir_strategies.plain_texts, min_size=1, max_size=1),
    st.lists(ir_strategies.function_calls, max_size=3, unique_by=lambda call: call.id),
    ir_strategies.usages,
)
"""Answers that every dialect with tools can say."""


def well_ended(**narrowed: object) -> st.SearchStrategy[list[Event]]:
    """Streams that end as they should; in some dialects, a reason to end can be an error itself."""
    sequences = ir_strategies.events(failing=False, finished=True, max_choices=1, **narrowed)
    return sequences.filter(lambda events: not any(map(_is_failure, events)))


def _is_failure(event: Event) -> bool:
    failures = (FinishReason.ERROR, FinishReason.CANCELLED)
    return isinstance(event, Finish) and event.ending.reason in failures


def stream_of(dialect: Dialect, events: list[Event]) -> bytes:
    """Write events in a dialect, as bytes."""
    context = context_of(dialect.id, dialect.id, include_usage=True)
    return b"".join(frame.raw for frame in encode(dialect.stream_encoder(context), events))


def read(dialect: Dialect, data: bytes, cuts: object = ()) -> list[Event]:
    """Read a stream of a dialect that arrives in pieces."""
    return decode_cut(dialect.stream_decoder(context_of(dialect.id, dialect.id)), data, cuts)


def said(response: IRResponse) -> list[object]:
    """Return what an answer says, without what dialects know under other names."""
    parts = [part for choice in response.choices for part in choice.parts]
    return [
        (part.name, part.arguments) if isinstance(part, ToolCall) else getattr(part, "text", part)
        for part in parts
    ]


# --- split invariance -------------------------------------------------------------------------------------


@spoken
@fewer
@given(events=ir_strategies.events(failing=False), data=st.data())
def test_the_cutting_of_a_stream_makes_no_difference(
    dialect: Dialect, events: list[Event], data: st.DataObject
) -> None:
    stream = stream_of(dialect, events)
    whole = read(dialect, stream)
    assert read(dialect, stream, data.draw(cuts_of(stream))) == whole
    assert read(dialect, stream, one_byte_cuts(stream)) == whole


# --- round trips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", READ, ids=lambda dialect: dialect.id)
@fewer
@given(request=ir_strategies.requests())
def test_a_request_of_ours_is_read_and_written_alike(dialect: Dialect, request: IRRequest) -> None:
    """What a dialect writes is what it reads: the second time nothing changes any more."""
    try:
        first = asked(request, dialect, context_of(dialect.id, dialect.id))
    except DialectError:
        return
    context = context_of(dialect.id, dialect.id, requested_model=request.model)
    again = asked(dialect.decode_request(loads_object(dumps(first)), context), dialect, context)
    twice = context_of(dialect.id, dialect.id, requested_model=request.model)
    assert asked(dialect.decode_request(again, twice), dialect, twice) == again


@with_calls
@fewer
@given(response=plain_answers)
def test_an_answer_is_read_as_it_was_written(dialect: Dialect, response: IRResponse) -> None:
    context = context_of(dialect.id, dialect.id)
    body = loads_object(dumps(dialect.encode_response(response, context)))
    read_again = dialect.decode_response(body, context)
    assert said(read_again) == said(response)
    assert read_again.usage.total == response.usage.total
    written = dialect.encode_response(read_again, context)
    assert dialect.encode_response(dialect.decode_response(written, context), context) == written


@with_calls
@fewer
@given(response=plain_answers)
def test_a_stream_says_what_the_whole_answer_says(dialect: Dialect, response: IRResponse) -> None:
    context = context_of(dialect.id, dialect.id)
    whole = dialect.decode_response(dialect.encode_response(response, context), context)
    streamed = collect(read(dialect, stream_of(dialect, [*to_events(response)])))
    assert said(streamed) == said(whole)
    assert [choice.ending.reason for choice in streamed.choices] == [
        choice.ending.reason for choice in whole.choices
    ]
    assert streamed.usage.total == whole.usage.total


@spoken
@fewer
@given(events=well_ended(kinds=[BlockKind.TEXT]))
def test_a_stream_does_not_grow(dialect: Dialect, events: list[Event]) -> None:
    """Read and written again, a stream of text has no more frames than it had."""
    context = context_of(dialect.id, dialect.id, include_usage=True)
    frames = encode(dialect.stream_encoder(context), events)
    again = context_of(dialect.id, dialect.id, include_usage=True)
    rewritten = encode(dialect.stream_encoder(again), decode(dialect.stream_decoder(again), frames))
    assert len(rewritten) <= len(frames)


# --- grammar ----------------------------------------------------------------------------------------------


@clients
@fewer
@given(upstream=upstreams, events=ir_strategies.events(failing=False, finished=True, max_choices=1))
def test_what_any_upstream_streams_is_legal_for_any_client(
    client: Dialect, upstream: Dialect, events: list[Event]
) -> None:
    """The events go over both wires: written as the upstream would, read, and told to the client."""
    context = context_of(client.id, upstream.id, include_usage=True)
    frames = encode(upstream.stream_encoder(context_of(upstream.id, upstream.id, include_usage=True)), events)
    heard = decode(upstream.stream_decoder(context), frames)
    assert isinstance(heard[-1], End | StreamError)
    check_told(heard, client, context)


@clients
@fewer
@given(upstream=upstreams, request=ir_strategies.requests())
def test_what_any_client_asks_is_legal_for_any_upstream(
    client: Dialect, upstream: Dialect, request: IRRequest
) -> None:
    """The request goes over both wires, or is refused with a message."""
    context = context_of(client.id, upstream.id, requested_model=request.model)
    try:
        wire = asked(request, client, context_of(client.id, client.id))
        body = asked(client.decode_request(wire, context), upstream, context)
    except DialectError as exc:
        assert exc.message  # noqa: PT017 - both ways are good
        return
    if upstream.id in REQUEST_GRAMMARS and are_strangers(client.id, upstream.id):
        REQUEST_GRAMMARS[upstream.id](body)


# --- totality ---------------------------------------------------------------------------------------------

bodies = ir_strategies.json_objects.map(dumps) | st.binary(max_size=40)


@all_dialects
@fewer
@given(data=bodies)
def test_whatever_arrives_is_read_or_refused(dialect: Dialect, data: bytes) -> None:
    """Realistic bodies with mistakes are tried by the fuzzer; these are anything at all."""
    check_request(dialect, data)
    check_answer(dialect, data)
    check_stream(dialect, b"data: " + data.replace(b"\n", b"") + b"\n\n")


# --- passing through --------------------------------------------------------------------------------------


@clients
@fewer
@given(events=well_ended(), data=st.data())
def test_what_passes_through_keeps_its_bytes(
    client: Dialect, events: list[Event], data: st.DataObject
) -> None:
    stream = stream_of(client, events)
    cuts = sorted(data.draw(cuts_of(stream)))
    plan = Plan(
        client=client,
        upstream=client,
        contract=FakeContract(client.id),
        passes_through=True,
        body=b"{}",
        stream=True,
        context=context_of(client.id, client.id),
    )
    carrier = PassThrough(plan, Framing.SSE, MAX_FRAME_BYTES)
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    output = b"".join(carrier.feed(piece).output for piece in pieces)
    end = carrier.finish()
    assert end.error is None
    assert output + end.output == stream
