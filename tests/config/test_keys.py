"""Declared keys: what a declaration carries and how it is read back."""

from collections.abc import Mapping

import pytest
from attrs import frozen

from cliproxy.config.keys import is_section, keys_of, place, setting
from cliproxy.config.model import Config


@frozen(kw_only=True)
class Sample:
    place: str = place()
    two_words: int = setting(3, "A number.", active=True, minimum=1)
    names: tuple[str, ...] = setting((), "Names.")
    headers: Mapping[str, str] = setting({}, "Headers.", shown=False)


def test_names_in_the_file_have_hyphens():
    assert list(keys_of(Sample)) == ["two-words", "names", "headers"]


def test_a_key_carries_its_declaration():
    key = keys_of(Sample)["two-words"]
    assert (key.attribute, key.type, key.default) == ("two_words", int, 3)
    assert (key.info.doc, key.info.active, key.info.minimum) == ("A number.", True, 1)


def test_collections_cannot_be_changed():
    sample = Sample(names=["a"], headers={"x": "y"})
    assert sample.names == ("a",)
    with pytest.raises(TypeError):
        sample.headers["z"] = "w"


def test_a_key_can_keep_out_of_repr():
    assert "secret" not in repr(Sample(headers={"Authorization": "secret"}))


def test_the_place_of_an_entry_does_not_make_it_another():
    assert Sample(place="a[0]") == Sample(place="a[1]")
    assert "place" not in keys_of(Sample)


def test_sections_are_told_from_other_types():
    assert is_section(Config)
    assert not is_section(int)
    assert not is_section(tuple[str, ...])
