"""Small words of the chat wire."""

from cliproxy.dialects.openai_chat.names import (
    as_extras,
    is_from_chat,
    is_vendors_own,
    own,
    takes_free_text,
)
from cliproxy.ir.request import Family
from support.factories import make_context


def test_extras():
    assert as_extras({}) == {}
    assert own(as_extras({"a": 1})) == {"a": 1}
    assert own({"claude": {"a": 1}}) == {}


def test_who_asks_and_who_answers():
    assert is_from_chat(make_context(client_dialect="completions"))
    assert not is_from_chat(make_context(client_dialect="openai-response"))
    assert is_vendors_own(make_context(upstream_family=Family.GPT))
    assert not is_vendors_own(make_context(upstream_family=Family.KIMI))
    assert takes_free_text(make_context(client_dialect="claude", upstream_family=Family.GPT))
    assert takes_free_text(make_context(client_dialect="openai", upstream_family=Family.KIMI))
    assert not takes_free_text(make_context(client_dialect="claude", upstream_family=Family.KIMI))
