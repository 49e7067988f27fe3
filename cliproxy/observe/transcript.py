"""A request written down as it happens, in a file of its own, for whoever has to find out what went wrong.

A transcript has sections: the client's request, each request to an upstream with what came back, and the
answer to the client. What is known in one place is written there and then, by the thread of a
:class:`~cliproxy.observe.writer.Writer`; the answer to the client, which grows at the same time as that of
the upstream, waits in a file beside and is put behind the rest at the end. Until then the names of the files
end in ``.part``.

**What is left out.** A section ends at :data:`LONGEST`, and says so. Values of header fields, query
parameters and JSON members whose names speak of secrets are masked, quotations of such values everywhere else
too, and whatever looks like a token. Texts are masked line by line, so that it does not matter in which
pieces they arrive. The conversation itself is not masked: that is what is wanted here, and why nothing of
this is on unless the owner says so.

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
from cliproxy.observe.logs import redacted
from cliproxy.observe.writer import Writer
from cliproxy.wire.secret import MASK
from cliproxy.wire.veil import Veil, names_secret, secrets_in

logger = logging.getLogger(__name__)

LONGEST: Final = 2 * 1024 * 1024
"""Bytes of one section."""
LINE: Final = 64 * 1024
"""Bytes of a line that are waited for before it is masked without its end."""
OVERLAP: Final = 4 * 1024
"""Bytes that are kept back of such a line, in which a secret may have begun."""
FAILED: Final = 400
ERROR: Final = "error-"
"""How the names of transcripts begin that are kept for a failure."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_PASSWORD: Final = re.compile(r"//[^/@\s]*@")
_MEMBER: Final = re.compile(
    r'(?i)("[\w-]*(?:api[-_]?key|secret|password|(?:access|refresh|id)_token|authorization)"\s*:\s*")'
    r'(?:[^"\\]|\\.)*'
)
Fields = Iterable[tuple[str, str]]


@define(eq=False)
class _Section:
    """A part of the file that is being filled."""

    title: str
    left: int = LONGEST
    rest: bytes = b""
    """What came of a line that is not complete."""


@define(eq=False, kw_only=True)
class Scribe:
    """Begins transcripts, as the owner wants them at the moment."""

    folder: Folder
    writer: Writer
    everything: bool
    """Keep all transcripts, not only those of requests that failed."""
    most_errors: int
    """How many of the latter are kept; 0: all."""

    def begin(self) -> "Transcript":
        """Begin to write a request down."""
        return Transcript(self)


@define(eq=False)
class Transcript:
    """One request."""

    scribe: Scribe
    has_failed: bool = field(default=False, init=False)
    _veil: Veil = field(factory=Veil, init=False)
    _begun: float = field(factory=time.time, init=False)
    _path: str = field(default="", init=False)
    _key: str = field(init=False)
    _request: _Section = field(factory=lambda: _Section("REQUEST BODY"), init=False)
    _attempts: list[_Section] = field(factory=list, init=False)
    _response: _Section = field(factory=lambda: _Section("RESPONSE"), init=False)
    _last: _Section | None = field(default=None, init=False)
    _lost: int = field(default=0, init=False)
    _open: dict[str, int] = field(factory=dict, init=False)
    """Descriptors of the files; of the writer's thread, like the numbers below."""
    _written: int = field(default=0, init=False)
    _missing: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._key = f"{time.time_ns():x}-{id(self):x}"

    # --- what happens ----------------------------------------------------------------------------------

    def request(self, method: str, path: str, headers: Fields, version: str) -> None:
        """Write the head of the client's request."""
        fields = list(headers)
        self._path = path.partition("?")[0]
        self._veil.cover(secrets_in(fields))
        self._veil.cover(secrets_in(parse_qsl(path.partition("?")[2])))
        lines = [
            f"Version: {version}",
            f"URL: {masked_path(path)}",
            f"Method: {method}",
            f"Timestamp: {_now()}",
        ]
        self._title("REQUEST INFO", lines)
        self._title("HEADERS", _shown(fields))

    def request_body(self, data: bytes) -> None:
        """Write a piece of its body."""
        self._write(self._request, data)

    def covers(self, secrets: Iterable[str]) -> None:
        """Mask some more texts from now on."""
        self._veil.cover(secrets)

    def asked(self, who: str, line: tuple[str, str], headers: Fields, body: bytes) -> int:
        """Write a request to an upstream, of which ``line`` is method and address; return its number."""
        self._finish(self._request)
        number = len(self._attempts) + 1
        section = _Section(f"API RESPONSE {number}")
        self._attempts.append(section)
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
        self._title(f"API REQUEST {number}", lines)
        sent = _Section("")
        self._last = sent
        self._write(sent, body)
        self._finish(sent)
        return number

    def answered(self, number: int, status: int, headers: Fields) -> None:
        """Write the head of an upstream's answer."""
        self.has_failed = self.has_failed or status >= FAILED
        section = self._attempts[number - 1]
        lines = [f"Timestamp: {_now()}", f"Status: {status}", "Headers:", *_shown(headers), "Body:"]
        self._title(section.title, lines)
        self._last = section

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
        lines = ["=== RESPONSE ===", f"Status: {status}", *_shown(headers), "", ""]
        self._emit("response", self._masked("\n".join(lines).encode()))

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
        self.scribe.writer.submit(partial(self._close, name))

    # --- masking and bounds ----------------------------------------------------------------------------

    def _title(self, title: str, lines: Iterable[str]) -> None:
        self._last = None
        self._emit("main", self._masked(f"=== {title} ===\n{_joined(lines)}\n".encode("utf-8", "replace")))

    def _write(self, section: _Section, data: bytes) -> None:
        """Take a piece, and write what is complete of its lines."""
        if section.left <= 0:
            return
        text = section.rest + data
        end = text.rfind(b"\n") + 1
        if not end and len(text) > LINE:
            # A secret that is complete is masked before the cut, and one that is not is in what is kept back.
            text = self._veil.data(text)
            end = text.rfind(b",", 0, max(len(text) - OVERLAP, 0)) + 1 or max(len(text) - OVERLAP, 0)
        section.rest = text[end:]
        self._put(section, text[:end])

    def _finish(self, section: _Section) -> None:
        """Write what is left of the last line."""
        if section.rest:
            rest, section.rest = section.rest, b""
            self._put(section, rest + b"\n")

    def _put(self, section: _Section, text: bytes) -> None:
        if not text or section.left <= 0:
            return
        before = section.left
        is_cut = len(text) > section.left + OVERLAP
        data = self._masked(text[: section.left + OVERLAP])
        if is_cut:
            # What begins in the last part may be half a secret.
            data = data[:-OVERLAP]
        section.left -= len(text) if is_cut else len(data)
        if section.left <= 0:
            data = data[:before] + f"\n[cut off after {LONGEST} bytes]\n".encode()
        if section is self._response:
            self._emit("response", data)
            return
        if self._last is not section:
            self._title(section.title, [])
            self._last = section
        self._emit("main", data)

    def _masked(self, data: bytes) -> bytes:
        text = _MEMBER.sub(rf"\g<1>{MASK}", self._veil.data(data).decode("utf-8", "replace"))
        return redacted(text).encode("utf-8", "replace")

    def _emit(self, where: str, data: bytes) -> None:
        if not self.scribe.writer.submit(partial(self._append, where, data), len(data)):
            self._lost += len(data)

    # --- in the writer's thread ------------------------------------------------------------------------

    def _append(self, where: str, data: bytes) -> None:
        folder = self.scribe.folder
        if not folder.has_room_for(len(data)):
            self._missing += len(data)
            return
        try:
            if where not in self._open:
                self._open[where] = folder.open(self._part(where))
            write_all(self._open[where], data)
        except OSError:
            self._missing += len(data)
        else:
            self._written += len(data)
            folder.part_bytes += len(data)

    def _close(self, name: str) -> None:
        """Put the parts together under a name; without one, delete them."""
        folder = self.scribe.folder
        folder.part_bytes -= self._written
        try:
            if name and "main" in self._open:
                write_all(self._open["main"], self._rest())
                folder.rename(self._part("main"), name)
                folder.grown((folder.path / name).stat().st_size)
        except OSError as exc:
            logger.warning("a request could not be written down: %s", exc.strerror)
        finally:
            for where, descriptor in self._open.items():
                os.close(descriptor)
                folder.remove(self._part(where))
            self._open.clear()
        if name.startswith(ERROR):
            folder.keep(ERROR, self.scribe.most_errors)

    def _rest(self) -> bytes:
        """Return what comes behind the exchange with the upstreams."""
        response = self.scribe.folder.path / self._part("response")
        data = response.read_bytes() if "response" in self._open else b""
        missing = self._lost + self._missing
        return data + (
            f"\n[{missing} bytes are missing: the disk did not keep up]\n".encode() if missing else b""
        )

    def _part(self, where: str) -> str:
        return f"{self._key}-{where}{PART}"


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _shown(headers: Fields) -> list[str]:
    """Return header fields as lines, without secrets. Of one in ``authorization`` the scheme is shown."""
    return [f"{name}: {_shown_value(name, value)}" for name, value in headers]


def _shown_value(name: str, value: str) -> str:
    if not names_secret(name):
        return value
    scheme, _, rest = value.partition(" ")
    return f"{scheme} {MASK}" if rest and "authorization" in name.lower() else MASK


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}Z"


current: ContextVar[Transcript | None] = ContextVar("transcript", default=None)
"""Of the request that a task works for; ``None``: nobody wants one."""
