"""Bindings of conversations to credentials."""

from cliproxy.credentials.model import CredentialId
from cliproxy.routing import affinity
from cliproxy.routing.affinity import Bindings

A, B = (CredentialId("a"), "m"), (CredentialId("b"), "m")


def test_a_binding_lasts_as_long_as_it_is_used() -> None:
    bindings = Bindings()
    bindings.bind(b"1", A, 0.0, 10.0)
    assert bindings.get(b"1", 9.0) == A
    assert bindings.get(b"1", 10.0) is None
    bindings.bind(b"1", A, 9.0, 10.0)
    assert bindings.get(b"1", 18.0) == A


def test_a_conversation_is_in_one_place() -> None:
    bindings = Bindings()
    bindings.bind(b"1", A, 0.0, 10.0)
    bindings.bind(b"1", B, 0.0, 10.0)
    assert bindings.get(b"1", 0.0) == B
    assert bindings.get(b"2", 0.0) is None


def test_what_is_over_is_dropped() -> None:
    bindings = Bindings()
    for number in range(5):
        bindings.bind(bytes([number]), A, 0.0, 10.0)
    bindings.bind(b"new", A, 10.0, 10.0)
    assert len(bindings) == 1


def test_the_longest_unused_one_gives_way(monkeypatch) -> None:
    monkeypatch.setattr(affinity, "MAX_BINDINGS", 2)
    bindings = Bindings()
    bindings.bind(b"1", A, 0.0, 10.0)
    bindings.bind(b"2", A, 0.0, 10.0)
    bindings.bind(b"1", A, 1.0, 10.0)
    bindings.bind(b"3", A, 1.0, 10.0)
    assert [bindings.get(mark, 1.0) for mark in (b"1", b"2", b"3")] == [A, None, A]
