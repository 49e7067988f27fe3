"""Old spellings of the configuration, rewritten in memory while a file is loaded.

The file itself is left as it is; a save through the management interface writes the new form. Each old key is
reported once. Where an old and a new key say the same thing, the new one wins; list entries are added to the
new list unless the same key is already in it.

The rewriting works on nodes, so findings about a moved value still name the line where its owner wrote it.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs
from attrs import frozen

from cliproxy.config.nodes import Entry, ListNode, MapNode, Node, ScalarNode, members, solid, texts
from cliproxy.errors import Problem

Members: TypeAlias = dict[str, Entry]
"""The members of one mapping by name; a migration takes old ones out and puts new ones in."""


@frozen(kw_only=True)
class Migrated:
    """The tree in its present form, and one note for each old key that was found."""

    root: Node | None
    notes: tuple[Problem, ...]


def migrate(root: Node | None) -> Migrated:
    """Return the tree without old keys. A tree that has none is returned as it is."""
    target = solid(root) if root is not None else None
    if not isinstance(target, MapNode):
        return Migrated(root=root, notes=())
    current = {entry.key.text: entry for entry in members(target)}
    notes: list[Problem] = []
    for name, (move, new_name) in _MOVES.items():
        if (old := current.get(name)) is not None and move(current, old):
            notes.append(_note(name, new_name, old))
    notes.extend(_migrate_compatible(current))
    if not notes:
        return Migrated(root=root, notes=())
    return Migrated(root=attrs.evolve(target, entries=tuple(current.values())), notes=tuple(notes))


def _note(name: str, new_name: str, old: Entry) -> Problem:
    return Problem(f"old key, read as `{new_name}`", name, old.key.span.line, fatal=False)


# -------------------------------------------------------------------------------------------- single keys


def _move_google_keys(current: Members, old: Entry) -> bool:
    """``generative-language-api-key: [k]`` → ``gemini-api-key: [{api-key: k}]``."""
    del current[old.key.text]
    _append_keys(current, "gemini-api-key", _scalars(old.value), old)
    return True


def _move_auth_providers(current: Members, old: Entry) -> bool:
    """``auth.providers[]`` of the kind ``config-api-key`` → ``api-keys``."""
    providers = _child(old.value, "providers")
    if providers is None:
        return False
    found: list[ScalarNode] = []
    for provider in _items(providers):
        if texts(provider).get("type", "").strip() != "config-api-key":
            continue
        for source in (provider, _child(provider, "config")):
            keys = _child(source, "api-keys") if source is not None else None
            found.extend(_scalars(keys) if keys is not None else ())
    del current[old.key.text]
    present = current.get("api-keys")
    known = {node.text.strip() for node in _scalars(present.value)} if present else set()
    fresh = [node for node in found if node.text.strip() not in known]
    _extend(current, "api-keys", fresh, old)
    return True


def _mover(section: str, name: str) -> Callable[[Members, Entry], bool]:
    """Make a migration of a top-level key into a section, where it stays unset otherwise."""

    def move(current: Members, old: Entry) -> bool:
        del current[old.key.text]
        present = current.get(section)
        inner = solid(present.value) if present else None
        if present and not _takes(present.value, MapNode):
            return True
        if isinstance(inner, MapNode) and any(entry.key.text == name for entry in members(inner)):
            return True
        moved = Entry(key=attrs.evolve(old.key, text=name), value=old.value)
        entries = (*members(inner), moved) if isinstance(inner, MapNode) else (moved,)
        holder = present.key if present else attrs.evolve(old.key, text=section)
        current[section] = Entry(key=holder, value=MapNode(entries=entries, span=old.value.span))
        return True

    return move


_MOVES: Final[Mapping[str, tuple[Callable[[Members, Entry], bool], str]]] = MappingProxyType(
    {
        "generative-language-api-key": (_move_google_keys, "gemini-api-key"),
        "auth": (_move_auth_providers, "api-keys"),
        "allow-remote-management": (
            _mover("remote-management", "allow-remote"),
            "remote-management.allow-remote",
        ),
        "remote-management-key": (_mover("remote-management", "secret-key"), "remote-management.secret-key"),
    }
)


# ------------------------------------------------------------------------------------- inside a list


def _migrate_compatible(current: Members) -> Iterator[Problem]:
    """``openai-compatibility[].api-keys: [k]`` → ``api-key-entries: [{api-key: k}]`` of the same item."""
    section = current.get("openai-compatibility")
    items = solid(section.value) if section else None
    if section is None or not isinstance(items, ListNode):
        return
    changed: list[Node] = []
    for index, item in enumerate(items.items):
        target = solid(item)
        inner = {entry.key.text: entry for entry in members(target)} if isinstance(target, MapNode) else {}
        old = inner.pop("api-keys", None)
        if old is None or not isinstance(target, MapNode):
            changed.append(item)
            continue
        _append_keys(inner, "api-key-entries", _scalars(old.value), old)
        changed.append(attrs.evolve(target, entries=tuple(inner.values())))
        path = f"openai-compatibility[{index}].api-keys"
        yield _note(path, "api-key-entries", old)
    value = attrs.evolve(items, items=tuple(changed))
    current["openai-compatibility"] = attrs.evolve(section, value=value)


# ---------------------------------------------------------------------------------- lists and groups of nodes


def _append_keys(current: Members, name: str, keys: Iterator[ScalarNode], old: Entry) -> None:
    """Append ``{api-key: k}`` to a list for each key that it lacks."""
    present = current.get(name)
    known = {texts(item).get("api-key", "").strip() for item in _items(present.value)} if present else set()
    fresh: list[Node] = []
    for node in keys:
        if node.text.strip() and node.text.strip() not in known:
            known.add(node.text.strip())
            name_node = attrs.evolve(old.key, text="api-key")
            fresh.append(MapNode(entries=(Entry(key=name_node, value=node),), span=node.span))
    _extend(current, name, fresh, old)


def _extend(current: Members, name: str, fresh: list[Node] | list[ScalarNode], old: Entry) -> None:
    """Append nodes to a list, which is made if there is none; what is not a list is left for the reader to
    refuse."""
    present = current.get(name)
    if not fresh or (present and not _takes(present.value, ListNode)):
        return
    before = _items(present.value) if present else ()
    holder = present.key if present else attrs.evolve(old.key, text=name)
    span = present.value.span if present else old.value.span
    current[name] = Entry(key=holder, value=ListNode(items=(*before, *fresh), span=span))


def _takes(node: Node, kind: type) -> bool:
    """Tell whether a value is a collection of some kind, or nothing, in whose place one may be put."""
    target = solid(node)
    return isinstance(target, kind) or (isinstance(target, ScalarNode) and target.is_null)


def _child(node: Node, name: str) -> Node | None:
    target = solid(node)
    if not isinstance(target, MapNode):
        return None
    return next((entry.value for entry in members(target) if entry.key.text == name), None)


def _items(node: Node) -> tuple[Node, ...]:
    target = solid(node)
    return target.items if isinstance(target, ListNode) else ()


def _scalars(node: Node) -> Iterator[ScalarNode]:
    for item in _items(node):
        target = solid(item)
        if isinstance(target, ScalarNode) and not target.is_null:
            yield target
