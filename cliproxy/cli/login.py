"""``login``: run a provider's login on the terminal, or take over that of the vendor's program."""

import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final

import trio
from attrs import define, evolve, field

from cliproxy.cli import imports, prompts
from cliproxy.cli.desk import NEXT, Desk, object_of
from cliproxy.cli.exits import FAILURE, OK, PORT_IN_USE
from cliproxy.cli.flags import LOGINS, Arguments, LoginFlag
from cliproxy.cli.output import complain, complain_about, leaves, say, write_now
from cliproxy.cli.waiting import Countdown, picture
from cliproxy.cli.world import config_of, log_quietly
from cliproxy.config.model import Config
from cliproxy.errors import ConfigError, CredentialError, LoginError, StoreError
from cliproxy.login.steps import Ask, OpenCallback, Show
from cliproxy.net.browser import open_browser
from cliproxy.net.callback import LOOPBACK, open_listener
from cliproxy.net.http import Upstreams
from cliproxy.providers import PROVIDERS
from cliproxy.providers.base import Login, LoginInputs
from cliproxy.service.clients import finder
from cliproxy.service.logins import (
    Callback,
    World,
    after_a_while,
    asker,
    file_reader,
    sender,
    tunnel_hint,
)
from cliproxy.service.service import proxy_of

CODES: Final = {"port_in_use": PORT_IN_USE}
COLUMN: Final = 22
"""Width of a provider's name with its method."""

Work = Callable[[Desk], Awaitable[int]]
"""Returns the exit code."""


def run(arguments: Arguments) -> int:
    """Log in, take over logins, or list the providers; 1 when the login failed, 13 when the callback port is
    taken."""
    if "import" in arguments.switches:
        return _import(arguments)
    if arguments.login is None:
        _list_logins()
        return OK
    login = _login_of(arguments.login)
    if login is None:
        complain(f"the login -{arguments.login.name} is not available in this version")
        return FAILURE
    return _at_desk(partial(_log_in, login), arguments)


def _import(arguments: Arguments) -> int:
    wanted = arguments.login.provider if arguments.login is not None else ""
    candidates = imports.places(PROVIDERS, wanted)
    if not candidates:
        return imports.nothing_to_take_over(PROVIDERS, wanted)
    return _at_desk(partial(imports.take_over, candidates=candidates), arguments)


def _at_desk(work: Work, arguments: Arguments) -> int:
    """Do something that needs the configuration, the network and the owner; return the exit code."""
    log_quietly(arguments)
    code = FAILURE
    try:
        code = trio.run(_opened, work, arguments)
    except* LoginError as group:
        code = _explained(group)
    except* (ConfigError, CredentialError, StoreError) as group:
        complain_about(group)
    return code


def _list_logins() -> None:
    say("Providers to log in to:")
    for flag in LOGINS:
        method = f" -method {flag.method}" if flag.method else ""
        ready = "" if flag.is_available else " (not available yet)"
        say(f"  cliproxy login {flag.provider + method:<{COLUMN}} {flag.help.rstrip('.')}{ready}")


def _explained(group: BaseExceptionGroup[LoginError]) -> int:
    """Say why a login failed and return the exit code."""
    code = FAILURE
    for error in leaves(group):
        assert isinstance(error, LoginError)
        complain(f"login failed: {error.message}\n{error.hint}".rstrip())
        code = CODES.get(error.code, code)
    return code


def _login_of(flag: LoginFlag) -> Login | None:
    return next((login for p in PROVIDERS for login in p.logins if login.flag == flag.name), None)


async def _log_in(login: Login, desk: Desk) -> int:
    result = await desk.log_in(login.flow(desk.inputs))
    desk.tell(f"Logged in as {result.label}. Saved to {await desk.keep(result)}")
    for note in result.notes:
        desk.tell(note)
    desk.tell(NEXT)
    return OK


async def _opened(work: Work, arguments: Arguments) -> int:
    source = await config_of(arguments)
    loaded, store = source.loaded, source.store
    if loaded.errors:
        raise ConfigError(loaded.source, loaded.errors)
    for warning in await store.prepare():
        say(warning)
    clients = {name: _client(client) for name, client in loaded.config.oauth_clients.items()}
    inputs = LoginInputs(
        options=arguments.values,
        random_token=lambda: secrets.token_urlsafe(32),
        now=time.time,
        oauth_clients=clients,
        files={file.name: object_of(file.content) for file in (await store.list_credentials()).files},
    )
    find = finder(os.environ, loaded.config.oauth_clients)
    async with Upstreams(proxy_url=proxy_of(loaded.config)) as upstreams, trio.open_nursery() as nursery:
        terminal = Countdown(nursery, write_now) if prompts.is_terminal(sys.stdout) else None
        person = _Person(arguments, terminal, is_private=wants_private(loaded.config, arguments))
        world = evolve(_world(arguments, upstreams, person), client=find)
        try:
            code = await work(Desk(store=store, directory=Path(store.auth_dir), inputs=inputs, world=world))
        finally:
            if terminal is not None:
                terminal.stop()
    return code


def _client(client: object) -> Mapping[str, str]:
    """Return an ``oauth-clients`` entry as plain texts."""
    secret = getattr(client, "client_secret", None)
    return {
        "client_id": str(getattr(client, "client_id", "")),
        "client_secret": secret.reveal() if secret else "",
    }


def wants_private(config: Config, arguments: Arguments) -> bool:
    """Whether logins are to open a private window: flags go before the configuration."""
    switches = arguments.switches
    return "incognito" in switches or (config.incognito_browser and "no-incognito" not in switches)


def _world(arguments: Arguments, upstreams: Upstreams, person: "_Person") -> World:
    ask = asker(arguments.values, os.environ, person.ask if person.is_there else None)
    return World(
        send=sender(upstreams),
        now=time.time,
        note=person.note,
        ask=ask,
        ask_file=file_reader(ask),
        show=person.show,
        open_callback=person.open_callback,
        paste=person.paste if person.is_there else None,
    )


@define(eq=False)
class _Person:
    """The owner, as far as this terminal and a browser reach him."""

    arguments: Arguments
    terminal: Countdown | None
    """``None`` where the output is no terminal."""
    is_private: bool = field(kw_only=True)
    """He wants a private window."""
    is_there: bool = field(factory=prompts.has_terminal, init=False)
    _is_browsing: bool = field(default=False, init=False)
    """A browser was opened here, which should come back by itself."""
    _port: int | None = field(default=None, init=False)
    _paste_later: Callable[[], Awaitable[str]] = field(
        factory=lambda: after_a_while(prompts.paste), init=False
    )

    @property
    def _wants_browser(self) -> bool:
        return "no-browser" not in self.arguments.switches

    def note(self, text: str) -> None:
        """Tell him something."""
        self._quiet()
        say(text)

    async def ask(self, step: Ask) -> str:
        """Ask him something."""
        self._quiet()
        return await prompts.ask(step)

    async def show(self, step: Show) -> None:
        """Show him where to go, in a browser if there is one."""
        wants_browser = self._wants_browser and step.open_browser
        self._is_browsing = wants_browser and await open_browser(step.url, is_private=self.is_private)
        if self._is_browsing:
            say("Opening the browser. If it does not appear:")
        elif wants_browser and self._port is not None:
            say(tunnel_hint(self._port))
        is_code = step.expires_in is not None
        prompts.say_where(step, picture(step.url) if is_code and self.terminal is not None else "")
        if self.terminal is not None and step.expires_in is not None:
            self.terminal.start(step.expires_in)

    def open_callback(self, step: OpenCallback) -> AbstractAsyncContextManager[Callback]:
        """Listen for his browser."""
        port = self._port = self.arguments.number("oauth-callback-port") or step.port
        if not self._wants_browser:
            say(tunnel_hint(port))
        host = self.arguments.values.get("oauth-callback-host", "")
        if host:
            say(f"The callback listens on {host}; anybody who can reach that address can reach it.")
        return open_listener(
            port, step.path, host_in_url=step.host_in_url, bind=(host,) if host else LOOPBACK
        )

    async def paste(self) -> str:
        """Offer him to paste: at once, unless a browser should come back by itself."""
        return await (self._paste_later() if self._is_browsing else prompts.paste())

    def _quiet(self) -> None:
        if self.terminal is not None:
            self.terminal.stop()
