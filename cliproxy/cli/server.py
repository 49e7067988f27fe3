"""``server``: read everything, listen, say where and what to try, serve until stopped."""

import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Final

import trio
from attrs import evolve

from cliproxy import __version__
from cliproxy.cli.collector import paused, settle
from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.output import complain_about
from cliproxy.cli.world import config_of
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential
from cliproxy.errors import ConfigError, Problem, StoreError
from cliproxy.observe.output import configure
from cliproxy.providers import PROVIDERS
from cliproxy.providers.demo import demo_credential
from cliproxy.server.app import app_for
from cliproxy.service.certificate import check_certificate
from cliproxy.service.listen import Binding, choose_binding, open_sockets
from cliproxy.service.run import Options, run_server
from cliproxy.service.state import Source, State, complete

logger = logging.getLogger(__name__)

DEMO: Final = "demo"
"""Provider and model of the demo."""


def run(arguments: Arguments) -> int:
    """Run the server; 1 when it cannot start."""
    try:
        with paused():
            return trio.run(_serve, arguments)
    except* (ConfigError, StoreError) as group:
        complain_about(group)
    return FAILURE


async def _serve(arguments: Arguments) -> int:
    async def read_config() -> Source:
        source = await config_of(arguments)
        config = with_flags(source.loaded.config, arguments)
        return evolve(source, loaded=evolve(source.loaded, config=config))

    state = await complete(await read_config(), PROVIDERS)
    config = state.loaded.config
    configure(debug=config.debug, form=config.log_format)
    extra = (demo_credential(),) if "demo" in arguments.switches else ()
    lines = state.loaded.lines
    line = None if "host" in arguments.values else lines.get("host")
    binding = choose_binding(config, _place_of(state, arguments, "host"), line)
    check_certificate(config.tls, state.loaded.source, lines)
    sockets = _listening(binding, _place_of(state, arguments, "host", "port"))
    _report(state)
    if "password" in arguments.values:
        logger.warning("-password has no effect: this version has no management interface")
    options = Options(
        state=state,
        providers=PROVIDERS,
        binding=binding,
        make_app=app_for,
        sockets=sockets,
        extra=extra,
        read_config=read_config,
    )
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(run_server, options)
        settle()
        print("\n".join(greeting(urls, binding, [*state.credentials, *extra], config)), flush=True)
    return OK


def _place_of(state: State, arguments: Arguments, *flags: str) -> str:
    """Say where the settings come from that these flags override, for messages."""
    if any(flag in arguments.values for flag in flags):
        return "command line"
    return state.loaded.source if state.has_config_file else "default settings"


def _listening(binding: Binding, source: str) -> list[socket.socket]:
    try:
        return open_sockets(binding)
    except OSError as exc:
        raise ConfigError(source, [Problem(exc.strerror or str(exc))]) from exc


def with_flags(config: Config, arguments: Arguments) -> Config:
    """Let ``-host``, ``-port``, ``-debug`` and ``-local-model`` override the configuration."""
    if "debug" in arguments.switches:
        config = evolve(config, debug=True)
    if "local-model" in arguments.switches:
        config = evolve(config, model_catalog_url="")
    if "host" in arguments.values:
        config = evolve(config, host=arguments.values["host"])
    port = arguments.number("port")
    return config if port is None else evolve(config, port=port)


def _report(state: State) -> None:
    """Log what the owner should know about his files."""
    if not state.has_config_file:
        logger.info("no configuration file at %s; using defaults", state.loaded.source)
    for note in state.loaded.notes():
        logger.warning("%s: %s", state.loaded.source, note)
    for warning in state.warnings:
        logger.warning("%s", warning)
    for problem in state.problems:
        logger.error("credential not used: %s", problem)


def greeting(
    urls: Sequence[str], binding: Binding, credentials: Sequence[Credential], config: Config
) -> Iterator[str]:
    """Say where the server listens and why, whose accounts it has, and what to try."""
    first = urls[0]
    yield f"cliproxy {__version__}"
    yield f"API server started successfully on: {', '.join(urls)} ({binding.reason})"
    usable = [credential for credential in credentials if not credential.disabled]
    if not usable:
        yield "No accounts yet. Log in with `cliproxy login gitlab`, or add API keys: `cliproxy init`."
        yield "New accounts are taken over without a restart."
        yield "Or try the built-in demo model, which needs no account: `cliproxy server -demo`."
        return
    counts = {c.provider: sum(1 for other in usable if other.provider == c.provider) for c in usable}
    yield "Accounts: " + ", ".join(f"{provider} ({count})" for provider, count in sorted(counts.items()))
    if any(credential.provider == DEMO for credential in credentials):
        yield "Demo mode: the model `demo` is built in, offline, deterministic. It is NOT a real model."
        key = " -H 'Authorization: Bearer <a client key>'" if config.asks_for_keys else ""
        yield "Try it:"
        yield (
            f"  curl -N {first}/v1/chat/completions{key} -H 'Content-Type: application/json' \\\n"
            f'    -d \'{{"model":"{DEMO}","stream":true,'
            '"messages":[{"role":"user","content":"Hello!"}]}\''
        )
        yield "Next: log in to GitLab Duo with `cliproxy login gitlab`; other providers: `cliproxy login`."
