"""Changing a configuration file without disturbing the rest of it.

An edit computes what the file is to say, lets :mod:`cliproxy.config.splice` cut exactly that into the text,
reads the result back and compares. Only a text that says what was wanted, and nothing else, is returned.
Where the finest cut does not stand this test (odd layouts, anchors), the value around it is rewritten as a
whole, and so on outwards up to its top-level key; if even that fails, the edit is refused and the file
stays as it was.

Values are JSON values; a path is a tuple of keys and list positions: ``("claude-api-key", 0, "note")``.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from cliproxy.config.nodes import ListNode, MapNode, Node, YamlError, parse, value_of
from cliproxy.config.splice import Slot, SpliceError, Splicer, apply_cuts, same
from cliproxy.errors import ConfigError, Problem
from cliproxy.wire.jsontext import JsonObject, JsonValue

Path: TypeAlias = Sequence[str | int]


def document(text: str) -> JsonObject:
    """Return what a text says. Raises :class:`ConfigError` when it is not a usable group of keys."""
    try:
        tree = parse(text)
    except YamlError as exc:
        raise ConfigError("the text", [exc.problem]) from exc
    if tree.problems:
        raise ConfigError("the text", tree.problems)
    value = value_of(tree.root)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError("the text", [Problem("must be a group of keys")])
    return value


def set_value(text: str, path: Path, value: JsonValue) -> str:
    """Return the text with one value set. Missing groups on the way are made; a list position may be its end.

    Raises :class:`ConfigError` when the path leads through something else, or the text cannot be changed
    safely.
    """
    wanted = document(text)
    _set(wanted, path, value)
    return _rewrite(text, path, wanted)


def remove(text: str, path: Path) -> str:
    """Return the text without one value; one that is not there is no error."""
    wanted = document(text)
    holder = _walk(wanted, path[:-1])
    last = path[-1]
    if (isinstance(holder, dict) and isinstance(last, str) and last in holder) or (
        isinstance(holder, list) and isinstance(last, int) and 0 <= last < len(holder)
    ):
        del holder[last]  # type: ignore[arg-type]  # the condition pairs the two kinds
        return _rewrite(text, path, wanted)
    return text


def replace_document(text: str, wanted: JsonObject) -> str:
    """Return the text changed, key by key, into one that says ``wanted``."""
    current = document(text)
    for name in [name for name in current if name not in wanted]:
        text = remove(text, (name,))
    for name, value in wanted.items():
        if name not in current or not same(current[name], value):
            text = set_value(text, (name,), value)
    return text


def _rewrite(text: str, path: Path, wanted: JsonObject) -> str:
    """Return the first candidate that says what is wanted."""
    if same(document(text), wanted):
        return text
    for candidate in _candidates(text, path, wanted):
        try:
            if same(document(candidate), wanted):
                return candidate
        except ConfigError:
            continue
    where = ".".join(str(part) for part in path)
    raise ConfigError(
        "the text", [Problem("cannot be changed without touching other values; edit it by hand", where)]
    )


def _candidates(text: str, path: Path, wanted: JsonObject) -> Iterator[str]:
    """Yield changed texts, from the finest cut to the coarsest."""
    root = parse(text).root
    splicer = Splicer(text)
    with contextlib.suppress(SpliceError):
        yield apply_cuts(text, splicer.change_root(root, wanted))
    for length in range(len(path), 0, -1):
        slot = _slot(splicer, root, path[:length])
        if slot is not None:
            yield apply_cuts(text, splicer.replace(slot, _walk(wanted, path[:length])))


def _slot(splicer: Splicer, root: Node | None, path: Path) -> Slot | None:
    """Find the place of a value in the text as written; ``None`` when it is not there or behind an alias."""
    node, slot = root, None
    for part in path:
        if isinstance(node, MapNode):
            slot = dict(splicer.slots_of_map(node)).get(str(part))
        elif isinstance(node, ListNode) and isinstance(part, int) and 0 <= part < len(node.items):
            slot = list(splicer.slots_of_list(node))[part]
        else:
            return None
        if slot is None:
            return None
        node = slot.node
    return slot


# --------------------------------------------------------------------------------------------------- values


def _walk(value: JsonValue, path: Path) -> JsonValue:
    """Return the value at a path; ``None`` where there is nothing."""
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
            value = value[part]
        else:
            return None
    return value


def _set(value: JsonObject, path: Path, new: JsonValue) -> None:
    """Set a value in place, making groups where there is nothing."""
    holder: JsonValue = value
    for index, part in enumerate(path):
        is_last = index == len(path) - 1
        if isinstance(holder, dict) and isinstance(part, str):
            if is_last:
                holder[part] = new
            elif holder.get(part) is None:
                holder[part] = [] if isinstance(path[index + 1], int) else {}
            holder = holder[part]
        elif isinstance(holder, list) and isinstance(part, int) and 0 <= part <= len(holder):
            if part == len(holder):
                holder.append({})
            if is_last:
                holder[part] = new
            holder = holder[part]
        else:
            where = ".".join(str(step) for step in path[: index + 1])
            raise ConfigError("the text", [Problem("there is no such place", where)])
