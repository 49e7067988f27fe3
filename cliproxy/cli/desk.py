"""What a login on the terminal works with: somebody to ask, and a place for what comes of it."""

from pathlib import Path
from typing import Final

from attrs import frozen

from cliproxy.credentials.files import merge_tokens, to_bytes
from cliproxy.login.steps import Flow
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.service.logins import World, run_login
from cliproxy.stores.base import Store
from cliproxy.wire.jsontext import JsonError, JsonObject, loads_object

NEXT: Final = (
    "Next: start the server with `cliproxy server`. One that is running takes the account over by itself."
)
"""Said after every login."""


@frozen(kw_only=True)
class Desk:
    """Carries out logins, and keeps what comes of them."""

    store: Store
    directory: Path
    """Where the store keeps credential files."""
    inputs: LoginInputs
    world: World

    def tell(self, text: str) -> None:
        """Tell the owner something."""
        self.world.note(text)

    async def log_in(self, flow: Flow[LoginResult]) -> LoginResult:
        """Carry out a login. Raises :class:`~cliproxy.errors.LoginError`."""
        return await run_login(flow, self.world)

    async def known(self, file_name: str) -> JsonObject:
        """Return what is in a credential file; empty when there is none that can be read."""
        present = await self.store.read_credential(file_name)
        return {} if present is None else object_of(present.content)

    async def keep(self, result: LoginResult) -> Path:
        """Write the credential file, and return where it is; settings the owner made in an existing one
        stay."""

        def merged(present: bytes | None) -> bytes:
            return to_bytes(merge_tokens(object_of(present or b""), result.data))

        await self.store.update_credential(result.file_name, merged)
        return self.directory / result.file_name


def object_of(raw: bytes) -> JsonObject:
    """Return what is in a credential file; nothing for one that cannot be read."""
    try:
        return loads_object(raw)
    except JsonError:
        return {}
