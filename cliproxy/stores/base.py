"""The contract of a store: the configuration text and the credential files, wherever they are kept.

Contents are bytes here; what they mean is the business of ``config`` and ``credentials``. A write has
happened when the call returns: it is on disk, whole, and stays there if the process dies in the next instant.
Failures are :class:`~cliproxy.errors.StoreError` with a message that names the place and what is wrong with
it.

Coroutines may be cancelled before they begin to change anything; a write under way is finished.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Protocol, TypeAlias

from attrs import field, frozen

from cliproxy.errors import StoreError

Change: TypeAlias = Callable[[bytes | None], bytes | None]
"""Makes the new content of a file from the present one, ``None`` when there is no file.

Returning ``None`` leaves it as it is.
"""

Stamp: TypeAlias = tuple[int, ...]
"""Changes whenever a file was written: its times, size and identity."""


class StoreConflict(StoreError):
    """What was to be replaced is no longer what the change was based on."""


def digest_of(content: bytes) -> str:
    """Return what identifies a content."""
    return hashlib.sha256(content).hexdigest()


@frozen(kw_only=True)
class StoredFile:
    """A file as it was read."""

    name: str
    """Plain name of a credential file; the whole path of the configuration."""
    content: bytes = field(repr=False)
    digest: str
    warnings: tuple[str, ...] = ()


@frozen(kw_only=True)
class Listing:
    """The credential files, in the order of their names, and those that could not be read."""

    files: tuple[StoredFile, ...] = ()
    problems: tuple[str, ...] = ()
    """Why files were passed over; each names its file."""
    warnings: tuple[str, ...] = ()


def _frozen_stamps(stamps: Mapping[str, Stamp]) -> Mapping[str, Stamp]:
    return MappingProxyType(dict(stamps))


@frozen(kw_only=True)
class Fingerprint:
    """What to compare to find out whether something changed, without reading it."""

    config: Stamp | None = None
    """``None``: there is no configuration file."""
    credentials: Mapping[str, Stamp] = field(factory=dict, converter=_frozen_stamps)
    problem: str = ""
    """Why nothing can be said about the credentials."""
    is_missing: bool = False
    """There is no place for credentials at all, which need not mean that somebody has removed them all."""


class Store(Protocol):
    """A place for the configuration and the credentials."""

    async def prepare(self) -> tuple[str, ...]:
        """Make the place usable; return warnings about it. Called once, before anything else."""
        ...

    async def read_config(self) -> StoredFile | None:
        """Read the configuration; ``None`` when there is none."""
        ...

    async def write_config(self, text: str, *, expected: str | None) -> StoredFile:
        """Replace the configuration.

        ``expected`` is the digest of the text the change is based on, ``None`` for a new file. Raises
        :class:`StoreConflict` when the file says something else by now.
        """
        ...

    async def list_credentials(self) -> Listing:
        """Read all credential files. One bad file does not hide the others."""
        ...

    async def read_credential(self, name: str) -> StoredFile | None:
        """Read one credential file; ``None`` when there is none."""
        ...

    async def update_credential(self, name: str, change: Change) -> bytes | None:
        """Change a credential file under its lock: read, change, write. Returns what is in it afterwards."""
        ...

    async def write_credential(self, name: str, content: bytes) -> None:
        """Write a credential file. The caller holds :meth:`lock` where others may write it, too."""
        ...

    async def delete_credential(self, name: str) -> bool:
        """Remove a credential file; tell whether there was one."""
        ...

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a credential against all tasks and processes, for as long as a renewal takes."""
        ...

    async def fingerprint(self) -> Fingerprint:
        """Look whether something changed."""
        ...
