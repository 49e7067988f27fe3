"""A conversation without its reasoning signatures, for an upstream that refused one of them.

Whose signature it is can be told, and foreign ones are never sent (see :mod:`cliproxy.ir.signatures`). What
cannot be told is whether the maker still takes it: the client may have edited the reasoning, the key may
belong to another organisation, the signature may simply have grown too old. The vendor then refuses the whole
request, and all that helps is to send it without.

Nothing is decided here about the blocks that lose their signature. Each target does with unsigned reasoning
what it always does: Claude and OpenAI get none of it, Gemini takes its placeholder on a call.

The ids under which an upstream may remember the items of a turn go as well. OpenAI refuses a call it knows by
id when the reasoning that came with it is missing.
"""

from typing import Final

from attrs import evolve

from cliproxy.ir.request import Extras, Image, IRRequest, Message, Opaque, Part, Text, Thinking, ToolCall

_SIGNATURE_MEMBERS: Final = frozenset({"thoughtSignature", "thought_signature"})
"""Where a part that only its own dialect understands keeps one."""
_ID: Final = "id"


def without_signatures(request: IRRequest) -> IRRequest:
    """Return a request without signed parts; hidden reasoning, which is a signature alone, is gone."""
    return evolve(request, messages=[_unsigned(message) for message in request.messages])


def _unsigned(message: Message) -> Message:
    if message.role != "assistant":
        return message
    parts = [bare for part in message.parts if (bare := _bare(part)) is not None]
    return evolve(message, parts=parts, extras=_without_id(message.extras))


def _without_id(extras: Extras) -> Extras:
    return {
        dialect: {member: value for member, value in own.items() if member != _ID}
        for dialect, own in extras.items()
    }


def _bare(part: Part) -> Part | None:
    match part:
        case Thinking():
            return evolve(part, signature=None, redacted=None, item_id="") if part.text else None
        case ToolCall():
            return evolve(part, signature=None, item_id="")
        case Text() | Image():
            return evolve(part, signature=None)
        case Opaque():
            raw = {member: value for member, value in part.raw.items() if member not in _SIGNATURE_MEMBERS}
            return evolve(part, raw=raw)
        case _:
            return part
