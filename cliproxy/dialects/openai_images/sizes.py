"""Sizes of pictures: ``1536x1024`` here, an aspect ratio and a class of resolution in the hub.

A ratio is the nearest one that drawing models know, as a factor: 1792x1024 is ``16:9``. The class is only
named for pictures that are larger than the usual ones, since many models know no other; what a model cannot
do its vendor says. The other way round a ratio becomes the nearest of the three sizes that every model of
this dialect takes.
"""

import re
from collections.abc import Iterable
from math import log
from typing import Final

from cliproxy.errors import DialectError
from cliproxy.wire.jsontext import JsonObject, text

AUTO: Final = "auto"
RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
SIZES: Final = ("1024x1024", "1536x1024", "1024x1536")
RATIO: Final = "aspect_ratio"
CLASS: Final = "image_size"
_CLASSES: Final = ((3000, "4K"), (1800, "2K"))
"""Pixels of the longer side from which on a picture is of a class, largest first."""
_SIZE: Final = re.compile(r"([1-9]\d{0,4})[x×]([1-9]\d{0,4})")
_RATIO: Final = re.compile(r"([1-9]\d{0,2}):([1-9]\d{0,2})")


def shape_of(size: str) -> JsonObject | None:
    """Return the shape a size stands for; ``None`` for one that is left to the model.

    Raises :class:`~cliproxy.errors.DialectError`.
    """
    if size in {"", AUTO}:
        return None
    found = _SIZE.fullmatch(size.lower())
    if found is None:
        raise DialectError("`size` must be `auto` or WIDTHxHEIGHT, such as 1536x1024", "size")
    width, height = int(found[1]), int(found[2])
    shape: JsonObject = {RATIO: _nearest(width / height, RATIOS)}
    resolution = next((name for least, name in _CLASSES if max(width, height) >= least), "")
    return {**shape, CLASS: resolution} if resolution else shape


def size_of(shape: JsonObject | None) -> str:
    """Return the size for a shape; empty for none, or for a ratio in words of which nothing is known."""
    found = _RATIO.fullmatch(text(shape or {}, RATIO))
    return _nearest(int(found[1]) / int(found[2]), SIZES) if found else ""


def _nearest(ratio: float, names: Iterable[str]) -> str:
    """Return the name of the ratio or size that is nearest to a ratio."""

    def distance(name: str) -> float:
        width, height = re.split(r"[x:]", name)
        return abs(log(ratio * int(height) / int(width)))

    return min(names, key=distance)
