"""Ask GitLab which models an account may choose from.

GitLab answers for a top-level group, so the account's groups are asked one after the other until one has an
answer. Instances before 18.4 cannot be asked; what ``direct_access`` says about the assigned model remains,
and where the agent platform is open, its proxy serves every model of the table.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.code import LOGIN_LIMITS
from cliproxy.login.steps import Flow, Send
from cliproxy.providers.gitlab.access import ask_agent_platform, ask_gateway
from cliproxy.providers.gitlab.instance import api_call, body_of, instance_of
from cliproxy.providers.gitlab.models import (
    GROUP_VARIABLE,
    LIST_QUERY,
    Found,
    everything,
    named_in,
    offered,
    read_list,
)
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonError, JsonValue, dumps, integer, loads, text
from cliproxy.wire.secret import Secret

GROUPS_ASKED: Final = 5
_GROUPS: Final = f"/groups?top_level_only=true&min_access_level=10&per_page={GROUPS_ASKED}&order_by=id"


def discover(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    """Find the models of an account: those that may be chosen, with the assigned one in front.

    Nothing is returned when nothing could be learned, which leaves the present list in place.
    """
    instance, account = instance_of(credential), tokens[TokenSlot.ACCOUNT].value
    group = text(credential.data, "duo_namespace_id") or text(credential.options, "duo_namespace_id")
    assigned = yield from _assigned(instance, account)
    listed = yield from ask_for_models(instance, account, group)
    known = [*assigned, *(model for model in listed if model.name not in {found.name for found in assigned})]
    if listed:
        return offered(known)
    if (yield from _has_agent_platform(instance, account)):
        rest = everything()
        return offered([*assigned, *(model for model in rest if model not in assigned)])
    known = known or list(named_in(credential.data))
    return offered(known) if known else ()


def _assigned(instance: str, account: Secret) -> Flow[list[Found]]:
    try:
        token = yield from ask_gateway(instance, account)
    except LoginError:
        return []
    return list(named_in(token.data))


def _has_agent_platform(instance: str, account: Secret) -> Flow[bool]:
    try:
        yield from ask_agent_platform(instance, account)
    except LoginError:
        return False
    return True


def ask_for_models(instance: str, account: Secret, group: str = "") -> Flow[list[Found]]:
    """Return GitLab's own list of models; an empty one when it cannot be had."""
    groups = [group] if group else (yield from _groups(instance, account))
    for name in groups:
        try:
            answer = yield Send(_query(instance, account, name))
        except LoginError:
            return []
        found = read_list(body_of(answer)).found if answer.is_success else []
        if found:
            return found
    return []


def _groups(instance: str, account: Secret) -> Flow[list[str]]:
    try:
        answer = yield Send(api_call(instance, _GROUPS, account, method="GET"))
    except LoginError:
        return []
    assert isinstance(answer, HttpAnswer)
    try:
        value: JsonValue = loads(answer.body) if answer.is_success else []
    except JsonError:
        return []
    groups = value if isinstance(value, list) else []
    ids = [integer(group, "id") for group in groups if isinstance(group, dict)]
    return [str(number) for number in ids if number is not None][:GROUPS_ASKED]


def _query(instance: str, account: Secret, group: str) -> HttpCall:
    name = group if group.startswith("gid://") else f"gid://gitlab/Group/{group}"
    return HttpCall(
        method="POST",
        url=f"{instance}/api/graphql",
        headers=Headers(
            {
                "Authorization": f"Bearer {account.reveal()}",
                "Accept": "application/json",
                "Content-Type": "application/json",
            }
        ),
        body=dumps({"query": LIST_QUERY, "variables": {GROUP_VARIABLE: name}}),
        limits=LOGIN_LIMITS,
    )
