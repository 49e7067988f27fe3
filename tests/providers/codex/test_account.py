"""A ChatGPT account: whose tokens these are, the file's name, the renewal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.credentials.naming import is_plain_name
from cliproxy.errors import LoginError
from cliproxy.login.freshness import needs_login
from cliproxy.login.steps import Now, Persist
from cliproxy.providers.codex import PROVIDER
from cliproxy.providers.codex.account import (
    CLIENT_ID,
    Identity,
    identity_of,
    initial,
    members,
    name_of,
    plan_of,
    renew,
    result_of,
)
from support.playbook import Beat, Sends, answer, play
from support.tokens import unsigned_jwt

NOW = 1_790_000_000.0
LATER = 1_790_864_000
TOKEN_URL = "https://auth.openai.com/oauth/token"


def jwt(**claims: object) -> str:
    return unsigned_jwt(claims)


def id_token(email: object = "me@example.org", account: object = "acct-1", plan: object = "plus") -> str:
    auth = {"chatgpt_account_id": account, "chatgpt_plan_type": plan, "organizations": [{"id": "org"}]}
    return jwt(email=email, **{"https://api.openai.com/auth": auth})


def credential(**data: object) -> Credential:
    return Credential(
        id=CredentialId("codex-me.json"), provider="codex", kind=CredentialKind.ACCOUNT, data=data
    )


# --- identity -----------------------------------------------------------------------------------------------


def test_the_id_token_says_whose_it_is() -> None:
    known = identity_of({"id_token": id_token()})
    assert known == Identity(email="me@example.org", account_id="acct-1", plan="plus")


def test_the_access_token_fills_in() -> None:
    profile = {"https://api.openai.com/profile": {"email": "me@example.org"}}
    auth = {"https://api.openai.com/auth": {"chatgpt_account_id": "acct-1", "chatgpt_plan_type": "pro"}}
    known = identity_of({"id_token": "", "access_token": jwt(**profile, **auth)})
    assert known == Identity(email="me@example.org", account_id="acct-1", plan="pro")


def test_the_file_has_the_first_word() -> None:
    known = identity_of({"id_token": id_token(), "account_id": "acct-2", "email": "other@example.org"})
    assert (known.email, known.account_id) == ("other@example.org", "acct-2")


@pytest.mark.parametrize("odd", [None, 7, True, [], {}, {"a": 1}])
def test_claims_of_another_type_are_no_claims(odd: object) -> None:
    assert identity_of({"id_token": id_token(odd, odd, odd)}) == Identity(email="", account_id="", plan="")
    assert identity_of({"id_token": jwt(**{"https://api.openai.com/auth": odd})}).plan == ""


@given(st.text(), st.text())
def test_any_text_is_a_token_without_claims_at_worst(first: str, second: str) -> None:
    assert isinstance(identity_of({"id_token": f"{first}.{second}.x", "access_token": first}), Identity)


# --- plans --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "catalogue"),
    [
        ("free", "free"),
        ("plus", "plus"),
        ("pro", "pro"),
        ("team", "team"),
        ("business", "team"),
        ("go", "team"),
        ("Team", "team"),
        ("galactic", "pro"),
        ("", "pro"),
    ],
)
def test_plans(plan: str, catalogue: str) -> None:
    assert plan_of(credential(id_token=id_token(plan=plan))) == catalogue


def test_the_plan_decides_the_models() -> None:
    def models(plan: str) -> set[str]:
        return {model.id for model in PROVIDER.static_models(credential(id_token=id_token(plan=plan)))}

    assert "gpt-5.6-sol" not in models("free")
    assert "gpt-5.6-sol" in models("team")
    assert "gpt-5.3-codex-spark" not in models("team")
    assert "gpt-5.3-codex-spark" in models("plus")


# --- the file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "plan", "name"),
    [
        ("acct-1", "plus", "codex-ba36a4ed-me@example.org-plus.json"),
        ("acct-1", "", "codex-ba36a4ed-me@example.org.json"),
        ("acct-1", "ChatGPT Team__2", "codex-ba36a4ed-me@example.org-chatgpt-team-2.json"),
        ("", "team", "codex-me@example.org-team.json"),
    ],
)
def test_names_of_files(account: str, plan: str, name: str) -> None:
    assert name_of(Identity(email="me@example.org", account_id=account, plan=plan)) == name


@given(st.text(min_size=1), st.text(), st.text())
def test_nothing_the_vendor_says_leads_out_of_the_directory(email: str, account: str, plan: str) -> None:
    assert is_plain_name(name_of(Identity(email=email, account_id=account, plan=plan)))


def test_the_members() -> None:
    tokens = {
        "access_token": "a",
        "refresh_token": "r",
        "id_token": id_token(),
        "expires_in": 864000,
        "token_type": "Bearer",
    }
    result = result_of(tokens, NOW)
    assert result.data == {
        "type": "codex",
        "access_token": "a",
        "refresh_token": "r",
        "id_token": id_token(),
        "token_type": "Bearer",
        "expired": "2026-10-01T14:13:20Z",
        "last_refresh": "2026-09-21T14:13:20Z",
        "account_id": "acct-1",
        "email": "me@example.org",
    }
    assert result.label == "me@example.org"


def test_an_end_that_nobody_names_is_in_the_access_token() -> None:
    tokens = {"access_token": jwt(exp=LATER), "id_token": id_token()}
    assert members(tokens, NOW)["expired"] == "2026-10-01T14:13:20Z"
    assert members({**tokens, "expires_in": 3600}, NOW)["expired"] == "2026-09-21T15:13:20Z"
    token = initial(credential(access_token=jwt(exp=LATER)))
    assert token is not None
    assert token.expires_at == LATER


def test_an_account_without_an_address_is_refused() -> None:
    with pytest.raises(LoginError) as caught:
        result_of({"access_token": "a", "id_token": id_token(email="")}, NOW)
    assert caught.value.code == "bad_answer"


# --- the token ----------------------------------------------------------------------------------------------


def test_a_token_knows_its_account() -> None:
    token = initial(credential(access_token="a", id_token=id_token(), expired="2026-09-21T14:13:20Z"))
    assert token is not None
    assert dict(token.headers) == {"Chatgpt-Account-Id": "acct-1"}
    assert token.expires_at == NOW
    assert initial(credential(refresh_token="r")) is None


def sends(token: str = "r") -> Sends:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "scope": "openid profile email",
        "client_id": CLIENT_ID,
    }
    return Sends(method="POST", url=TOKEN_URL, form=form)


def test_a_renewal_saves_the_new_tokens_first() -> None:
    fresh = {"access_token": "a2", "refresh_token": "r2", "id_token": id_token(), "expires_in": 864000}

    def saves(step: object) -> None:
        assert isinstance(step, Persist)
        assert step.patch["refresh_token"] == "r2"
        assert step.patch["id_token"] == id_token()

    script = [Beat(sends(), answer(200, fresh)), Beat(Now(), NOW), Beat(saves)]
    token = play(renew(credential(refresh_token="r"), {}), script)
    assert (token.value.reveal(), token.expires_at) == ("a2", LATER)
    assert dict(token.headers) == {"Chatgpt-Account-Id": "acct-1"}


def test_a_renewal_stays_with_the_account_that_was_chosen() -> None:
    """New ID tokens may name the person's default workspace."""
    fresh = {"access_token": jwt(exp=LATER), "id_token": id_token(account="acct-default")}

    def saves(step: object) -> None:
        assert isinstance(step, Persist)
        assert step.patch["account_id"] == "acct-1"
        assert "refresh_token" not in step.patch

    script = [Beat(sends(), answer(200, fresh)), Beat(Now(), NOW), Beat(saves)]
    token = play(renew(credential(refresh_token="r", account_id="acct-1"), {}), script)
    assert dict(token.headers) == {"Chatgpt-Account-Id": "acct-1"}
    assert token.expires_at == LATER


@pytest.mark.parametrize(
    "code", ["refresh_token_reused", "refresh_token_expired", "refresh_token_invalidated"]
)
def test_a_refresh_token_that_is_of_no_use_needs_the_owner(code: str) -> None:
    refusal = answer(401, {"error": {"message": "used before", "code": code}})
    with pytest.raises(LoginError) as caught:
        play(renew(credential(refresh_token="r"), {}), [Beat(sends(), refusal)])
    assert caught.value.code == "invalid_grant"
    assert needs_login(caught.value)


def test_a_renewal_without_refresh_token_needs_the_owner() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(access_token="a"), {}), [])
    assert caught.value.code == "not_renewable"
