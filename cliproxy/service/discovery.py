"""Ask upstreams which models they have, and keep asking.

One task for each credential whose provider can list models. What it finds replaces the provider's static list
for that credential; while nothing was found, the static list stands. A failure is logged once for each new
reason and tried again; it never keeps the server from starting or a credential from being used.
"""

import logging
import time
from typing import Final

import trio

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential
from cliproxy.errors import LoginError
from cliproxy.providers.base import Provider
from cliproxy.service.logins import World, run_flow, sender
from cliproxy.service.service import Service

logger = logging.getLogger(__name__)

AGAIN_S: Final = 600.0
RETRY_S: Final = 120.0


async def discover(service: Service, provider: Provider, credential: Credential) -> tuple[ModelInfo, ...]:
    """Ask once. Raises :class:`~cliproxy.errors.LoginError`."""
    if provider.discover is None:
        return ()
    tokens = {}
    if provider.discover_needs is not None:
        slot = provider.discover_needs
        tokens[slot] = await service.tokens.ensure_fresh(credential, slot)
    world = World(
        send=sender(service.upstreams, credential.proxy_url),
        now=time.time,
        note=lambda text: logger.info("credential=%s %s", credential.id, text),
    )
    return await run_flow(provider.discover(credential, tokens), world)


async def discover_for_ever(service: Service, credential: Credential) -> None:
    """Ask now and every ten minutes. Returns at once for credentials that have nothing to ask."""
    provider = service.snapshots.providers[credential.provider]
    if provider.discover is None or credential.disabled or credential.models:
        return
    reason = ""
    while True:
        try:
            found = await discover(service, provider, credential)
        except LoginError as exc:
            if exc.message != reason:
                logger.warning("models not listed credential=%s cause=%s", credential.id, exc.message)
            reason, pause = exc.message, max(RETRY_S, exc.retry_after or 0.0)
        else:
            reason, pause = "", AGAIN_S
            service.snapshots.discovered(credential.id, found)
            logger.debug("models listed credential=%s count=%d", credential.id, len(found))
        await trio.sleep(pause)
