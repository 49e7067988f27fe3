"""What is known about a model, as a sparse record.

``ModelInfo`` comes from bundled data, from an upstream's own list, or from the owner's configuration; later
sources override the members they name. Nothing in the program asks for a model's name to learn what it can
do: it asks this record.
"""

from attrs import frozen

from cliproxy.ir.request import Family
from cliproxy.ir.thinking import ThinkingSupport


@frozen(kw_only=True)
class ModelInfo:
    """Facts about one upstream model."""

    id: str
    """The name the upstream wants."""
    aliases: tuple[str, ...] = ()
    """Further names under which the provider itself offers the model, such as one that stays when the model
    behind it changes."""
    display_name: str = ""
    owned_by: str = ""
    created: int = 0
    """Unix seconds."""
    description: str = ""
    context_tokens: int | None = None
    output_tokens: int | None = None
    family: Family = Family.UNKNOWN
    """Whose reasoning signatures the model verifies."""
    thinking: ThinkingSupport | None = None
    """``None``: nothing is known; the client's wish is passed on as it is."""
    refuses: frozenset[str] = frozenset()
    """Settings that the model answers with an error, by their names in
    :class:`~cliproxy.ir.request.Sampling`, and what it is unable to do (see :mod:`cliproxy.ir.sampling`)."""
    previews: tuple[str, ...] = ()
    """Models of the same rank that may answer in its place while its quota is used up, best one first."""
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    contracts: tuple[str, ...] = ()
    """Ids of the provider's contracts that reach it, where the upstream says so; empty: all of them."""
    demo: bool = False
    """A built-in model that imitates; labelled as such wherever it is listed."""
