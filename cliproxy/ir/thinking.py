"""Reasoning wishes: suffixes, levels, budgets, and what a model supports.

(The passes are in progress; the record below is what the catalogue declares.)
"""

from attrs import frozen


@frozen(kw_only=True)
class ThinkingSupport:
    """What a model can be asked for. A model may know budgets, levels, both, or adaptive thinking."""

    min_budget: int | None = None
    max_budget: int | None = None
    zero_allowed: bool = False
    """Thinking can be switched off."""
    dynamic_allowed: bool = False
    """The model can decide by itself (budget -1, level ``auto``)."""
    levels: tuple[str, ...] = ()
    """Accepted levels in ascending order."""
    adaptive: bool = False
    """Claude's adaptive thinking, steered by ``output_config.effort``."""
