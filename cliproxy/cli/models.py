"""``models``: list what the configured accounts serve, asking those upstreams that can be asked."""

import sys

import trio

from cliproxy.cli.exits import FAILURE, OK
from cliproxy.cli.flags import Arguments
from cliproxy.cli.world import state_of
from cliproxy.credentials.model import Credential
from cliproxy.errors import ConfigError, LoginError, StoreError
from cliproxy.providers import PROVIDERS
from cliproxy.providers.demo import demo_credential
from cliproxy.service.discovery import discover
from cliproxy.service.run import opened
from cliproxy.service.service import Service

LIMIT_S = 30.0


def run(arguments: Arguments) -> int:
    """Print one line for each model; 1 when there is none."""
    try:
        return trio.run(_list, arguments)
    except* (ConfigError, StoreError) as group:
        print(f"cliproxy: {group.exceptions[0]}", file=sys.stderr)
    return FAILURE


async def _list(arguments: Arguments) -> int:
    state = await state_of(arguments)
    extra = (demo_credential(),) if "demo" in arguments.switches else ()
    async with opened(state, PROVIDERS, extra) as service:
        async with trio.open_nursery() as nursery:
            for credential in service.snapshots.current().credentials:
                nursery.start_soon(_ask, service, credential)
        listing = service.snapshots.current().registry.listing()
    for problem in state.problems:
        print(f"cliproxy: not used: {problem}", file=sys.stderr)
    if not listing:
        print("No models: log in with `cliproxy login gitlab` or add keys to config.yaml.", file=sys.stderr)
        return FAILURE
    width = max(len(entry.name) for entry in listing)
    for entry in listing:
        print(f"{entry.name:<{width}}  {','.join(entry.providers):<22}  {entry.info.display_name}".rstrip())
    return OK


async def _ask(service: Service, credential: Credential) -> None:
    provider = service.snapshots.providers[credential.provider]
    if credential.disabled or credential.models:
        return
    try:
        with trio.fail_after(LIMIT_S):
            service.snapshots.discovered(credential.id, await discover(service, provider, credential))
    except LoginError as exc:
        print(f"cliproxy: {credential.source or credential.id}: {exc.message}", file=sys.stderr)
    except trio.TooSlowError:
        print(
            f"cliproxy: {credential.source or credential.id}: no answer within {LIMIT_S:g} s", file=sys.stderr
        )
