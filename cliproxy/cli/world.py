"""What every command needs of its surroundings: environment, directories, the providers, the log."""

import logging
import os
from pathlib import Path

from cliproxy.cli.flags import Arguments
from cliproxy.config.environment import ConfigSource
from cliproxy.observe.output import configure
from cliproxy.providers import PROVIDERS
from cliproxy.service.state import Source, State, complete, config_source, read_config


def source_of(arguments: Arguments) -> ConfigSource:
    """Say where the configuration comes from."""
    return config_source(arguments.values.get("config", ""), os.environ, Path.cwd())


async def config_of(arguments: Arguments) -> Source:
    """Read the configuration, without judging it. Raises ``ConfigError`` and ``StoreError``."""
    return await read_config(source_of(arguments), Path.home())


async def state_of(arguments: Arguments) -> State:
    """Read what the owner has configured. Raises ``ConfigError`` and ``StoreError``."""
    return await complete(await config_of(arguments), PROVIDERS)


def log_quietly(arguments: Arguments) -> None:
    """Set up the log of commands that print what there is to say: errors only, except with ``-debug``."""
    configure(debug="debug" in arguments.switches, level=logging.ERROR)
