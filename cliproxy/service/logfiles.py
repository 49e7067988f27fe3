"""The files of the log, as the configuration wants them at the moment.

They live in a directory ``logs``: below ``$WRITABLE_PATH`` if that is set, else beside the configuration
file, else in the directory of the accounts, whichever can be written to. That is looked up when the first
file is wanted, so that a server which writes none asks for no directory.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from cliproxy.config.environment import read_environment
from cliproxy.config.model import Config
from cliproxy.observe.folder import MEGABYTE, Folder, is_usable
from cliproxy.observe.logfile import LogFile
from cliproxy.observe.metrics import Family, counter, gauge
from cliproxy.observe.output import Output, installed
from cliproxy.observe.transcript import Scribe
from cliproxy.observe.writer import Writer
from cliproxy.service.service import Service
from cliproxy.stores.file import FileStore

logger = logging.getLogger(__name__)

LOGS: Final = "logs"
ABANDONED_S: Final = 3600.0
"""How old an incomplete file is that nobody works on any more; another process may use the same directory."""
LAST_WRITES_S: Final = 5.0
"""How long the end of the server waits for the last lines."""


def places_of(environ: Mapping[str, str], store: FileStore) -> Iterator[Path]:
    """Yield where the files may live, the best place first."""
    writable = read_environment(environ).writable_path
    if writable:
        yield Path(writable) / LOGS
    yield store.config_path.parent / LOGS
    yield store.auth_dir / LOGS


@define(eq=False)
class LogFiles:
    """Begins and ends files with the configuration."""

    service: Service
    places: tuple[Path, ...]
    output: Output | None
    writer: Writer = field(factory=Writer)
    folder: Folder | None = field(default=None, init=False)
    _file: LogFile | None = field(default=None, init=False)
    _scribe: Scribe | None = field(default=None, init=False)

    def apply(self, config: Config) -> None:
        """Do what a configuration says."""
        if not config.logging_to_file:
            self._end()
        elif self._found() is not None:
            self._begin()
        self.service.scribe = self._scribe_for(config)
        if self.folder is not None:
            self.folder.most_bytes = config.logs_max_total_size_mb * MEGABYTE

    async def aclose(self) -> None:
        """Write what is left."""
        self.service.scribe = None
        self._end()
        await trio.to_thread.run_sync(self.writer.close, LAST_WRITES_S)

    def figures(self) -> tuple[Family, ...]:
        """Return how well the files keep up."""
        lost = self._file.lost if self._file is not None else 0
        skipped = self._scribe.skipped if self._scribe is not None else 0
        what = "Requests that were to be written down and were not."
        return (
            counter("cliproxy_log_lines_lost", "Lines missing in log files.", (), {(): lost}),
            counter("cliproxy_log_requests_skipped", what, (), {(): skipped}),
            gauge("cliproxy_log_waiting_bytes", "Bytes for log files.", self.writer.waiting_bytes),
        )

    def _begin(self) -> None:
        if self._file is None and self.folder is not None and self.output is not None:
            self._file = LogFile(self.folder, self.writer)
            self.output.file = self._file.put
            logger.info("the log is written to %s as well", self.folder.path)

    def _scribe_for(self, config: Config) -> Scribe | None:
        """Return who writes requests down as a configuration says; ``None``: nobody."""
        is_wanted = (config.request_log or config.error_log) and not config.commercial_mode
        folder = self._found() if is_wanted else None
        if folder is None:
            return None
        if self._scribe is None:
            self._scribe = Scribe(folder=folder, writer=self.writer)
        self._scribe.everything = config.request_log
        self._scribe.most_errors = config.error_logs_max_files
        return self._scribe

    def _end(self) -> None:
        if self._file is not None and self.output is not None:
            self.output.file = None
            self._file.close()
            self._file = None

    def _found(self) -> Folder | None:
        if self.folder is None:
            place = next((place for place in self.places if is_usable(place)), None)
            if place is None:
                tried = ", ".join(map(str, self.places))
                logger.error("no log files are written: no directory can be written to of %s", tried)
            else:
                self.folder = Folder(place)
                self.writer.submit(partial(self.folder.clear_parts, time.time() - ABANDONED_S))
        return self.folder


@asynccontextmanager
async def log_files(service: Service, store: FileStore) -> AsyncIterator[LogFiles]:
    """Keep the log's files in step with the configuration; leaving writes what is left."""
    files = LogFiles(service, tuple(places_of(os.environ, store)), installed())
    service.on_config.append(files.apply)
    service.figures.append(files.figures)
    files.apply(service.config)
    try:
        yield files
    finally:
        with trio.move_on_after(LAST_WRITES_S + 1, shield=True):
            await files.aclose()
