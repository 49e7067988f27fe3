"""OAuth applications: whose name a login goes under.

A vendor knows the program that logs in by a registered application, a *client*. Most are public: an id and no
secret. Some vendors insist on a secret even for programs that cannot keep one; such a secret is not ours to
publish, so none is part of this program. It is looked for, in this order, in

1. the environment (``GEMINI_OAUTH_CLIENT_SECRET``),
2. the configuration, below ``oauth-clients``,
3. what was put in when this copy was built,
4. the vendor's own program, if it is installed on this machine.

Id and secret belong together, so the first place that has a secret also gives the id if it has one; where
the secret is from a place that names no id, the vendor's published id goes with it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from cliproxy.errors import LoginError
from cliproxy.wire.secret import Secret

CONFIG_KEY: Final = "oauth-clients"


@frozen(kw_only=True)
class OAuthClient:
    """A registered application."""

    id: str
    secret: Secret | None = None


@frozen(kw_only=True)
class Installed:
    """Where a vendor's own program, once installed, carries its client secret."""

    program: str
    """Its command, looked up in the search path."""
    files: Sequence[str]
    """Patterns below the program's package that may hold it."""
    secret: str
    """Regular expression; its first group is the secret."""


@frozen(kw_only=True)
class ClientSource:
    """A vendor's application and where its data may come from."""

    name: str
    """Key below ``oauth-clients``."""
    vendor: str
    """For messages."""
    id: str = ""
    """The published id; empty where every owner registers his own application."""
    id_variable: str = ""
    secret_variable: str = ""
    needs_secret: bool = False
    installed: Installed | None = None


@frozen(kw_only=True)
class Place:
    """One place that may know a client. Empty texts: it does not."""

    id: str = ""
    secret: str = field(default="", repr=False)


def from_environment(source: ClientSource, environ: Mapping[str, str]) -> Place:
    """Read the place that is looked at first."""
    return Place(
        id=environ.get(source.id_variable, "").strip(), secret=environ.get(source.secret_variable, "").strip()
    )


def resolve(source: ClientSource, places: Sequence[Place]) -> OAuthClient:
    """Choose among the places, given in the order of preference.

    Raises :class:`~cliproxy.errors.LoginError` that names the variable to set.
    """
    with_secret = next((place for place in places if place.secret), None)
    if with_secret is not None:
        client_id = with_secret.id or _first_id(places) or source.id
        if client_id:
            return OAuthClient(id=client_id, secret=Secret(with_secret.secret))
    client_id = _first_id(places) or source.id
    if not client_id:
        raise _missing(source, "id", source.id_variable)
    if source.needs_secret:
        raise _missing(source, "secret", source.secret_variable)
    return OAuthClient(id=client_id)


def _first_id(places: Sequence[Place]) -> str:
    return next((place.id for place in places if place.id), "")


def _missing(source: ClientSource, what: str, variable: str) -> LoginError:
    ways = [
        f"set {variable}",
        f"write `{CONFIG_KEY}: {{{source.name}: {{client-{what}: …}}}}` in config.yaml",
    ]
    if source.installed is not None and what == "secret":
        ways.append(f"install {source.vendor}'s own program (`{source.installed.program}`)")
    return LoginError(
        f"{source.vendor} wants an OAuth client {what}, and this program comes without one",
        code="missing_client",
        hint=f"Do one of these: {'; '.join(ways)}.",
    )
