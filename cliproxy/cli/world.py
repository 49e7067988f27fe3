"""What every command needs of its surroundings: environment, directories, the providers."""

import os
from pathlib import Path

from cliproxy.cli.flags import Arguments
from cliproxy.providers import PROVIDERS
from cliproxy.service.state import State, config_source, read_state


async def state_of(arguments: Arguments) -> State:
    """Read what the owner has configured. Raises ``ConfigError`` and ``StoreError``."""
    source, _ = config_source(arguments.values.get("config", ""), os.environ, Path.cwd())
    return await read_state(source, Path.home(), PROVIDERS)
