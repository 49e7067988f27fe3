"""Ask upstreams which models they have, and keep asking.

One task for each credential whose provider can list models. What it finds replaces the provider's static list
for that credential; while nothing was found, the static list stands. A failure is logged once for each new
reason and tried again; it never keeps the server from starting or a credential from being used. Credentials
that come, change or go while the server runs are told to :meth:`Discovery.review`, which begins and ends
tasks for these alone.
"""

import logging
import time
from collections.abc import Collection
from typing import Final

import trio
from attrs import define, field

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, CredentialId
from cliproxy.errors import LoginError
from cliproxy.providers.base import Provider
from cliproxy.service.ask import ask
from cliproxy.service.service import Service

logger = logging.getLogger(__name__)

AGAIN_S: Final = 600.0
RETRY_S: Final = 120.0
JITTER: Final = 0.1
CONCURRENT: Final = 8
"""Credentials asked at the same time."""
REST: Final = 20.0
"""Seconds of rest for each second that a rebuild takes."""


def is_asked(service: Service, credential: Credential) -> bool:
    """Whether there is anything to ask about a credential's models."""
    provider = service.snapshots.providers[credential.provider]
    return provider.discover is not None and not credential.disabled and not credential.models


async def discover(service: Service, provider: Provider, credential: Credential) -> tuple[ModelInfo, ...]:
    """Ask once. Raises :class:`~cliproxy.errors.LoginError`."""
    await trio.lowlevel.checkpoint()
    if provider.discover is None:
        return ()

    def note(text: str) -> None:
        logger.info("credential=%s %s", credential.id, text)

    return await ask(service, credential, provider.discover, provider.discover_needs, note)


@define(eq=False)
class Discovery:
    """Keeps the model lists of all credentials up to date."""

    service: Service
    _limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(CONCURRENT), init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    _asking: dict[CredentialId, trio.CancelScope] = field(factory=dict, init=False)
    _reviewed: trio.Event = field(factory=trio.Event, init=False)

    async def run(self) -> None:
        """Ask now and every ten minutes, for ever. May be started again after a crash."""
        self._asking.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._publish, name="discover: publish")
            while True:
                self._reviewed = trio.Event()
                for credential in self.service.snapshots.current().credentials:
                    if credential.id not in self._asking and is_asked(self.service, credential):
                        scope = self._asking[credential.id] = trio.CancelScope()
                        nursery.start_soon(
                            self._keep_asking, credential, scope, name=f"discover {credential.id}"
                        )
                await self._reviewed.wait()

    def review(self, differing: Collection[CredentialId]) -> None:
        """Begin anew with some credentials, which are new, changed or gone; the others are not disturbed."""
        for credential in differing:
            scope = self._asking.pop(credential, None)
            if scope is not None:
                scope.cancel(reason="the credential has changed")
        self._reviewed.set()

    async def _publish(self) -> None:
        """Serve what was found, then rest in proportion: with thousands of accounts a rebuild takes long."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            begin = time.perf_counter()
            self.service.snapshots.rebuild()
            await trio.sleep(REST * (time.perf_counter() - begin))

    async def _keep_asking(self, credential: Credential, scope: trio.CancelScope) -> None:
        reason = ""
        with scope:
            while True:
                pause, trouble = await self._ask(credential)
                if trouble and trouble != reason:
                    logger.warning("models not listed credential=%s cause=%s", credential.id, trouble)
                reason = trouble
                await trio.sleep(pause * self.service.rng.uniform(1.0, 1.0 + JITTER))

    async def _ask(self, credential: Credential) -> tuple[float, str]:
        """Ask once; return the seconds to wait and what went wrong."""
        provider = self.service.snapshots.providers[credential.provider]
        try:
            async with self._limiter:
                found = await discover(self.service, provider, credential)
        except LoginError as exc:
            return max(RETRY_S, exc.retry_after or 0.0), exc.message
        except Exception:
            # One provider that stumbles over an answer must not take the server down.
            logger.exception("listing models failed credential=%s", credential.id)
            return AGAIN_S, "a fault of this program"
        logger.debug("models listed credential=%s count=%d", credential.id, len(found))
        if self.service.snapshots.discovered(credential.id, found):
            self._news.set()
        return AGAIN_S, ""
