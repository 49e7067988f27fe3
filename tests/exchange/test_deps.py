"""The world of an exchange."""

import pytest

from support.exchange import bottle


@pytest.mark.parametrize("digits", [1, 8, 24, 32])
async def test_random_hex_has_the_length_that_was_asked_for(digits: int) -> None:
    deps = bottle().deps
    made = {deps.random_hex(digits) for _ in range(200)}
    assert all(len(text) == digits and int(text, 16) >= 0 for text in made)
    assert len(made) > (10 if digits == 1 else 190)
