import pytest

from cliproxy.login.pkce import from_random


def test_challenge_of_the_published_example() -> None:
    """The pair that the standard prints as its example."""
    pair = from_random("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert pair.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("length", [42, 129])
def test_verifiers_of_illegal_length_are_a_programming_error(length: int) -> None:
    with pytest.raises(AssertionError):
        from_random("a" * length)


def test_the_verifier_is_not_printed() -> None:
    verifier = "v" * 43
    assert verifier not in repr(from_random(verifier))
