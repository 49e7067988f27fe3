"""YAML text as a tree of nodes that remember where they stand. The only module that names the YAML library.

The library's parser turns text into events; this module builds the tree from them itself, because a
configuration needs what the library's own constructors throw away: whether a scalar was quoted, duplicate
keys, aliases as aliases (an edit must not touch what they point to), and bounds. Scalars stay text; what a
text means depends on the key it is given for.

Text from outside is harmless here: tags other than the plain ones are refused, and depth and size are limited
*after* aliases are counted in, so a few lines cannot unfold into a tree of millions.

Positions are character offsets into the text, lines and columns count from 1 and 0 as the library's marks do.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import attrs
import yaml
from attrs import frozen

from cliproxy.errors import Problem
from cliproxy.wire.jsontext import JsonValue

MAX_DEPTH: Final = 40
MAX_NODES: Final = 200_000
MAX_TEXT: Final = 4 * 1024 * 1024
"""Longest configuration text in characters."""
MERGE_KEY: Final = "<<"

_STRING_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_PLAIN_TAGS: Final = _STRING_TAGS | {
    f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "seq", "map")
}

_BLOCK_STYLES: Final = frozenset({"|", ">"})
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL: Final = re.compile(r"[-+]?[0-9][0-9_]*")
_PREFIXED: Final = re.compile(r"([-+]?)0(x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAX_DIGITS: Final = 40
_REMEDIES: Final = {
    "mapping values are not allowed here": "; check the indentation, and quote a text with a colon in it",
    "expected <block end>": "; check the indentation: entries of one group begin in one column",
    "'\\t'": "; indent with spaces",
    "while scanning a quoted scalar": "; a quotation mark is missing",
}
"""What the usual mistakes look like to the parser, and what is to be done. The first that fits counts."""


@frozen(kw_only=True)
class Span:
    """Where a node stands: offsets of its first character and behind its last one, line (from 1) and column
    (from 0)."""

    start: int
    end: int
    line: int
    column: int


@frozen(kw_only=True)
class ScalarNode:
    """A scalar as text."""

    text: str
    span: Span
    style: str = ""
    """``'``, ``"``, ``|``, ``>``, or empty for a plain one."""
    is_text: bool = False
    """Quoted or tagged as a string: never a number, a boolean or nothing."""
    anchor: str | None = None
    size: int = 1
    height: int = 1

    @property
    def is_null(self) -> bool:
        """Whether the scalar stands for nothing."""
        return not self.is_text and self.text in _NULLS


@frozen(kw_only=True)
class ListNode:
    """A sequence. ``span.end`` is where its last item ends, not where the next thing begins."""

    items: "tuple[Node, ...]"
    span: Span
    flow: bool = False
    anchor: str | None = None
    size: int = 1
    height: int = 1


@frozen(kw_only=True)
class Entry:
    """A key with its value."""

    key: ScalarNode
    value: "Node"


@frozen(kw_only=True)
class MapNode:
    """A mapping as written: merge keys are ordinary entries here, see :func:`members`."""

    entries: tuple[Entry, ...]
    span: Span
    flow: bool = False
    anchor: str | None = None
    size: int = 1
    height: int = 1


@frozen(kw_only=True)
class AliasNode:
    """``*name``: stands for another node."""

    target: "ScalarNode | ListNode | MapNode"
    span: Span
    size: int = 1
    height: int = 1


SolidNode: TypeAlias = ScalarNode | ListNode | MapNode
Node: TypeAlias = SolidNode | AliasNode


class YamlError(Exception):
    """Text that is not one harmless YAML document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@frozen(kw_only=True)
class Tree:
    """A parsed text: its root, ``None`` when there is no document, and what is wrong with it beyond
    syntax."""

    root: Node | None
    problems: tuple[Problem, ...] = ()


def parse(text: str) -> Tree:
    """Parse one YAML document. Raises :class:`YamlError` where no tree can be built."""
    if len(text) > MAX_TEXT:
        raise YamlError(Problem(f"longer than {MAX_TEXT} characters"))
    try:
        return _Builder(text).build()
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise YamlError(Problem(f"contains the control character U+{exc.character:04X}", line=line)) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        reason = ", ".join(part for part in (exc.context, exc.problem) if part)
        remedy = next((said for words, said in _REMEDIES.items() if words in reason), "")
        raise YamlError(Problem(f"not YAML: {reason}{remedy}", line=mark.line + 1 if mark else None)) from exc


def solid(node: Node) -> SolidNode:
    """Return what a node stands for."""
    return node.target if isinstance(node, AliasNode) else node


def members(node: MapNode) -> Iterator[Entry]:
    """Iterate over the entries a mapping has, those of its merge keys included; its own win, then earlier
    merges."""
    seen: set[str] = set()
    merged: list[Node] = []
    for entry in node.entries:
        if is_merge(entry):
            merged.append(entry.value)
        else:
            seen.add(entry.key.text)
            yield entry
    for source in merged:
        target = solid(source)
        for part in target.items if isinstance(target, ListNode) else (target,):
            inner = solid(part)
            if not isinstance(inner, MapNode):
                continue
            for entry in members(inner):
                if entry.key.text not in seen:
                    seen.add(entry.key.text)
                    yield entry


def is_merge(entry: Entry) -> bool:
    """Tell whether an entry is a merge key."""
    return entry.key.text == MERGE_KEY and not entry.key.is_text


def value_of(node: Node | None) -> JsonValue:
    """Return the value of a node under YAML's own reading of scalars."""
    if node is None:
        return None
    target = solid(node)
    match target:
        case ScalarNode():
            return target.text if target.is_text else plain_value(target.text)
        case ListNode():
            return [value_of(item) for item in target.items]
        case MapNode():
            return {entry.key.text: value_of(entry.value) for entry in members(target)}


def plain_value(text: str) -> JsonValue:
    """Return what an unquoted scalar stands for. Dates, infinities and words such as ``yes`` are texts."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    whole = whole_number(text)
    if whole is not None:
        return whole
    return text if (number := decimal_number(text)) is None else number


def whole_number(text: str) -> int | None:
    """Read a whole number: decimal, ``0x``, ``0o`` or ``0b``, underscores allowed. A leading zero means
    nothing."""
    if len(text) > _MAX_DIGITS:
        return None
    if _DECIMAL.fullmatch(text):
        return int(text.replace("_", ""))
    if prefixed := _PREFIXED.fullmatch(text):
        sign, digits = prefixed.groups()
        plain = digits[1:].replace("_", "")
        return int(f"{sign}{plain}", {"x": 16, "o": 8, "b": 2}[digits[0]]) if plain else None
    return None


def decimal_number(text: str) -> float | None:
    """Read a finite number in decimal notation."""
    if len(text) > _MAX_DIGITS or not _FLOAT.fullmatch(text):
        return None
    number = float(text.replace("_", ""))
    return number if abs(number) != float("inf") else None


@frozen(kw_only=True)
class Indicators:
    """Where the marks between values stand, as offsets in ascending order."""

    colons: tuple[int, ...]
    dashes: tuple[int, ...]


def indicators(text: str) -> Indicators:
    """Find the colons behind keys and the dashes before items. The text must have been parsed before."""
    colons: list[int] = []
    dashes: list[int] = []
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        assert token.start_mark is not None
        if isinstance(token, yaml.ValueToken):
            colons.append(token.start_mark.index)
        elif isinstance(token, yaml.BlockEntryToken):
            dashes.append(token.start_mark.index)
    return Indicators(colons=tuple(colons), dashes=tuple(dashes))


class _Builder:
    """Builds the tree of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self._anchors: dict[str, SolidNode] = {}
        self._open: set[str] = set()
        self._problems: list[Problem] = []

    def build(self) -> Tree:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error("a second document begins here; one file is one document", event)
                root = self._node(self._next(), 1)
        return Tree(root=root, problems=tuple(self._problems))

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._open.add(event.anchor)
        node = self._solid(event, depth)
        if node.size > MAX_NODES or node.height > MAX_DEPTH:
            raise self._error("too large or too deep once its aliases are followed", event)
        if event.anchor is not None:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = node
        return node

    def _solid(self, event: yaml.NodeEvent, depth: int) -> SolidNode:
        match event:
            case yaml.ScalarEvent():
                return self._scalar(event)
            case yaml.SequenceStartEvent():
                return self._list(event, depth)
            case _:
                assert isinstance(event, yaml.MappingStartEvent)
                return self._map(event, depth)

    def _alias(self, event: yaml.AliasEvent) -> AliasNode:
        name = str(event.anchor)
        if name in self._open:
            raise self._error(f"the alias *{name} stands inside what it stands for", event)
        target = self._anchors.get(name)
        if target is None:
            raise self._error(f"the alias *{name} has no anchor before it", event)
        return AliasNode(target=target, span=_span(event, event), size=target.size, height=target.height)

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        self._check_tag(event.tag, event)
        if any("\ud800" <= char <= "\udfff" for char in event.value):
            self._problems.append(Problem("contains half a character (a lone surrogate)", line=_line(event)))
        span = _span(event, event)
        if event.style in _BLOCK_STYLES:
            # The library counts the blank lines behind a block scalar as part of it.
            end = span.start + len(self._text[span.start : span.end].rstrip())
            span = attrs.evolve(span, end=end)
        return ScalarNode(
            text=event.value,
            span=span,
            style=event.style or "",
            is_text=bool(event.style) or event.tag in _STRING_TAGS,
            anchor=event.anchor,
        )

    def _list(self, event: yaml.SequenceStartEvent, depth: int) -> ListNode:
        self._check_tag(event.tag, event)
        items: list[Node] = []
        while not isinstance(last := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(last, depth + 1))
        return ListNode(
            items=tuple(items),
            span=_collection_span(event, last, items[-1].span.end if items else None),
            flow=bool(event.flow_style),
            anchor=event.anchor,
            size=1 + sum(item.size for item in items),
            height=1 + max((item.height for item in items), default=0),
        )

    def _map(self, event: yaml.MappingStartEvent, depth: int) -> MapNode:
        self._check_tag(event.tag, event)
        entries: list[Entry] = []
        first_lines: dict[str, int] = {}
        while not isinstance(last := self._next(), yaml.MappingEndEvent):
            name = self._node(last, depth + 1)
            if not isinstance(name, ScalarNode):
                raise self._error("a key must be a plain text", last)
            entry = Entry(key=name, value=self._node(self._next(), depth + 1))
            if name.text in first_lines:
                message = f"the key `{name.text}` is given twice, first in line {first_lines[name.text]}"
                self._problems.append(Problem(message, line=name.span.line))
            else:
                first_lines[name.text] = name.span.line
                entries.append(entry)
        return MapNode(
            entries=tuple(entries),
            span=_collection_span(event, last, entries[-1].value.span.end if entries else None),
            flow=bool(event.flow_style),
            anchor=event.anchor,
            size=1 + sum(entry.value.size for entry in entries),
            height=1 + max((entry.value.height for entry in entries), default=0),
        )

    def _check_tag(self, tag: str | None, event: yaml.Event) -> None:
        if tag is not None and tag not in _PLAIN_TAGS:
            self._problems.append(Problem("YAML tags are not supported", line=_line(event)))

    def _error(self, message: str, event: yaml.Event) -> YamlError:
        return YamlError(Problem(message, line=_line(event)))


def _line(event: yaml.Event) -> int:
    return _span(event, event).line


def _span(first: yaml.Event, last: yaml.Event) -> Span:
    start, end = first.start_mark, last.end_mark
    assert start is not None
    assert end is not None
    return Span(start=start.index, end=end.index, line=start.line + 1, column=start.column)


def _collection_span(first: yaml.CollectionStartEvent, last: yaml.Event, content_end: int | None) -> Span:
    span = _span(first, last)
    if first.flow_style or content_end is None:
        return span
    return Span(start=span.start, end=content_end, line=span.line, column=span.column)


def texts(node: Node) -> Mapping[str, str]:
    """Return the scalar members of a mapping as texts; of anything else, nothing."""
    target = solid(node)
    if not isinstance(target, MapNode):
        return {}
    values = ((entry.key.text, solid(entry.value)) for entry in members(target))
    return {name: value.text for name, value in values if isinstance(value, ScalarNode)}
