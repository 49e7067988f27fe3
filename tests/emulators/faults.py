"""Scripts: which behaviour the next requests get, and how a behaviour changes an answer.

A script is a queue of entries. The first entry whose `when` fits a request is used for it, `times` times
(0: always). An entry says *what* is answered (`turn`, `status`, `raw`, or nothing for the usual answer) and
*how* it travels (pace, cuts, silences, encodings); a `fault` is only a name for a common combination of
both, looked up in `FAULTS`.

`operations` turns an answer and an entry into the list of steps the engine performs: `Head`, `Data`,
`Pause`, … The list is the whole truth about the wire, so every fault can be read and tested without a
socket.
"""

import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from typing import TypeAlias

from attrs import evolve, field, frozen

from emulators.turns import turn_from_json
from emulators.values import (
    Answer,
    HeaderList,
    Json,
    JsonObject,
    Request,
    as_list,
    as_object,
    as_text,
    dumps,
    loads,
)

RESET_GRACE_S = 0.05
"""Time between the last bytes and a reset, so that the bytes are read before the reset overtakes them."""

MEGABYTE = 1024 * 1024

FAULTS: dict[str, JsonObject] = {
    "silence": {"silence_before_head": True},
    "close_before_head": {"cut": "fin", "cut_after": -1},
    "reset_before_head": {"cut": "rst", "cut_after": -1},
    "head_then_silence": {"silence_after": 0},
    "head_then_reset": {"cut": "rst", "cut_after": 0},
    "half_event_fin": {"cut": "fin", "cut_after": 1, "half": "event"},
    "half_event_end": {"cut": "end", "cut_after": 1, "half": "event"},
    "half_utf8_rst": {
        "cut": "rst",
        "cut_after": 0,
        "half": "utf8",
        "turn": {"blocks": [{"text": "caf\u00e9 au lait"}]},
    },
    "json_error_200": {"status": 500, "as_status": 200},
    "empty_200": {"empty": True},
    "html_200": {
        "raw": {
            "headers": {"content-type": "text/html; charset=utf-8"},
            "text": "<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>",
        }
    },
    "no_terminal": {"drop_terminal": True},
    "two_terminals": {"repeat_terminal": True},
    "broken_event": {"broken_event": 1},
    "huge_event": {"turn": {"blocks": [{"text_size": MEGABYTE}]}},
    "huge_body": {"turn": {"blocks": [{"text_size": 64 * MEGABYTE}]}},
    "gzip": {"gzip": True},
    "wrong_content_type": {"content_type": "text/plain"},
    "drip": {"drip": 1.0},
    "error_event": {"error_after": 2},
    "stall": {"silence_after": 2},
    "not_http": {"bytes": "\x15\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n"},
    "bad_chunk": {"bad_chunk_after": 1},
    "redirect": {"raw": {"status": 302, "headers": {"location": "http://127.0.0.1:9/elsewhere"}, "text": ""}},
}


@frozen
class Head:
    """Send the response head; `length` None means chunked."""

    status: int
    headers: HeaderList
    length: int | None


@frozen
class Data:
    """Write body bytes in one go; `counts` when they complete an event."""

    data: bytes
    counts: bool = True


@frozen
class Drip:
    """Write one byte at a time."""

    data: bytes
    seconds: float


@frozen
class Pause:
    """Wait for a time."""

    seconds: float


@frozen
class Hold:
    """Wait until a test releases the hold."""


@frozen
class Silence:
    """Say nothing more until the client leaves."""


@frozen
class Finish:
    """End the body properly."""


@frozen
class Cut:
    """End the connection without ending the body: `fin` or `rst`."""

    how: str


@frozen
class Raw:
    """Write bytes past the HTTP layer."""

    data: bytes


Operation: TypeAlias = Head | Data | Drip | Pause | Hold | Silence | Finish | Cut | Raw


@frozen
class When:
    """Which requests an entry is for; an empty field fits every request."""

    method: str = ""
    path: str = ""
    """Part of the path."""
    contains: str = ""
    """Part of the body."""
    key: str = ""
    """Part of the credential headers (or the `key` parameter)."""
    stream: bool | None = None

    def fits(self, request: Request) -> bool:
        """Whether a request is meant."""
        if self.method and self.method.upper() != request.method:
            return False
        if self.path not in request.path or self.contains.encode() not in request.body:
            return False
        if self.key and not any(self.key in text for text in _credentials(request)):
            return False
        return self.stream is None or self.stream == asks_for_stream(request)


@frozen(kw_only=True)
class Entry:
    """One script entry, read and checked."""

    spec: JsonObject
    when: When
    times: int = 1
    names: frozenset[str] = field(default=frozenset())

    def number(self, name: str) -> float | None:
        """A numeric setting."""
        value = self.spec.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def count(self, name: str) -> int | None:
        """A whole-number setting."""
        value = self.number(name)
        return None if value is None else int(value)

    def flag(self, name: str) -> bool:
        """A yes-or-no setting."""
        return self.spec.get(name) is True

    def text(self, name: str) -> str:
        """A textual setting."""
        return as_text(self.spec.get(name))


KEYS = frozenset(
    {"when", "times", "unchecked"}
    | {"fault", "turn", "status", "as_status", "message", "code", "type", "raw", "bytes"}
    | {"retry_after", "retry_after_date", "retry_delay", "headers", "content_type", "gzip", "empty"}
    | {"head_delay", "pace", "drip", "split", "coalesce"}
    | {"hold_head", "hold_after", "silence_before_head", "silence_after", "cut", "cut_after", "half"}
    | {"error_after", "drop_terminal", "repeat_terminal", "broken_event", "bad_chunk_after"}
)
USUAL = Entry(spec={}, when=When())


def read_entry(value: Json) -> Entry:
    """Check one script entry; raises ValueError naming what is wrong."""
    spec = as_object(value)
    name = as_text(spec.get("fault"))
    if name and name not in FAULTS:
        msg = f"unknown fault {name!r}; known: {', '.join(sorted(FAULTS))}"
        raise ValueError(msg)
    spec = {**FAULTS.get(name, {}), **spec}
    unknown = set(spec) - KEYS
    if unknown or not spec:
        msg = f"unknown script keys {sorted(unknown)}; known: {', '.join(sorted(KEYS))}"
        raise ValueError(msg)
    if "turn" in spec:
        turn_from_json(as_object(spec["turn"]))
    if spec.get("cut") not in {None, "fin", "rst", "end"} or spec.get("half") not in {None, "event", "utf8"}:
        msg = "cut is one of fin, rst, end; half is one of event, utf8"
        raise ValueError(msg)
    times = spec.get("times", 1)
    return Entry(spec=spec, when=_read_when(spec.get("when")), times=times if isinstance(times, int) else 1)


def _read_when(value: Json) -> When:
    spec = as_object(value)
    stream = spec.get("stream")
    texts = {key: as_text(text) for key, text in spec.items() if key != "stream"}
    try:
        return When(**texts, stream=stream if isinstance(stream, bool) else None)
    except TypeError as exc:
        msg = f"when takes method, path, contains, key, stream: {exc}"
        raise ValueError(msg) from exc


def _credentials(request: Request) -> Iterator[str]:
    yield request.query.get("key", "")
    for name in ("authorization", "x-api-key", "x-goog-api-key", "private-token"):
        yield request.header(name) or ""


def asks_for_stream(request: Request) -> bool:
    """Whether a request wants a stream, by its body or its path."""
    if "stream" in request.path:
        return True
    try:
        return as_object(loads(request.body)).get("stream") is True
    except ValueError:
        return False


def replaced(entry: Entry, failure: Callable[[int, JsonObject], Answer], now: float) -> Answer | None:
    """The answer an entry puts in place of the usual one, if it names one."""
    status = entry.count("status")
    if status is not None:
        answer = failure(status, entry.spec)
        answer = evolve(answer, status=entry.count("as_status") or answer.status)
    elif "raw" in entry.spec:
        answer = _raw_answer(as_object(entry.spec["raw"]))
    else:
        return None
    return decorated(answer, entry, now)


def decorated(answer: Answer, entry: Entry, now: float) -> Answer:
    """Add the headers an entry asks for."""
    extra = [(key, as_text(value)) for key, value in as_object(entry.spec.get("headers")).items()]
    seconds, date = entry.spec.get("retry_after"), entry.number("retry_after_date")
    if seconds is not None:
        extra.append(("retry-after", str(seconds)))
    if date is not None:
        extra.append(("retry-after", formatdate(now + date, usegmt=True)))
    return answer.with_headers(*extra)


def _raw_answer(spec: JsonObject) -> Answer:
    status = spec.get("status", 200)
    headers = tuple((key, as_text(value)) for key, value in as_object(spec.get("headers")).items())
    if "json" in spec:
        body, headers = dumps(spec["json"]), (("content-type", "application/json"), *headers)
    elif "base64" in spec:
        body = b64decode(as_text(spec["base64"]))
    else:
        body = as_text(spec.get("text")).encode()
    pieces = tuple(as_text(piece).encode() for piece in as_list(spec.get("pieces"))) or (body,)
    return Answer(
        status=status if isinstance(status, int) else 200,
        headers=headers,
        pieces=pieces,
        is_stream="pieces" in spec,
    )


def operations(answer: Answer, entry: Entry = USUAL) -> list[Operation]:
    """The steps that carry an answer, changed as the entry says."""
    if entry.spec.get("bytes") is not None:
        return [Raw(entry.text("bytes").encode("latin-1", "replace")), Cut("fin")]
    steps: list[Operation] = [*_before_head(entry)]
    if steps and isinstance(steps[-1], Cut | Silence):
        return steps
    answer = _reshaped(answer, entry)
    steps.append(_head(answer, entry))
    steps += _body(answer, entry)
    return _recut(steps, entry)


def _before_head(entry: Entry) -> Iterator[Operation]:
    delay = entry.number("head_delay")
    if delay:
        yield Pause(delay)
    if entry.flag("hold_head"):
        yield Hold()
    if entry.flag("silence_before_head"):
        yield Silence()
    elif entry.count("cut_after") == -1:
        yield Cut(entry.text("cut"))


def _reshaped(answer: Answer, entry: Entry) -> Answer:
    """Apply what changes the pieces themselves."""
    pieces = answer.pieces
    if entry.flag("empty"):
        pieces = ()
    if entry.flag("drop_terminal") and answer.terminal:
        pieces = pieces[: -answer.terminal]
    if entry.flag("repeat_terminal") and answer.terminal:
        pieces = (*pieces, *pieces[-answer.terminal :])
    broken = entry.count("broken_event")
    if broken is not None and broken < len(pieces):
        pieces = (*pieces[:broken], _truncated(pieces[broken]), *pieces[broken + 1 :])
    error_at = entry.count("error_after")
    if error_at is not None:
        pieces = (*pieces[:error_at], answer.error_piece) if answer.is_stream else (answer.error_piece,)
    if entry.flag("coalesce"):
        pieces = (b"".join(pieces),)
    if entry.flag("gzip"):
        pieces = tuple(_gzipped(pieces))
        answer = answer.with_headers(("content-encoding", "gzip"))
    return evolve(answer, pieces=pieces)


def _truncated(piece: bytes) -> bytes:
    """An event whose framing is right and whose JSON is cut short."""
    body = piece.rstrip(b"\r\n")
    return body[: len(body) // 2 + 1] + piece[len(body) :]


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _head(answer: Answer, entry: Entry) -> Head:
    headers = answer.headers
    content_type = entry.text("content_type")
    if content_type:
        others = ((key, value) for key, value in headers if key.lower() != "content-type")
        headers = (*others, ("content-type", content_type))
    chunked = answer.is_stream or entry.count("bad_chunk_after") is not None
    return Head(answer.status, headers, None if chunked else sum(map(len, answer.pieces)))


def _body(answer: Answer, entry: Entry) -> Iterator[Operation]:
    """The body step by step, with the interruptions of the entry at their places."""
    half_at = _half_at(answer.pieces, entry)
    cut_at = half_at if half_at is not None else entry.count("cut_after")
    for at in range(len(answer.pieces) + 1):
        if at == entry.count("hold_after"):
            yield Hold()
        if at == entry.count("silence_after"):
            yield Silence()
            return
        if at == entry.count("bad_chunk_after"):
            yield from (Raw(b"zz\r\nnot a chunk\r\n"), Cut("fin"))
            return
        if at == cut_at:
            if half_at is not None and at < len(answer.pieces):
                yield Data(_half(answer.pieces[at], entry.text("half")), counts=False)
            yield from _ending(entry.text("cut") or "fin")
            return
        if at < len(answer.pieces):
            yield from _paced(answer.pieces[at], entry, first=at == 0)
    yield Finish()


def _paced(piece: bytes, entry: Entry, *, first: bool) -> Iterator[Operation]:
    pace, drip = entry.number("pace"), entry.number("drip")
    if pace and not first:
        yield Pause(pace)
    yield Drip(piece, drip) if drip else Data(piece)


def _ending(how: str) -> Iterator[Operation]:
    if how == "end":
        yield Finish()
        return
    if how == "rst":
        yield Pause(RESET_GRACE_S)
    yield Cut(how)


def _half_at(pieces: tuple[bytes, ...], entry: Entry) -> int | None:
    """Index of the piece to be cut in half: the first fitting one from `cut_after` on."""
    wanted, start = entry.text("half"), entry.count("cut_after") or 0
    if not wanted:
        return None
    start = min(start, max(len(pieces) - 1, 0))
    if wanted == "event":
        return start
    return next((at for at in range(start, len(pieces)) if not pieces[at].isascii()), start)


def _half(piece: bytes, wanted: str) -> bytes:
    if wanted == "utf8" and not piece.isascii():
        lead = next(at for at, byte in enumerate(piece) if byte > 0x7F)
        return piece[: lead + 1]
    return piece[: len(piece) // 2]


def _recut(steps: list[Operation], entry: Entry) -> list[Operation]:
    """Cut the writes into pieces of `split` bytes that ignore where events begin and end."""
    size = entry.count("split")
    if not size:
        return steps
    result: list[Operation] = []
    for step in steps:
        if isinstance(step, Data):
            parts = [step.data[at : at + size] for at in range(0, len(step.data), size)]
            result += [Data(part, counts=step.counts and part is parts[-1]) for part in parts]
        else:
            result.append(step)
    return result
