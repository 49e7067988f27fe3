"""``check``: say everything about configuration and credential files, and look at the accounts where that is
possible."""

import sys
import time
from pathlib import Path

import trio

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.world import source_of, state_of
from cliproxy.config.load import Loaded
from cliproxy.credentials.model import Credential
from cliproxy.errors import ConfigError, LoginError, Problem, StoreError
from cliproxy.providers import PROVIDERS
from cliproxy.service.listen import choose_binding
from cliproxy.service.logins import World, run_flow, sender
from cliproxy.service.run import opened
from cliproxy.service.service import Service
from cliproxy.service.state import State, read_config

LIMIT_S = 30.0


def run(arguments: Arguments) -> int:
    """Print the findings; 1 when something does not work."""
    try:
        return trio.run(_check, arguments)
    except* (ConfigError, StoreError) as group:
        print(f"cliproxy: {group.exceptions[0]}", file=sys.stderr)
    return FAILURE


async def _check(arguments: Arguments) -> int:
    loaded, store, has_file = await read_config(source_of(arguments), Path.home())
    print(f"configuration: {loaded.source}" + ("" if has_file else " (does not exist; defaults are used)"))
    _print_findings(loaded)
    if loaded.errors:
        return FAILURE
    try:
        binding = choose_binding(loaded.config, loaded.source)
    except ConfigError as exc:
        print(f"  error: {exc}")
        return FAILURE
    print(f"  listens on port {binding.port}: {binding.reason}")
    print(f"credential files: {store.auth_dir}")
    state = await state_of(arguments)
    for warning in state.warnings:
        print(f"  warning: {warning}")
    for problem in state.problems:
        print(f"  error: {problem}")
    trouble = await _look_at_accounts(state)
    if not state.credentials:
        print("no accounts: log in with `cliproxy login gitlab`, or add keys to the configuration")
    return FAILURE if trouble or state.problems else OK


def _print_findings(loaded: Loaded) -> None:
    for problem in loaded.errors:
        print(f"  error: {loaded.source}: {problem}")
    kinds: tuple[tuple[str, tuple[Problem, ...]], ...] = (
        ("warning", loaded.warnings),
        ("unknown key, kept", loaded.unknown),
        ("old key, read as its successor", loaded.migrations),
        ("not active yet", loaded.inactive),
    )
    for kind, problems in kinds:
        for problem in problems:
            print(f"  {kind}: {problem}")


async def _look_at_accounts(state: State) -> bool:
    """Print what each account can do; tell whether one is in trouble."""
    trouble = False
    async with opened(state, PROVIDERS) as service:
        for credential in state.credentials:
            name = credential.source or credential.id
            note = " (disabled)" if credential.disabled else ""
            print(f"account {name}: {credential.provider} {credential.label}{note}")
            if credential.disabled:
                continue
            try:
                with trio.fail_after(LIMIT_S):
                    for line in await _looked_at(service, credential):
                        print(f"  {line}")
            except LoginError as exc:
                trouble = True
                print(f"  error: {exc.message} {exc.hint}".rstrip())
            except trio.TooSlowError:
                trouble = True
                print(f"  error: no answer within {LIMIT_S:g} s")
    return trouble


async def _looked_at(service: Service, credential: Credential) -> tuple[str, ...]:
    provider = service.snapshots.providers[credential.provider]
    if provider.check is None:
        return ()
    tokens = {slot: await service.tokens.ensure_fresh(credential, slot) for slot in list(provider.slots)[:1]}
    world = World(send=sender(service.upstreams, credential.proxy_url), now=time.time, note=print)
    return await run_flow(provider.check(credential, tokens), world)
