"""Requests to Antigravity's hosts, and what their refusals mean.

The hosts are tried in order, each a contract of its own. One that cannot be reached, that limits the rate or
has no capacity for a model hands over to the next; a quota that is used up for hours is the account's, so
that asking elsewhere would be of no use.

Models of Claude and those that think long or draw answer reliably only in a stream, so a client that wants
its answer in one piece gets it collected.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve, frozen

from cliproxy.credentials.model import Credential
from cliproxy.dialects.base import Action
from cliproxy.errors import Failure, Kind, Scope
from cliproxy.providers.antigravity.account import DAILY_URL
from cliproxy.providers.base import Contract
from cliproxy.providers.gemini_cli.contracts import CodeAssistContract
from cliproxy.providers.gemini_cli.setup import CODE_ASSIST_URL
from cliproxy.wire.http import Headers

HOSTS: Final = tuple(url.partition("://")[2] for url in (DAILY_URL, CODE_ASSIST_URL))
_NO_CAPACITY: Final = b"no capacity available"
_STREAMED: Final = ("claude", "gemini-3-pro", "gemini-3.1-flash-image")
"""What the names of models have in them that are always asked for a stream."""
_PASSING: Final = frozenset({Kind.RATE_LIMIT, Kind.OVERLOADED})


@frozen(kw_only=True)
class AntigravityContract(CodeAssistContract):
    """One host."""

    dialect: str = "antigravity"
    has_next: bool = False
    """Another host comes after it."""

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Tell quotas, capacity and unusable projects apart, and what another host may do better."""
        failure = super().read_failure(status, headers, body)
        if failure is None and status == HTTPStatus.SERVICE_UNAVAILABLE and _NO_CAPACITY in body.lower():
            failure = Failure(
                kind=Kind.OVERLOADED,
                scope=Scope.MODEL,
                message="no capacity available for the model",
                status=status,
            )
        if failure is not None and self.has_next and failure.kind in _PASSING:
            return evolve(failure, scope=Scope.CONTRACT)
        return failure


DAILY: Final = AntigravityContract(id="daily", base_url=DAILY_URL, has_next=True)
PRODUCTION: Final = AntigravityContract(id="production", base_url=CODE_ASSIST_URL)
WAYS: Final = (DAILY, PRODUCTION)
STREAMING_WAYS: Final = tuple(evolve(way, streams_only=True) for way in WAYS)


def contracts_for(credential: Credential, model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the hosts in order; an address of the owner's own goes in place of all of them."""
    ways = STREAMING_WAYS if any(part in model for part in _STREAMED) else WAYS
    return ways[-1:] if urlsplit(credential.base_url).hostname else ways
