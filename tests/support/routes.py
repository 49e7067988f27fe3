"""Credentials and candidates for tests of routing and the exchange."""

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.registry import Candidate
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.wire.secret import Secret


def credential(name: str = "a", provider: str = "p", **settings: object) -> Credential:
    """A key of a provider."""
    return Credential(
        id=CredentialId(name),
        provider=provider,
        kind=CredentialKind.KEY,
        api_key=Secret(f"key-of-{name}"),
        **settings,  # type: ignore[arg-type]
    )


def candidate(name: str = "a", model: str = "m", **settings: object) -> Candidate:
    """One way to serve the client model ``m``."""
    return Candidate(
        credential=credential(name, **settings), model=model, client_name="m", info=ModelInfo(id=model)
    )
