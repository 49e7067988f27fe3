"""One JSON text parsed for each translated event, and no more than one built: counted, since it is exact.

The streams are those of ``python -m benchmarks translation``, which tells what the events cost in time.
"""

import pytest

from benchmarks import translation
from benchmarks.dialects import DIALECTS, EVENTS
from cliproxy.dialects.base import Framing
from cliproxy.exchange.carry import carrier_for
from cliproxy.wire.jsontext import dumps
from cliproxy.wire.sse import MAX_FRAME_BYTES, FrameParser, render

pairs = pytest.mark.parametrize("client", DIALECTS)
upstreams = pytest.mark.parametrize("upstream", DIALECTS)


def parses_and_builds(client: str, upstream: str, events: list[bytes]) -> list[tuple[int, int, int]]:
    """Carry a stream; tell for each read how many texts were parsed and built, and how many frames out."""
    plan = translation.planned(DIALECTS[client].request("m", stream=True)[1], client, upstream)
    assert plan.passes_through == (client == upstream)
    carrier = carrier_for(plan, Framing.SSE, MAX_FRAME_BYTES)
    counts: list[tuple[int, int, int]] = []
    for event in events:
        with translation.counting() as counted:
            step = carrier.feed(event)
        frames = FrameParser().feed(step.output)
        counts.append((len(counted.parses), len(counted.builds), len(frames)))
    return counts


@pairs
@upstreams
def test_a_text_event_is_parsed_once_and_built_at_most_once(client: str, upstream: str) -> None:
    first, *texts, _ = DIALECTS[upstream].script.events()
    counts = parses_and_builds(client, upstream, [first, *texts])[2:]
    assert len(counts) == EVENTS - 1
    assert {frames for *_, frames in counts} == {1}
    assert max(parses for parses, *_ in counts) <= 1
    assert max(builds for _, builds, _ in counts) <= (client != upstream)


@pairs
@upstreams
def test_nothing_else_of_a_stream_is_parsed_or_built_twice(client: str, upstream: str) -> None:
    """What opens and closes a stream may be several events, of which each is parsed once; what is written is
    built once for each frame, but for the templates of the text to come."""
    events = DIALECTS[upstream].script.events()
    for event, (parses, builds, frames) in zip(
        events, parses_and_builds(client, upstream, events), strict=True
    ):
        assert parses <= len(FrameParser().feed(event))
        assert builds <= frames + 1


@pairs
def test_a_fragment_of_arguments_is_parsed_once_and_built_at_most_once(client: str) -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def event(call: dict[str, object]) -> bytes:
        delta = {"tool_calls": [{"index": 0, **call}]}
        return render(dumps({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))  # type: ignore[dict-item]

    opening = event({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}})
    fragments = [event({"function": {"arguments": piece}}) for piece in ('{"a"', ": [1, ", "2]}")]
    for parses, builds, _ in parses_and_builds(client, "openai", [opening, *fragments])[1:]:
        assert parses <= 1
        assert builds <= 1
