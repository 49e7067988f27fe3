"""What a dialect demands of a conversation, as data.

Each dialect declares one :class:`TargetRules`; the passes of ``ir.repair`` and ``ir.toolnames`` read it. A dialect therefore
never repairs anything itself, and a pass never asks which dialect it works for.
"""

from attrs import frozen


@frozen(kw_only=True)
class TargetRules:
    """What a dialect demands of a conversation, as data for the repair passes."""

    merges_roles: bool = False
    """Consecutive messages of one role must be merged."""
    needs_paired_results: bool = True
    """Every call must be answered and every answer must have its call."""
    drops_orphan_results: bool = True
    results_first: bool = False
    """Tool results must lead the message that carries them."""
    calls_last: bool = False
    hoists_system: bool = False
    """System text in mid-conversation is moved to the front."""
    max_call_id: int | None = None
    call_id_charset: str = ""
    """Regular-expression class of the characters allowed in a call id; empty: any."""
    tool_names: str = ""
    """Name of the tool-name rule set in ``ir.toolnames``; empty: names are free."""
    schemas: str = ""
    """Name of the schema profile in ``ir.schema``; empty: schemas are sent as they are."""
    needs_user_message: bool = False
    """A request needs at least one message that is not a system text."""
