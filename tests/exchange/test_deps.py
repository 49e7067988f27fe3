"""The world of an exchange."""

import pytest

from cliproxy.catalog.allowance import EVERYTHING, Allowance
from cliproxy.config.load import examine
from support.exchange import bottle


@pytest.mark.parametrize("digits", [1, 8, 24, 32])
async def test_random_hex_has_the_length_that_was_asked_for(digits: int) -> None:
    deps = bottle().deps
    made = {deps.random_hex(digits) for _ in range(200)}
    assert all(len(text) == digits and int(text, 16) >= 0 for text in made)
    assert len(made) > (10 if digits == 1 else 190)


async def test_payload_rules_are_understood_once_with_the_snapshot() -> None:
    assert bottle().deps.snapshot().rules is None
    text = "payload: {filter: [{models: [{name: m}], params: [user]}]}"
    snapshot = bottle(config=examine(text).config).deps.snapshot()
    assert snapshot.rules is not None
    assert [path.text for path in snapshot.rules.removals[0].paths] == ["user"]


async def test_the_world_of_a_client_holds_what_it_may_use_and_stays_the_same() -> None:
    """The same object every time: an exchange tells by it whether something was reconfigured."""
    deps = bottle().deps
    assert deps.within(EVERYTHING) is deps
    may, may_not = deps.within(Allowance(models=("m",))), deps.within(Allowance(models=("other",)))
    assert (len(may.snapshot().registry), len(may_not.snapshot().registry)) == (1, 0)
    assert may.snapshot() is deps.within(Allowance(models=("M",))).snapshot()
    assert may.snapshot().providers is deps.snapshot().providers
    assert may.runtime is deps.runtime
    assert may.selector is deps.selector
