"""Everything the owner has configured, read and explained: the configuration, its key entries, the credential
files.

The server, ``check`` and ``models`` all start here, so that they cannot disagree about what a file means. A
configuration that cannot be used raises; a credential file that cannot be used is passed over and named, and
the others are served. So is a directory that cannot be used: keys of the configuration need none.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import trio
from attrs import evolve, field, frozen

from cliproxy.config.environment import (
    ConfigSource,
    choose_source,
    expand_home,
    read_environment,
)
from cliproxy.config.load import Loaded, examine
from cliproxy.config.model import Config
from cliproxy.credentials.files import codec_table, decode_credential
from cliproxy.credentials.model import Credential
from cliproxy.credentials.synthesis import synthesize
from cliproxy.errors import ConfigError, CredentialError, Problem, StoreError
from cliproxy.providers.base import Provider
from cliproxy.service.hints import with_hints
from cliproxy.stores.base import Fingerprint, Listing, Stamp
from cliproxy.stores.file import FileStore

STATE_DIRECTORY: Final = "state"
DATABASE_NAME: Final = "cliproxy.db"


@frozen(kw_only=True)
class Source:
    """The configuration as it was read, and the store it came from."""

    store: FileStore
    loaded: Loaded
    has_file: bool = True
    """Otherwise there is no file, and everything has its default."""
    is_blank: bool = False
    """There is a file, and nothing in it."""
    warnings: tuple[str, ...] = ()
    """About the file itself, such as who else may read it."""


@frozen(kw_only=True)
class State:
    """What was read."""

    store: FileStore
    loaded: Loaded
    credentials: tuple[Credential, ...]
    problems: tuple[str, ...] = ()
    """Credential files that are not used, and why."""
    warnings: tuple[str, ...] = ()
    has_config_file: bool = True
    seen: Mapping[str, Stamp] = field(factory=dict, repr=False)
    """Files of the credentials, as they looked when they were read."""


def config_source(flag: str, environ: Mapping[str, str], cwd: Path) -> ConfigSource:
    """Say where the configuration comes from."""
    return choose_source(read_environment(environ), flag, cwd)


async def read_config(source: ConfigSource, home: Path) -> Source:
    """Read the configuration, without judging it; a default path that does not exist means the defaults.

    Raises :class:`~cliproxy.errors.ConfigError` when a file that was asked for is missing, and
    :class:`~cliproxy.errors.StoreError` when one cannot be read.
    """
    path = Path(source.path)
    store = FileStore(path, path.parent)
    stored = await store.read_config()
    if stored is None and source.explicit:
        raise ConfigError(str(path), [Problem("there is no such file; `cliproxy init` writes one")])
    content = stored.content if stored is not None else b""
    # Large files take a while, during which a running server goes on serving.
    loaded = await trio.to_thread.run_sync(examine, content, str(path))
    auth_dir = Path(source.auth_dir or expand_home(loaded.config.auth_dir, home))
    if not auth_dir.is_absolute():
        auth_dir = path.parent / auth_dir
    return Source(
        store=evolve(store, auth_dir=auth_dir),
        loaded=loaded,
        has_file=stored is not None,
        is_blank=stored is not None and not content.strip(),
        warnings=(*_unfulfilled(source), *(stored.warnings if stored is not None else ())),
    )


def _unfulfilled(source: ConfigSource) -> Iterator[str]:
    """Say that a remote store was asked for: the places of its local copy are used, and nothing else is."""
    if source.wish:
        yield (
            f"{source.wish} asks for a store that this version does not have: only the local files "
            f"{source.path} and {source.auth_dir} are used, whatever -config says"
        )


def database_path(store: FileStore, config: Config) -> Path:
    """Say where the state database is; a relative path begins where the configuration is."""
    if not config.database.path:
        return store.auth_dir / STATE_DIRECTORY / DATABASE_NAME
    return store.config_path.parent / Path(config.database.path).expanduser()


async def read_state(source: ConfigSource, home: Path, providers: Sequence[Provider]) -> State:
    """Read configuration and credentials.

    Raises :class:`~cliproxy.errors.ConfigError` and :class:`~cliproxy.errors.StoreError`.
    """
    return await complete(await read_config(source, home), providers)


async def complete(source: Source, providers: Sequence[Provider]) -> State:
    """Read the credentials that go with a configuration. Raises :class:`~cliproxy.errors.ConfigError` when it
    cannot be used."""
    loaded = with_hints(source.loaded, providers)
    if loaded.errors:
        raise ConfigError(loaded.source, loaded.errors)
    files = await read_credentials(source.store, providers)
    sections = [section for provider in providers for section in provider.sections]
    return State(
        store=source.store,
        loaded=loaded,
        credentials=(*files.credentials, *synthesize(loaded.config, sections)),
        problems=files.problems,
        warnings=(*source.warnings, *files.warnings),
        has_config_file=source.has_file,
        seen=files.seen,
    )


@frozen(kw_only=True)
class Files:
    """The credential files, read."""

    credentials: tuple[Credential, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    seen: Mapping[str, Stamp]
    """How the files looked that are used, except those that changed while they were read."""


async def read_credentials(store: FileStore, providers: Sequence[Provider]) -> Files:
    """Read the credential files. One that is of no use is a problem, never an exception."""
    codecs = codec_table(provider.codec for provider in providers if provider.codec is not None)
    problems: list[str] = []
    warnings: list[str] = []
    listing = Listing()
    await trio.lowlevel.checkpoint()
    before = after = Fingerprint()
    try:
        warnings += await store.prepare()
        before = await store.fingerprint()
        listing = await store.list_credentials()
        after = await store.fingerprint()
    except StoreError as exc:
        problems.append(str(exc))
    warnings += listing.warnings
    problems += listing.problems
    credentials: list[Credential] = []
    for file in listing.files:
        try:
            decoded = decode_credential(file.name, file.content, codecs)
        except CredentialError as exc:
            problems.append(str(exc))
            continue
        credentials.append(decoded.credential)
        warnings += [*file.warnings, *decoded.warnings]
    used = (credential.source for credential in credentials)
    return Files(
        credentials=tuple(credentials),
        problems=tuple(problems),
        warnings=tuple(warnings),
        seen=_unchanged(before, after, used),
    )


def _unchanged(before: Fingerprint, after: Fingerprint, names: Iterable[str]) -> Mapping[str, Stamp]:
    looks = ((name, before.credentials.get(name), after.credentials.get(name)) for name in names)
    return {name: was for name, was, now in looks if was is not None and was == now}
