"""The credential value: immutable, and silent about its secrets."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry, Token
from cliproxy.wire.secret import Secret


def make(**changes):
    return Credential(id=CredentialId("a"), provider="p", kind=CredentialKind.ACCOUNT, **changes)


def test_collections_cannot_be_changed():
    credential = make(headers={"X": "1"}, data={"a": 1})
    for mapping in (credential.headers, credential.data, credential.options):
        with pytest.raises(TypeError):
            mapping["new"] = "value"


def test_secrets_stay_out_of_the_representation():
    shown = repr(
        make(
            api_key=Secret("canary"),
            proxy_url=Secret("http://u:canary@h"),
            headers={"Authorization": "canary"},
            data={"access_token": "canary"},
        )
    )
    assert "canary" not in shown
    assert "canary" not in repr(Token(value=Secret("canary"), headers={"x": "canary"}, data={"y": "canary"}))


def test_a_model_without_an_alias_keeps_its_name():
    assert ModelEntry(name="a").client_name == "a"
    assert ModelEntry(name="a", alias="b").client_name == "b"


def test_credentials_are_compared_by_value():
    assert make(data={"a": [1]}) == make(data={"a": [1]})
    assert make(data={"a": [1]}) != make(data={"a": [2]})
