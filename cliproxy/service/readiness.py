"""Whether requests can be served, and if not, why.

A server is ready when it has a model to serve, an account that can be used, and is not about to stop.
Accounts that rest after a failure count as usable: a client that is told when to come back is better off than
one that finds nobody. What others know about the state of the process, such as that of a database, is shown
with it and does not decide.
"""

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import trio

from cliproxy.credentials.model import Credential
from cliproxy.routing.runtime import credential_place
from cliproxy.service.service import Service
from cliproxy.wire.jsontext import JsonObject


class Condition(StrEnum):
    """How a credential is."""

    READY = "ready"
    RESTING = "resting"
    """It has failed, and its pause is not over."""
    NEEDS_LOGIN = "needs_login"
    DISABLED = "disabled"


UNUSABLE: Final = frozenset({Condition.NEEDS_LOGIN, Condition.DISABLED})


def condition_of(service: Service, credential: Credential) -> Condition:
    """Say how a credential is at the moment."""
    if credential.disabled:
        return Condition.DISABLED
    if service.tokens.is_dead(credential.account):
        return Condition.NEEDS_LOGIN
    is_resting = service.runtime.state(credential_place(credential.id)).is_open(trio.current_time())
    return Condition.RESTING if is_resting else Condition.READY


def conditions(service: Service) -> Iterator[tuple[Credential, Condition]]:
    """Say how all credentials are."""
    for credential in service.snapshots.current().credentials:
        yield credential, condition_of(service, credential)


def obstacles(service: Service) -> list[str]:
    """Return why requests cannot be served, in words for programs; nothing where they can."""
    found = ["stopping"] if service.is_stopping else []
    if not any(condition not in UNUSABLE for _, condition in conditions(service)):
        found.append("no_usable_credential")
    if not service.snapshots.current().registry:
        found.append("no_model")
    return found


def details(service: Service) -> JsonObject:
    """Describe the state of the process, for its owner."""
    counts = Counter(condition for _, condition in conditions(service))
    status = service.reload_status
    return {
        "credentials": {
            "total": counts.total(),
            "usable": sum(count for condition, count in counts.items() if condition not in UNUSABLE),
            **{condition.value: counts[condition] for condition in Condition},
        },
        "models": len(service.snapshots.current().registry),
        "stopping": service.is_stopping,
        "configuration": {
            "reloads": status.count,
            "reloaded_at": status.at,
            "problems": dict(status.problems),
            "needs_restart": list(status.restart),
        },
        "jobs": {
            job.name: {"phase": job.phase.value, "crashes": job.crashes, "fault": job.fault or None}
            for job in service.jobs.statuses()
        },
        "database": _database(service),
        **{name: check() for name, check in service.checks.items()},
    }


def _database(service: Service) -> JsonObject | None:
    """Describe the ledger's file; ``None`` where nothing is kept."""
    if service.ledger is None:
        return None
    statistics = service.ledger.statistics()
    trouble = statistics.trouble
    return {
        "trouble": None if trouble is None else str(trouble),
        "since": statistics.since if trouble is not None else None,
        "waiting": statistics.waiting,
    }
