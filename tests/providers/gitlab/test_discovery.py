"""How the models of an account are found."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.steps import Now
from cliproxy.providers.gitlab.discovery import ask_for_models, discover
from cliproxy.providers.gitlab.models import LIST_QUERY
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

HOST = "https://gitlab.com"
TOKENS = {TokenSlot.ACCOUNT: Token(value=Secret("glpat"))}
ASSIGNED = {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5"}
DIRECT = {"token": "G", "base_url": "https://g/ai", "expires_at": 1, "model_details": ASSIGNED}


def account(**data) -> Credential:
    return Credential(id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data=data)


def gateway(reply: object) -> Beat:
    return Beat(Sends(method="POST", url=f"{HOST}/api/v4/code_suggestions/direct_access"), reply)


def agent(reply: object) -> Beat:
    return Beat(Sends(method="POST", url=f"{HOST}/api/v4/ai/third_party_agents/direct_access"), reply)


def groups(reply: object) -> Beat:
    url = f"{HOST}/api/v4/groups?top_level_only=true&min_access_level=10&per_page=5&order_by=id"
    return Beat(Sends(method="GET", url=url, bearer="glpat"), reply)


def asks(group: str, reply: object) -> Beat:
    body = {"query": LIST_QUERY, "variables": {"rootNamespaceId": f"gid://gitlab/Group/{group}"}}
    return Beat(Sends(method="POST", url=f"{HOST}/api/graphql", json=body, bearer="glpat"), reply)


def listed(*refs: str, pinned: str = "") -> object:
    entries = [{"name": ref.upper(), "ref": ref} for ref in refs]
    models = {
        "defaultModel": entries[0] if entries else None,
        "selectableModels": entries,
        "pinnedModel": {"name": "P", "ref": pinned} if pinned else None,
    }
    return answer(200, {"data": {"aiChatAvailableModels": models}})


EMPTY = answer(200, {"data": {"aiChatAvailableModels": None}})


def test_the_assigned_model_leads_the_ones_to_choose_from() -> None:
    script = [
        gateway(answer(201, DIRECT)),
        groups(answer(200, [{"id": 1}])),
        asks("1", listed("gpt_5", "claude_opus_4_8")),
    ]
    infos = play(discover(account(), TOKENS), script)
    assert [info.id for info in infos] == ["claude-sonnet-4-5", "gpt-5", "claude-opus-4-8"]
    assert "gitlab-duo" in infos[0].aliases


def test_groups_are_asked_until_one_has_an_answer() -> None:
    script = [
        groups(answer(200, [{"id": 1}, {"id": 2}, {"id": 3}])),
        asks("1", EMPTY),
        asks("2", listed("gpt_5")),
    ]
    found = play(ask_for_models(HOST, Secret("glpat")), script)
    assert [model.name for model in found] == ["gpt-5", "gpt-5"]


@pytest.mark.parametrize("group", ["77", "gid://gitlab/Group/77"])
def test_the_owner_may_name_the_group(group: str) -> None:
    script = [gateway(answer(404, {})), asks("77", listed("gpt_5", pinned="claude_opus_5"))]
    infos = play(discover(account(duo_namespace_id=group), TOKENS), script)
    assert [info.id for info in infos] == ["claude-opus-5"]


def test_where_nothing_is_listed_the_agent_platform_serves_the_whole_table() -> None:
    script = [
        gateway(answer(201, DIRECT)),
        groups(answer(403, {})),
        agent(answer(201, {"token": "T"})),
        Beat(Now(), 5.0),
    ]
    infos = play(discover(account(), TOKENS), script)
    assert infos[0].id == "claude-sonnet-4-5"
    assert {"gpt-5-codex", "claude-opus-5"} <= {info.id for info in infos}


def test_without_list_and_agent_platform_the_assigned_model_remains() -> None:
    script = [gateway(answer(201, DIRECT)), groups(answer(200, b"<html>")), agent(answer(404, {}))]
    assert [info.id for info in play(discover(account(), TOKENS), script)] == ["claude-sonnet-4-5"]


def test_what_the_file_names_is_the_last_resort() -> None:
    script = [gateway(answer(503, {})), groups(answer(200, [])), agent(answer(404, {}))]
    infos = play(discover(account(models=["claude-opus-5"]), TOKENS), script)
    assert [info.id for info in infos] == ["claude-opus-5"]


def test_nothing_learned_changes_nothing() -> None:
    broken = LoginError("cut off", code="unreachable")
    script = [gateway(broken), groups(broken), agent(broken)]
    assert play(discover(account(), TOKENS), script) == ()


@pytest.mark.parametrize(
    "reply", [answer(500, {}), answer(200, {"errors": []}), LoginError("x", code="timeout")]
)
def test_a_list_that_cannot_be_had_is_empty(reply) -> None:
    script = [groups(answer(200, [{"id": 1}, {"name": "no id"}, 5])), asks("1", reply)]
    assert play(ask_for_models(HOST, Secret("glpat")), script) == []
