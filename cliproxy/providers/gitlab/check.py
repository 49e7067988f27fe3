"""What an account can do, in lines for its owner: instance, entitlement, and each way to a model.

Nothing here changes anything; one check spends one call of each limited endpoint.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.login.code import body_of
from cliproxy.login.steps import Flow, Send
from cliproxy.providers.gitlab.access import AGENT_WHAT, GATEWAY_WHAT
from cliproxy.providers.gitlab.instance import (
    account_error,
    api_call,
    instance_of,
    reason_of,
    setting_of,
)
from cliproxy.providers.gitlab.models import named_in
from cliproxy.providers.gitlab.tiers import REST_MEANS, REST_WHAT, Tiers, find_text_endpoints, find_tiers
from cliproxy.wire.jsontext import text
from cliproxy.wire.secret import Secret

_DETAILS: Final = (
    ("instance_version", "version"),
    ("realm", "realm"),
    ("feature_enablement_type", "entitlement"),
)


def check(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[str, ...]]:
    """Look at the account. Raises :class:`~cliproxy.errors.LoginError` when the token itself is refused, or
    opens nothing."""
    instance, account = instance_of(credential), tokens[TokenSlot.ACCOUNT].value
    answer = yield Send(api_call(instance, "/user", account, method="GET"))
    if not answer.is_success:
        raise account_error(answer, instance)
    lines = [f"{instance}: signed in as {text(body_of(answer), 'username') or 'an unnamed user'}"]
    lines += yield from connection_details(instance, account)
    tiers = yield from find_tiers(instance, account)
    if not tiers.has_gateway:
        yield from find_text_endpoints(tiers, instance, account)
    lines += _tier_lines(tiers, instance)
    project = setting_of(credential, "project_path")
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


def _tier_lines(tiers: Tiers, instance: str) -> Iterator[str]:
    for what in (AGENT_WHAT, GATEWAY_WHAT, REST_WHAT):
        error = tiers.missing.get(what)
        if what in tiers.open:
            yield f"{what}: available{_remark(what, tiers)}"
        elif error is not None:
            reason = error.message.replace(f" on {instance}", "").rstrip(".")
            reason = reason.removeprefix(what).lstrip(": ")
            yield f"{what}: not available: {reason}. {error.hint}".rstrip()


def _remark(what: str, tiers: Tiers) -> str:
    if what == REST_WHAT:
        return f" ({REST_MEANS})"
    if what == AGENT_WHAT or tiers.gateway is None:
        return ""
    assigned = next((found.name for found in named_in(tiers.gateway.data)), "")
    return f", assigned model {assigned}" if assigned else ""
