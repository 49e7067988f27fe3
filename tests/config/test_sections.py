"""A section says which list belongs to which provider."""

from cliproxy.config.sections import Section


def test_a_section_needs_no_more_than_its_list_and_its_provider():
    section = Section(key="gitlab-api-key", provider="gitlab")
    assert section.kind == ""
    assert not section.proxy_in_id


def test_equal_declarations_are_equal_sections():
    assert Section(key="a", provider="b") == Section(key="a", provider="b")
