"""Server-sent events: an incremental parser and a writer, on bytes.

Contract: the "Server-sent events" chapter of the HTML Living Standard. Lines end with LF, CR LF or CR; a
blank line ends a frame; ``data`` lines are joined with LF; a line that starts with a colon is a comment; one
space after the colon of a field belongs to the syntax; a byte order mark may open the stream.

Two things differ from a browser's parser, because this is a proxy:

* every byte belongs to exactly one frame's ``raw``, comments and blank lines included, so that forwarding
  ``raw`` forwards the stream unchanged. A frame without ``data`` (a comment, a lone ``retry:``) is returned
  with empty ``data``;
* text is never decoded here. Splitting at anything but LF and CR would tear JSON strings apart that contain
  U+2028, U+2029 or U+0085 unescaped.

The parser never scans a byte twice: the search for the end of a frame resumes shortly before the point the
last one reached. A CR at the very end of the input is held back, since it may be the first half of CR LF.
"""

import re
from typing import Final

from attrs import define

from cliproxy.errors import FrameError

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_FRAME_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
"""Two line ends. Written out twice: a repetition would hide from the regular expression engine which bytes a
match can begin with, and it would try every byte of the stream."""
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_LONGEST_END: Final = 4


@define
class Frame:
    """One frame: the event name if given, the joined data, and the bytes it came from."""

    event: bytes | None
    data: bytes
    raw: bytes

    @property
    def is_comment(self) -> bool:
        """Whether the frame carries nothing an application would see."""
        return not self.data


class FrameParser:
    """Cut a byte stream into frames, however it arrives.

    ``feed`` and ``finish`` raise :class:`FrameError` when a frame exceeds the size limit; the parser is
    unusable afterwards.
    """

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._max = max_frame_bytes
        self._at_start = True

    @property
    def is_between_frames(self) -> bool:
        """Whether the next byte will begin a frame, and is not the first of all, where a mark may stand."""
        return not self._buffer and not self._at_start

    def feed(self, data: bytes) -> list[Frame]:
        """Take what arrived and return the frames it completed."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        start = 0
        at = max(self._searched - _LONGEST_END, 0)
        while match := _FRAME_END.search(buffer, at):
            if match.end() == len(buffer) and buffer.endswith(b"\r"):
                break
            frames.append(self._frame(bytes(buffer[start : match.end()])))
            start = at = match.end()
        if start:
            del buffer[:start]
        self._searched = len(buffer)
        if len(buffer) > self._max:
            raise FrameError(f"an event of more than {self._max} bytes")
        return frames

    def finish(self) -> list[Frame]:
        """Take the end of the input: what is left is a last frame, as some servers omit the closing blank
        line."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        if not rest:
            return []
        frames = []
        at = 0
        while match := _FRAME_END.search(rest, at):
            frames.append(self._frame(rest[at : match.end()]))
            at = match.end()
        if at < len(rest):
            frames.append(self._frame(rest[at:]))
        return frames

    def _frame(self, raw: bytes) -> Frame:
        if len(raw) > self._max:
            raise FrameError(f"an event of more than {self._max} bytes")
        body = raw
        if self._at_start:
            self._at_start = False
            body = body.removeprefix(_BOM)
        event: bytes | None = None
        data: list[bytes] = []
        for line in body.splitlines():  # of bytes: LF, CR LF and CR, nothing else
            name, colon, value = line.partition(b":")
            if colon and value.startswith(b" "):
                value = value[1:]
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = value
        return Frame(event, data[0] if len(data) == 1 else b"\n".join(data), raw)


class FrameRun:
    """Tells how far frames follow each other that have the commonest form: one line of data, preceded by
    nothing or by one given line, and no CR anywhere. ``line`` is a regular expression."""

    def __init__(self, line: bytes = b"") -> None:
        self._frames = re.compile(rb"(?:%bdata: ?\S.*\n\n)+" % (line and line + rb"\n"))

    def end(self, data: bytes, start: int) -> int:
        """Return where the last of these frames ends that begin at a place; the place itself if none does."""
        return_at = data.find(b"\r", start)
        run = self._frames.match(data, start, len(data) if return_at < 0 else return_at)
        return start if run is None else run.end()


def render(data: bytes, event: bytes | None = None) -> bytes:
    """Write one frame. ``data`` may span lines; JSON written by us never does."""
    head = b"event: " + event + b"\n" if event is not None else b""
    if b"\n" in data or b"\r" in data:
        return head + b"".join(b"data: " + line + b"\n" for line in _LINE_END.split(data)) + b"\n"
    return head + b"data: " + data + b"\n\n"


def make_frame(data: bytes, event: bytes | None = None) -> Frame:
    """Build a frame of our own."""
    return Frame(event, data, render(data, event))


def comment(text: bytes) -> bytes:
    """Write a comment frame, the keep-alive form of most dialects."""
    return b": " + text + b"\n\n"
