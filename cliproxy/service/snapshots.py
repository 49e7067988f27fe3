"""The current configuration, credentials and registry: built completely, then swapped.

Readers take the snapshot once and keep it; nothing in it ever changes. The service is the only writer. What
discovery found is kept by credential id, so that a rebuild after a changed file does not forget it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field

from cliproxy.catalog.facts import corrected
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer, build
from cliproxy.catalog.registry import Candidate
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind
from cliproxy.credentials.synthesis import model_entries
from cliproxy.errors import Kind
from cliproxy.exchange.deps import Snapshot
from cliproxy.providers.base import Provider
from cliproxy.routing.runtime import RuntimeTable, blocking_state

SHORT_S: Final = 60.0
"""A pause shorter than this does not make a model vanish from the lists."""
_QUOTA: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})


@define(eq=False)
class Snapshots:
    """Holds the current snapshot and makes the next one."""

    providers: Mapping[str, Provider]
    _config: Config = field(factory=Config)
    _credentials: Sequence[Credential] = ()
    _discovered: dict[CredentialId, tuple[ModelInfo, ...]] = field(factory=dict, init=False)
    _current: Snapshot = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.rebuild()

    def current(self) -> Snapshot:
        """Return the snapshot to start an exchange with."""
        return self._current

    def replace(self, config: Config, credentials: Sequence[Credential]) -> None:
        """Swap in another configuration and other credentials."""
        self._config = config
        before = {credential.id: credential.provider for credential in self._credentials}
        same = {c.id for c in credentials if before.get(c.id, c.provider) == c.provider}
        self._discovered = {key: models for key, models in self._discovered.items() if key in same}
        self._credentials = tuple(credentials)
        self.rebuild()

    def put_credential(self, credential: Credential) -> None:
        """Swap in one credential, new or changed."""
        others = [c for c in self._credentials if c.id != credential.id]
        self.replace(self._config, [*others, credential])

    def discovered(self, credential: CredentialId, models: tuple[ModelInfo, ...]) -> bool:
        """Take what an upstream says its models are; tell whether that is news. It is served after
        :meth:`rebuild`, so that the news of many credentials cost one."""
        is_news = bool(models) and self._discovered.get(credential) != models
        if is_news:
            self._discovered[credential] = models
        return is_news

    def rebuild(self) -> None:
        """Make the next snapshot out of everything that is known."""
        offers = [self._offer(part) for credential in self._credentials for part in self.parts(credential)]
        registry = build(offers, force_prefix=self._config.force_model_prefix)
        self._current = Snapshot(
            config=self._config,
            registry=registry,
            providers=self.providers,
            credentials=tuple(self._credentials),
        )

    def ids(self) -> frozenset[CredentialId]:
        """Return the ids of all credentials and of the parts that some of them count as."""
        parts = (part.id for credential in self._credentials for part in self.parts(credential))
        return frozenset({*parts, *(credential.id for credential in self._credentials)})

    def parts(self, credential: Credential) -> tuple[Credential, ...]:
        """Return what an account counts as: itself, or several credentials."""
        return self.providers[credential.provider].expand(credential)

    def _offer(self, credential: Credential) -> Offer:
        provider = self.providers[credential.provider]
        known = self._discovered.get(credential.account) or provider.static_models(credential)
        models = corrected(known, self._config.model_facts.get(credential.provider, ()), credential)
        if credential.kind is CredentialKind.KEY:
            # Entries of the configuration have lists of their own.
            return Offer(credential=credential, models=models)
        owned = model_entries(self._config.oauth_model_alias.get(credential.provider, ()))
        aliases = (*credential.model_aliases, *owned)
        excluded = tuple(self._config.oauth_excluded_models.get(credential.provider, ()))
        return Offer(credential=credential, models=models, aliases=aliases, excluded=excluded)


def is_listed(candidate: Candidate, table: RuntimeTable, now: float) -> bool:
    """Whether a candidate keeps its model in the lists: ready, or only waiting for quota."""
    state = blocking_state(candidate, table, now)
    return state is None or state.kind in _QUOTA or state.until - now < SHORT_S
