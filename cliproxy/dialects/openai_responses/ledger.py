"""The items of an upstream's answer, as far as they were told, and how they are found again.

Events name the item they are about by id, by index, or by both, and upstreams are not careful with either:
some make up new ids with every event, some leave them out, and the list in the last event may lack items, so
that places shift. An event finds its item by id, else by index. An entry of the last list finds its item by
id, else by what it is: the item at its place, or the first other one, of the same type that nobody else has
claimed and that says the same. Mistaking an item for a new one would make a client run a tool twice.
"""

from collections.abc import Iterator, Sequence

from attrs import define, field

from cliproxy.dialects.openai_responses.names import item_type
from cliproxy.wire.jsontext import JsonObject, integer, objects, text


@define(eq=False)
class Said:
    """A block of the hub and what it has said."""

    index: int
    pieces: list[str] = field(factory=list)
    citations: int = 0
    is_open: bool = True

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self.pieces)

    def missing(self, whole: str) -> str:
        """Return what a whole adds to what was said."""
        said = self.text
        return whole[len(said) :] if whole.startswith(said) else ""


@define(eq=False)
class Item:
    """An item of the upstream's answer."""

    kind: str
    output_index: int
    id: str = ""
    wire: JsonObject = field(factory=dict)
    """The item as it was announced."""
    is_done: bool = False
    block: Said | None = None
    """Its block, if it has one for itself."""
    call_id: str = ""
    parts: dict[int, Said] = field(factory=dict)
    """Blocks of a message by content index."""
    waiting: list[str] = field(factory=list)
    """Arguments of a call whose name is not known yet."""
    hint: JsonObject = field(factory=dict)
    """What the end of its arguments says of a call: maybe a name. The item, if it still comes, says more."""
    paragraph: int = 0
    paragraphs: dict[int, list[str]] = field(factory=dict)
    """Paragraphs of reasoning as far as they were said."""
    is_argued: bool = False
    """The arguments were told in full; what an upstream says of them later is a repetition."""
    source: str = ""
    """Where the text of reasoning comes from: its summary or its content, whichever spoke first."""

    def is_repeated_by(self, wire: JsonObject) -> bool:
        """Tell whether an entry of the last list, whose id says nothing, may be this item."""
        if self.kind != item_type(wire):
            return False
        call_id = text(wire, "call_id")
        if self.call_id and call_id:
            return self.call_id == call_id
        if self.kind != "message":
            return True
        said = "".join(part.text for _, part in sorted(self.parts.items()))
        whole = "".join(text(part, "text") or text(part, "refusal") for part in objects(wire, "content"))
        return whole.startswith(said) or said.startswith(whole)


class Ledger:
    """All items of one answer."""

    def __init__(self) -> None:
        self._by_index: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        return (self._by_index[index] for index in sorted(self._by_index))

    def add(self, item: Item) -> Item:
        """Enter an item under its index and its id."""
        self._by_index[item.output_index] = item
        if item.id:
            self._by_id[item.id] = item
        return item

    def at(self, index: int) -> Item | None:
        """Return the item at a place."""
        return self._by_index.get(index)

    def next_index(self) -> int:
        """Return the first place behind all others."""
        return max(self._by_index, default=-1) + 1

    def of(self, event: JsonObject, kind: str) -> Item:
        """Return the item an event is about; one that was never announced is taken to be of ``kind``."""
        item = self._by_id.get(text(event, "item_id"))
        index = integer(event, "output_index")
        if item is None and index is not None:
            item = self._by_index.get(index)
        if item is None:
            index = self.next_index() if index is None else index
            item = self.add(Item(kind, index, text(event, "item_id")))
        return item

    def claim(self, wires: Sequence[JsonObject]) -> list[Item]:
        """Return the items that the entries of the last list are about, in order; new ones among them."""
        named = [self._named(wire) for wire in wires]
        taken = {item.output_index for item in named if item is not None}
        return [
            item or self._unclaimed(wire, position, taken)
            for position, (wire, item) in enumerate(zip(wires, named, strict=True))
        ]

    def _named(self, wire: JsonObject) -> Item | None:
        item = self._by_id.get(text(wire, "id"))
        return item if item is not None and item.kind == item_type(wire) else None

    def _unclaimed(self, wire: JsonObject, position: int, taken: set[int]) -> Item:
        """Return the item an entry is about that none is known by the id of."""
        item = self._alike(wire, position, taken)
        if item is None:
            index = position if position not in self._by_index else self.next_index()
            item = self.add(Item(item_type(wire), index, text(wire, "id"), wire))
        taken.add(item.output_index)
        return item

    def _alike(self, wire: JsonObject, position: int, taken: set[int]) -> Item | None:
        alike = [each for each in self if each.output_index not in taken and each.is_repeated_by(wire)]
        at_place = [each for each in alike if each.output_index == position]
        return next(iter([*at_place, *alike]), None)
