"""Find the OAuth application a login goes under: environment, configuration, build, the vendor's own program.

What the places mean and which one wins is decided in :mod:`cliproxy.login.clients`; this module looks into
them. The vendor's program is looked at last and only if a secret is still missing: its files are large.
"""

import re
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Final

import trio

from cliproxy.config.entries import OAuthClient as ConfiguredClient
from cliproxy.login.clients import ClientSource, Installed, OAuthClient, Place, from_environment, resolve
from cliproxy.wire.jsontext import JsonError, JsonObject, child, loads_object, text

BUILT_IN: Final = "oauth_clients.json"
"""Package file that a build may add: ``{name: {"client_id": …, "client_secret": …}}``."""
MAX_FILES: Final = 400
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
LEVELS_UP: Final = 4
"""How far above a program's file its package may begin."""


def finder(
    environ: Mapping[str, str], configured: Mapping[str, ConfiguredClient]
) -> Callable[[ClientSource], Awaitable[OAuthClient]]:
    """Return the ``client`` of a world. It raises :class:`~cliproxy.errors.LoginError` for a missing one."""

    async def find(source: ClientSource) -> OAuthClient:
        places = [
            from_environment(source, environ),
            _configured(configured.get(source.name)),
            _built_in(source.name),
        ]
        is_needed = source.needs_secret and not any(place.secret for place in places)
        if is_needed and source.installed is not None:
            secret = await trio.to_thread.run_sync(partial(installed_secret, source.installed))
            places.append(Place(secret=secret))
        await trio.lowlevel.checkpoint()
        return resolve(source, places)

    return find


def _configured(client: ConfiguredClient | None) -> Place:
    if client is None:
        return Place()
    return Place(id=client.client_id, secret=client.client_secret.reveal())


@cache
def _all_built_in() -> JsonObject:
    try:
        return loads_object(files("cliproxy").joinpath(BUILT_IN).read_bytes())
    except (OSError, JsonError):
        return {}


def _built_in(name: str) -> Place:
    known = child(_all_built_in(), name)
    return Place(id=text(known, "client_id"), secret=text(known, "client_secret"))


def installed_secret(installed: Installed, which: Callable[[str], str | None] = shutil.which) -> str:
    """Look for the secret in the vendor's program; empty when it is not installed or has none.

    Blocks for as long as reading its files takes.
    """
    program = which(installed.program)
    if program is None:
        return ""
    pattern = re.compile(installed.secret.encode("ascii"))
    for path in islice(_candidates(Path(program), installed), MAX_FILES):
        found = _search(path, pattern)
        if found:
            return found
    return ""


def _candidates(program: Path, installed: Installed) -> Iterator[Path]:
    """Yield the program itself and what its package has by the patterns, nearest first."""
    try:
        target = program.resolve(strict=True)
    except OSError:
        return
    yield target
    for directory in target.parents[:LEVELS_UP]:
        if directory == Path(directory.anchor):
            return
        for pattern in installed.files:
            yield from sorted(directory.glob(pattern))


def _search(path: Path, pattern: re.Pattern[bytes]) -> str:
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return ""
        found = pattern.search(path.read_bytes())
    except OSError:
        return ""
    return found.group(1).decode("ascii", "replace") if found else ""
