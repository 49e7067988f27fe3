"""What a dialect demands of a conversation, as data.

Each dialect declares one :class:`TargetRules`; the passes of ``ir.repair`` and ``ir.toolnames`` read it. A
dialect therefore never repairs anything itself, and a pass never asks which dialect it works for.
"""

from attrs import frozen


@frozen(kw_only=True)
class TargetRules:
    """What a dialect demands of a conversation, as data for the repair passes."""

    speaks: frozenset[str] = frozenset()
    """Ids of the dialects whose opaque parts and server-side tools the target understands."""
    merges_roles: bool = False
    """Consecutive messages of one role must be merged."""
    needs_paired_results: bool = True
    """Every call must be answered and every answer must have its call."""
    drops_orphan_results: bool = True
    keeps_conversations: bool = False
    """The upstream may remember the call that an orphan answers, if the client speaks its dialect. Orphans of
    other clients are dropped."""
    results_follow_calls: bool = True
    """Results must stand right behind the turn that called; otherwise they stay where the client put them."""
    results_in_call_order: bool = False
    """The results of one turn must be in the order of its calls."""
    results_first: bool = False
    """Tool results must lead the message that carries them."""
    calls_last: bool = False
    hoists_system: bool = False
    """System text in mid-conversation is moved to the front."""
    takes_reminders: bool = False
    """A system message of kind ``reminder`` is understood where it stands; elsewhere it becomes user text."""
    drops_blank_text: bool = False
    """Text of white space alone is refused, like empty text everywhere."""
    drops_prefill: bool = False
    """The conversation must not end with an assistant message."""
    opening: str = ""
    """Text of the user message put before a conversation that an assistant begins; empty: it may begin so."""
    max_call_id: int | None = None
    call_id_charset: str = ""
    """Regular-expression class of the characters allowed in a call id (``[A-Za-z0-9_-]``); empty: any."""
    call_id_prefix: str = "call_"
    """What ids begin with that have to be made up."""
    tool_names: str = ""
    """Name of the tool-name rule set in ``ir.toolnames``; empty: names are free."""
    schemas: str = ""
    """Name of the schema profile in ``ir.schema``; empty: schemas are sent as they are."""
    needs_user_message: bool = False
    """A request needs at least one message that is not a system text."""
