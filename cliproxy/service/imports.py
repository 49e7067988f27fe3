"""Find and read the logins that vendors' own programs keep on this machine.

Nothing is changed there: a login that was taken over stays the program's as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from cliproxy.errors import LoginError
from cliproxy.providers.base import Import
from cliproxy.wire.jsontext import JsonError, JsonObject, loads_object

MAX_BYTES: Final = 1024 * 1024


def place_of(source: Import, environ: Mapping[str, str], home: Path) -> Path:
    """Return where the program keeps its login on this machine."""
    named = environ.get(source.home, "").strip() if source.home else ""
    return (Path(named) if named else home / source.directory) / source.file


async def read(path: Path) -> JsonObject | None:
    """Return what is in a program's file; ``None`` when there is none.

    Raises :class:`~cliproxy.errors.LoginError`, which says nothing of the content.
    """
    raw = await trio.to_thread.run_sync(_bytes_of, path)
    if raw is None:
        return None
    try:
        return loads_object(raw)
    except JsonError as exc:
        raise LoginError("the file is not a JSON object", code="unreadable") from exc


def _bytes_of(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise LoginError(f"the file cannot be read: {exc.strerror}", code="unreadable") from exc
    if len(raw) > MAX_BYTES:
        raise LoginError("the file is too large to be a login", code="unreadable")
    return raw
