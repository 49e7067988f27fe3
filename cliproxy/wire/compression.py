"""Content codings of HTTP bodies, undone piece by piece and never beyond a bound.

Only what the standard library can undo: gzip and deflate. Nothing else is asked for, so nothing else should
come.
"""

import zlib
from collections.abc import Mapping
from typing import Final

_WINDOWS: Final[Mapping[str, int]] = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content codings and the window bits zlib knows them by."""

CODINGS: Final = ("gzip", "deflate")
"""What may be asked for."""


class CompressionError(ValueError):
    """A coding nobody knows, or broken data."""


class TooLarge(CompressionError):
    """More came out than allowed."""


def is_plain(coding: str) -> bool:
    """Tell whether a ``Content-Encoding`` value stands for no coding at all."""
    return coding.strip().lower() in {"", "identity"}


def is_known(coding: str) -> bool:
    """Tell whether a coding can be undone."""
    return coding.strip().lower() in _WINDOWS


class Inflater:
    """Undoes one coding. Raises :class:`CompressionError`; ``limit`` bounds the output of one call, in
    bytes.
    """

    def __init__(self, coding: str) -> None:
        window = _WINDOWS.get(coding.strip().lower())
        if window is None:
            raise CompressionError(f"the content encoding `{coding}` is not known")
        self._coding = coding
        self._decoder = zlib.decompressobj(window)

    def feed(self, data: bytes, limit: int) -> bytes:
        """Return what the data stands for; possibly nothing yet."""
        try:
            output = self._decoder.decompress(data, limit + 1)
        except zlib.error as exc:
            raise CompressionError(f"the body is not valid {self._coding}") from exc
        if len(output) > limit:
            raise TooLarge(f"the decompressed body exceeds {limit} bytes")
        return output

    @property
    def is_complete(self) -> bool:
        """Whether the end of the compressed data was seen."""
        return self._decoder.eof
