"""Ask GitLab which models an account may choose from.

GitLab answers for a top-level group, so the account's groups are asked one after the other until one has an
answer. Instances before 18.4 cannot be asked; what ``direct_access`` says about the assigned model remains,
and where the agent platform is open, its proxy serves every model of the table. Where the gateways are off,
GitLab chooses the model: there is nothing to offer but the alias.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.code import LOGIN_LIMITS, body_of
from cliproxy.login.steps import Flow, Send
from cliproxy.providers.gitlab.access import AGENT_WHAT
from cliproxy.providers.gitlab.instance import account_error, api_call, instance_of, setting_of
from cliproxy.providers.gitlab.models import (
    GROUP_VARIABLE,
    LIST_QUERY,
    ModelList,
    chosen,
    everything,
    named_in,
    offered,
    read_list,
)
from cliproxy.providers.gitlab.tiers import Tiers, find_tiers
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonError, JsonValue, dumps, integer, loads
from cliproxy.wire.secret import Secret

GROUPS_ASKED: Final = 5
_GROUPS: Final = f"/groups?top_level_only=true&min_access_level=10&per_page={GROUPS_ASKED}&order_by=id"


def discover(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    """Find the models of an account, the one behind the alias in front.

    Nothing is returned when nothing could be learned, which leaves the present list in place. Raises
    :class:`~cliproxy.errors.LoginError` when the account's token is refused.
    """
    instance, account = instance_of(credential), tokens[TokenSlot.ACCOUNT].value
    tiers = yield from find_tiers(instance, account)
    if not tiers.has_gateway:
        yield from _check_account(tiers, instance, account)
        return offered([]) if tiers.are_off else ()
    listed = yield from ask_for_models(instance, account, setting_of(credential, "duo_namespace_id"))
    wish = chosen(credential)
    if listed.pinned is not None:
        return offered([*wish, listed.pinned])
    assigned = [] if tiers.gateway is None else list(named_in(tiers.gateway.data))
    known = [*wish, *assigned, *listed.found]
    if not listed.found and AGENT_WHAT in tiers.open:
        known += everything()
    known = known or list(named_in(credential.data))
    return offered(known) if known else ()


def _check_account(tiers: Tiers, instance: str, account: Secret) -> Flow[None]:
    """Find out whether it is the token that is refused, where that may be why nothing is open."""
    if any(error.code == "token_rejected" for error in tiers.missing.values()):
        answer = yield Send(api_call(instance, "/user", account, method="GET"))
        if not answer.is_success:
            raise account_error(answer, instance)


def ask_for_models(instance: str, account: Secret, group: str = "") -> Flow[ModelList]:
    """Return GitLab's own list of models; an empty one when it cannot be had."""
    groups = [group] if group else (yield from _groups(instance, account))
    for name in groups:
        try:
            answer = yield Send(_query(instance, account, name))
        except LoginError:
            break
        listed = read_list(body_of(answer)) if answer.is_success else ModelList()
        if listed.found:
            return listed
    return ModelList()


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
