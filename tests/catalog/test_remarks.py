"""Names that do nothing, and names that take another's place, are said in words of the owner's."""

from cliproxy.catalog.index import build
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.catalog.remarks import Remarks
from cliproxy.credentials.model import ModelEntry
from support.routes import credential

MODELS = tuple(ModelInfo(id=name) for name in ("alpha", "beta"))


def alias(name: str, given: str, **settings: object) -> ModelEntry:
    return ModelEntry(name=name, alias=given, **settings)  # type: ignore[arg-type]


def offer(
    *aliases: ModelEntry, name: str = "a", models: tuple[ModelInfo, ...] = MODELS, **settings: object
) -> Offer:
    return Offer(credential=credential(name, **settings), models=models, aliases=aliases)


def remarks(*offers: Offer) -> Remarks:
    found = Remarks()
    build(offers, told=found.take)
    return found


def test_names_that_mean_what_they_say_are_not_worth_a_word() -> None:
    found = remarks(offer(), offer(alias("alpha", "a"), alias("beta", "b", fork=True)))
    assert list(found.collisions()) == []
    assert list(found.astray()) == []


def test_a_model_hidden_behind_an_alias() -> None:
    (line,) = remarks(offer(alias("alpha", "beta")), offer(alias("alpha", "beta"), name="b")).collisions()
    assert "`beta` means `alpha`" in line
    assert "model beta cannot" in line
    assert line.endswith("(2 accounts)")


def test_two_models_that_swap_their_names_hide_nothing() -> None:
    assert list(remarks(offer(alias("alpha", "beta"), alias("beta", "alpha"))).collisions()) == []


def test_an_alias_that_comes_too_late() -> None:
    (line,) = remarks(offer(alias("alpha", "x"), alias("beta", "X"))).collisions()
    assert "the alias `X` of `beta` is not used" in line
    assert "for `alpha`" in line


def test_the_same_said_twice_is_no_collision() -> None:
    assert list(remarks(offer(alias("alpha", "x"), alias("alpha", "x", fork=True))).collisions()) == []


def test_an_alias_leads_nowhere_if_no_account_has_its_model() -> None:
    entry = alias("beta", "b")
    (found,) = remarks(offer(entry, models=MODELS[:1])).astray()
    assert found[0] == "p"
    assert "no account may serve a model `beta`" in found[1]
    both = remarks(offer(entry, models=MODELS[:1]), offer(entry, name="b"))
    assert list(both.astray()) == []
    excluded = remarks(offer(entry, excluded_models=("beta",)))
    assert [provider for provider, _ in excluded.astray()] == ["p"]


def test_accounts_that_are_switched_off_say_nothing() -> None:
    found = remarks(offer(alias("nothing", "x"), alias("alpha", "beta"), disabled=True))
    assert [*found.collisions(), *found.astray()] == []
