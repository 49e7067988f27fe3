"""What has changed on disk, when it may be believed, and what it means: the decisions of reloading, without
the doing.

Files are compared by their stamps (:data:`~cliproxy.stores.base.Stamp`), look by look, and not by
notifications of the system: those do not cross the border of a container, and end where an editor puts
another file in the place of the watched one. What happens between two looks does not matter, only what is
there in the end.

**At rest.** Programs write files in pieces, or empty them first, or move them out of the way for a moment.
Half of a YAML file is often a valid one that says something else, for example that no client keys are wanted.
A change therefore counts when two looks in a row have seen the same (:meth:`Watch.look`), and when nothing
has happened to the file while it was read (:meth:`Watch.settle`). Only names that the store takes for
credential files are looked at, so that the temporary files of editors and of this program never count.

**Once more.** Some file systems, those of containers on desktops among them, note times by the second: a
file that is changed twice within one may look the same after both. Whatever was changed is therefore read
once more when that second is over.

**What it means** is decided by comparing values, not bytes: a file that was touched, reformatted or written
back as it was changes nothing, and neither does one that differs only by the tokens this process has renewed
itself.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import define, evolve, field, frozen

from cliproxy.config.keys import keys_of
from cliproxy.config.model import Config
from cliproxy.credentials.files import merge_tokens
from cliproxy.credentials.model import Credential, CredentialId
from cliproxy.errors import Problem
from cliproxy.service.listen import Binding, is_loopback
from cliproxy.stores.base import Stamp

ONCE_MORE_S: Final = 3.0
"""How long after a change a file is read once more; the coarsest times there are go by two seconds."""
_NEVER: Stamp = (-1,)
"""Stamp of a file in a look that has not been."""


@frozen(kw_only=True)
class ReloadStatus:
    """What became of the changes to the files, for people."""

    count: int = 0
    """Changes taken over since the start."""
    at: float | None = None
    """Unix seconds of the last one."""
    changed: tuple[str, ...] = ()
    """What the last one was about: keys of the configuration and ids of credentials."""
    problems: Mapping[str, str] = MappingProxyType({})
    """File → why it is not used as it is now; what it said before holds on."""
    restart: tuple[str, ...] = ()
    """Keys whose new values need a restart to take effect."""


@define(eq=False)
class Watch:
    """Which files have changed and come to rest."""

    _settled: dict[str, Stamp] = field(factory=dict)
    """Files as they were when they were last read."""
    _pending: dict[str, Stamp | None] = field(factory=dict, init=False)
    """Files that look different; ``None``: gone."""
    _once_more: dict[str, float] = field(factory=dict, init=False)
    """Files to be read once more, and when."""

    @property
    def is_restless(self) -> bool:
        """Whether something has changed that has not been taken yet."""
        return bool(self._pending)

    def look(self, stamps: Mapping[str, Stamp], now: float, *, everything: bool = False) -> frozenset[str]:
        """Take in how the files look now; return the names to read. ``everything``: all, changed or not."""
        before = self._pending
        names = stamps.keys() | self._settled.keys()
        present = {name: stamps.get(name) for name in names}
        self._pending = {name: stamp for name, stamp in present.items() if stamp != self._settled.get(name)}
        if everything:
            self._pending = present
            return frozenset(names)
        found = {name for name, stamp in self._pending.items() if before.get(name, _NEVER) == stamp}
        due = {name for name, at in self._once_more.items() if at <= now} - self._pending.keys()
        self._pending |= {name: stamps.get(name) for name in due}
        return frozenset(found | due)

    def settle(self, read: Collection[str], stamps: Mapping[str, Stamp], now: float) -> frozenset[str]:
        """Say how the files look after having been read; return the names that were left alone meanwhile."""
        quiet = frozenset(name for name in read if stamps.get(name) == self._pending[name])
        for name in quiet:
            stamp = self._pending.pop(name)
            is_changed = stamp != self._settled.get(name)
            self._once_more.pop(name, None)
            if stamp is None:
                self._settled.pop(name, None)
            else:
                self._settled[name] = stamp
                if is_changed:
                    self._once_more[name] = now + ONCE_MORE_S
        return quiet

    def read_again(self, name: str, at: float) -> None:
        """Have a file read again at some time, whether it changes or not."""
        self._once_more[name] = at


@frozen(kw_only=True)
class Difference:
    """How two sets of credentials differ."""

    added: tuple[CredentialId, ...] = ()
    changed: tuple[CredentialId, ...] = ()
    removed: tuple[CredentialId, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def ids(self) -> tuple[CredentialId, ...]:
        """Return all that differ."""
        return (*self.added, *self.changed, *self.removed)

    def __str__(self) -> str:
        parts = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return " ".join(f"{word}={','.join(ids)}" for word, ids in parts if ids)


def difference(old: Iterable[Credential], new: Iterable[Credential]) -> Difference:
    """Compare credentials. Where in the configuration an entry stands does not matter."""
    before = {credential.id: credential for credential in old}
    after = {credential.id: credential for credential in new}
    return Difference(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(i for i in after.keys() & before.keys() if not _says_same(before[i], after[i]))),
        removed=tuple(sorted(before.keys() - after.keys())),
    )


def _says_same(old: Credential, new: Credential) -> bool:
    return old is new or evolve(old, source="") == evolve(new, source="")


def is_renewal(old: Credential, new: Credential, renewed: Credential | None) -> bool:
    """Tell whether a file differs only by what this process has written into it.

    ``renewed`` is the credential with its tokens as this process has them.
    """
    if renewed is None or evolve(old, data={}) != evolve(new, data={}):
        return False
    names = old.data.keys() | new.data.keys()
    patch = {name: renewed.data[name] for name in names & renewed.data.keys() if _differs(old, new, name)}
    return merge_tokens(old.data, patch) == new.data


def _differs(old: Credential, new: Credential, name: str) -> bool:
    return name not in old.data or name not in new.data or old.data[name] != new.data[name]


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """Return the names of the top-level keys whose values differ."""
    declared = keys_of(Config).values()
    return tuple(key.name for key in declared if getattr(old, key.attribute) != getattr(new, key.attribute))


RESTART_KEYS: Final = ("host", "port", "tls", "auth-dir", "database.path")
"""Keys that are read at the start only."""


def needs_restart(
    begun: tuple[Config, Binding, object], new: tuple[Config, Binding, object]
) -> tuple[str, ...]:
    """Return the keys that are read at the start only and say something else by now.

    Compared are the configuration the server was started with, where it listens, and its auth directory.
    Adding the first client key widens an empty ``host`` from this machine to all addresses.
    """
    (config, binding, auth_dir), (config_now, binding_now, auth_dir_now) = begun, new
    before = (binding.hosts, binding.port, config.tls, auth_dir, config.database.path)
    after = (binding_now.hosts, binding_now.port, config_now.tls, auth_dir_now, config_now.database.path)
    return tuple(name for name, was, now in zip(RESTART_KEYS, before, after, strict=True) if was != now)


def exposure(config: Config, binding: Binding, line: int | None = None) -> Problem | None:
    """Say why a configuration must not be taken over by a server that listens where this one does."""
    if (
        config.asks_for_keys
        or config.allow_unauthenticated
        or all(is_loopback(host) for host in binding.hosts)
    ):
        return None
    return Problem(
        "the server listens on addresses beyond this machine, and without keys anybody could use your "
        "accounts. Restart the server, or set `allow-unauthenticated: true` if that is what you want",
        path="api-keys",
        line=line,
    )
