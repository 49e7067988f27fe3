"""Facts of one exchange that the encoders of its answer need from its request.

One object per exchange, created by the exchange, handed to every decoder, pass, encoder and transducer of it.
Maps go from what the upstream sees to what the client sees, so that an answer can be restored; they are
filled on the way out and read on the way back.

Names and ids are mapped only when the target forces a change, so most lookups miss and return the name
itself.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, field

from cliproxy.ir.request import Family, IRRequest
from cliproxy.wire.jsontext import JsonObject


def plain_tool_name(name: str) -> str:
    """Return what is left of a tool's name after the changes some models make to names."""
    return name.strip().lstrip("_").lower()


MAX_NOTES: Final = 50


@define(eq=False, kw_only=True)
class ExchangeContext:
    """What one request and its answer have in common. ``now`` is in Unix seconds; ``random_hex(n)`` gives n
    hex digits."""

    client_dialect: str
    upstream_dialect: str
    requested_model: str
    """As the client wrote it, without a thinking suffix."""
    upstream_model: str
    now: float
    random_hex: Callable[[int], str]
    stream: bool = False
    shown_model: str = ""
    """The model name put into the answer; empty: what the upstream says."""
    upstream_family: Family = Family.UNKNOWN
    """Whose reasoning signatures the chosen upstream model verifies."""
    upstream_output: int | None = None
    """The longest answer of the chosen upstream model in tokens, where it is known."""
    upstream_refuses: frozenset[str] = frozenset()
    """Names of settings that the chosen upstream model answers with an error."""
    include_usage: bool = False
    """The chat client asked for a usage chunk."""
    want_thoughts: bool = True
    original: IRRequest | None = None
    """The request as decoded, for the fields an answer echoes."""
    original_body: JsonObject = field(factory=dict)
    tool_names: dict[str, str] = field(factory=dict)
    """Upstream tool name → client tool name, where they differ."""
    tool_spellings: dict[str, str] = field(factory=dict)
    """Plain form of a declared tool's upstream name → client tool name, where it is unambiguous."""
    call_ids: dict[str, str] = field(factory=dict)
    """Upstream call id → client call id, where they differ."""
    custom_tools: set[str] = field(factory=set)
    """Client names of tools that take free text."""
    namespaces: dict[str, tuple[str, str]] = field(factory=dict)
    """Flattened client tool name → (namespace, name inside it)."""
    notes: list[str] = field(factory=list)
    """What a dialect could not carry, for the debug log. Names fields, never their values."""

    def note(self, text: str) -> None:
        """Record a loss once; bounded, since a hostile request could cause many."""
        if len(self.notes) < MAX_NOTES and text not in self.notes:
            self.notes.append(text)

    def new_id(self, prefix: str, digits: int = 24) -> str:
        """Make an id in the manner of the vendors: a prefix and random hex digits."""
        return prefix + self.random_hex(digits)

    def client_tool_name(self, upstream_name: str) -> str:
        """Restore the client's name of a tool, also when the model changed case or added underscores."""
        known = self.tool_names.get(upstream_name)
        if known is not None:
            return known
        return self.tool_spellings.get(plain_tool_name(upstream_name), upstream_name)

    def client_call_id(self, upstream_id: str) -> str:
        """Restore the client's id of a call."""
        return self.call_ids.get(upstream_id, upstream_id)
