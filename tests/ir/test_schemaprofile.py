"""What targets take of JSON Schema, and where schemas stand in schemas."""

import pytest

from cliproxy.ir.schemaprofile import IN_LISTS, IN_MAPS, IN_PLACE, PROFILES, VOCABULARY, replaced, subschemas


def test_every_output_profile_exists():
    assert {profile.output for profile in PROFILES.values() if profile.output} <= set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_name_known_keywords_only(name):
    profile = PROFILES[name]
    assert (profile.keeps or frozenset()) <= VOCABULARY
    assert set(profile.only_if) <= (profile.keeps or frozenset())
    assert profile.drops <= VOCABULARY


@pytest.mark.parametrize(
    ("name", "keyword", "value", "taken"),
    [
        ("gemini", "enum", ["a"], True),
        ("gemini", "format", "date", False),
        ("gemini", "minimum", 1, True),
        ("gemini", "minimum", "1", False),
        ("gemini", "minimum", True, False),
        ("gemini-json", "format", "anything", True),
        ("gemini-json", "additionalProperties", True, True),
        ("claude-output", "additionalProperties", False, True),
        ("claude-output", "additionalProperties", True, False),
        ("claude-output", "format", "uuid", True),
        ("claude-output", "format", "phone", False),
        ("claude-output", "minItems", 1, True),
        ("claude-output", "minItems", 2, False),
        ("claude", "anything", 1, True),
        ("openai", "$schema", "", False),
    ],
)
def test_what_a_profile_takes(name, keyword, value, taken):
    assert PROFILES[name].takes(keyword, value) is taken


def test_subschemas_are_found_in_every_position_and_nowhere_else():
    schema = {
        **{keyword: {"type": {"n": keyword}} for keyword in IN_MAPS},
        **{keyword: [{"n": keyword}] for keyword in IN_LISTS},
        **{keyword: {"n": keyword} for keyword in IN_PLACE},
        "default": {"type": "not a schema"},
        "enum": [{"type": "not a schema"}],
    }
    found = [inner["n"] for _, inner in subschemas(schema)]
    assert sorted(found) == sorted([*IN_MAPS, *IN_LISTS, *IN_PLACE])
    marked = replaced(schema, lambda inner: {**inner, "seen": True})
    assert all(inner["seen"] for _, inner in subschemas(marked))
    assert marked["default"] == schema["default"]
    assert "seen" not in schema["items"]


def test_lists_of_items_are_replaced_one_by_one():
    assert replaced({"items": [{}, True]}, lambda inner: {"seen": True}) == {"items": [{"seen": True}, True]}
