"""What every command needs of its surroundings: environment, directories, the providers."""

import os
from pathlib import Path

from cliproxy.cli.flags import Arguments
from cliproxy.config.environment import ConfigSource
from cliproxy.providers import PROVIDERS
from cliproxy.service.state import State, config_source, read_state


def source_of(arguments: Arguments) -> ConfigSource:
    """Say where the configuration comes from."""
    return config_source(arguments.values.get("config", ""), os.environ, Path.cwd())


async def state_of(arguments: Arguments) -> State:
    """Read what the owner has configured. Raises ``ConfigError`` and ``StoreError``."""
    return await read_state(source_of(arguments), Path.home(), PROVIDERS)
