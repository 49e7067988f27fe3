"""Client keys: every place they may stand in, and nothing else."""

from hashlib import sha256

import pytest

from cliproxy.errors import Unauthorized
from cliproxy.server.access import Client, KeyRing
from cliproxy.wire.secret import Secret

RING = KeyRing([Secret("sk-one-0123456789abcdef"), Secret("sk-two-0123456789abcdef")])
ONE = "sk-one-0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Bearer {ONE}"}, {}),
        ({"authorization": f"bearer   {ONE} "}, {}),
        ({"authorization": ONE}, {}),
        ({"x-goog-api-key": ONE}, {}),
        ({"x-api-key": ONE}, {}),
        ({}, {"key": ONE}),
        ({}, {"auth_token": ONE}),
        ({"authorization": "Bearer wrong", "x-api-key": ONE}, {}),
        ({"authorization": "Basic abc", "x-api-key": "wrong"}, {"key": ONE}),
    ],
)
def test_a_valid_key_in_any_place_is_admitted(headers: dict[str, str], query: dict[str, str]) -> None:
    assert RING.admit(headers, query) == Client(name="***cdef", id=sha256(ONE.encode()).hexdigest()[:16])


@pytest.mark.parametrize(
    ("headers", "query", "said"),
    [
        ({}, {}, "Missing API key"),
        ({"authorization": ""}, {"key": ""}, "Missing API key"),
        ({"authorization": "Bearer"}, {}, "Invalid API key"),
        ({"authorization": f"Basic {ONE}"}, {}, "Invalid API key"),
        ({"x-api-key": ONE.upper()}, {}, "Invalid API key"),
        ({"x-api-key": ONE + " "}, {}, "Invalid API key"),
        ({"x-other": ONE}, {"api": ONE}, "Missing API key"),
    ],
)
def test_everything_else_is_refused(headers: dict[str, str], query: dict[str, str], said: str) -> None:
    with pytest.raises(Unauthorized, match=said) as caught:
        RING.admit(headers, query)
    assert caught.value.status == 401
    assert ONE not in str(caught.value)


def test_without_keys_everybody_is_admitted() -> None:
    assert KeyRing([]).admit({}, {}) == Client()


def test_a_ring_does_not_keep_its_keys_readable() -> None:
    assert ONE not in repr(vars(RING))
