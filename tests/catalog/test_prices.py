"""What answers cost by the list, and what the owner says about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.catalog import prices
from cliproxy.catalog.prices import Price, Prices, Rates, cost_micros, price_of
from cliproxy.config.entries import ModelPrice
from cliproxy.config.load import load_config
from cliproxy.ir.response import Usage
from cliproxy.providers import PROVIDERS
from cliproxy.wire.jsontext import loads_object, objects, strings

COUNTS = st.none() | st.integers(0, 10_000_000)
RATES = Rates(fresh_input=3.0, cache_read=0.3, cache_write=3.75, output=15.0)


@pytest.mark.parametrize(
    ("provider", "model", "rates"),
    [
        ("claude", "claude-sonnet-4-5", RATES),
        ("claude", "claude-sonnet-4-5-20250929", RATES),
        ("vertex", "claude-sonnet-4-5@20250929", RATES),
        ("claude", "anthropic/claude-sonnet-4.5", RATES),
        ("claude", "claude-opus-4-8", Rates(fresh_input=5, cache_read=0.5, cache_write=6.25, output=25)),
        ("codex", "gpt-5.1-codex", Rates(fresh_input=1.25, cache_read=0.125, cache_write=1.25, output=10)),
        (
            "gemini",
            "models/gemini-2.5-flash",
            Rates(fresh_input=0.3, cache_read=0.03, cache_write=0.3, output=2.5),
        ),
    ],
)
def test_a_model_has_the_price_of_the_list_under_any_spelling(
    provider: str, model: str, rates: Rates
) -> None:
    price = price_of(provider, model)
    assert price is not None
    assert price.rates == rates


@pytest.mark.parametrize(
    ("provider", "model"),
    [("claude", "claude-opus-99"), ("claude", "gpt-5"), ("gitlab", "claude-sonnet-4-5")],
)
def test_what_is_not_in_the_list_has_no_price(provider: str, model: str) -> None:
    """Neither the relatives of a known model nor another's door."""
    assert price_of(provider, model) is None
    assert Prices({}).price_of(provider, model) is None


def test_every_class_of_tokens_has_its_rate() -> None:
    usage = Usage(fresh_input=1000, cache_read=10_000, cache_write=100, output=20, reasoning=30)
    assert cost_micros(usage, Price(rates=RATES)) == 3000 + 3000 + 375 + 300 + 450
    assert cost_micros(Usage(), Price(rates=RATES)) == 0


def test_a_long_prompt_costs_its_own_rates_as_a_whole() -> None:
    price = price_of("gemini", "gemini-2.5-pro")
    assert price is not None
    assert cost_micros(Usage(fresh_input=200_000, output=100), price) == 250_000 + 1000
    assert cost_micros(Usage(fresh_input=100_001, cache_read=100_000, output=100), price) == round(
        100_001 * 2.5 + 100_000 * 0.25 + 1500
    )


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_more_never_costs_less(
    fresh: int | None, read: int | None, write: int | None, output: int | None, reasoning: int | None
) -> None:
    usage = Usage(fresh_input=fresh, cache_read=read, cache_write=write, output=output, reasoning=reasoning)
    for provider, model in (("gemini", "gemini-3-pro-preview"), ("claude", "claude-haiku-5-5")):
        price = price_of(provider, model)
        assert price is not None
        cost = cost_micros(usage, price)
        assert 0 <= cost <= cost_micros(usage.merged(Usage(output=(output or 0) + 1)), price) <= cost + 20


def test_the_owners_price_goes_before_the_list() -> None:
    loaded = load_config(
        "model-prices:\n"
        "  claude:\n"
        "    - {name: claude-sonnet-4.5, input: 1, output: 2, cache-read: 0}\n"
        "  openai-compatibility:\n"
        "    - {name: qwen3-*, input: 0.5, output: 1.5}\n"
        "    - {input: 9}\n"
    )
    assert not list(loaded.notes())
    own = Prices(loaded.config.model_prices)
    for _ in range(2):
        price = own.price_of("claude", "claude-sonnet-4-5-20250929")
        assert price == Price(rates=Rates(fresh_input=1, cache_read=0, cache_write=1, output=2))
    assert own.price_of("claude", "claude-haiku-4-5") == price_of("claude", "claude-haiku-4-5")
    small = own.price_of("openai-compatibility", "qwen/Qwen3-32B")
    assert small == Price(rates=Rates(fresh_input=0.5, cache_read=0.5, cache_write=0.5, output=1.5))
    assert own.price_of("openai-compatibility", "other") is None


def test_the_first_of_the_owners_rows_counts() -> None:
    rows = (ModelPrice(name="a*", input=1), ModelPrice(name="ab", input=2))
    price = Prices({"p": rows}).price_of("p", "ab")
    assert price is not None
    assert price.rates.fresh_input == 1


def test_only_so_many_answers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "MAX_REMEMBERED", 10)
    own = Prices({"p": (ModelPrice(name="*", input=1),)})
    assert all(own.price_of("p", f"m{number}") is not None for number in range(100))
    assert len(own._known) <= 10


def test_the_list_is_dated_and_whole() -> None:
    """Every row has names nobody else has, and belongs to providers that exist."""
    assert prices.as_of().startswith("20")
    document = loads_object(prices.files("cliproxy.catalog").joinpath("prices.json").read_bytes())
    keys = {provider.key for provider in PROVIDERS}
    for group in objects(document, "lists"):
        assert set(strings(group, "providers")) <= keys
        names = [name for model in objects(group, "models") for name in strings(model, "names")]
        assert len(names) == len(set(names))
        for provider in strings(group, "providers"):
            for name in names:
                price = price_of(provider, name)
                assert price is not None, name
                rates = price.rates
                assert rates.fresh_input > 0, name
                assert rates.cache_read <= rates.fresh_input <= rates.cache_write, name
                assert price.long is None or price.long_above > 0, name
