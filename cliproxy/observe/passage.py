"""A text that is masked while it comes in pieces: what may be shown of it is given back as soon as is known.

A secret does not care where a piece ends. So only whole lines are given back, and of a line that is long
already all but its end, in which a secret may have begun. Masked are the texts of a veil, whatever looks
like a token, and members of JSON objects whose names speak of secrets; what such a member has held is veiled
from then on, as upstreams repeat what they refuse.

Bytes are taken as they are, in whatever encoding: what is looked for is plain ASCII.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from attrs import define, field

from cliproxy.observe.logs import TOKENS, redacted
from cliproxy.wire.secret import MASK
from cliproxy.wire.veil import Veil

STEP: Final = 32 * 1024
"""Bytes that are looked through at once, so that other threads have their turn."""
LINE: Final = 64 * 1024
"""Bytes of a line that are waited for before it is masked without its end."""
OVERLAP: Final = 4 * 1024
"""Bytes that are kept back of such a line."""
MOST_MEMBERS: Final = 100
"""Values of members that are veiled from then on."""
_MEMBER: Final = re.compile(
    r'(?i)("[\w-]{0,40}(?:(?:api|private)[-_]?key|secret|password|(?:access|refresh|id|auth|session)_?token|'
    r'authorization)"\s*:\s*")((?:[^"\\]|\\.)*)'
)


@define(eq=False)
class Mask:
    """What is masked in the texts of one request."""

    veil: Veil = field(factory=Veil)
    _room: int = field(default=MOST_MEMBERS, init=False)

    def on(self, text: bytes) -> bytes:
        """Return a complete text without secrets, and veil what its members have held."""
        shown = text.decode("latin-1")
        if has_members := _MEMBER.search(shown) is not None:
            self._learn(match[2] for match in _MEMBER.finditer(shown))
        shown = self.veil.data(text).decode("latin-1")
        if has_members:
            shown = _MEMBER.sub(rf"\g<1>{MASK}", shown)
        return redacted(shown).encode("latin-1")

    def _learn(self, values: Iterable[str]) -> None:
        """Veil some values from now on. Each is looked for everywhere, so there are not to be too many."""
        found = [value for value in islice(values, self._room) if value != MASK]
        self._room -= len(found)
        self.veil.cover([value.encode("latin-1").decode("utf-8", "replace") for value in found])


@define(eq=False)
class Passage:
    """One text."""

    mask: Mask
    _rest: bytes = field(default=b"", init=False)
    """What came of a line that is not complete."""

    def take(self, data: bytes) -> bytes:
        """Take a piece; return what can be shown by now."""
        return b"".join(self._step(data[at : at + STEP]) for at in range(0, len(data), STEP))

    def finish(self, *, is_torn: bool = False) -> bytes:
        """Return the rest. Of a text that is ``is_torn``, which goes on but not here, the end is left out:
        half a secret would be recognised by nobody."""
        rest, self._rest = self._rest, b""
        if not is_torn:
            return self.mask.on(rest)
        rest = self.mask.veil.data(rest)
        return self.mask.on(rest[: self._cut(rest)]) if len(rest) > OVERLAP else b""

    def _step(self, data: bytes) -> bytes:
        text = self._rest + data
        end = text.rfind(b"\n") + 1
        if not end and len(text) > LINE:
            # A secret that is complete is masked before the cut, and one that is not is in what is kept back.
            text = self.mask.veil.data(text)
            end = self._cut(text)
        self._rest = text[end:]
        return self.mask.on(text[:end])

    def _cut(self, text: bytes) -> int:
        """Return where a line can be cut without cutting what is to be masked."""
        last = max(len(text) - OVERLAP, 0)
        shown, end = text.decode("latin-1"), last
        for pattern in (_MEMBER, TOKENS):
            for match in pattern.finditer(shown, max(last - OVERLAP, 0)):
                if match.start() < end < match.end():
                    end = match.start()
        return end or last
