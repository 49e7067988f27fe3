"""What a credential is: one account or key, as an immutable value.

Identity and settings live here; what changes while the server runs lives elsewhere: tokens in the token table
of the service (:class:`Token`, one per slot, versioned), cooldowns and counters in the runtime state of
routing. A changed file or configuration entry makes a new :class:`Credential` with the same ``id``.

``data`` is the whole credential file as it was read, unknown members included, so that saving one loses
nothing. Providers read their own members out of it; nobody edits it.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NewType

from attrs import field, frozen

from cliproxy.config.errorrules import ErrorRule
from cliproxy.wire.jsontext import JsonValue
from cliproxy.wire.secret import Secret

CredentialId = NewType("CredentialId", str)

INDEX_DIGITS: Final = 16


def _frozen_map(values: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    return MappingProxyType(dict(values))


def _frozen_text_map(values: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(values))


class CredentialKind(StrEnum):
    """Where a credential comes from, which decides what may be done to it."""

    ACCOUNT = "account"
    """A file in the auth directory: can be refreshed, edited, deleted."""
    KEY = "key"
    """An entry of the configuration file."""
    RUNTIME = "runtime"
    """Present only while something is connected or installed."""


class TokenSlot(StrEnum):
    """The tokens one credential may hold at the same time."""

    ACCOUNT = "account"
    """The key, personal access token or OAuth access token itself."""
    GATEWAY = "gateway"
    """A short-lived token exchanged for the account token."""
    AGENT_GATEWAY = "agent-gateway"
    """A second such exchange with other rights (GitLab's agent platform)."""


@frozen(kw_only=True)
class Token:
    """A token as it is used for a call. ``version`` grows with every replacement, so that a caller can say
    which failed."""

    value: Secret
    version: int = 0
    expires_at: float | None = None
    """Unix seconds; ``None`` when the issuer named no end."""
    base_url: str = ""
    """Where the issuer says this token is to be used; empty when it does not say."""
    headers: Mapping[str, str] = field(factory=dict, converter=_frozen_text_map, repr=False)
    """Headers the issuer wants to see with the token."""
    data: Mapping[str, JsonValue] = field(factory=dict, converter=_frozen_map, repr=False)
    """Further facts of the answer that brought the token, such as model details."""


@frozen(kw_only=True)
class ModelEntry:
    """One line of a ``models:`` list: an upstream model and the name clients use for it."""

    name: str
    """The model's name at the upstream."""
    alias: str = ""
    """The client's name; empty means the same."""
    fork: bool = False
    """Keep serving the upstream name beside the alias."""
    force_mapping: bool = False
    """Show the alias, not the upstream name, as the model of the answer."""
    thinking: Mapping[str, JsonValue] | None = None
    """Thinking capabilities of the model, when the owner declares them."""
    image: bool = False
    """The model makes images and nothing else, as the owner declares."""
    display_name: str = ""
    """The name for people; empty: as known."""
    max_context_length: int = 0
    """Tokens; 0: as known."""
    is_compat: bool = False
    """Nothing is to be concluded from the model's name."""
    input_modalities: tuple[str, ...] = ()
    """What the model reads; empty: as known."""
    output_modalities: tuple[str, ...] = ()
    """What the model writes; empty: as known."""

    @property
    def client_name(self) -> str:
        """The name clients ask for."""
        return self.alias or self.name


@frozen(kw_only=True)
class Credential:
    """One account or key with its settings."""

    id: CredentialId
    """Stable over restarts and reloads: the file name, or section and key hash of a configuration entry."""
    provider: str
    """Key of the provider record."""
    kind: CredentialKind
    part_of: CredentialId | None = None
    """The credential whose file and tokens it shares, where one account counts as several."""
    label: str = ""
    """For people: an e-mail address, a user name, a masked key."""
    api_key: Secret | None = None
    """The key of a configuration entry; accounts hold their tokens in ``data``."""
    base_url: str = ""
    """Overrides the provider's own; without a trailing slash."""
    proxy_url: Secret | None = None
    """``None``: the global setting decides. ``direct`` or ``none``: no proxy at all."""
    prefix: str = ""
    """Models are also, or only, served as ``prefix/model``."""
    priority: int = 0
    """Credentials of the highest priority that are ready are used first."""
    weight: int = 1
    """Its share where the owner wants turns by weight; 0 or less: none."""
    max_concurrent: int | None = None
    """Requests it may have under way at once; 0: any number; ``None``: the global setting decides."""
    headers: Mapping[str, str] = field(factory=dict, converter=_frozen_text_map, repr=False)
    """Extra request headers; a value ``$Name`` copies the client's header of that name."""
    models: tuple[ModelEntry, ...] = ()
    """The models it serves, in place of the provider's; empty: the provider's."""
    model_aliases: tuple[ModelEntry, ...] = ()
    """Other names for some of its models, applied before the aliases of the configuration."""
    excluded_models: tuple[str, ...] = ()
    """Wildcard patterns of client model names this credential must not serve."""
    disable_cooling: bool | None = None
    """Overrides the global setting; ``None``: does not."""
    request_retry: int | None = None
    """Overrides the global setting; ``None``: does not."""
    error_rules: tuple[ErrorRule, ...] = ()
    """How certain errors of its upstream are to be treated; these go before those of its provider."""
    disabled: bool = False
    note: str = ""
    websockets: bool = False
    source: str = ""
    """File name in the auth directory or key path in the configuration, for messages."""
    options: Mapping[str, JsonValue] = field(factory=dict, converter=_frozen_map)
    """Settings of the configuration entry that only its provider understands."""
    data: Mapping[str, JsonValue] = field(factory=dict, converter=_frozen_map, repr=False)
    """The whole credential file; empty for configuration entries."""

    @property
    def account(self) -> CredentialId:
        """Whose tokens it uses: its own, or those of the account it is a part of."""
        return self.part_of or self.id

    @property
    def index(self) -> str:
        """Stands for it where its id, which may be an e-mail address, is not to be seen: 16 hex digits."""
        seed = (
            f"file:{self.source}" if self.kind is CredentialKind.ACCOUNT and self.source else f"id:{self.id}"
        )
        return hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:INDEX_DIGITS]
