"""Keep the facts about models up to date, where the owner names an address for that (``model-catalog-url``).

Without an address nobody is asked anything, and the bundled facts stand. With one the document is fetched at
the start and every few hours, with limits on time and size, and taken over if it can be read
(:mod:`cliproxy.catalog.remote`). Whatever goes wrong leaves what was there before: it is said once for each
new reason, and tried again sooner. Requests do not wait for any of this.
"""

import logging
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import trio
from attrs import define, field

from cliproxy.catalog import static
from cliproxy.catalog.remote import MAX_BYTES, CatalogueError, read
from cliproxy.config.model import Config
from cliproxy.errors import TransportError
from cliproxy.service.service import Service
from cliproxy.wire.http import Headers, HttpCall
from cliproxy.wire.jsontext import JsonValue

logger = logging.getLogger(__name__)

AGAIN_S: Final = 3 * 3600.0
RETRY_S: Final = 600.0
JITTER: Final = 0.1
LIMIT_S: Final = 30.0


class NoCatalogue(Exception):
    """The document could not be had; what the message says is for the owner."""


@define(eq=False)
class CatalogueKeeper:
    """Fetches the catalogue. :meth:`run` is a job of the service."""

    service: Service
    _url: str = field(default="", init=False)
    _tag: str = field(default="", init=False)
    """What the publisher calls the state of the document that is in use."""
    _as_of: str = field(default="", init=False)
    _count: int = field(default=0, init=False)
    _trouble: str = field(default="", init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.service.on_config.append(self._look_at)
        self.service.checks["model-catalog"] = self.status

    def status(self) -> JsonValue:
        """Return where the facts are from, for the owner."""
        if not self._count:
            return {"source": "bundled", "as-of": static.as_of(), "trouble": self._trouble}
        host = urlsplit(self._url).hostname
        return {"source": host, "as-of": self._as_of, "models": self._count, "trouble": self._trouble}

    def _look_at(self, config: Config) -> None:
        if config.model_catalog_url != self._url:
            self._changed.set()

    async def once(self) -> str:
        """Fetch now, if there is an address; return what went wrong."""
        self._begin_with(self.service.config.model_catalog_url)
        await trio.lowlevel.checkpoint()
        if self._url:
            await self._try()
        return self._trouble

    async def run(self) -> None:
        """Keep up to date for ever. May be started again after a crash."""
        while True:
            self._changed = trio.Event()
            self._begin_with(self.service.config.model_catalog_url)
            while self._url and not self._changed.is_set():
                pause = await self._try()
                with trio.move_on_after(pause * self.service.rng.uniform(1.0, 1.0 + JITTER)):
                    await self._changed.wait()
            await self._changed.wait()

    def _begin_with(self, url: str) -> None:
        """Forget what came from another address."""
        if url != self._url:
            self._url, self._tag, self._as_of, self._count, self._trouble = url, "", "", 0, ""
            self.service.snapshots.use_catalogue(None)

    async def _try(self) -> float:
        """Fetch once; return the seconds until the next time."""
        host = urlsplit(self._url).hostname
        try:
            await self._fetch()
        except (NoCatalogue, CatalogueError, TransportError, trio.TooSlowError) as exc:
            trouble = str(exc) or f"no answer within {LIMIT_S:g} s"
            if trouble != self._trouble:
                logger.warning("model facts not taken over host=%s cause=%s", host, trouble)
            self._trouble = trouble
            return RETRY_S
        self._trouble = ""
        return AGAIN_S

    async def _fetch(self) -> None:
        known = {"If-None-Match": self._tag} if self._tag else {}
        call = HttpCall(method="GET", url=self._url, headers=Headers(known))
        with trio.fail_after(LIMIT_S):
            answer = await self.service.upstreams.fetch(call, MAX_BYTES)
        if answer.status == HTTPStatus.NOT_MODIFIED and self._tag:
            return
        if answer.status != HTTPStatus.OK:
            raise NoCatalogue(f"the answer's status is {answer.status}")
        catalogue = read(answer.body)
        if catalogue.as_of and catalogue.as_of < static.as_of():
            raise NoCatalogue(f"its facts are of {catalogue.as_of}, and those of this release are newer")
        self._tag, self._as_of = answer.headers.get("etag"), catalogue.as_of
        if len(catalogue) != self._count:
            logger.info("model facts taken over as_of=%s models=%d", self._as_of or "-", len(catalogue))
        self._count = len(catalogue)
        self.service.snapshots.use_catalogue(catalogue)
