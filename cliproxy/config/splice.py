"""Which characters of a YAML text have to change so that it says something else.

A :class:`Splicer` compares a parsed text with wanted values and yields :class:`Cut`\\ s: pieces of the text
and what takes their place. Everything outside the cuts, comments, blank lines, quoting and indentation
included, stays as it is.

The rules, by what changes:

* a scalar is replaced where it stands, in its own quoting style; * mappings are compared key by key, lists
by the longest common run of items, and only what differs is touched; * new members and items go behind the
last one (or the one before) in the collection's own style, block or flow; * a removed member takes its
whole lines with it; comment lines above it stay, since nobody knows whose they are; * where the shape of a
value changes, the value alone is rewritten.

The cuts of one comparison never overlap. They are not guaranteed to be right for every odd layout YAML
allows, such as explicit ``? key`` forms: the caller reads the result back and compares
(:mod:`cliproxy.config.edit`).
"""

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import frozen

from cliproxy.config.nodes import (
    Entry,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    indicators,
    is_merge,
    value_of,
)
from cliproxy.config.render import INDENT, block_lines, flow_text, item_lines, member_lines, scalar
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps_text

_BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_BREAK_CHARS: Final = "\n\r\x85\u2028\u2029"
_QUOTES: Final = frozenset({"'", '"'})


class SpliceError(Exception):
    """The text is laid out in a way that this module has no rule for."""


@frozen
class Cut:
    """Replace ``text[start:end]``."""

    start: int
    end: int
    text: str = ""


@frozen(kw_only=True)
class Slot:
    """A place that holds a value."""

    node: Node
    after: int
    """Offset behind the colon or dash that introduces the value."""
    indent: int
    """Column of the collection the value stands in."""
    in_flow: bool = False
    is_item: bool = False


def apply_cuts(text: str, cuts: Iterable[Cut]) -> str:
    """Carry out cuts, last first, so that earlier offsets stay true."""
    for cut in sorted(cuts, key=lambda cut: (cut.start, cut.end), reverse=True):
        text = text[: cut.start] + cut.text + text[cut.end :]
    return text


def same(left: JsonValue, right: JsonValue) -> bool:
    """Tell whether two values are equal, types included: ``1`` is not ``true`` and not ``1.0``."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


class Splicer:
    """Yields the cuts for one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        marks = indicators(text)
        self._colons: Sequence[int] = marks.colons
        self._dashes: Sequence[int] = marks.dashes
        first_break = _BREAK.search(text)
        self._newline = first_break.group() if first_break else "\n"

    # ----------------------------------------------------------------------------------------- what changes

    def change_root(self, root: Node | None, wanted: JsonObject) -> Iterator[Cut]:
        """Yield the cuts that make the whole document say ``wanted``."""
        if isinstance(root, MapNode) and root.entries and (wanted or not root.flow):
            yield from self._change_map(root, wanted)
        elif isinstance(root, MapNode):
            yield Cut(root.span.start, root.span.end, self._newline.join(block_lines(wanted)))
        elif root is None or (isinstance(root, ScalarNode) and not root.text):
            yield self._insert_lines(len(self._text), block_lines(wanted), 0)
        else:
            raise SpliceError("the document is not a group of keys")

    def replace(self, slot: Slot, wanted: JsonValue) -> Iterator[Cut]:
        """Yield the cuts that put a whole value in place of another."""
        node = slot.node
        is_block = isinstance(wanted, list | dict) and bool(wanted)
        if slot.in_flow:
            yield Cut(node.span.start, node.span.end, self._gap(slot) + flow_text(wanted))
        elif is_block and not _is_filled_flow(node):
            yield from self._replace_by_block(slot, wanted)
        else:
            yield from self._replace_by_line(slot, wanted)

    def slots_of_map(self, node: MapNode) -> Iterator[tuple[str, Slot]]:
        """Iterate over the values a mapping holds itself, with their keys."""
        for entry in node.entries:
            if not is_merge(entry):
                yield entry.key.text, self._entry_slot(node, entry)

    def slots_of_list(self, node: ListNode) -> Iterator[Slot]:
        """Iterate over the items of a list."""
        for item in node.items:
            if node.flow:
                yield Slot(
                    node=item, after=item.span.start, indent=node.span.column, in_flow=True, is_item=True
                )
            else:
                dash = self._dash_before(item)
                yield Slot(node=item, after=dash + 1, indent=self._column(dash), is_item=True)

    def _change(self, slot: Slot, wanted: JsonValue) -> Iterator[Cut]:
        node = slot.node
        if same(value_of(node), wanted):
            return
        if isinstance(node, MapNode) and isinstance(wanted, dict) and node.entries and wanted:
            yield from self._change_map(node, wanted)
        elif isinstance(node, ListNode) and isinstance(wanted, list) and node.items and wanted:
            yield from self._change_list(node, wanted)
        else:
            yield from self.replace(slot, wanted)

    # -------------------------------------------------------------------------------------------- mappings

    def _change_map(self, node: MapNode, wanted: JsonObject) -> Iterator[Cut]:
        own = dict(self.slots_of_map(node))
        value = value_of(node)
        assert isinstance(value, dict)
        if any(name not in wanted and name not in own for name in value):
            raise SpliceError("a key to be removed comes from a merge key")
        added = {
            name: new
            for name, new in wanted.items()
            if name not in own and not (name in value and same(value[name], new))
        }
        for name, slot in own.items():
            if name in wanted:
                yield from self._change(slot, wanted[name])
        gone = [not is_merge(entry) and entry.key.text not in wanted for entry in node.entries]
        if node.flow:
            members = [f"{scalar(name, flow=True)}: {flow_text(new)}" for name, new in added.items()]
            spans = [(entry.key.span.start, self._entry_end(entry)) for entry in node.entries]
            yield from _change_flow(spans, gone, {len(spans): members})
            return
        yield from self._drop_members(node, gone)
        if added:
            position = self._next_line(self._entry_end(node.entries[-1]))
            lines = (line for name, new in added.items() for line in member_lines(name, new))
            yield self._insert_lines(position, lines, self._column(node.entries[0].key.span.start))

    def _drop_members(self, node: MapNode, gone: Sequence[bool]) -> Iterator[Cut]:
        for first, last in _runs(gone):
            start = node.entries[first].key.span.start
            end = self._entry_end(node.entries[last])
            if self._opens_line(start):
                yield Cut(self._line_start(start), self._next_line(end))
                continue
            # Behind a dash: what follows moves up beside it, unless a comment stands in between.
            following = node.entries[last + 1].key.span.start if last + 1 < len(node.entries) else None
            if following is not None and "#" not in self._text[end:following]:
                yield Cut(start, following)
            else:
                yield Cut(len(self._text[:start].rstrip(" ")), self._line_end(end))

    def _entry_slot(self, node: MapNode, entry: Entry) -> Slot:
        key, value = entry.key, entry.value
        colon = self._colon_after(key)
        after = key.span.end if colon is None else colon + 1
        return Slot(node=value, after=after, indent=self._column(key.span.start), in_flow=node.flow)

    def _entry_end(self, entry: Entry) -> int:
        colon = self._colon_after(entry.key)
        return max(entry.value.span.end, entry.key.span.end if colon is None else colon + 1)

    def _colon_after(self, key: ScalarNode) -> int | None:
        """Return where the colon of a key stands; ``None`` when it has none, as in ``{a, b}``."""
        index = bisect_left(self._colons, key.span.end)
        if index == len(self._colons):
            return None
        colon = self._colons[index]
        return colon if not self._text[key.span.end : colon].strip(" \t") else None

    # ----------------------------------------------------------------------------------------------- lists

    def _change_list(self, node: ListNode, wanted: list[JsonValue]) -> Iterator[Cut]:
        old = [dumps_text(value_of(item)) for item in node.items]
        new = [dumps_text(item) for item in wanted]
        slots = list(self.slots_of_list(node))
        gone = [False] * len(slots)
        added: dict[int, list[JsonValue]] = {}
        matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
        for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
            if tag == "equal":
                continue
            paired = min(old_to - old_from, new_to - new_from)
            for offset in range(paired):
                yield from self._change(slots[old_from + offset], wanted[new_from + offset])
            for index in range(old_from + paired, old_to):
                gone[index] = True
            if new_from + paired < new_to:
                added[old_from + paired] = wanted[new_from + paired : new_to]
        if node.flow:
            spans = [(item.span.start, item.span.end) for item in node.items]
            texts = {index: [flow_text(item) for item in items] for index, items in added.items()}
            yield from _change_flow(spans, gone, texts)
            return
        yield from self._drop_items(slots, gone)
        for index, items in added.items():
            yield self._insert_items(slots, index, items)

    def _drop_items(self, slots: Sequence[Slot], gone: Sequence[bool]) -> Iterator[Cut]:
        for first, last in _runs(gone):
            dash = slots[first].after - 1
            end = _slot_end(slots[last])
            if self._opens_line(dash):
                yield Cut(self._line_start(dash), self._next_line(end))
                continue
            following = slots[last + 1].after - 1 if last + 1 < len(slots) else None
            if following is None or "#" in self._text[end:following]:
                raise SpliceError("the first item of a list inside a list cannot be taken out alone")
            yield Cut(dash, following)

    def _insert_items(self, slots: Sequence[Slot], index: int, items: Iterable[JsonValue]) -> Cut:
        lines = [line for item in items for line in item_lines(item)]
        column = slots[0].indent
        if index:
            return self._insert_lines(self._next_line(_slot_end(slots[index - 1])), lines, column)
        dash = slots[0].after - 1
        if self._opens_line(dash):
            return self._insert_lines(self._line_start(dash), lines, column)
        indented = (self._newline + " " * column).join([*lines, ""])
        return Cut(dash, dash, indented)

    def _dash_before(self, item: Node) -> int:
        index = bisect_left(self._dashes, item.span.start)
        assert index, "an item of a block list has a dash before it"
        return self._dashes[index - 1]

    # ------------------------------------------------------------------------------------- replacing a value

    def _replace_by_line(self, slot: Slot, wanted: JsonValue) -> Iterator[Cut]:
        """Put a value of one line in place of any other."""
        node = slot.node
        style = node.style if isinstance(node, ScalarNode) and node.style in _QUOTES else ""
        line = scalar(wanted, style)
        if _is_block(node) and self._opens_line(node.span.start):
            yield Cut(slot.after, slot.after, f" {line}")
            yield Cut(self._line_start(node.span.start), self._next_line(node.span.end))
        else:
            yield Cut(node.span.start, node.span.end, self._gap(slot) + line)

    def _replace_by_block(self, slot: Slot, wanted: JsonValue) -> Iterator[Cut]:
        """Put a filled collection in block style in place of any other value."""
        start, end = slot.node.span.start, slot.node.span.end
        if start > slot.after and self._opens_line(start):
            own = self._column(start)
            column = own if own > slot.indent else slot.indent + INDENT
            yield Cut(self._line_start(start), self._next_line(end))
            yield self._insert_lines(self._next_line(end), block_lines(wanted), column)
        elif slot.is_item:
            gap = self._gap(slot)
            column = self._column(start) + len(gap)
            yield Cut(start, end, gap + (self._newline + " " * column).join(block_lines(wanted)))
        else:
            yield Cut(slot.after, end)
            yield self._insert_lines(self._next_line(end), block_lines(wanted), slot.indent + INDENT)

    def _gap(self, slot: Slot) -> str:
        """Return the space that a value needs where there was none before."""
        start = slot.node.span.start
        touching = start == slot.after and start == slot.node.span.end
        return " " if touching and not self._text[:start].endswith((" ", "[", "{")) else ""

    # -------------------------------------------------------------------------------------------- geometry

    def _insert_lines(self, position: int, lines: Iterable[str], column: int) -> Cut:
        """Insert whole lines at the start of a line, or at the end of a text that lacks its last line end."""
        before = self._text[:position]
        lead = "" if not before or before.endswith(tuple(_BREAK_CHARS)) else self._newline
        return Cut(
            position, position, lead + "".join(f"{'':{column}}{line}{self._newline}" for line in lines)
        )

    def _line_start(self, position: int) -> int:
        return max(self._text.rfind(char, 0, position) for char in _BREAK_CHARS) + 1

    def _line_end(self, position: int) -> int:
        found = _BREAK.search(self._text, position)
        return found.start() if found else len(self._text)

    def _next_line(self, position: int) -> int:
        found = _BREAK.search(self._text, position)
        return found.end() if found else len(self._text)

    def _column(self, position: int) -> int:
        return position - self._line_start(position)

    def _opens_line(self, position: int) -> bool:
        return not self._text[self._line_start(position) : position].strip(" \ufeff")


def _slot_end(slot: Slot) -> int:
    return max(slot.node.span.end, slot.after)


def _is_block(node: Node) -> bool:
    return isinstance(node, ListNode | MapNode) and not node.flow


def _is_filled_flow(node: Node) -> bool:
    """Tell whether a value is written in braces and not empty: its owner likes it that way."""
    return (isinstance(node, ListNode) and node.flow and bool(node.items)) or (
        isinstance(node, MapNode) and node.flow and bool(node.entries)
    )


def _runs(flags: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield first and last index of each run of true flags."""
    first: int | None = None
    for index, flag in enumerate((*flags, False)):
        if flag and first is None:
            first = index
        elif not flag and first is not None:
            yield first, index - 1
            first = None


def _change_flow(
    spans: Sequence[tuple[int, int]], gone: Sequence[bool], added: Mapping[int, Sequence[str]]
) -> Iterator[Cut]:
    """Yield the cuts inside braces: parts that go, and texts that come before the part of an index."""
    kept = [index for index, flag in enumerate(gone) if not flag]
    if not kept:
        texts = [text for _, group in sorted(added.items()) for text in group]
        yield Cut(spans[0][0], spans[-1][1], ", ".join(texts))
        return
    for first, last in _runs(gone):
        if first == 0:
            yield Cut(spans[0][0], spans[last + 1][0])
        else:
            yield Cut(spans[first - 1][1], spans[last][1])
    for index, group in added.items():
        before = [position for position in kept if position < index]
        if before:
            end = spans[before[-1]][1]
            yield Cut(end, end, "".join(f", {text}" for text in group))
        else:
            start = spans[kept[0]][0]
            yield Cut(start, start, "".join(f"{text}, " for text in group))
