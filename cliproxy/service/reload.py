"""Take over changed files while the server runs.

One task looks at the files in a fixed rhythm, or at once when somebody asks (``SIGHUP``). What has changed
and come to rest (:mod:`cliproxy.service.changes`) is read and judged, and only if the outcome differs from
what is in use, the next snapshot is built and swapped in. Requests under way go on with the one they began
with, but try no account that is gone.

**Nothing gets worse.** A file that cannot be used leaves in force what it said before: the configuration as a
whole, each credential file by itself. Why is logged once, with the line, and shown in the status until the
file is good again. A configuration file that is empty or gone counts as unusable: nobody configures a server
by emptying its file. So does one that would open to everybody a server that listens beyond this machine. A
credential file that is gone is a different thing: that is how accounts are taken away. Not so the whole
directory: disks are unmounted for a moment, and nobody takes accounts away like that.

**Only what changed.** Tokens, cooldowns and discovered models are kept by credential id in tables of their
own, and survive. New and changed credentials are asked for their models anew; of changed ones the failures
are forgotten that the change may have cured. What is read at the start only is named, and the rest of the
same configuration is taken over.

The looks take a thread each, and rest in proportion to the time they take.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import trio
from attrs import define, evolve, field

from cliproxy.config.load import Loaded
from cliproxy.credentials.files import CredentialCodec, codec_table, decode_credential
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.credentials.synthesis import synthesize
from cliproxy.errors import ConfigError, CredentialError, Problem, StoreError
from cliproxy.providers.base import Provider
from cliproxy.service.certificate import check_certificate
from cliproxy.service.changes import (
    Difference,
    Watch,
    changed_keys,
    difference,
    exposure,
    is_renewal,
    needs_restart,
)
from cliproxy.service.hints import with_hints
from cliproxy.service.listen import Binding, choose_binding
from cliproxy.service.service import Service
from cliproxy.service.state import Source, State
from cliproxy.stores.base import Stamp

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between looks."""
SETTLE_S: Final = 0.5
"""Seconds to the next look after one that has seen a change."""
REST: Final = 50.0
"""Seconds of rest for each second that a look takes, so that thousands of files cost less than two per cent
of a processor."""
REST_AFTER_CHANGES: Final = 10.0
"""The same for a look with consequences: what is changed twice is not to wait long, nor what is changed all
the time to cost much."""
LONGEST_REST_S: Final = 10.0
READ_AGAIN_S: Final = 30.0
"""When a file that could not be read is tried again, even if it looks as before: disks have their moments."""
CONFIG: Final = "configuration"
"""Stands for the configuration among the names of credential files, which end in ``.json``."""


@define(eq=False, kw_only=True)
class Reloader:
    """Keeps a service in step with its files."""

    service: Service
    state: State
    """What the service was started with."""
    providers: Sequence[Provider]
    binding: Binding
    """Where the server listens."""
    read_config: Callable[[], Awaitable[Source]]
    """Reads the configuration as at the start."""
    extra: Sequence[Credential] = ()
    """Credentials that no file holds."""
    review: Callable[[Collection[CredentialId]], None] = field(default=lambda _differing: None)
    """Told of credentials that are new, changed or gone."""
    _watch: Watch = field(init=False)
    _loaded: Loaded = field(init=False)
    _has_config_file: bool = field(init=False)
    _codecs: Mapping[str, CredentialCodec] = field(init=False)
    _files: dict[str, Credential] = field(init=False)
    """Credential file → the credential that is in use."""
    _keys: tuple[Credential, ...] = field(init=False)
    """Credentials of the configuration."""
    _stamps: dict[str, Stamp] = field(init=False)
    """How the credential files looked last."""
    _unread: set[str] = field(factory=set, init=False)
    """What could not be read at this look."""
    _problems: dict[str, str] = field(factory=dict, init=False)
    _said: set[str] = field(init=False)
    """What has been logged already, except problems that have passed."""

    def __attrs_post_init__(self) -> None:
        # What has been read once is read again when it changes; what was of no use is to be told of anew.
        self._stamps = dict(self.state.seen)
        self._watch = Watch(dict(self.state.seen))
        self._loaded = self.state.loaded
        self._has_config_file = self.state.has_config_file
        self._codecs = codec_table(p.codec for p in self.providers if p.codec is not None)
        accounts = (c for c in self.state.credentials if c.kind is CredentialKind.ACCOUNT)
        self._files = {credential.source: credential for credential in accounts}
        self._keys = self._synthesized(self._loaded)
        notes = (f"{self._loaded.source}: {note}" for note in self._loaded.notes())
        self._said = {*self.state.problems, *self.state.warnings, *notes}

    async def run(self) -> None:
        """Look for changes, for ever."""
        rest = 0.0
        while True:
            is_asked = await self._asked_within(
                max(SETTLE_S if self._watch.is_restless else LOOK_S, min(rest, LONGEST_REST_S))
            )
            begin = time.perf_counter()
            factor = REST
            try:
                if await self.look(everything=is_asked):
                    factor = REST_AFTER_CHANGES
            except Exception:
                # A fault here must not take the server down; what is in use stays in use.
                logger.exception("looking for changed files failed")
            if is_asked:
                # Also of a reload that came to nothing: what was in use is.
                problems = len(self.service.reload_status.problems)
                self.service.manager.ready(f"{problems} file(s) cannot be used" if problems else "serving")
            rest = factor * (time.perf_counter() - begin)

    async def _asked_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self.service.reload_wanted.wait()
        is_asked = self.service.reload_wanted.is_set()
        if is_asked:
            self.service.reload_wanted = trio.Event()
        return is_asked

    async def look(self, *, everything: bool = False) -> bool:
        """Look once, and take over what has come to rest; ``everything``: read all files, changed or not.
        Return whether anything was read."""
        if everything:
            # Whoever asks wants to hear what is wrong, again if need be.
            self._said -= set(self._problems.values())
        self._unread.clear()
        names = self._watch.look(await self._look(), trio.current_time(), everything=everything)
        if not names:
            return False
        source = await self._read_config() if CONFIG in names else None
        found = {name: await self._read(name) for name in sorted(names - {CONFIG})}
        now = trio.current_time()
        quiet = self._watch.settle(names, await self._look(), now)
        for name in quiet & self._unread:
            self._watch.read_again(name, now + READ_AGAIN_S)
        loaded = self._judged(source) if source is not None and CONFIG in quiet else None
        changes = {name: credential for name, credential in found.items() if name in quiet}
        self._take_over(loaded, changes)
        return True

    async def _look(self) -> dict[str, Stamp]:
        seen = await self.state.store.fingerprint()
        name = str(self.state.store.auth_dir)
        if seen.problem:
            self._trouble(name, seen.problem)
        elif seen.is_missing and self._stamps:
            self._trouble(name, f"{name} is gone")
        else:
            self._well(name)
            self._stamps = dict(seen.credentials)
        return self._stamps if seen.config is None else {**self._stamps, CONFIG: seen.config}

    # --- reading ---------------------------------------------------------------------------------------

    async def _read_config(self) -> Source | ConfigError:
        """Read the configuration and what it names."""
        name = self._loaded.source
        try:
            source = await self.read_config()
            tls = source.loaded.config.tls
            if tls != self._loaded.config.tls and not source.loaded.errors:
                await trio.to_thread.run_sync(check_certificate, tls, name, source.loaded.lines)
        except ConfigError as exc:
            return exc
        except StoreError as exc:
            self._unread.add(CONFIG)
            return ConfigError(name, [Problem(str(exc))])
        return source

    async def _read(self, name: str) -> Credential | CredentialError | None:
        """Read a credential file; ``None`` when it is gone."""
        try:
            stored = await self.state.store.read_credential(name)
            if stored is None:
                return None
            decoded = decode_credential(name, stored.content, self._codecs)
        except StoreError as exc:
            self._unread.add(name)
            return CredentialError(str(exc))
        except CredentialError as exc:
            return exc
        for warning in decoded.warnings:
            self._say(logging.WARNING, warning)
        return decoded.credential

    # --- judging ---------------------------------------------------------------------------------------

    def _judged(self, source: Source | ConfigError) -> Loaded | None:
        """Return a configuration that can be taken over, or say why this one cannot."""
        name = self._loaded.source
        try:
            if isinstance(source, ConfigError):
                raise source
            self._name_restart(source, self._usable(source))
        except ConfigError as exc:
            self._trouble(name, f"{name}: " + "; ".join(str(problem) for problem in exc.problems))
            return None
        self._well(name)
        self._has_config_file = source.has_file
        for note in with_hints(source.loaded, self.providers).notes():
            self._say(logging.WARNING, f"{name}: {note}")
        return source.loaded

    def _usable(self, source: Source) -> Binding:
        """Return where a server with this configuration would listen. Raises
        :class:`~cliproxy.errors.ConfigError` for one that must not be taken over."""
        loaded = source.loaded
        if self._has_config_file and (source.is_blank or not source.has_file):
            raise ConfigError(loaded.source, [Problem("is empty" if source.is_blank else "is gone")])
        if loaded.errors:
            raise ConfigError(loaded.source, loaded.errors)
        if (fault := exposure(loaded.config, self.binding, loaded.lines.get("api-keys"))) is not None:
            raise ConfigError(loaded.source, [fault])
        return choose_binding(loaded.config, loaded.source, loaded.lines.get("host"))

    def _name_restart(self, source: Source, binding: Binding) -> None:
        begun = (self.state.loaded.config, self.binding, self.state.store.auth_dir)
        keys = needs_restart(begun, (source.loaded.config, binding, source.store.auth_dir))
        status = self.service.reload_status
        if keys and keys != status.restart:
            logger.warning("takes effect after a restart only: %s", ", ".join(keys))
        self.service.reload_status = evolve(status, restart=keys)

    # --- taking over -----------------------------------------------------------------------------------

    def _take_over(
        self, loaded: Loaded | None, found: Mapping[str, Credential | CredentialError | None]
    ) -> None:
        """Swap in what differs from what is in use."""
        present = {name: each for name, each in found.items() if isinstance(each, Credential)}
        for name, credential in present.items():
            old = self._files.get(name)
            if old is None or old == credential:
                continue
            if is_renewal(old, credential, self.service.tokens.credential(old.id)):
                self._files[name] = credential
        before = [*self._files.values(), *self._keys]
        for name, each in found.items():
            self._put(name, each)
        old_config = self._loaded.config
        if loaded is not None:
            self._loaded = loaded
            self._keys = self._synthesized(loaded)
        after = [*(self._files[name] for name in sorted(self._files)), *self._keys]
        differing = difference(before, after)
        keys = changed_keys(old_config, self._loaded.config)
        if keys or differing:
            self.service.replace(self._loaded.config, [*after, *self.extra], differing)
            self.review(differing.ids())
            self._report(keys, differing)

    def _put(self, name: str, found: Credential | CredentialError | None) -> None:
        if isinstance(found, CredentialError):
            self._trouble(name, str(found))
            return
        self._well(name)
        if found is None:
            self._files.pop(name, None)
        elif found != self._files.get(name):
            # What says the same stays the same object, which saves comparing it over and over.
            self._files[name] = found

    def _synthesized(self, loaded: Loaded) -> tuple[Credential, ...]:
        sections = [section for provider in self.providers for section in provider.sections]
        return synthesize(loaded.config, sections)

    # --- telling ---------------------------------------------------------------------------------------

    def _report(self, keys: Sequence[str], differing: Difference) -> None:
        if keys:
            logger.info("configuration taken over changed=%s", ",".join(keys))
        if differing:
            logger.info("credentials taken over %s", differing)
        status = self.service.reload_status
        self.service.reload_status = evolve(
            status, count=status.count + 1, at=time.time(), changed=(*keys, *differing.ids())
        )

    def _trouble(self, name: str, text: str) -> None:
        """Note why a file is not used as it is, and log it unless that was said already."""
        self._problems[name] = text
        self._show_problems()
        self._say(logging.ERROR, text, "not taken over, what was read before stays in force: ")

    def _well(self, name: str) -> None:
        text = self._problems.pop(name, None)
        if text is not None:
            self._said.discard(text)
            self._show_problems()
            logger.info("can be used again: %s", name)

    def _show_problems(self) -> None:
        problems = MappingProxyType(dict(self._problems))
        self.service.reload_status = evolve(self.service.reload_status, problems=problems)

    def _say(self, level: int, text: str, prefix: str = "") -> None:
        """Log something once."""
        if text not in self._said:
            self._said.add(text)
            logger.log(level, "%s%s", prefix, text)
