"""What a client may use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog.allowance import EVERYTHING, Allowance, matches, names_of
from support.routes import credential


@pytest.mark.parametrize(
    ("name", "pattern", "is_like"),
    [
        ("gpt-5", "gpt-5", True),
        ("GPT-5", "gpt-*", True),
        ("gpt-5", "GPT-*", True),
        ("gpt-5", "*", True),
        ("claude-sonnet-4-5", "claude-*-4-5", True),
        ("gpt-5-mini", "gpt-5", False),
        ("team/gpt-5", "gpt-*", False),
        ("team/gpt-5", "*/gpt-*", True),
        ("gpt-5", "gpt-?", False),
        ("odd[1]", "odd[1]", True),
        ("odd1", "odd[1]", False),
    ],
)
def test_patterns(name: str, pattern: str, is_like: bool) -> None:
    assert matches(name, [pattern]) is is_like


def test_no_pattern_is_like_nothing() -> None:
    assert not matches("gpt-5", [])


@given(st.text(st.characters(exclude_characters="*"), max_size=8))
def test_a_pattern_without_a_star_means_itself(name: str) -> None:
    assert matches(name, [name])
    assert not matches(name + "x", [name])


def test_empty_means_everything() -> None:
    assert EVERYTHING.is_everything
    assert EVERYTHING.allows("anything", "anybody")
    assert not Allowance(models=("a",)).is_everything
    assert not Allowance(providers=("a",)).is_everything
    assert Allowance(models=("", "  ")).is_everything


def test_both_conditions_must_hold() -> None:
    some = Allowance(models=("gpt-*", "mine"), providers=("codex", "House"))
    assert some.allows("gpt-5", "codex")
    assert some.allows("MINE", "openai-compatibility", "house")
    assert not some.allows("gpt-5", "claude")
    assert not some.allows("claude-sonnet-4-5", "codex")
    assert not some.allows("gpt-5")


def test_what_says_the_same_is_equal() -> None:
    assert Allowance(models=("B*", "a ")) == Allowance(models=("a", "b*", "a"))


def test_an_upstream_has_the_name_its_owner_gave_it() -> None:
    assert names_of(credential(provider="claude")) == {"claude"}
    assert names_of(credential(provider="p", options={"name": "My House"})) == {"p", "my house"}
