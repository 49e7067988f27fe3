"""Ask an upstream something in the name of an account: its models, what it can do.

Such questions are flows, like logins. They get the account's token as it is good now. A token may be refused
before its time: then it is renewed and the question asked once more, as requests do it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.steps import Flow
from cliproxy.service.logins import World, run_flow, sender
from cliproxy.service.service import Service

T = TypeVar("T")
Question = Callable[[Credential, Mapping[TokenSlot, Token]], Flow[T]]

REFUSED: Final = "expired"
"""Code of the error a flow raises when the account's token is refused."""


async def ask(
    service: Service,
    credential: Credential,
    question: Question[T],
    slot: TokenSlot | None,
    note: Callable[[str], None],
) -> T:
    """Put a question; ``slot`` is the token it needs. Raises :class:`~cliproxy.errors.LoginError`."""
    world = World(send=sender(service.upstreams, credential.proxy_url), now=time.time, note=note)
    if slot is None:
        return await run_flow(question(credential, {}), world)
    token = await service.tokens.ensure_fresh(credential, slot)
    try:
        return await run_flow(question(credential, {slot: token}), world)
    except LoginError as exc:
        if exc.code != REFUSED:
            raise
    token = await service.tokens.refresh(credential, slot, token.version)
    return await run_flow(question(credential, {slot: token}), world)
