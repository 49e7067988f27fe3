"""The record the rest of the program sees."""

from cliproxy.dialects.openai_responses import DIALECT, RULES
from cliproxy.ir.schema import PROFILES as SCHEMA_PROFILES
from cliproxy.ir.toolnames import PROFILES as NAME_PROFILES


def test_record_is_complete():
    assert DIALECT.id == "openai-response"
    assert DIALECT.rules is RULES
    assert DIALECT.encode_count is not None
    assert DIALECT.decode_count is not None
    assert DIALECT.answers_as == DIALECT.id


def test_rules_name_profiles_that_exist():
    assert RULES.tool_names in NAME_PROFILES
    assert RULES.schemas in SCHEMA_PROFILES
