"""From names to candidates."""

import pytest

from cliproxy.catalog.allowance import Allowance
from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.catalog.registry import Registry
from cliproxy.routing.resolve import resolve
from support.routes import credential


def registry(*names: str) -> Registry:
    return build([Offer(credential=credential(), models=tuple(ModelInfo(id=name) for name in names))])


@pytest.mark.parametrize(
    ("wanted", "name", "level"),
    [
        ("gpt-5", "gpt-5", None),
        ("gpt-5(high)", "gpt-5", "high"),
        ("gpt-5-high", "gpt-5", "high"),
        ("p://gpt-5", "p://gpt-5", None),
        ("auto", "gpt-5", None),
    ],
)
def test_names(wanted: str, name: str, level: str | None) -> None:
    found = resolve(registry("gpt-5"), wanted)
    assert found is not None
    assert found.name == name
    assert (found.reasoning.level if found.reasoning else None) == level
    assert [candidate.model for candidate in found.candidates] == ["gpt-5"]


def test_a_name_that_exists_is_not_taken_apart() -> None:
    found = resolve(registry("gpt-5", "gpt-5-high", "odd(high)"), "gpt-5-high")
    assert found is not None
    assert found.reasoning is None
    odd = resolve(registry("odd", "odd(high)"), "odd(high)")
    assert odd is not None
    assert odd.name == "odd(high)"


@pytest.mark.parametrize("wanted", ["gpt-5(fast)", "gpt-5()", "gpt-5(-5)", "auto(fast)"])
def test_a_suffix_without_a_meaning_asks_for_nothing(wanted: str) -> None:
    """It is taken off the name, and what the body says of thinking holds."""
    found = resolve(registry("gpt-5"), wanted)
    assert found is not None
    assert (found.name, found.reasoning) == ("gpt-5", None)


@pytest.mark.parametrize("wanted", ["gpt-6", "gpt-6(high)", "other://gpt-5", "gpt-5-bright", ""])
def test_unknown_names(wanted: str) -> None:
    assert resolve(registry("gpt-5"), wanted) is None


def test_nothing_is_served_by_nobody() -> None:
    assert resolve(registry(), "auto") is None


def test_a_client_that_may_not_use_everything_has_turns_of_its_own_where_its_choice_differs() -> None:
    model = (ModelInfo(id="m"),)
    whole = build([Offer(credential=credential(each, provider=each), models=model) for each in "ab"])
    view = whole.visible(Allowance(providers=("b",)))
    everybody, one = resolve(whole, "m(low)"), resolve(view, "m(low)")
    assert everybody is not None
    assert one is not None
    assert (everybody.name, one.name) == ("m", "m")
    assert len(everybody.candidates) > len(one.candidates)
    assert everybody.lineup == "m"
    assert one.lineup != "m"
    assert resolve(view, "a://m") is None


def test_auto_is_the_best_model_that_can_be_used_now() -> None:
    models = (ModelInfo(id="old", created=1), ModelInfo(id="new", created=2))
    both = build([Offer(credential=credential(), models=models)])

    def auto(*usable: str) -> str | None:
        found = resolve(both, "auto", lambda each: each.model in usable)
        return found.name if found is not None else None

    assert auto("old", "new") == "new"
    assert auto("old") == "old"
    assert auto() == "new", "to be waited for"


def test_auto_with_a_suffix_and_a_model_that_is_called_auto() -> None:
    found = resolve(registry("gpt-5"), "auto(low)")
    assert found is not None
    assert found.reasoning is not None
    assert (found.name, found.reasoning.level) == ("gpt-5", "low")
    literal = resolve(registry("auto", "gpt-5"), "auto")
    assert literal is not None
    assert literal.name == "auto"
