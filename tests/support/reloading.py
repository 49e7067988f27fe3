"""A service, real files, and the reloader between them."""

import json
import logging
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.environment import ConfigSource
from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, CredentialId, Token, TokenSlot
from cliproxy.login.steps import Flow, Persist
from cliproxy.providers.base import Provider, SlotPolicy
from cliproxy.service.listen import LOOPBACKS, Binding
from cliproxy.service.reload import Reloader
from cliproxy.service.run import opened
from cliproxy.service.service import Service
from cliproxy.service.state import complete, read_config
from cliproxy.stores.base import StoredFile
from cliproxy.stores.file import FileStore
from cliproxy.wire.jsontext import text
from cliproxy.wire.secret import Secret
from support.routes import credential

ACCOUNT = TokenSlot.ACCOUNT


def initial(wanted: Credential) -> Token | None:
    value = text(wanted.data, "token")
    return Token(value=Secret(value), expires_at=1.0) if value else None


def renew(wanted: Credential, _tokens: object) -> Flow[Token]:
    value = text(wanted.data, "token") + "+"
    yield Persist(patch={"token": value})
    return Token(value=Secret(value), expires_at=10**10)


VENDOR = Provider(
    key="vendor",
    label="Vendor",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda credential: (ModelInfo(id=f"model-of-{credential.id}"),),
    slots={ACCOUNT: SlotPolicy(initial=initial, renew=renew)},
    sections=(Section(key="claude-api-key", provider="vendor"),),
    codec=CredentialCodec(type="vendor", provider="vendor", tokens=("token",)),
)
HERE = Binding(LOOPBACKS, 0, "")
ALL = Binding(("",), 0, "")


@define
class World:
    """A service, its files, and the reloader between them."""

    path: Path
    service: Service
    reloader: Reloader
    reviewed: list[set[str]] = field(factory=list)

    @property
    def config_path(self) -> Path:
        return self.path / "c.yaml"

    def write(self, name: str, **members: Any) -> None:
        """Write a credential file in place."""
        content = json.dumps({"type": "vendor", "token": "t", **members})
        (self.path / "auth" / name).write_text(content)

    def configure(self, lines: str) -> None:
        self.config_path.write_text(f"port: 0\nauth-dir: auth\n{lines}")

    async def settled(self) -> None:
        """Look until everything has come to rest."""
        await self.reloader.look()
        await self.reloader.look()

    def names(self) -> list[str]:
        return [str(each.id) for each in self.service.snapshots.current().credentials]

    def models(self) -> list[str]:
        return self.service.snapshots.current().registry.names()


@asynccontextmanager
async def world_of(path: Path, *, binding: Binding = HERE, lines: str = "") -> AsyncIterator[World]:
    (path / "auth").mkdir(mode=0o700, exist_ok=True)
    config = path / "c.yaml"
    if not config.exists():
        config.write_text(f"port: 0\nauth-dir: auth\n{lines}")
    source = ConfigSource(path=config, explicit=True)

    async def again() -> Any:
        return await read_config(source, path)

    state = await complete(await again(), [VENDOR])
    reviewed: list[set[str]] = []

    def review(differing: Collection[CredentialId]) -> None:
        reviewed.append({str(each) for each in differing})

    async with opened(state, [VENDOR], [credential("built-in", "vendor")]) as service:
        reloader = Reloader(
            service=service,
            state=state,
            providers=[VENDOR],
            binding=binding,
            read_config=again,
            extra=[credential("built-in", "vendor")],
            review=review,
        )
        world = World(path, service, reloader, reviewed)
        await world.settled()
        yield world


@contextmanager
def reading() -> Iterator[list[str]]:
    """Note which credential files are read."""
    read: list[str] = []
    reread = FileStore.read_credential

    async def noted(store: FileStore, name: str) -> StoredFile | None:
        read.append(name)
        return await reread(store, name)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FileStore, "read_credential", noted)
        yield read


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
