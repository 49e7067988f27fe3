"""What `check` finds out about an account."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.steps import Now
from cliproxy.providers.gitlab.check import check
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

API = "https://gitlab.com/api/v4"
TOKENS = {TokenSlot.ACCOUNT: Token(value=Secret("glpat"))}
DETAILS = {"instance_version": "18.5", "realm": "saas", "feature_enablement_type": "duo_pro"}
GATEWAY = {
    "token": "G",
    "base_url": "https://g/ai",
    "model_details": {"model_provider": "anthropic", "model_name": "claude-x"},
}


def account(**data) -> Credential:
    return Credential(id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data=data)


def user(reply: object = None) -> Beat:
    return Beat(
        Sends(method="GET", url=f"{API}/user", bearer="glpat"), reply or answer(200, {"username": "duo"})
    )


def post(path: str, reply: object, json: object = ...) -> Beat:
    return Beat(Sends(method="POST", url=f"{API}{path}", json=json), reply)


def test_an_account_that_has_everything() -> None:
    script = [
        user(),
        post("/code_suggestions/connection_details", answer(201, DETAILS), None),
        post("/ai/third_party_agents/direct_access", answer(201, {"token": "T"})),
        Beat(Now(), 5.0),
        post("/code_suggestions/direct_access", answer(201, GATEWAY)),
        post("/code_suggestions/enabled", answer(200, ""), {"project_path": "a/b"}),
    ]
    assert play(check(account(project_path="a/b"), TOKENS), script) == (
        "https://gitlab.com: signed in as duo",
        "instance: version 18.5, realm saas, entitlement duo_pro",
        "the agent platform: available",
        "the Code Suggestions gateway: available, assigned model claude-x",
        "code suggestions for a/b: on",
    )


def test_an_account_that_has_nothing() -> None:
    forbidden = answer(403, {"message": "403 Forbidden"})
    script = [
        user(),
        post("/code_suggestions/connection_details", forbidden),
        post("/ai/third_party_agents/direct_access", forbidden),
        post("/code_suggestions/direct_access", forbidden),
        post("/code_suggestions/enabled", answer(404, {})),
    ]
    lines = play(check(account(project_path="a/b"), TOKENS), script)
    assert lines[1] == "connection details: not told (403 Forbidden)"
    assert lines[2].startswith("the agent platform: not available (")
    assert lines[4] == "code suggestions for a/b: off or unknown"


def test_a_token_that_has_ended_is_an_error() -> None:
    with pytest.raises(LoginError) as caught:
        play(check(account(), TOKENS), [user(answer(401, {"message": "401 Unauthorized"}))])
    assert caught.value.code == "expired"
