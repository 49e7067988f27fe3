"""Stream events: the vocabulary between stream decoders and stream encoders.

Order a decoder promises: one :class:`Start`; then blocks, each opened by :class:`BlockStart` and closed by
:class:`BlockStop`, deltas in between; blocks of one answer may overlap (parallel calls); any number of
:class:`UsageUpdate` and :class:`Ping`; at most one :class:`Finish` for each choice; last of all exactly one
:class:`End` or :class:`StreamError`. Block indexes count up over the whole answer and are never reused.

What an encoder may rely on is less: it opens and closes what its own grammar needs, whatever arrives.
"""

from enum import StrEnum
from typing import TypeAlias

from attrs import define, field

from cliproxy.errors import Kind
from cliproxy.ir.request import Extras, Family, Opaque
from cliproxy.ir.response import Ending, Usage
from cliproxy.wire.jsontext import JsonObject


class BlockKind(StrEnum):
    """What a block of the answer holds."""

    TEXT = "text"
    REFUSAL = "refusal"
    THINKING = "thinking"
    REDACTED = "redacted"
    """Encrypted reasoning; its :class:`SignatureDelta` carries the data."""
    TOOL_CALL = "tool_call"
    CUSTOM_TOOL_CALL = "custom_tool_call"
    IMAGE = "image"
    OPAQUE = "opaque"
    """Something only its own dialect knows; an :class:`OpaqueBlock` event follows."""


@define
class Start:
    """The answer has an identity. ``usage`` is the prompt side where the upstream tells it at the start."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None
    extras: Extras = field(factory=dict)
    """Members of the answer that its decoder does not model; see :class:`ExtrasUpdate` for later ones."""


@define
class BlockStart:
    """A block opens. ``call_id`` and ``name`` are set for calls."""

    index: int
    kind: BlockKind
    choice: int = 0
    call_id: str = ""
    name: str = ""
    item_id: str = ""
    namespace: str = ""
    extras: Extras = field(factory=dict)
    """What becomes the ``extras`` of the part, of a text or a call."""


@define
class TextDelta:
    """More text of a text or refusal block."""

    index: int
    text: str


@define
class ThinkingDelta:
    """More readable reasoning."""

    index: int
    text: str


@define
class ThinkingBreak:
    """A new paragraph of a reasoning summary begins."""

    index: int


@define
class SignatureDelta:
    """The signature of a block: reasoning, a call (Gemini) or a text (Gemini). The last one wins."""

    index: int
    value: str
    family: Family


@define
class ArgsDelta:
    """More text of a call's arguments (or of a custom call's input)."""

    index: int
    fragment: str


@define
class ArgsDone:
    """The whole arguments; counts only if no fragment of this block was seen."""

    index: int
    arguments: str


@define
class Annotation:
    """A citation of a text block, in the spelling of the dialect named."""

    index: int
    citation: JsonObject
    dialect: str


@define
class ImageDone:
    """A generated image, or with ``partial`` a preview of it."""

    index: int
    mime: str
    data: str
    partial: bool = False


@define
class OpaqueBlock:
    """The content of an opaque block. What its dialect tells in pieces comes in several, which add up: texts
    and lists go on, objects are merged."""

    index: int
    part: Opaque


@define
class BlockStop:
    """A block is complete."""

    index: int


@define
class ExtrasUpdate:
    """Members that the decoder does not model, for encoders of the same dialect; others pass over them.

    Those of a choice belong to what is said next in it, as log probabilities do to their text, and add up:
    lists go on, objects are merged. Those of the answer as a whole (``choice`` is ``None``) replace what was
    told under the same name.
    """

    extras: Extras
    choice: int | None = None


@define
class UsageUpdate:
    """Token counts so far; present fields replace earlier ones."""

    usage: Usage


@define
class Finish:
    """A choice has ended, and why."""

    ending: Ending
    choice: int = 0


@define
class Ping:
    """The upstream is alive."""


@define
class StreamError:
    """The upstream reported an error inside its stream; terminal. ``kind`` is the dialect's best reading of
    it."""

    kind: Kind
    message: str
    status: int = 0
    code: str = ""
    raw: JsonObject | None = field(default=None, repr=False)
    retry_after: float | None = None


@define
class End:
    """The answer is complete. ``clean`` is false when the transport ended without the dialect's terminal
    event."""

    clean: bool = True


Event: TypeAlias = (
    TextDelta
    | ThinkingDelta
    | ArgsDelta
    | BlockStart
    | BlockStop
    | Start
    | UsageUpdate
    | Finish
    | SignatureDelta
    | ThinkingBreak
    | ArgsDone
    | Annotation
    | ImageDone
    | OpaqueBlock
    | ExtrasUpdate
    | Ping
    | StreamError
    | End
)
