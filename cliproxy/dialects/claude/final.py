"""The last touches to a Claude request, on the wire object: combinations the API refuses, and cache marks.

They apply to translated and to passed-through bodies alike, because the owner's payload rules and a thinking
suffix can make a refused combination out of two accepted ones. Each step returns the body it was given when
there is nothing to do, and otherwise a copy in which only the changed branches are new, so that
:func:`~cliproxy.wire.jsontext.changes_between` finds the members to be replaced in the client's own text.

Cache marks: the API takes four at most, and a mark of an hour must not follow one of five minutes in the
order tools, system, messages. A request without any mark gets the three that pay off in every conversation.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from attrs import frozen

from cliproxy.wire.jsontext import (
    JsonObject,
    JsonValue,
    child,
    items,
    number,
    objects,
    strings,
    text,
)

MAX_CACHE_MARKS: Final = 4
_SHORT_MARK: Final[JsonObject] = {"type": "ephemeral"}
_LONG_TTL: Final = "1h"
_THINKS: Final = frozenset({"enabled", "adaptive", "auto"})
_FORCES: Final = frozenset({"any", "tool"})
_LEAST_TOP_P_WITH_THINKING: Final = 0.95
_NOT_COUNTED: Final = frozenset(
    {
        "max_tokens",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "metadata",
        "service_tier",
        "speed",
        "container",
        "context_management",
        "diagnostics",
    }
)
"""Members the counting endpoint refuses as extra inputs."""

Step: TypeAlias = Callable[[JsonObject], JsonObject]


def make_legal(body: JsonObject) -> JsonObject:
    """Remove what the API refuses in combination."""
    for step in _LEGAL_STEPS:
        body = step(body)
    return body


def for_counting(body: JsonObject) -> JsonObject:
    """Leave what the counting endpoint takes."""
    kept = {member: value for member, value in body.items() if member not in _NOT_COUNTED}
    return settle_cache_marks(kept)


def take_betas(body: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """Split off the list of betas, which travels in a header."""
    if "betas" not in body:
        return body, ()
    named = (name.strip() for entry in strings(body, "betas") for name in entry.split(","))
    return _without(body, "betas"), tuple(name for name in named if name)


def _without(body: JsonObject, *members: str) -> JsonObject:
    return {member: value for member, value in body.items() if member not in members}


# --- combinations -------------------------------------------------------------------------------------------


def prefer_forced_tool(body: JsonObject) -> JsonObject:
    """A forced tool and thinking exclude each other; the force wins."""
    if text(child(body, "tool_choice"), "type") not in _FORCES:
        return body
    if _is_thinking(body):
        body = _without(body, "thinking")
    output = child(body, "output_config")
    if "effort" not in output:
        return body
    rest = _without(output, "effort")
    return {**body, "output_config": rest} if rest else _without(body, "output_config")


def _is_thinking(body: JsonObject) -> bool:
    return text(child(body, "thinking"), "type") in _THINKS


def settle_sampling(body: JsonObject) -> JsonObject:
    """Keep temperature in range, send it or ``top_p`` but not both, and neither against thinking."""
    temperature, top_p = number(body, "temperature"), number(body, "top_p")
    gone: list[str] = []
    if _is_thinking(body):
        if temperature is not None and temperature != 1:
            gone.append("temperature")
        if temperature == 1 or (top_p is not None and top_p < _LEAST_TOP_P_WITH_THINKING):
            gone.append("top_p")
        gone.append("top_k")
    elif temperature is not None:
        gone.append("top_p")
        clamped = min(max(temperature, 0.0), 1.0)
        if clamped != temperature:
            body = {**body, "temperature": clamped}
    return _without(body, *gone) if any(member in body for member in gone) else body


def put_system_first(body: JsonObject) -> JsonObject:
    """Move messages of role ``system`` to the top-level member, for models that take them nowhere else."""
    messages = items(body, "messages")
    rest = [message for message in messages if not _is_system(message)]
    if len(rest) == len(messages):
        return body
    notes = (message for message in objects(body, "messages") if _is_system(message))
    moved = [block for note in notes for block in _blocks(note, "content")]
    return {**body, "system": [*_blocks(body, "system"), *moved], "messages": rest}


def _is_system(message: JsonValue) -> bool:
    return isinstance(message, dict) and text(message, "role") == "system"


def _blocks(holder: JsonObject, member: str) -> list[JsonValue]:
    """Return a list of blocks; a bare text counts as one block."""
    bare = text(holder, member)
    return [{"type": "text", "text": bare}] if bare else items(holder, member)


# --- cache marks --------------------------------------------------------------------------------------------


@frozen
class _Place:
    """Where a mark stands: a tool, a system block, a block of a message, or a block inside a tool result."""

    section: str
    index: int
    block: int = 0
    inner: int | None = None


def _marks(body: JsonObject) -> dict[_Place, JsonObject]:
    """Return all marks in the order the API evaluates them."""
    marks: dict[_Place, JsonObject] = {}
    for section in ("tools", "system"):
        for index, control in _marked_among(items(body, section)):
            marks[_Place(section, index)] = control
    for index, message in enumerate(items(body, "messages")):
        if isinstance(message, dict):
            _add_marks_of(items(message, "content"), index, marks)
    return marks


def _add_marks_of(blocks: list[JsonValue], index: int, marks: dict[_Place, JsonObject]) -> None:
    for at, block in enumerate(blocks):
        if isinstance(block, dict):
            # The marks inside a result come before the one on it.
            content = block.get("content")
            if isinstance(content, list):
                for inner, control in _marked_among(content):
                    marks[_Place("messages", index, at, inner)] = control
            if isinstance(own := block.get("cache_control"), dict):
                marks[_Place("messages", index, at)] = own


def _marked_among(holders: list[JsonValue]) -> Iterator[tuple[int, JsonObject]]:
    for index, holder in enumerate(holders):
        if isinstance(holder, dict) and isinstance(control := holder.get("cache_control"), dict):
            yield index, control


def settle_cache_marks(body: JsonObject) -> JsonObject:
    """Bring the marks into the number and order that the API takes; a long conversation is searched once."""
    return keep_ttl_order(limit_cache_marks(body)) if _marks(body) else body


def limit_cache_marks(body: JsonObject) -> JsonObject:
    """Remove marks beyond the fourth, the ones that save least first."""
    marks = list(_marks(body))
    room = MAX_CACHE_MARKS - ("cache_control" in body)
    if len(marks) <= room:
        return body
    tools, system, messages = (
        [place for place in marks if place.section == section] for section in ("tools", "system", "messages")
    )
    least_first = [*system[:-1], *tools[:-1], *messages, *system[-1:], *tools[-1:]]
    return _remarked(body, dict.fromkeys(least_first[: len(marks) - room]))


def keep_ttl_order(body: JsonObject) -> JsonObject:
    """Shorten the hour of every mark behind a short one."""
    edits: dict[_Place, JsonObject | None] = {}
    after_short = False
    for place, control in _marks(body).items():
        if control.get("ttl") != _LONG_TTL:
            after_short = True
        elif after_short:
            edits[place] = _without(control, "ttl")
    return _remarked(body, edits)


def add_cache_marks(body: JsonObject) -> JsonObject:
    """Mark a request that has no mark: its last tool, its last system block, its last user turn but one."""
    if "cache_control" in body or _marks(body):
        return body
    places = [_Place("tools", index) for index in _loaded_tools(body)[-1:]]
    system = _blocks(body, "system")
    if system:
        places.append(_Place("system", len(system) - 1))
    users = [
        (index, blocks)
        for index, message in enumerate(items(body, "messages"))
        if isinstance(message, dict)
        and text(message, "role") == "user"
        and (blocks := _blocks(message, "content"))
    ]
    if len(users) > 1:
        index, blocks = users[-2]
        places.append(_Place("messages", index, len(blocks) - 1))
    return _remarked(body, dict.fromkeys(places, _SHORT_MARK))


def _loaded_tools(body: JsonObject) -> list[int]:
    """Return which tools are part of the prompt; those loaded on demand cannot be marked."""
    tools = enumerate(items(body, "tools"))
    return [index for index, tool in tools if isinstance(tool, dict) and not tool.get("defer_loading")]


def _remarked(body: JsonObject, edits: Mapping[_Place, JsonObject | None]) -> JsonObject:
    """Return a body in which some places have another mark, or none."""
    copied: dict[str, list[JsonValue]] = {}
    for section in {place.section for place in edits}:
        copied[section] = [*(items if section == "messages" else _blocks)(body, section)]
    contents: dict[int, list[JsonValue]] = {}
    for place, control in edits.items():
        if place.section == "messages":
            message = copied["messages"][place.index]
            assert isinstance(message, dict)
            blocks = contents.get(place.index) or [*_blocks(message, "content")]
            contents[place.index] = blocks
            blocks[place.block] = _marked_at(blocks[place.block], place.inner, control)
        else:
            holders = copied[place.section]
            holders[place.index] = _marked(holders[place.index], control)
    for index, blocks in contents.items():
        message = copied["messages"][index]
        assert isinstance(message, dict)
        copied["messages"][index] = {**message, "content": blocks}
    return {**body, **copied} if copied else body


def _marked_at(block: JsonValue, inner: int | None, control: JsonObject | None) -> JsonValue:
    if inner is None or not isinstance(block, dict):
        return _marked(block, control)
    content = [*items(block, "content")]
    content[inner] = _marked(content[inner], control)
    return {**block, "content": content}


def _marked(holder: JsonValue, control: JsonObject | None) -> JsonValue:
    if not isinstance(holder, dict):
        return holder
    plain = _without(holder, "cache_control")
    return plain if control is None else {**plain, "cache_control": control}


_LEGAL_STEPS: Final[tuple[Step, ...]] = (
    prefer_forced_tool,
    settle_cache_marks,
    settle_sampling,
)
