"""Which model is meant by ``auto``: the order of preference among everything that is served.

The rule has to be one that can be told in a sentence, and that the owner can bend:

1. models that converse, before those that only make images or embeddings, and before built-in imitations;
2. the owner's preference: the higher priority of an account that serves the model;
3. full-sized models before their small siblings, which vendors call mini, flash, lite, …;
4. the newer one. Where an upstream does not tell the age of a model, the bundled facts about one of that name
  do;
5. the larger context window;
6. the name, those without a prefix first, so that the order is the same every time.

Whether a model can be used at the moment is not a matter of rank: the first one counts that can.
"""

import re
from typing import Final

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.static import find

SMALL: Final = frozenset(
    {"mini", "nano", "lite", "flash", "haiku", "small", "tiny", "fast", "spark", "highspeed"}
)
"""Words in names of models that have larger siblings."""
_WORD: Final = re.compile(r"[a-z]+")

Rank = tuple[bool, bool, int, bool, int, int, int, str]


def rank(name: str, info: ModelInfo, priority: int) -> Rank:
    """Return where a client's model name stands that accounts of a priority serve; the smallest comes
    first.
    """
    return (
        "text" not in info.output_modalities,
        info.demo,
        -priority,
        not SMALL.isdisjoint(_WORD.findall(info.id.lower())),
        -_born(info),
        -(info.context_tokens or 0),
        name.count("/"),
        name,
    )


def _born(info: ModelInfo) -> int:
    """Return when a model came out, as far as anybody tells, in Unix seconds; 0: nobody does."""
    known = None if info.created else find(info.id)
    return info.created or (known.created if known is not None else 0)
