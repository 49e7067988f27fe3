"""Token counts: disjoint in the hub, overlapping in their own way in every dialect, never lost on the way.

Vendors disagree on what a count includes: the prompt of one has the cached tokens in it, that of another has
not. A sum that is taken twice or forgotten is money somebody is billed or not.
"""

import pytest
from hypothesis import given

from cliproxy.dialects import DIALECTS, Dialect, by_id
from cliproxy.ir.events import BlockKind, BlockStart, BlockStop, End, Finish, Start, TextDelta, UsageUpdate
from cliproxy.ir.request import Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import loads_object
from support import ir_strategies
from support.factories import make_context
from support.frames import collect, decode, encode

CONVERSING = ("openai", "completions", "openai-response", "codex", "claude", "gemini")
"""Dialects of conversations that tell counts."""
ENVELOPES = ("gemini-cli", "antigravity")
"""Gemini in other clothes."""
WITHOUT_CACHE_WRITES = frozenset({"gemini", *ENVELOPES})
"""Dialects that do not tell what was written to a cache; it is a part of the prompt there."""
TELLING = [dialect for dialect in DIALECTS if dialect.id in {*CONVERSING, *ENVELOPES}]

dialects = pytest.mark.parametrize("dialect", TELLING, ids=lambda dialect: dialect.id)


def whole(usage: Usage, dialect: Dialect) -> Usage:
    """Write counts into a whole answer and read them."""
    context = make_context(client_dialect=dialect.id, upstream_dialect=dialect.id)
    choices = [Choice([Text("a")], Ending(FinishReason.STOP))]
    body = dialect.encode_response(IRResponse(id="i", model="m", choices=choices, usage=usage), context)
    glimpse = dialect.inspect_response(body)
    read = dialect.decode_response(body, context).usage
    assert glimpse.usage is None or glimpse.usage.total == read.total, "a glimpse sees what is read"
    return read


def streamed(usage: Usage, dialect: Dialect) -> Usage:
    """Write counts into a stream, some at the start and all at the end, and read them."""
    context = make_context(client_dialect=dialect.id, upstream_dialect=dialect.id, include_usage=True)
    early = Usage(usage.fresh_input, usage.cache_read, usage.cache_write)
    frames = encode(
        dialect.stream_encoder(context),
        [
            Start("i", "m", 1, early),
            BlockStart(0, BlockKind.TEXT),
            TextDelta(0, "a"),
            BlockStop(0),
            UsageUpdate(usage),
            Finish(Ending(FinishReason.STOP)),
            End(),
        ],
    )
    seen = Usage()
    for frame in frames:
        seen = seen.merged(dialect.inspect(frame).usage or Usage())
    read = collect(decode(dialect.stream_decoder(context), frames)).usage
    assert seen.total == read.total, "a glimpse sees what is read"
    return read


def counts(usage: Usage, *, tells_writes: bool = True) -> tuple[int, ...]:
    """What must come back: an absent count is a count of nothing."""
    told = (usage.cache_read, usage.reasoning, usage.cache_write if tells_writes else 0)
    return (usage.input_total, usage.output_total, usage.total, *(count or 0 for count in told))


@dialects
@given(usage=ir_strategies.usages)
def test_counts_survive_whole_answers_and_streams(dialect: Dialect, usage: Usage) -> None:
    tells_writes = dialect.id not in WITHOUT_CACHE_WRITES
    expected = counts(usage, tells_writes=tells_writes)
    assert counts(whole(usage, dialect), tells_writes=tells_writes) == expected
    assert counts(streamed(usage, dialect), tells_writes=tells_writes) == expected


@dialects
@given(usage=ir_strategies.usages)
def test_counts_survive_every_pair(dialect: Dialect, usage: Usage) -> None:
    """There and back through another dialect, nothing is counted twice."""
    for other in TELLING:
        there = whole(whole(usage, dialect), other)
        tells_writes = not {dialect.id, other.id} & WITHOUT_CACHE_WRITES
        assert counts(there, tells_writes=tells_writes) == counts(usage, tells_writes=tells_writes)


@pytest.mark.parametrize(
    ("upstream", "wire", "expected"),
    [
        (
            "openai",
            b'{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":100,"completion_tokens":7,'
            b'"total_tokens":107,"prompt_tokens_details":{"cached_tokens":85},'
            b'"completion_tokens_details":{"reasoning_tokens":3}}}',
            Usage(fresh_input=15, cache_read=85, output=4, reasoning=3, reported_total=107),
        ),
        (
            "openai-response",
            b'{"id":"r","status":"completed","output":[],"usage":{"input_tokens":100,"output_tokens":7,'
            b'"total_tokens":107,"input_tokens_details":{"cached_tokens":80,"cache_write_tokens":5},'
            b'"output_tokens_details":{"reasoning_tokens":3}}}',
            Usage(15, 80, 5, 4, 3, 107),
        ),
        (
            "claude",
            b'{"type":"message","content":[],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,'
            b'"cache_read_input_tokens":85,"output_tokens":7}}',
            Usage(10, 85, 5, 7),
        ),
        (
            "gemini",
            b'{"candidates":[],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":4,'
            b'"thoughtsTokenCount":6,"totalTokenCount":20,"cachedContentTokenCount":2}}',
            Usage(8, 2, None, 4, 6, 20),
        ),
    ],
)
def test_every_vendors_counts_are_read_as_disjoint_ones(upstream: str, wire: bytes, expected: Usage) -> None:
    usage = by_id(upstream).decode_response(loads_object(wire), make_context()).usage
    assert usage.merged(Usage()) == expected
