"""What in a configuration can only be judged by who knows all providers: names of providers that nobody has.

A misspelt provider is no error, since the file may have been written for another version of this kind of
server; but what stands under it has no effect, and that is said.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from attrs import evolve

from cliproxy.config.keys import keys_of
from cliproxy.config.load import Loaded
from cliproxy.config.model import Config
from cliproxy.errors import Problem
from cliproxy.providers.base import Provider

BY_PROVIDER: Final = (
    *("oauth-model-alias", "oauth-excluded-models", "oauth-request-scoped-errors", "model-facts"),
    "model-prices",
)
"""Keys whose members are named after providers."""


def with_hints(loaded: Loaded, providers: Iterable[Provider]) -> Loaded:
    """Add to the warnings about a configuration the names of providers that nobody has."""
    providers = tuple(providers)
    keys = frozenset(provider.key for provider in providers)
    given = frozenset(entry.name.lower() for entry in loaded.config.openai_compatibility)
    found = (
        *_in_client_keys(loaded.config, keys | given),
        *_in_maps(loaded.config, keys),
        *_in_oauth_clients(loaded.config, {provider.oauth_client for provider in providers} - {""}),
    )
    if not found:
        return loaded
    hints = tuple(Problem(text, path, loaded.lines.get(path), fatal=False) for path, text in found)
    return evolve(loaded, warnings=(*loaded.warnings, *hints))


def _in_client_keys(config: Config, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    for key in config.client_keys:
        for name in key.providers:
            if name not in known:
                yield (
                    f"{key.place}.providers",
                    f"there is no provider `{name}`; the key may use nothing of it",
                )


def _in_maps(config: Config, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    declared = keys_of(Config)
    for key in BY_PROVIDER:
        for name, said in getattr(config, declared[key].attribute).items():
            if said and name not in known:
                yield f"{key}.{name}", f"there is no provider `{name}`; this has no effect"


def _in_oauth_clients(config: Config, known: Collection[str]) -> Iterator[tuple[str, str]]:
    for name in config.oauth_clients:
        if name not in known:
            names = ", ".join(sorted(known))
            yield f"oauth-clients.{name}", f"no login looks for `{name}`, only for {names}; no effect"
