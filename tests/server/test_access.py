"""Client keys: every place they may stand in, and nothing else."""

from hashlib import sha256

import pytest

from cliproxy.catalog.allowance import Allowance
from cliproxy.config.clientkeys import hash_of
from cliproxy.config.entries import ClientKey
from cliproxy.errors import Forbidden, Unauthorized
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


# --- keys with limits ---------------------------------------------------------------------------------------

NOW = 1_900_000_000.0
ALICE = ClientKey(name="alice", hash=Secret(hash_of(ONE)), models=("gpt-*",), providers=("codex",))


def ring(*entries: ClientKey, plain: tuple[Secret, ...] = ()) -> KeyRing:
    return KeyRing(plain, entries, lambda: NOW)


def test_a_key_is_found_by_its_hash_and_known_by_its_name() -> None:
    client = ring(ALICE).admit({"x-api-key": ONE}, {})
    assert (client.name, client.id, client.entry) == ("alice", sha256(ONE.encode()).hexdigest()[:16], ALICE)
    assert client.allowance == Allowance(models=("gpt-*",), providers=("codex",))


def test_a_hash_is_no_key() -> None:
    """Who reads the file cannot use the server."""
    with pytest.raises(Unauthorized):
        ring(ALICE).admit({"x-api-key": ALICE.hash.reveal()}, {})
    with pytest.raises(Unauthorized):
        ring(ALICE).admit({"x-api-key": ALICE.hash.reveal().removeprefix("sha256:")}, {})


def test_both_kinds_of_keys_are_accepted() -> None:
    both = ring(ALICE, plain=(Secret("sk-two-0123456789abcdef"),))
    assert both.admit({"x-api-key": "sk-two-0123456789abcdef"}, {}).entry is None
    assert both.admit({"x-api-key": ONE}, {}).entry is ALICE


def test_a_key_that_is_switched_off_is_refused_and_keeps_the_door_closed() -> None:
    closed = ring(ClientKey(name="bob", key=Secret(ONE), disabled=True))
    with pytest.raises(Forbidden, match="`bob` is switched off") as caught:
        closed.admit({"x-api-key": ONE}, {})
    assert (caught.value.status, caught.value.code) == (403, "key_disabled")
    with pytest.raises(Unauthorized):
        closed.admit({}, {})


@pytest.mark.parametrize(
    ("expires", "since"),
    [
        ("2030-03-16", "2030-03-17 00:00 UTC"),
        ("2030-03-17T18:46:40+01:00", "2030-03-17 17:46 UTC"),
        ("2030-03-17", ""),
        ("2030-03-17T17:46:41Z", ""),
        ("", ""),
    ],
)
def test_a_key_ends_when_it_says(expires: str, since: str) -> None:
    """It is 2030-03-17 17:46:40 UTC."""
    keys = ring(ClientKey(name="carol", key=Secret(ONE), expires=expires))
    if not since:
        assert keys.admit({"x-api-key": ONE}, {}).name == "carol"
        return
    with pytest.raises(Forbidden, match=f"`carol` expired on {since}") as caught:
        keys.admit({"x-api-key": ONE}, {})
    assert (caught.value.status, caught.value.code) == (403, "key_expired")
