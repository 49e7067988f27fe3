"""The record of the dialect."""

from cliproxy.dialects import DIALECTS
from cliproxy.dialects.antigravity import DIALECT
from cliproxy.ir.schemaprofile import PROFILES


def test_only_upstreams_speak_it():
    assert DIALECT in DIALECTS
    assert DIALECT.id == "antigravity"
    assert DIALECT.endpoints == ()
    assert DIALECT.models is None
    assert PROFILES[DIALECT.rules.schemas].placeholders
