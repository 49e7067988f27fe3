"""The application around an exchange in a bottle."""

from collections.abc import Sequence

from attrs import evolve

from cliproxy.config.entries import ClientKey
from cliproxy.config.model import Config
from cliproxy.server.access import KeyRing
from cliproxy.server.app import App, create_app
from cliproxy.server.world import Gate, World
from cliproxy.wire.secret import Secret
from support.exchange import Bottle


def application(
    world: Bottle,
    *,
    keys: Sequence[str] = (),
    entries: Sequence[ClientKey] = (),
    bounds: tuple[int, int] = (0, 0),
    is_ready: bool = True,
    **config: object,
) -> App:
    """Build the application; keyword arguments replace keys of the configuration."""
    snapshot = world.deps.snapshot()
    current = evolve(snapshot, config=evolve(snapshot.config, **config)) if config else snapshot
    assert isinstance(current.config, Config)
    ring = KeyRing([Secret(key) for key in keys], entries, world.deps.wall)
    return create_app(
        World(
            deps=evolve(world.deps, snapshot=lambda: current),
            keys=lambda: ring,
            gate=Gate(lambda: bounds),
            obstacles=lambda: () if is_ready else ("no_model",),
            is_usable=lambda _candidate: True,
            version="1.2.3",
        )
    )
