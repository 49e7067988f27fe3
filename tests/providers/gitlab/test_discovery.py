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


OPEN = [agent(answer(201, {"token": "T"})), Beat(Now(), 5.0)]
CLOSED = [agent(answer(404, {}))]
FORBIDDEN = answer(403, {"message": "403 Forbidden"})


def test_the_assigned_model_leads_the_ones_to_choose_from() -> None:
    script = [
        *CLOSED,
        gateway(answer(201, DIRECT)),
        groups(answer(200, [{"id": 1}])),
        asks("1", listed("gpt_5", "claude_opus_4_8")),
    ]
    infos = play(discover(account(), TOKENS), script)
    assert [info.id for info in infos] == ["claude-sonnet-4-5", "gpt-5", "claude-opus-4-8"]
    assert "gitlab-duo" in infos[0].aliases


def test_the_owners_choice_leads_them_all() -> None:
    script = [
        *OPEN,
        gateway(answer(201, DIRECT)),
        groups(answer(200, [{"id": 1}])),
        asks("1", listed("gpt_5", pinned="claude_opus_4_8")),
    ]
    infos = play(discover(account(default_model="claude-next-9"), TOKENS), script)
    assert [info.id for info in infos] == ["claude-next-9", "claude-opus-4-8"]
    assert "gitlab-duo" in infos[0].aliases


def test_groups_are_asked_until_one_has_an_answer() -> None:
    script = [
        groups(answer(200, [{"id": 1}, {"id": 2}, {"id": 3}])),
        asks("1", EMPTY),
        asks("2", listed("gpt_5")),
    ]
    found = play(ask_for_models(HOST, Secret("glpat")), script).found
    assert [model.name for model in found] == ["gpt-5", "gpt-5"]


@pytest.mark.parametrize("group", ["77", "gid://gitlab/Group/77"])
def test_the_owner_may_name_the_group(group: str) -> None:
    """A model its administrators pinned leaves no choice, whatever else is assigned."""
    script = [*OPEN, gateway(answer(201, DIRECT)), asks("77", listed("gpt_5", pinned="claude_opus_5"))]
    infos = play(discover(account(duo_namespace_id=group), TOKENS), script)
    assert [info.id for info in infos] == ["claude-opus-5"]


def test_where_nothing_is_listed_the_agent_platform_serves_the_whole_table() -> None:
    script = [*OPEN, gateway(answer(201, DIRECT)), groups(answer(403, {}))]
    infos = play(discover(account(), TOKENS), script)
    assert infos[0].id == "claude-sonnet-4-5"
    assert {"gpt-5-codex", "claude-opus-5"} <= {info.id for info in infos}


def test_without_list_and_agent_platform_the_assigned_model_remains() -> None:
    script = [*CLOSED, gateway(answer(201, DIRECT)), groups(answer(200, b"<html>"))]
    assert [info.id for info in play(discover(account(), TOKENS), script)] == ["claude-sonnet-4-5"]


def test_what_the_file_names_is_the_last_resort() -> None:
    silent = {key: value for key, value in DIRECT.items() if key != "model_details"}
    script = [*CLOSED, gateway(answer(201, silent)), groups(answer(200, []))]
    infos = play(discover(account(models=["claude-opus-5"]), TOKENS), script)
    assert [info.id for info in infos] == ["claude-opus-5"]


@pytest.mark.parametrize(
    ("first", "second"),
    [(answer(404, {}), FORBIDDEN), (FORBIDDEN, answer(403, {"message": "Direct connections are disabled"}))],
)
def test_where_the_gateways_are_off_gitlab_chooses_the_model(first, second) -> None:
    infos = play(discover(account(), TOKENS), [agent(first), gateway(second)])
    assert [info.id for info in infos] == ["gitlab-duo"]


def test_an_account_that_is_refused_keeps_its_list_so_that_requests_can_say_why() -> None:
    assert play(discover(account(), TOKENS), [agent(FORBIDDEN), gateway(FORBIDDEN)]) == ()


@pytest.mark.parametrize("passing", [answer(503, {}), LoginError("cut off", code="unreachable")])
def test_nothing_learned_changes_nothing(passing) -> None:
    """An outage is no reason to take back what is offered."""
    assert play(discover(account(), TOKENS), [*CLOSED, gateway(passing)]) == ()


REFUSED = answer(401, {"message": "401 Unauthorized"})


def test_a_token_that_is_refused_everywhere_is_said_to_be() -> None:
    who = Beat(Sends(method="GET", url=f"{HOST}/api/v4/user"), REFUSED)
    with pytest.raises(LoginError) as caught:
        play(discover(account(), TOKENS), [agent(REFUSED), gateway(REFUSED), who])
    assert caught.value.code == "expired"


def test_a_good_token_may_be_refused_by_the_gateways() -> None:
    """So some instances answer an account without a seat."""
    who = Beat(Sends(method="GET", url=f"{HOST}/api/v4/user"), answer(200, {"id": 42}))
    assert play(discover(account(), TOKENS), [agent(REFUSED), gateway(REFUSED), who]) == ()


@pytest.mark.parametrize(
    "reply", [answer(500, {}), answer(200, {"errors": []}), LoginError("x", code="timeout")]
)
def test_a_list_that_cannot_be_had_is_empty(reply) -> None:
    script = [groups(answer(200, [{"id": 1}, {"name": "no id"}, 5])), asks("1", reply)]
    assert play(ask_for_models(HOST, Secret("glpat")), script).found == []
