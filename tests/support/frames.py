"""Driving stream decoders and encoders by hand: bytes to frames to events and back."""

from collections.abc import Iterable

from hypothesis import strategies as st

from cliproxy.dialects.base import StreamDecoder, StreamEncoder
from cliproxy.ir.collect import Collector
from cliproxy.ir.events import Event
from cliproxy.ir.response import IRResponse
from cliproxy.wire.jsontext import JsonValue, dumps
from cliproxy.wire.sse import Frame, FrameParser, make_frame


def parse(data: bytes) -> list[Frame]:
    """Cut a complete stream into frames."""
    parser = FrameParser()
    return [*parser.feed(data), *parser.finish()]


def json_frames(values: "Iterable[JsonValue | bytes]") -> list[Frame]:
    """Make data-only frames; bytes are taken as they are."""
    return [make_frame(value if isinstance(value, bytes) else dumps(value)) for value in values]


def decode(decoder: StreamDecoder, frames: Iterable[Frame]) -> list[Event]:
    """Feed a complete stream and return all its events."""
    events: list[Event] = []
    for frame in frames:
        events += decoder.feed(frame)
    return events + decoder.finish()


def decode_cut(decoder: StreamDecoder, data: bytes, cuts: Iterable[int]) -> list[Event]:
    """Feed a stream that arrives in pieces, cut at the given offsets."""
    parser = FrameParser()
    events: list[Event] = []
    start = 0
    for end in (*sorted(cuts), len(data)):
        for frame in parser.feed(data[start:end]):
            events += decoder.feed(frame)
        start = end
    for frame in parser.finish():
        events += decoder.feed(frame)
    return events + decoder.finish()


def encode(encoder: StreamEncoder, events: Iterable[Event]) -> list[Frame]:
    """Encode a complete sequence and return all its frames."""
    frames: list[Frame] = []
    for event in events:
        frames += encoder.encode(event)
    return frames + encoder.finish()


def collect(events: Iterable[Event]) -> IRResponse:
    """Add up a stream."""
    collector = Collector()
    for event in events:
        collector.feed(event)
    return collector.result()


def cuts_of(data: bytes) -> st.SearchStrategy[list[int]]:
    """Offsets at which a stream may be cut, inside characters and line ends included."""
    return st.lists(st.integers(0, len(data)), max_size=12)


def one_byte_cuts(data: bytes) -> range:
    """The finest cutting of all."""
    return range(1, len(data))
