"""Environment variables, and which file the configuration is read from.

Both are functions of values that the caller takes from the process, so that nothing here depends on where it
runs. Values are trimmed, an empty one counts as not set. Secrets come out as
:class:`~cliproxy.wire.secret.Secret`.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

from attrs import frozen

from cliproxy.wire.secret import Secret

DEFAULT_CONFIG_NAME: Final = "config.yaml"
CLOUD_MODE: Final = "cloud"


class StoreKind(StrEnum):
    """Where configuration and credentials are kept."""

    FILE = "file"
    POSTGRES = "postgres"
    OBJECT = "object"
    GIT = "git"


@frozen(kw_only=True)
class Environment:
    """What the environment says to this program. ``None``: not said."""

    store: StoreKind = StoreKind.FILE
    store_settings: Mapping[str, Secret] = MappingProxyType({})
    """The variables of the active store by their upper-case name, such as ``PGSTORE_DSN``."""
    store_base: str | None = None
    """Directory below which a remote store keeps its local copy."""
    writable_path: str | None = None
    cloud: bool = False
    """Wait instead of failing when there is no usable configuration."""
    management_password: Secret | None = None
    management_static_path: str | None = None
    gitlab_base_url: str | None = None
    gitlab_oauth_client_id: str | None = None
    gitlab_oauth_client_secret: Secret | None = None
    gitlab_personal_access_token: Secret | None = None


@frozen(kw_only=True)
class ConfigSource:
    """Where the configuration is read from."""

    path: PurePath
    explicit: bool
    """The path was asked for: its absence is an error. Otherwise absence means defaults."""
    auth_dir: PurePath | None = None
    """Replaces the configuration's ``auth-dir`` when a remote store is active."""
    wish: str = ""
    """The variable that asks for a remote store, if one does."""


@frozen(kw_only=True)
class _StoreVariables:
    kind: StoreKind
    switch: str
    """The variable whose presence makes the store active."""
    others: tuple[str, ...]
    base: str
    folder: str


_STORES: Final = (
    _StoreVariables(
        kind=StoreKind.POSTGRES,
        switch="PGSTORE_DSN",
        others=("PGSTORE_SCHEMA",),
        base="PGSTORE_LOCAL_PATH",
        folder="pgstore",
    ),
    _StoreVariables(
        kind=StoreKind.OBJECT,
        switch="OBJECTSTORE_ENDPOINT",
        others=("OBJECTSTORE_ACCESS_KEY", "OBJECTSTORE_SECRET_KEY", "OBJECTSTORE_BUCKET"),
        base="OBJECTSTORE_LOCAL_PATH",
        folder="objectstore",
    ),
    _StoreVariables(
        kind=StoreKind.GIT,
        switch="GITSTORE_GIT_URL",
        others=("GITSTORE_GIT_USERNAME", "GITSTORE_GIT_TOKEN", "GITSTORE_GIT_BRANCH"),
        base="GITSTORE_LOCAL_PATH",
        folder="gitstore",
    ),
)


def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read the variables this program knows. The first store of postgres, object, git that is configured is
    active."""
    either = _Variables(variables)
    active = next((store for store in _STORES if either.get(store.switch)), None)
    settings = (active.switch, *active.others) if active else ()
    writable = either.get("WRITABLE_PATH")
    return Environment(
        store=active.kind if active else StoreKind.FILE,
        store_settings={name: Secret(value) for name in settings if (value := either.get(name))},
        store_base=(either.get(active.base) or writable) if active else None,
        writable_path=writable,
        cloud=either.get_exact("DEPLOY") == CLOUD_MODE,
        management_password=either.secret("MANAGEMENT_PASSWORD"),
        management_static_path=either.get_exact("MANAGEMENT_STATIC_PATH"),
        gitlab_base_url=either.get_exact("GITLAB_BASE_URL"),
        gitlab_oauth_client_id=either.get_exact("GITLAB_OAUTH_CLIENT_ID"),
        gitlab_oauth_client_secret=either.secret("GITLAB_OAUTH_CLIENT_SECRET"),
        gitlab_personal_access_token=either.secret("GITLAB_PERSONAL_ACCESS_TOKEN"),
    )


class _Variables:
    """Lookup of trimmed variables; :meth:`get` tries the lower-case name as well."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def get_exact(self, name: str) -> str | None:
        return self._variables.get(name, "").strip() or None

    def get(self, name: str) -> str | None:
        return self.get_exact(name) or self.get_exact(name.lower())

    def secret(self, name: str) -> Secret | None:
        value = self.get_exact(name)
        return Secret(value) if value else None


def choose_source(environment: Environment, flag: str, cwd: PurePath) -> ConfigSource:
    """Say where the configuration is read from. ``flag`` is the value of ``-config``, empty when not given.

    A remote store has its own place and wins over the flag.
    """
    store = next((store for store in _STORES if store.kind is environment.store), None)
    if store is not None:
        base = cwd / (environment.store_base or "") / store.folder
        return ConfigSource(
            path=base / "config" / DEFAULT_CONFIG_NAME,
            explicit=False,
            auth_dir=base / "auths",
            wish=store.switch,
        )
    if flag:
        return ConfigSource(path=cwd / flag, explicit=True)
    return ConfigSource(path=cwd / DEFAULT_CONFIG_NAME, explicit=False)


def expand_home(path: str, home: PurePath) -> PurePath:
    """Replace a leading ``~`` by the home directory. Both separators are understood behind it."""
    if path == "~":
        return home
    if path.startswith(("~/", "~\\")):
        rest = [part for part in path[2:].replace("\\", "/").split("/") if part]
        return home.joinpath(*rest)
    return type(home)(path)
