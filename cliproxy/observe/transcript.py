"""A request written down as it happens, in a file of its own, for whoever has to find out what went wrong.

A transcript has sections: the client's request, each request to an upstream with what came back, and the
answer to the client. Whoever serves the request only hands over what it has anyway; masking and writing are
done by the thread of a :class:`~cliproxy.observe.writer.Writer`. What is known in one place is written there
and then; the answer to the client, which grows at the same time as that of the upstream, waits in a file
beside and is put behind the rest at the end. Until then the names of the files end in ``.part``. They are
open only while something is written: descriptors are for connections.

**What is left out.** A section ends at :data:`LONGEST`, and says so. Values of header fields, query
parameters and JSON members whose names speak of secrets are masked, quotations of such values behind them
too, and whatever looks like a token (:mod:`cliproxy.observe.passage`). The conversation itself is not masked:
that is what is wanted here, and why nothing of this is on unless the owner says so. A disk that does not keep
up costs pieces of files, or whole files, and never memory or time of a request.

Only the current task's request is meant, so a context variable holds it: like the request's id, it concerns
the log alone, and nothing decides by it.
"""

import logging
import os
import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from attrs import define, field

from cliproxy.observe.access import masked_path
from cliproxy.observe.folder import PART, SUFFIX, Folder, write_all
from cliproxy.observe.passage import Mask, Passage
from cliproxy.observe.writer import Writer
from cliproxy.wire.secret import MASK
from cliproxy.wire.veil import names_secret, secrets_in

logger = logging.getLogger(__name__)

LONGEST: Final = 2 * 1024 * 1024
"""Bytes of one section."""
OVERHEAD: Final = 512
"""What a piece takes in memory besides its bytes, about."""
FAILED: Final = 400
ERROR: Final = "error-"
"""How the names of transcripts begin that are kept for a failure."""
RESPONSE: Final = "RESPONSE"
_MAIN, _BESIDE = "main", "response"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_PASSWORD: Final = re.compile(r"//[^/@\s]*@")
_FIGURES: Final = re.compile(r"(?i)rate-?limit")
"""Fields whose names speak of tokens, as of a number of them."""
Fields = Iterable[tuple[str, str]]


@define(eq=False, kw_only=True)
class Scribe:
    """Begins transcripts, as the owner wants them at the moment."""

    folder: Folder
    writer: Writer
    everything: bool = True
    """Keep all transcripts, not only those of requests that failed."""
    most_errors: int = 0
    """How many of the latter are kept; 0: all."""
    skipped: int = field(default=0, init=False)
    """Requests that nothing was written of, as the disk did not keep up."""

    def begin(self) -> "Transcript | None":
        """Begin to write a request down, if there is room for what has to be written."""
        if self.writer.waiting_bytes > self.writer.most_bytes // 2:
            self.skipped += 1
            return None
        return Transcript(self)


@define(eq=False)
class _Section:
    """A part of the file, as far as it was handed over."""

    title: str
    room: int = LONGEST
    """Bytes that are still taken."""
    end: str = ""
    """Why nothing more is taken."""


@define(eq=False)
class Transcript:
    """One request. All of this is for the task that serves it, and never waits."""

    scribe: Scribe
    has_failed: bool = field(default=False, init=False)
    _pages: "_Pages" = field(init=False)
    _begun: float = field(factory=time.time, init=False)
    _path: str = field(default="", init=False)
    _request: _Section = field(factory=lambda: _Section("REQUEST BODY"), init=False)
    _attempts: list[_Section] = field(factory=list, init=False)
    _response: _Section = field(factory=lambda: _Section(RESPONSE), init=False)
    _lost: int = field(default=0, init=False)

    @_pages.default
    def _new_pages(self) -> "_Pages":
        return _Pages(self.scribe.folder, f"{time.time_ns():x}-{id(self):x}")

    def request(self, method: str, path: str, headers: Fields, version: str) -> None:
        """Write the head of the client's request."""
        fields = list(headers)
        self._path = path.partition("?")[0]
        self.covers(secrets_in(fields))
        self.covers(secrets_in(parse_qsl(path.partition("?")[2])))
        lines = [
            f"Version: {version}",
            f"URL: {masked_path(path)}",
            f"Method: {method}",
            f"Timestamp: {_now()}",
        ]
        self._title("REQUEST INFO", lines)
        self._title("HEADERS", _shown(fields))
        self._request.end = _unreadable(fields)

    def request_body(self, data: bytes) -> None:
        """Write a piece of its body."""
        self._write(self._request, data)

    def covers(self, secrets: Iterable[str]) -> None:
        """Mask some more texts from now on."""
        self.scribe.writer.submit(partial(self._pages.mask.veil.cover, tuple(secrets)))

    def asked(self, who: str, line: tuple[str, str], headers: Fields, body: bytes) -> int:
        """Write a request to an upstream, of which ``line`` is method and address; return its number."""
        self._finish(self._request)
        number = len(self._attempts) + 1
        self._attempts.append(_Section(f"API RESPONSE {number}"))
        method, url = line
        lines = [
            f"Timestamp: {_now()}",
            f"Upstream URL: {_PASSWORD.sub(f'//{MASK}@', masked_path(url))}",
            f"HTTP Method: {method}",
            f"Auth: {who}",
            "Headers:",
            *_shown(headers),
            "Body:",
        ]
        sent = _Section(f"API REQUEST {number}")
        self._title(sent.title, lines)
        self._write(sent, body)
        self._finish(sent)
        return number

    def answered(self, number: int, status: int, headers: Fields) -> None:
        """Write the head of an upstream's answer."""
        self.has_failed = self.has_failed or status >= FAILED
        lines = [f"Timestamp: {_now()}", f"Status: {status}", "Headers:", *_shown(headers), "Body:"]
        self._title(self._attempts[number - 1].title, lines)

    def came(self, number: int, data: bytes) -> None:
        """Write a piece of its body."""
        self._write(self._attempts[number - 1], data)

    def over(self, number: int) -> None:
        """Write what is left of it: nothing more will come."""
        self._finish(self._attempts[number - 1])

    def failed(self, number: int, reason: str) -> None:
        """Write why there is no answer, or no more of it."""
        self.has_failed = True
        self.over(number)
        self._title("API ERROR RESPONSE", [f"Request: {number}", reason])

    def response(self, status: int, headers: Fields) -> None:
        """Write the head of the answer to the client."""
        self.has_failed = self.has_failed or status >= FAILED
        self._title(RESPONSE, [f"Status: {status}", *_shown(headers), ""])

    def response_body(self, data: bytes) -> None:
        """Write a piece of its body."""
        self._write(self._response, data)

    def end(self, shown_id: str) -> None:
        """Keep the file, under a name with the request's id, or drop it."""
        for section in (self._request, *self._attempts, self._response):
            self._finish(section)
        when = time.strftime("%Y-%m-%dT%H%M%S", time.localtime(self._begun))
        path = _UNSAFE.sub("-", self._path).strip("-.")[:100] or "root"
        name = f"{path}-{when}-{_UNSAFE.sub('-', shown_id)}{SUFFIX}"
        if not self.scribe.everything:
            name = ERROR + name if self.has_failed else ""
        self.scribe.writer.submit(partial(self._pages.close, name, self._lost, self.scribe.most_errors))

    # --- to the writer's thread ------------------------------------------------------------------------

    def _title(self, title: str, lines: Iterable[str]) -> None:
        head = _joined(lines).encode("utf-8", "replace")
        if not self._hand_over(partial(self._pages.title, title, head), len(head)):
            self._lost += len(head)

    def _write(self, section: _Section, data: bytes) -> None:
        """Hand over a piece, as far as there is room for it. Behind one that is lost nothing is written: the
        rest of a secret is not known without its beginning."""
        if section.end or not data:
            return
        piece = data[: section.room]
        section.room -= len(piece)
        if not self._hand_over(partial(self._pages.text, section.title, piece), len(piece)):
            self._lost += len(piece)
            section.end = "[the rest is missing]"
        elif len(piece) < len(data):
            section.end = f"[cut off after {LONGEST} bytes]"

    def _finish(self, section: _Section) -> None:
        self.scribe.writer.submit(partial(self._pages.finish, section.title, section.end))

    def _hand_over(self, work: partial[None], size: int) -> bool:
        return self.scribe.writer.submit(work, size + OVERHEAD)


@define(eq=False)
class _Pages:
    """The files of one request. All of this is for the writer's thread."""

    folder: Folder
    key: str
    mask: Mask = field(factory=Mask, init=False)
    _passages: dict[str, Passage] = field(factory=dict, init=False)
    _last: str = field(default="", init=False)
    """Title of what was written last, but for the answer to the client."""
    _ended: set[str] = field(factory=set, init=False)
    """Titles of what is known not to go on."""
    _parts: set[str] = field(factory=set, init=False)
    _written: int = field(default=0, init=False)
    _missing: int = field(default=0, init=False)

    def title(self, title: str, lines: bytes = b"") -> None:
        """Begin a section."""
        lead = b"\n" if self._parts else b""
        if title != RESPONSE:
            self._last = title
        self._append(title, lead + self.mask.on(f"=== {title} ===\n".encode() + lines))

    def text(self, title: str, data: bytes) -> None:
        """Take a piece of a section."""
        passage = self._passages.get(title)
        if passage is None:
            passage = self._passages[title] = Passage(self.mask)
        self._go_on(title, passage.take(data))

    def finish(self, title: str, end: str) -> None:
        """Write the rest of a section, and why there is no more, if there is a reason."""
        passage = self._passages.pop(title, None)
        data = b"" if passage is None else passage.finish(is_torn=bool(end))
        if data and not data.endswith(b"\n"):
            data += b"\n"
        if end and title not in self._ended:
            self._ended.add(title)
            data += f"\n{end}\n".encode()
        self._go_on(title, data)

    def close(self, name: str, lost: int, most_errors: int) -> None:
        """Put the parts together under a name; without one, delete them."""
        folder = self.folder
        folder.part_bytes -= self._written
        try:
            if name and _MAIN in self._parts:
                self._write(_MAIN, self._rest(lost))
                folder.rename(self._file(_MAIN), name)
                folder.grown((folder.path / name).stat().st_size)
        except OSError as exc:
            logger.warning("a request could not be written down: %s", exc.strerror)
        finally:
            for part in self._parts:
                folder.remove(self._file(part))
        if name.startswith(ERROR):
            folder.keep(ERROR, most_errors)

    def _go_on(self, title: str, data: bytes) -> None:
        if data and title not in {self._last, RESPONSE}:
            self.title(title)
        if data:
            self._append(title, data)

    def _append(self, title: str, data: bytes) -> None:
        part = _BESIDE if title == RESPONSE else _MAIN
        if not self.folder.has_room_for(len(data)):
            self._missing += len(data)
            return
        try:
            self._write(part, data)
        except OSError:
            self._missing += len(data)
        else:
            self._written += len(data)
            self.folder.part_grown(len(data))

    def _write(self, part: str, data: bytes) -> None:
        descriptor = self.folder.open(self._file(part))
        self._parts.add(part)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)

    def _rest(self, lost: int) -> bytes:
        """Return what comes behind the exchange with the upstreams."""
        beside = self.folder.path / self._file(_BESIDE)
        data = beside.read_bytes() if _BESIDE in self._parts else b""
        missing = lost + self._missing
        return data + (
            f"\n[{missing} bytes are missing: the disk did not keep up]\n".encode() if missing else b""
        )

    def _file(self, part: str) -> str:
        return f"{self.key}-{part}{PART}"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _shown(headers: Fields) -> list[str]:
    """Return header fields as lines, without secrets. Of one in ``authorization`` the scheme is shown."""
    return [f"{name}: {_shown_value(name, value)}" for name, value in headers]


def _shown_value(name: str, value: str) -> str:
    if not names_secret(name) or _FIGURES.search(name):
        return value
    scheme, _, rest = value.partition(" ")
    return f"{scheme} {MASK}" if rest and "authorization" in name.lower() else MASK


def _unreadable(fields: Fields) -> str:
    """Return a remark in place of a body that nobody could read: what is packed, and files."""
    given = {name.lower(): value.strip().lower() for name, value in fields}
    coding, kind = given.get("content-encoding", ""), given.get("content-type", "").partition(";")[0]
    form = kind if kind.startswith("multipart/") else coding
    return f"[{form}: not written down]" if form not in {"", "identity"} else ""


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}Z"


current: ContextVar[Transcript | None] = ContextVar("transcript", default=None)
"""Of the request that a task works for; ``None``: nobody wants one."""
