"""How an account is doing, in words for its owner: what ``check`` and ``models`` say of each.

Nothing here asks anybody: the words are made of what the credential file says and of what the token table
knows. Pauses after refusals are not among them: those are known to the running server alone.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from cliproxy.credentials.model import Credential, CredentialKind, TokenSlot
from cliproxy.providers.base import Provider
from cliproxy.service.tokens import AccountStatus, Condition, SlotStatus
from cliproxy.wire.jsontext import text

_MEMBERS: Final = (
    ("project_id", "project"),
    ("organization_name", "organization"),
    ("location", "location"),
    ("base_url", "at"),
)
"""Members of credential files that tell one account from another, and what to call them."""
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_STATES: Final[Mapping[Condition, str]] = {
    Condition.ABSENT: "logged in; a token is fetched when it is needed",
    Condition.FRESH: "logged in",
    Condition.DUE: "logged in; the token is about to be renewed",
    Condition.EXPIRED: "logged in; the token is renewed when it is needed",
    Condition.RENEWING: "logged in; the token is being renewed",
    Condition.FAILED: "the token could not be renewed",
    Condition.NEEDS_LOGIN: "needs login",
}


def headline(credential: Credential) -> str:
    """Name an account: its file or place in the configuration, its provider, its owner."""
    return f"{credential.source or credential.id}: {credential.provider} {credential.label}".rstrip()


def facts_of(credential: Credential, provider: Provider) -> str:
    """Say what the account is for and how it is reached; empty where there is nothing to say."""
    found = list(provider.facts(credential))
    if credential.kind is CredentialKind.ACCOUNT:
        for member, word in _MEMBERS:
            value = text(credential.data, member).strip()
            many = "s" if "," in value else ""
            if value:
                found.append(f"{word}{many} {', '.join(part.strip() for part in value.split(','))}")
    if credential.proxy_url is not None:
        found.append("a proxy of its own")
    if credential.prefix:
        found.append(f"prefix {credential.prefix}")
    if credential.priority:
        found.append(f"priority {credential.priority}")
    return "; ".join(found)


def condition_of(credential: Credential, status: AccountStatus | None, now: float) -> str:
    """Say how an account is doing; ``now`` are Unix seconds. Keys have nothing to say."""
    if credential.disabled:
        return "switched off"
    slot = _login_of(status)
    if credential.kind is not CredentialKind.ACCOUNT or status is None or slot is None:
        return ""
    state = _STATES[slot.condition]
    if slot.condition is Condition.FAILED and slot.retry_in is not None:
        state = f"{state}; tried again in {lasting(slot.retry_in)}"
    unsaved = "; its new tokens could not be saved yet" if status.is_unsaved else ""
    return f"{state}{_end_of(slot, now)}{unsaved}"


def _login_of(status: AccountStatus | None) -> SlotStatus | None:
    slots = status.slots if status is not None else ()
    return next((slot for slot in slots if slot.slot is TokenSlot.ACCOUNT), None)


def _end_of(slot: SlotStatus, now: float) -> str:
    if slot.expires_at is None:
        return ""
    left = slot.expires_at - now
    when = datetime.fromtimestamp(slot.expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"; good for {lasting(left)}, until {when}" if left > 0 else f"; it ended at {when}"


def lasting(seconds: float) -> str:
    """Write a time in its two largest units."""
    rest = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"
