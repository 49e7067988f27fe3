"""The world of an exchange."""

import pytest

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
