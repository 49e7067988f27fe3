"""What an account can do, in lines for its owner: instance, entitlement, and each way to a model.

Nothing here changes anything; it spends one call of each limited endpoint.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.rates import RateRule
from cliproxy.login.steps import Flow, Send
from cliproxy.providers.gitlab.access import (
    AGENT_WHAT,
    GATEWAY_WHAT,
    ask_agent_platform,
    ask_gateway,
)
from cliproxy.providers.gitlab.instance import account_error, api_call, body_of, instance_of, reason_of
from cliproxy.providers.gitlab.models import named_in
from cliproxy.wire.jsontext import text
from cliproxy.wire.secret import Secret

DETAILS_RATE: Final = RateRule(10, 60.0)
"""GitLab's limit on ``connection_details``."""
_DETAILS: Final = (
    ("instance_version", "version"),
    ("realm", "realm"),
    ("feature_enablement_type", "entitlement"),
)


def check(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[str, ...]]:
    """Look at the account. Raises :class:`~cliproxy.errors.LoginError` when the token itself is refused."""
    instance, account = instance_of(credential), tokens[TokenSlot.ACCOUNT].value
    answer = yield Send(api_call(instance, "/user", account, method="GET"))
    if not answer.is_success:
        raise account_error(answer, instance)
    lines = [f"{instance}: signed in as {text(body_of(answer), 'username') or 'an unnamed user'}"]
    lines += yield from connection_details(instance, account)
    for what, ask in ((AGENT_WHAT, ask_agent_platform), (GATEWAY_WHAT, ask_gateway)):
        lines.append((yield from _tier(what, ask, instance, account)))
    project = text(credential.data, "project_path") or text(credential.options, "project_path")
    if project:
        enabled = yield from suggestions_enabled(instance, account, project)
        lines.append(f"code suggestions for {project}: {'on' if enabled else 'off or unknown'}")
    return tuple(lines)


def connection_details(instance: str, account: Secret) -> Flow[list[str]]:
    """Ask what the instance says about itself and the account's entitlement."""
    answer = yield Send(api_call(instance, "/code_suggestions/connection_details", account))
    if not answer.is_success:
        return [f"connection details: not told ({reason_of(answer)})"]
    details = body_of(answer)
    said = [f"{label} {text(details, name)}" for name, label in _DETAILS if text(details, name)]
    return [f"instance: {', '.join(said)}"] if said else []


def suggestions_enabled(instance: str, account: Secret, project: str) -> Flow[bool]:
    """Ask whether code suggestions are on for a project."""
    answer = yield Send(
        api_call(instance, "/code_suggestions/enabled", account, body={"project_path": project})
    )
    enabled: bool = answer.is_success
    return enabled


def _tier(what: str, ask: Callable[[str, Secret], Flow[Token]], instance: str, account: Secret) -> Flow[str]:
    try:
        token = yield from ask(instance, account)
    except LoginError as exc:
        return f"{what}: not available ({exc.message})"
    assigned = next((found.name for found in named_in(token.data)), "")
    return f"{what}: available" + (f", assigned model {assigned}" if assigned else "")
