"""The record of the chat dialect."""

from cliproxy.dialects import DIALECTS, by_id
from cliproxy.dialects.openai_chat import DIALECT


def test_record():
    assert by_id("openai") is DIALECT
    assert DIALECT in DIALECTS
    assert DIALECT.terminator == b"data: [DONE]\n\n"
    assert DIALECT.encode_count is None
    assert DIALECT.patch_stream is not None


def test_rules_are_the_vendors():
    rules = DIALECT.rules
    assert (rules.max_call_id, rules.tool_names, rules.schemas) == (40, "openai64", "openai")
    assert not rules.drops_orphan_results
    assert rules.needs_paired_results
