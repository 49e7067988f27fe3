"""The SSE parser: any cutting of the bytes gives the same frames, and no byte is lost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import FrameError
from cliproxy.wire.sse import Frame, FrameParser, FrameRun, comment, make_frame, render

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXTS = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])
    | st.sampled_from("\u2028\u2029\x85\x0b\x0c\x1c"),
    max_size=12,
).map(str.encode)
FIELDS = st.sampled_from([b"data", b"event", b"id", b"retry", b""])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Streams with mixed line ends, comments, unknown fields and separators inside the text."""
    pieces = [draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))]
    for _ in range(draw(st.integers(0, 5))):
        end = draw(LINE_ENDS)
        for _ in range(draw(st.integers(0, 3))):
            pieces += [draw(FIELDS), draw(st.sampled_from([b":", b": "])), draw(TEXTS), end]
        pieces.append(end)
    pieces.append(draw(st.sampled_from([b"", b"data: unfinished", b"data: x\n"])))
    return b"".join(pieces)


def frames_of(chunks: list[bytes]) -> list[Frame]:
    parser = FrameParser()
    frames = [frame for chunk in chunks for frame in parser.feed(chunk)]
    return frames + parser.finish()


@given(streams(), st.data())
def test_any_cutting_gives_the_same_frames(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    assert frames_of(chunks) == frames_of([stream])


@given(streams())
def test_one_byte_at_a_time_gives_the_same_frames(stream: bytes) -> None:
    assert frames_of([bytes([byte]) for byte in stream]) == frames_of([stream])


@given(streams())
def test_every_byte_belongs_to_one_frame(stream: bytes) -> None:
    assert b"".join(frame.raw for frame in frames_of([stream])) == stream


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"data: a\n\n", [(None, b"a")], id="plain"),
        pytest.param(b"data:a\n\n", [(None, b"a")], id="no space"),
        pytest.param(b"data:  a\n\n", [(None, b" a")], id="only one space belongs to the syntax"),
        pytest.param(b"event: x\r\ndata: a\r\n\r\n", [(b"x", b"a")], id="CR LF"),
        pytest.param(b"event: x\rdata: a\r\rdata: b\r\r", [(b"x", b"a"), (None, b"b")], id="CR"),
        pytest.param(b"data: a\ndata: b\n\n", [(None, b"a\nb")], id="several data lines"),
        pytest.param(b"data\n\n", [(None, b"")], id="field without a colon has no value"),
        pytest.param(b": ping\n\ndata: a\n\n", [(None, b""), (None, b"a")], id="comment"),
        pytest.param(b"retry: 5\nid: 7\ndata: a\n\n", [(None, b"a")], id="other fields"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [(None, b"a")], id="byte order mark"),
        pytest.param(b"data: a", [(None, b"a")], id="no final blank line"),
        pytest.param(
            "data: a\u2028b\u2029c\x85d\n\n".encode(), [(None, "a\u2028b\u2029c\x85d".encode())], id="U+2028"
        ),
        pytest.param(b"data: [DONE]\n\n", [(None, b"[DONE]")], id="done"),
    ],
)
def test_frames(stream: bytes, expected: list[tuple[bytes | None, bytes]]) -> None:
    assert [(frame.event, frame.data) for frame in frames_of([stream])] == expected


def test_a_cr_at_the_end_waits_for_its_lf() -> None:
    parser = FrameParser()
    assert parser.feed(b"data: a\r\n\r") == []
    assert [frame.raw for frame in parser.feed(b"\ndata: b\r\n\r\n")] == [
        b"data: a\r\n\r\n",
        b"data: b\r\n\r\n",
    ]


def test_an_endless_frame_is_refused() -> None:
    parser = FrameParser(max_frame_bytes=100)
    with pytest.raises(FrameError, match="100 bytes"):
        parser.feed(b"data: " + b"x" * 200)


def test_a_long_frame_is_refused_when_it_arrives_complete() -> None:
    with pytest.raises(FrameError):
        FrameParser(max_frame_bytes=100).feed(b"data: " + b"x" * 200 + b"\n\n")


def test_comments_are_no_content() -> None:
    (frame,) = frames_of([comment(b"keep-alive")])
    assert frame.is_comment
    assert not make_frame(b"{}").is_comment


@given(TEXTS, st.none() | st.sampled_from([b"message_start", b"x"]))
def test_what_is_rendered_is_parsed_back(data: bytes, event: bytes | None) -> None:
    data = b"{" + data
    (frame,) = frames_of([render(data, event)])
    assert (frame.event, frame.data) == (event, data)


def test_data_over_several_lines_is_rendered_so_that_it_comes_back() -> None:
    (frame,) = frames_of([render(b"a\nb\nc")])
    assert frame.data == b"a\nb\nc"


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b"data: a\n\n", 9),
        (b"data:a\n\ndata: b\n\n", 17),
        (b"data: a\n\ndata: b\n", 9),
        (b"data: a\n\ndata: b\r\n\r\n", 9),
        (b"data: a\n\n: comment\n\n", 9),
        (b"data: a\ndata: b\n\n", 0),
        (b"data: \n\n", 0),
        (b"\ndata: a\n\n", 0),
        (b"event: x\ndata: a\n\n", 0),
        (b"data: a\x0b\xe2\x80\xa8b\n\n", 14),
    ],
)
def test_a_run_is_of_frames_of_the_commonest_form(data: bytes, end: int) -> None:
    assert FrameRun().end(data, 0) == end
    assert FrameRun().end(b"x" + data, 1) == end + 1


def test_a_run_may_demand_a_line_before_the_data() -> None:
    run = FrameRun(rb"event: [ab]")
    assert run.end(b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\nevent: c\ndata: 3\n\n", 0) == 36
    assert run.end(b"data: 1\n\n", 0) == 0
