"""The record of the dialect."""

from cliproxy.dialects.gemini import DIALECT
from cliproxy.dialects.gemini.models import MODEL_LISTS
from cliproxy.ir.schemaprofile import PROFILES
from cliproxy.ir.toolnames import PROFILES as NAMES


def test_the_record_is_complete():
    assert DIALECT.id == "gemini"
    assert DIALECT.models is MODEL_LISTS
    assert DIALECT.rules.schemas in PROFILES
    assert DIALECT.rules.tool_names in NAMES
    assert DIALECT.encode_count is not None
    assert DIALECT.decode_count is not None


def test_the_model_stands_in_the_address():
    assert DIALECT.patch_model("m") == {}


def test_a_sign_of_life_is_blank_in_every_framing():
    """The vendor's Python client takes a comment for JSON and fails."""
    assert DIALECT.keepalive.strip() == b""
    assert DIALECT.terminator == b""
