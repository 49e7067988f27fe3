"""The common form of accounts whose upstream speaks OpenAI's chat dialect: one address, a bearer token.

A provider fills a :class:`ChatContract` with what is its own: where the base address comes from, which
headers it wants besides, how it refuses.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen

from cliproxy.credentials.model import TokenSlot
from cliproxy.dialects.base import Action, Framing
from cliproxy.errors import Failure
from cliproxy.providers.base import Call, own_headers
from cliproxy.wire.http import Headers, HttpCall, UpstreamCall

CHAT_PATH: Final = "/chat/completions"


def _nothing_more(_call: Call) -> Mapping[str, str]:
    return {}


def _as_it_is(call: Call) -> bytes:
    return call.body


def _by_the_general_rules(_status: int, _headers: Headers, _body: bytes) -> Failure | None:
    return None


@frozen(kw_only=True)
class ChatContract:
    """One chat endpoint, reached with the account's token."""

    base_url: str
    """Address that the path is added to, version included; one that came with the token, or that the owner
    set for the credential, goes before it."""
    headers_for: Callable[[Call], Mapping[str, str]] = _nothing_more
    """Headers besides content type, accept and authorization."""
    body_of: Callable[[Call], bytes] = _as_it_is
    failure_of: Callable[[int, Headers, bytes], Failure | None] = _by_the_general_rules
    path: str = CHAT_PATH
    id: str = "chat"
    dialect: str = "openai"
    framing: Framing = Framing.SSE
    needs: TokenSlot | None = TokenSlot.ACCOUNT
    streams_only: bool = False
    actions: frozenset[Action] = field(default=frozenset({Action.GENERATE}))

    def supports(self, action: Action) -> bool:
        """Whether the endpoint does it."""
        return action in self.actions

    def prepare(self, call: Call) -> UpstreamCall:
        """Address the endpoint. The owner's own headers replace the others."""
        headers = Headers(
            {
                "Content-Type": "application/json",
                "Accept": "text/event-stream" if call.stream else "application/json",
            }
        )
        if call.token is not None:
            headers = headers.with_field("Authorization", f"Bearer {call.token.value.reveal()}")
        return HttpCall(
            method="POST",
            url=self._base(call) + self.path,
            headers=headers.merged(dict(self.headers_for(call))).merged(own_headers(call)),
            body=self.body_of(call),
            stream=call.stream,
        )

    def _base(self, call: Call) -> str:
        from_token = call.token.base_url if call.token is not None else ""
        return (call.credential.base_url or from_token or self.base_url).rstrip("/")

    def read_failure(self, status: int, headers: Headers, body: bytes) -> Failure | None:
        """Read an error answer that the general table would misjudge."""
        return self.failure_of(status, headers, body)
