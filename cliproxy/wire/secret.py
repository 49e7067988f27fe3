"""A string that must never be printed.

Tokens and keys travel in :class:`Secret` from the file or form they were read from to the request header they
are sent in. Whatever formats one on the way (``repr``, ``str``, f-strings, ``%s``, a traceback with locals)
shows ``***``; the text itself comes out of :meth:`Secret.reveal` only, which makes every place that uses a
secret findable by that name.
"""

import hmac
from typing import Final

MASK: Final = "***"
HINT_FROM: Final = 16
"""Length from which four characters give nothing away."""


class Secret:
    """A secret text: printed as ``***``, compared in constant time, true when not empty."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, to be sent or stored at once."""
        return self._text

    def hint(self) -> str:
        """Return a form for people to recognise a key by: its last four characters, or only ``***`` for short
        ones."""
        return MASK + self._text[-4:] if len(self._text) >= HINT_FROM else MASK

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> str:
        raise TypeError("secrets are not pickled")
