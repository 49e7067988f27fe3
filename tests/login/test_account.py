import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.errors import LoginError
from cliproxy.login.account import claims_of, end_of, initial, members, refresh_token_of, renewed
from cliproxy.login.code import CodeLogin
from cliproxy.login.steps import Now, Persist
from support.playbook import Beat, Sends, answer, play

LOGIN = CodeLogin(
    vendor="Example",
    authorize_url="",
    token_url="https://example.org/token",
    client_id="app",
    callback_port=0,
)
NOW = 1_790_000_000.0


def credential(**data: object) -> Credential:
    return Credential(
        id=CredentialId("example.json"), provider="example", kind=CredentialKind.ACCOUNT, data=data
    )


def test_a_token_answer_becomes_members_of_the_file() -> None:
    tokens = {
        "access_token": "a",
        "refresh_token": "r",
        "expires_in": 3600,
        "odd": 1,
        "scope": "",
    }
    assert members(tokens, NOW) == {
        "access_token": "a",
        "refresh_token": "r",
        "expired": "2026-09-21T15:13:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
    }


def test_tokens_are_read_at_the_top_and_in_the_token_object() -> None:
    plain, nested = credential(access_token="a", expired=NOW), credential(token={"access_token": "b"})
    [first, second] = [initial(plain), initial(nested)]
    assert first is not None
    assert second is not None
    assert (first.value.reveal(), first.expires_at) == ("a", NOW)
    assert (second.value.reveal(), second.expires_at) == ("b", None)
    assert initial(credential(refresh_token="r")) is None


@pytest.mark.parametrize("name", ["expired", "expires_at", "expiresAt", "expiry", "expires", "expire"])
def test_the_end_has_many_names(name: str) -> None:
    assert end_of({name: "2026-09-21T14:13:20Z"}) == NOW
    assert end_of({"token": {name: int(NOW * 1000)}}) == NOW
    assert end_of({"expired": "soon", name: NOW} if name != "expired" else {name: NOW}) == NOW


def test_without_a_refresh_token_there_is_no_renewal() -> None:
    assert refresh_token_of(credential(token={"refresh_token": "r"})).reveal() == "r"
    with pytest.raises(LoginError) as caught:
        refresh_token_of(credential(access_token="a"))
    assert caught.value.code == "not_renewable"


def test_new_tokens_are_saved_before_they_are_handed_out() -> None:
    sends = Sends(
        method="POST",
        url="https://example.org/token",
        form={"grant_type": "refresh_token", "refresh_token": "r", "client_id": "app", "scope": "s"},
    )
    tokens = {"access_token": "new", "refresh_token": "r2", "expires_in": 60, "plan": "plus"}
    saved = Persist(
        patch={
            "access_token": "new",
            "refresh_token": "r2",
            "expired": "2026-09-21T14:14:20Z",
            "last_refresh": "2026-09-21T14:13:20Z",
            "plan": "plus",
        }
    )
    flow = renewed(
        LOGIN, credential(refresh_token="r"), {"scope": "s"}, kept=lambda found: {"plan": found["plan"]}
    )
    token, whole = play(flow, [Beat(sends, answer(200, tokens)), Beat(Now(), NOW), Beat(saved)])
    assert (token.value.reveal(), token.expires_at) == ("new", NOW + 60)
    assert whole == tokens


def jwt(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2ln"


def test_claims_are_read_without_checking_them() -> None:
    assert claims_of(jwt({"email": "a@b.c", "ü": "ÿ?>"})) == {"email": "a@b.c", "ü": "ÿ?>"}


@given(st.text() | st.builds(lambda a, b, c: f"{a}.{b}.{c}", st.text(), st.text(), st.text()))
def test_anything_else_claims_nothing(token: str) -> None:
    assert claims_of(token) == {}
    assert claims_of(jwt([token])) == {}
