"""``check``: say everything about configuration and credential files, and look at the accounts where that is
possible."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import trio
from attrs import evolve

from cliproxy.cli.accounts import condition_of, facts_of, headline
from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.output import complain_about, say
from cliproxy.cli.world import config_of, log_quietly
from cliproxy.config.load import Loaded
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, TokenSlot
from cliproxy.errors import ConfigError, LoginError, Problem, StoreError
from cliproxy.providers import PROVIDERS
from cliproxy.service.ask import ask
from cliproxy.service.certificate import check_certificate
from cliproxy.service.hints import with_hints
from cliproxy.service.listen import choose_binding
from cliproxy.service.run import opened
from cliproxy.service.service import Service
from cliproxy.service.state import State, complete

LIMIT_S: Final = 30.0
"""For what one account has to say."""
CONCURRENT: Final = 8


def run(arguments: Arguments) -> int:
    """Print the findings; 1 when something does not work."""
    log_quietly(arguments)
    try:
        return trio.run(_check, arguments)
    except* (ConfigError, StoreError) as group:
        complain_about(group)
    return FAILURE


async def _check(arguments: Arguments) -> int:
    source = await config_of(arguments)
    loaded = with_hints(_judged(source.loaded), PROVIDERS)
    say(
        f"configuration: {loaded.source}"
        + ("" if source.has_file else " (does not exist; defaults are used)")
    )
    _say_findings(loaded)
    if loaded.errors:
        return FAILURE
    binding = choose_binding(loaded.config, loaded.source)
    say(f"  listens on port {binding.port}: {binding.reason}")
    state = await complete(source, PROVIDERS)
    say(f"credential files: {source.store.auth_dir}")
    for warning in state.warnings:
        say(f"  warning: {warning}")
    for problem in state.problems:
        say(f"  error: {problem}")
    is_well = await _look_at_accounts(state)
    if not state.credentials:
        say("no accounts: log in with `cliproxy login gitlab`, or add keys to the configuration")
    return OK if is_well and not state.problems else FAILURE


def _judged(loaded: Loaded) -> Loaded:
    """Add what would keep the server from starting to the errors of a configuration that can be read."""
    if loaded.errors:
        return loaded
    try:
        choose_binding(loaded.config, loaded.source, loaded.lines.get("host"))
        check_certificate(loaded.config.tls, loaded.source, loaded.lines)
    except ConfigError as exc:
        return evolve(loaded, errors=exc.problems)
    return loaded


def _say_findings(loaded: Loaded) -> None:
    kinds: tuple[tuple[str, tuple[Problem, ...]], ...] = (
        ("error", loaded.errors),
        ("warning", loaded.warnings),
        ("unknown key, kept", loaded.unknown),
        ("old key, read as its successor", loaded.migrations),
        ("not active yet", loaded.inactive),
    )
    for kind, problems in kinds:
        for problem in problems:
            say(f"  {kind}: {loaded.source}: {problem}")


async def _look_at_accounts(state: State) -> bool:
    """Print what each account can do; tell whether all that are in use are well."""
    lines: dict[CredentialId, list[str]] = {credential.id: [] for credential in state.credentials}
    troubled: set[CredentialId] = set()
    limiter = trio.CapacityLimiter(CONCURRENT)

    async def look(service: Service, credential: Credential) -> None:
        trouble = ""
        async with limiter:
            try:
                with trio.fail_after(LIMIT_S):
                    lines[credential.id] += await _looked_at(service, credential, lines)
            except LoginError as exc:
                trouble = exc.explained
            except trio.TooSlowError:
                trouble = f"no answer within {LIMIT_S:g} s"
        if trouble:
            troubled.add(credential.id)
            lines[credential.id].append(f"error: {trouble}")

    async with opened(state, PROVIDERS) as service:
        async with trio.open_nursery() as nursery:
            for credential in state.credentials:
                if not credential.disabled:
                    nursery.start_soon(look, service, credential, name=f"check {credential.id}")
        for credential in state.credentials:
            _say_account(service, credential, lines[credential.id])
        _say_remarks(service)
    return not troubled


def _say_remarks(service: Service) -> None:
    """Print what names do not do. Where upstreams have to be asked for models it is not known what an alias
    leads to; ``models`` asks them."""
    snapshots = service.snapshots
    astray = (
        line
        for provider, line in snapshots.remarks.astray()
        if snapshots.providers[provider].discover is None
    )
    for line in (*snapshots.remarks.collisions(), *astray):
        say(f"name of a model: {line}")


def _say_account(service: Service, credential: Credential, lines: Sequence[str]) -> None:
    provider = service.snapshots.providers[credential.provider]
    state = condition_of(credential, service.tokens.status(credential.id), time.time())
    say(f"account {headline(credential)}")
    for line in (facts_of(credential, provider), state, *lines):
        if line:
            say(f"  {line}")


async def _looked_at(
    service: Service, credential: Credential, lines: Mapping[CredentialId, list[str]]
) -> tuple[str, ...]:
    provider = service.snapshots.providers[credential.provider]
    if provider.check is None:
        policy = provider.slots.get(TokenSlot.ACCOUNT)
        is_login = credential.kind is CredentialKind.ACCOUNT
        if is_login and policy is not None and policy.renew is not None:
            # A login that has ended shows only when a token is wanted.
            await service.tokens.ensure_fresh(credential, TokenSlot.ACCOUNT)
        return ()
    slot = next(iter(provider.slots), None)
    return await ask(service, credential, provider.check, slot, lines[credential.id].append)
