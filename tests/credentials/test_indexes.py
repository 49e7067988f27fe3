"""Short stable names of credentials."""

import hashlib

from attrs import evolve

from cliproxy.credentials.indexes import auth_index
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind

FILE = Credential(id=CredentialId("claude-me.json"), provider="claude", kind=CredentialKind.ACCOUNT)


def test_a_file_is_known_by_its_name() -> None:
    assert auth_index(FILE) == hashlib.sha256(b"file:claude-me.json").hexdigest()[:16]
    assert auth_index(evolve(FILE, label="other", note="changed")) == auth_index(FILE)


def test_keys_and_parts_are_known_by_their_ids() -> None:
    key = evolve(FILE, kind=CredentialKind.KEY, id=CredentialId("claude:apikey:0a1b"))
    part = evolve(FILE, id=CredentialId("claude-me.json#project"), part_of=FILE.id)
    assert auth_index(key) == hashlib.sha256(b"id:claude:apikey:0a1b").hexdigest()[:16]
    assert len({auth_index(FILE), auth_index(key), auth_index(part)}) == 3
    assert auth_index(evolve(FILE, id=CredentialId("\ud800.json")))
