"""``models``: list what the configured accounts serve, asking those upstreams that can be asked."""

import time
from typing import Final

import trio

from cliproxy.cli.accounts import condition_of, facts_of, headline
from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.output import complain, complain_about, say
from cliproxy.cli.world import log_quietly, state_of
from cliproxy.credentials.model import Credential
from cliproxy.errors import ConfigError, LoginError, StoreError
from cliproxy.providers import PROVIDERS
from cliproxy.providers.demo import demo_credential
from cliproxy.service.catalogue import CatalogueKeeper
from cliproxy.service.discovery import discover, is_asked
from cliproxy.service.run import opened
from cliproxy.service.service import Service

LIMIT_S: Final = 30.0
CONCURRENT: Final = 8


def run(arguments: Arguments) -> int:
    """Print one line for each model; 1 when there is none."""
    log_quietly(arguments)
    try:
        return trio.run(_list, arguments)
    except* (ConfigError, StoreError) as group:
        complain_about(group)
    return FAILURE


async def _list(arguments: Arguments) -> int:
    state = await state_of(arguments)
    for problem in state.problems:
        complain(f"not used: {problem}")
    extra = (demo_credential(),) if "demo" in arguments.switches else ()
    limiter = trio.CapacityLimiter(CONCURRENT)
    async with opened(state, PROVIDERS, extra) as service:
        async with trio.open_nursery() as nursery:
            for credential in service.snapshots.current().credentials:
                if is_asked(service, credential):
                    nursery.start_soon(_ask, service, credential, limiter, name=f"ask {credential.id}")
        if trouble := await CatalogueKeeper(service).once():
            complain(f"model-catalog-url: {trouble}")
        service.snapshots.rebuild()
        listing = service.snapshots.current().registry.listing()
        accounts = _accounts(service)
        remarks = service.snapshots.remarks
        for line in (*remarks.collisions(), *(line for _, line in remarks.astray())):
            complain(line)
    if not listing:
        complain("no models: log in with `cliproxy login gitlab` or add keys to config.yaml")
        return FAILURE
    width = max(len(entry.name) for entry in listing)
    for entry in listing:
        say(f"{entry.name:<{width}}  {','.join(entry.providers):<22}  {entry.info.display_name}".rstrip())
    for line in accounts:
        say(line)
    return OK


def _accounts(service: Service) -> list[str]:
    """Return a line for each account, and what comes before them."""
    lines: list[str] = []
    for credential in service.snapshots.current().credentials:
        state = condition_of(credential, service.tokens.status(credential.id), time.time())
        provider = service.snapshots.providers[credential.provider]
        said = [line for line in (facts_of(credential, provider), state) if line]
        if state:
            lines.append("; ".join([f"  {headline(credential)}", *said]))
    return ["", "accounts:", *lines] if lines else []


async def _ask(service: Service, credential: Credential, limiter: trio.CapacityLimiter) -> None:
    provider = service.snapshots.providers[credential.provider]
    name = credential.source or credential.id
    async with limiter:
        try:
            with trio.fail_after(LIMIT_S):
                service.snapshots.discovered(credential.id, await discover(service, provider, credential))
        except LoginError as exc:
            complain(f"{name}: {exc.message}")
        except trio.TooSlowError:
            complain(f"{name}: no answer within {LIMIT_S:g} s")
