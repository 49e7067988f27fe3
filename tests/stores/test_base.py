"""The values of the store contract."""

import pytest

from cliproxy.errors import StoreError
from cliproxy.stores.base import Fingerprint, StoreConflict, StoredFile, digest_of


def test_a_digest_identifies_a_content():
    assert digest_of(b"a") == digest_of(b"a")
    assert digest_of(b"a") != digest_of(b"b")


def test_a_conflict_is_a_failure_of_the_store():
    assert issubclass(StoreConflict, StoreError)


def test_contents_stay_out_of_the_representation():
    assert "canary" not in repr(StoredFile(name="a", content=b"canary", digest="d"))


def test_fingerprints_are_compared_by_value_and_cannot_be_changed():
    stamps = {"a.json": (1, 2)}
    fingerprint = Fingerprint(credentials=stamps)
    assert fingerprint == Fingerprint(credentials={"a.json": (1, 2)})
    stamps["b.json"] = (3,)
    assert "b.json" not in fingerprint.credentials
    with pytest.raises(TypeError):
        fingerprint.credentials["c.json"] = (4,)
