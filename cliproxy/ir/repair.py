"""Repairs: a conversation as a client wrote it becomes one its target accepts.

Every pass is pure and takes ``(request, rules, context)``; what it does depends on the target's
:class:`~cliproxy.ir.rules.TargetRules` alone, never on a dialect's name. :func:`normalise` runs them in the
order of the table below, which matters: results take the names of their calls, so names come first; roles
must be right before messages are merged, turns must be merged before calls are paired with results, and
results must be in place before it is known what begins and ends the conversation. Running the passes twice
changes nothing more.

===================  ==================================================================================
pass                 what holds afterwards
===================  ==================================================================================
drop_foreign         nothing is left that only another dialect understands (what must not be lost: refused)
settle_tool_choice   the tool choice names declared tools
fit_names            tool names fit (see :mod:`cliproxy.ir.toolnames`)
settle_roles         calls and thoughts are the assistant's, results the user's, system messages text
drop_empties         no empty text, no empty message
place_system_text    system text stands where the target reads it
merge_roles          no two neighbours of one role
pair_calls           ids fit; every call has one result (see :mod:`cliproxy.ir.pairing`)
end_with_user        nothing is put into the assistant's mouth where that is refused
order_parts          results lead a user message, calls end an assistant message
begin_with_user      there is a user message, and it comes first
===================  ==================================================================================
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import compress, dropwhile, groupby
from operator import eq, not_
from typing import Final, TypeAlias, get_args

from attrs import evolve

from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.pairing import pair_calls
from cliproxy.ir.request import (
    Extras,
    IRRequest,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    SystemKind,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolKind,
    ToolResult,
)
from cliproxy.ir.rules import TargetRules
from cliproxy.ir.sampling import PREFILL
from cliproxy.ir.toolnames import fit_tool_names

Pass: TypeAlias = Callable[[IRRequest, TargetRules, ExchangeContext], IRRequest]


def normalise(request: IRRequest, rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Repair a request for a target."""
    for repair in PASSES:
        request = repair(request, rules, ctx)
    return request


# --- what only another dialect understands ----------------------------------------------------------------


def drop_foreign(request: IRRequest, rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Remove opaque parts of dialects the target does not speak.

    Raises :class:`~cliproxy.errors.DialectError` where something would be lost that must not be.
    """
    for essential in request.essentials:
        if essential.dialect not in rules.speaks:
            raise DialectError(
                f"`{essential.where}` is {essential.what}, which only the API that made it understands; the "
                "model is reached by another one",
                essential.where,
            )
    if not _has_opaque([part for message in request.messages for part in message.parts]):
        return request
    messages = [message.saying(_spoken(message.parts, rules, ctx)) for message in request.messages]
    return evolve(request, messages=messages)


def _has_opaque(parts: list[Part]) -> bool:
    inner = [deeper for part in parts if isinstance(part, ToolResult) for deeper in part.parts]
    return Opaque in map(type, parts) or (bool(inner) and _has_opaque(inner))


def _spoken(parts: list[Part], rules: TargetRules, ctx: ExchangeContext) -> list[Part]:
    kept: list[Part] = []
    for part in parts:
        match part:
            case Opaque() if part.dialect not in rules.speaks:
                ctx.note(f"{part.kind or 'a part'} ({part.dialect}) was dropped: only its own API knows it")
            case ToolResult() if _has_opaque(part.parts):
                kept.append(evolve(part, parts=_spoken(part.parts, rules, ctx)))
            case _:
                kept.append(part)
    return kept


# --- roles ------------------------------------------------------------------------------------------------


def settle_roles(request: IRRequest, _rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Split messages so that each part is said by the role it belongs to; drop what no role can say."""
    is_settled = [_FITTING[message.role].issuperset(map(type, message.parts)) for message in request.messages]
    if all(is_settled):
        return request
    messages: list[Message] = []
    for message, fits in zip(request.messages, is_settled, strict=True):
        messages += [message] if fits else _by_natural_role(message, ctx)
    return evolve(request, messages=messages)


_FITTING: Final[Mapping[Role, frozenset[type[Part]]]] = {
    "user": frozenset(get_args(Part)) - {ToolCall, Thinking},
    "assistant": frozenset(get_args(Part)) - {ToolResult},
    "system": frozenset({Text, Refusal}),
}
"""What may stay in a message of each role; most messages need not be looked at any closer."""


def _by_natural_role(message: Message, ctx: ExchangeContext) -> Iterator[Message]:
    roles = ((_natural_role(part, message.role, ctx), part) for part in message.parts)
    said = [(role, part) for role, part in roles if role is not None]
    for role, run in groupby(said, key=lambda pair: pair[0]):
        parts = [part for _, part in run]
        yield message.saying(parts) if role == message.role else Message(role, parts)


def _natural_role(part: Part, role: Role, ctx: ExchangeContext) -> Role | None:
    match part:
        case ToolCall():
            return "assistant"
        case ToolResult():
            return "user"
        case Thinking() if role != "assistant":
            ctx.note(f"thinking in a {role} message was dropped")
            return None
        case Text() | Refusal():
            return role
        case _ if role == "system":
            ctx.note("system text that is no text was dropped")
            return None
    return role


# --- system text ------------------------------------------------------------------------------------------


def place_system_text(request: IRRequest, rules: TargetRules, _ctx: ExchangeContext) -> IRRequest:
    """Move system text to where the target reads it: to the front, or into the user's words."""
    system = [text for text in request.system if text.text.strip()]
    messages: list[Message] = []
    for message in request.messages:
        if message.role != "system":
            messages.append(message)
        elif not any(text.strip() for text in _texts(message)):
            continue
        elif message.system_kind == "reminder":
            messages.append(message if rules.takes_reminders else _reminder(message))
        elif rules.hoists_system:
            system += _system_texts(message)
        else:
            messages.append(message)
    return evolve(request, system=system, messages=messages)


def _texts(message: Message) -> list[str]:
    return [part.text for part in message.parts if isinstance(part, Text | Refusal)]


def _system_texts(message: Message) -> Iterator[SystemText]:
    kind: SystemKind = "developer" if message.system_kind == "developer" else "system"
    for part in message.parts:
        if isinstance(part, Text | Refusal) and part.text.strip():
            yield SystemText(part.text, kind, part.cache if isinstance(part, Text) else None)


def _reminder(message: Message) -> Message:
    """Say a note of the system with the user's voice, marked as what it is."""
    joined = "\n".join(_texts(message))
    marks = [part.cache for part in message.parts if isinstance(part, Text) and part.cache is not None]
    text = Text(f"<system-reminder>\n{joined}\n</system-reminder>", cache=marks[-1] if marks else None)
    return Message("user", [text])


# --- empties ----------------------------------------------------------------------------------------------


def drop_empties(request: IRRequest, rules: TargetRules, _ctx: ExchangeContext) -> IRRequest:
    """Remove text without content, thoughts without words or signature, and messages without parts."""
    parts = [part for message in request.messages for part in message.parts]
    if all(message.parts for message in request.messages) and _are_full(parts, rules):
        return request
    messages: list[Message] = []
    for message in request.messages:
        filled = _filled(message.parts, rules)
        if filled:
            messages.append(message if filled is message.parts else message.saying(filled))
    return evolve(request, messages=messages)


def _filled(parts: list[Part], rules: TargetRules) -> list[Part]:
    """Return the parts that have content; the very list if all have."""
    if _are_full(parts, rules):
        return parts
    kept: list[Part] = []
    for part in parts:
        if isinstance(part, ToolResult):
            inner = _filled(part.parts, rules)
            kept.append(part if inner is part.parts else evolve(part, parts=inner))
        elif _has_content(part, rules):
            kept.append(part)
    return kept


def _are_full(parts: list[Part], rules: TargetRules) -> bool:
    """Tell whether all parts have content; a loop of its own because it sees every part of every request."""
    for part in parts:
        if isinstance(part, Text):
            if not part.text or (rules.drops_blank_text and part.text.isspace()):
                return False
        elif isinstance(part, ToolResult):
            if not _are_full(part.parts, rules):
                return False
        elif not isinstance(part, ToolCall) and not _has_content(part, rules):
            return False
    return True


def _has_content(part: Part, rules: TargetRules) -> bool:
    match part:
        case Text() | Refusal():
            return bool(part.text) and not (rules.drops_blank_text and part.text.isspace())
        case Thinking():
            signatures = (part.signature, part.redacted)
            return bool(part.text) or any(signature and signature.value for signature in signatures)
    return True


# --- order ------------------------------------------------------------------------------------------------


def merge_roles(request: IRRequest, rules: TargetRules, _ctx: ExchangeContext) -> IRRequest:
    """Join neighbours of one role."""
    if not rules.merges_roles:
        return request
    messages = request.messages
    roles = [message.role for message in messages]
    if not any(map(eq, roles, roles[1:])):
        return request
    starts = [
        at for at, role in enumerate(roles) if not at or role != roles[at - 1] or _is_apart(messages, at)
    ]
    runs = zip(starts, [*starts[1:], len(messages)], strict=True)
    merged = [messages[at] if end == at + 1 else _joined(messages[at:end]) for at, end in runs]
    return evolve(request, messages=merged)


def _is_apart(messages: list[Message], at: int) -> bool:
    """Tell whether a system message is of another kind than the one before it."""
    message = messages[at]
    return message.role == "system" and message.system_kind != messages[at - 1].system_kind


def _joined(messages: list[Message]) -> Message:
    extras: Extras = {}
    for message in messages:
        for dialect, members in message.extras.items():
            extras[dialect] = {**extras.get(dialect, {}), **members}
    return evolve(messages[0], parts=[part for message in messages for part in message.parts], extras=extras)


def order_parts(request: IRRequest, rules: TargetRules, _ctx: ExchangeContext) -> IRRequest:
    """Put results first and calls last, where the target insists; the order is otherwise kept."""
    if not (rules.results_first or rules.calls_last):
        return request
    # One part alone is in order.
    messages = [
        _ordered(message, rules) if len(message.parts) > 1 else message for message in request.messages
    ]
    return evolve(request, messages=messages)


def _ordered(message: Message, rules: TargetRules) -> Message:
    if message.role == "user" and rules.results_first:
        is_late = [not isinstance(part, ToolResult) for part in message.parts]
    elif message.role == "assistant" and rules.calls_last:
        is_late = [isinstance(part, ToolCall) for part in message.parts]
    else:
        return message
    if True not in is_late or False not in is_late[is_late.index(True) :]:
        return message
    late = list(compress(message.parts, is_late))
    return message.saying([*compress(message.parts, map(not_, is_late)), *late])


def end_with_user(request: IRRequest, rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Remove assistant messages from the end, where an answer must not be begun for the model."""
    messages = request.messages
    end = len(messages)
    while end and messages[end - 1].role == "assistant" and _may_not_end_with(messages[end - 1], rules, ctx):
        end -= 1
    if end == len(messages):
        return request
    ctx.note("an assistant message at the end was dropped")
    return evolve(request, messages=messages[:end])


def _may_not_end_with(message: Message, rules: TargetRules, ctx: ExchangeContext) -> bool:
    # A turn that paused in the middle of a server-side tool is sent back to be gone on with: no prefill.
    is_paused = any(isinstance(part, Opaque) for part in message.parts)
    return rules.drops_prefill or (PREFILL in ctx.upstream_refuses and not is_paused)


def begin_with_user(request: IRRequest, rules: TargetRules, _ctx: ExchangeContext) -> IRRequest:
    """See to it that the user speaks, and speaks first; a note before that is plain system text."""
    messages = list(dropwhile(_is_reminder, request.messages))
    notes = request.messages[: len(request.messages) - len(messages)]
    if notes:
        system = [*request.system, *(text for note in notes for text in _system_texts(note))]
        request = evolve(request, system=system, messages=messages)
    if rules.needs_user_message and not messages and request.system:
        spoken: list[Part] = [Text(text.text, cache=text.cache) for text in request.system]
        return evolve(request, system=[], messages=[Message("user", spoken)])
    if rules.opening and messages and messages[0].role == "assistant":
        return evolve(request, messages=[Message("user", [Text(rules.opening)]), *messages])
    return request


def _is_reminder(message: Message) -> bool:
    return message.role == "system" and message.system_kind == "reminder"


# --- tools ------------------------------------------------------------------------------------------------


def settle_tool_choice(request: IRRequest, rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Remove a tool choice that no tool the target knows can satisfy."""
    if not request.tools:
        return evolve(request, tool_choice=None, parallel_tool_calls=None)
    choice = request.tool_choice
    if choice is None or (not choice.names and choice.mode != "tool"):
        return request
    declared = {tool.name for tool in request.tools if _is_known(tool, rules)}
    names = [name for name in choice.names if name in declared]
    if len(names) == len(choice.names) and names:
        return request
    ctx.note("the tool choice names a tool that is not declared")
    return evolve(request, tool_choice=evolve(choice, names=names) if names else None)


def _is_known(tool: Tool, rules: TargetRules) -> bool:
    return tool.kind is not ToolKind.BUILTIN or tool.dialect in rules.speaks


def fit_names(request: IRRequest, rules: TargetRules, ctx: ExchangeContext) -> IRRequest:
    """Rename tools to what the target allows."""
    return fit_tool_names(request, rules.tool_names, ctx)


PASSES: Final[tuple[Pass, ...]] = (
    drop_foreign,
    settle_tool_choice,
    fit_names,
    settle_roles,
    drop_empties,
    place_system_text,
    merge_roles,
    pair_calls,
    end_with_user,
    merge_roles,
    order_parts,
    begin_with_user,
)
