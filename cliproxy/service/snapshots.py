"""The current configuration, credentials and registry: built completely, then swapped.

Readers take the snapshot once and keep it; nothing in it ever changes. The service is the only writer. What
discovery found is kept by credential id, so that a rebuild after a changed file does not forget it. So is
what each credential offers, as long as neither it nor what is said about it has changed, and the registry is
made from the one before (:mod:`cliproxy.catalog.index`): one changed account among thousands costs little.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, field

from cliproxy.catalog.facts import corrected
from cliproxy.catalog.index import Index
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.offers import Offer
from cliproxy.catalog.registry import Candidate
from cliproxy.catalog.remarks import Remarks
from cliproxy.catalog.remote import renewed
from cliproxy.catalog.static import Catalogue
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.credentials.synthesis import model_entries
from cliproxy.errors import Kind
from cliproxy.exchange.deps import Snapshot
from cliproxy.providers.base import Provider
from cliproxy.routing.runtime import RuntimeTable, blocking_state

logger = logging.getLogger(__name__)

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
    _newer: Catalogue | None = field(default=None, init=False)
    _current: Snapshot = field(init=False)
    remarks: Remarks = field(factory=Remarks, init=False)
    """What the owner should know about the names he has given."""
    _index: Index = field(factory=Index, init=False)
    _offers: dict[CredentialId, tuple[Credential, tuple[Offer, ...]]] = field(factory=dict, init=False)
    """What each credential offers, and the credential as it was then."""
    _aliases: dict[str, tuple[ModelEntry, ...]] = field(factory=dict, init=False)
    """The configuration's aliases for the accounts of each provider."""
    _lists: dict[tuple[ModelInfo, ...], tuple[ModelInfo, ...]] = field(factory=dict, init=False)
    """Lists of models that accounts have in common, so that they are kept once."""

    def __attrs_post_init__(self) -> None:
        self.rebuild()

    def current(self) -> Snapshot:
        """Return the snapshot to start an exchange with."""
        return self._current

    def replace(self, config: Config, credentials: Sequence[Credential]) -> None:
        """Swap in another configuration and other credentials."""
        if _said_of_models(config) != _said_of_models(self._config):
            self._offers.clear()
            self._aliases.clear()
        self._config = config
        before = {credential.id: credential.provider for credential in self._credentials}
        same = {c.id for c in credentials if before.get(c.id, c.provider) == c.provider}
        self._discovered = {key: models for key, models in self._discovered.items() if key in same}
        self._credentials = tuple(credentials)
        self._offers = {c.id: known for c in credentials if (known := self._offers.get(c.id)) is not None}
        self._lists.clear()
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
            self._discovered[credential] = self._shared(models)
            self._offers.pop(credential, None)
        return is_news

    def use_catalogue(self, newer: Catalogue | None) -> None:
        """Go on with the facts of a newer catalogue, or with the bundled ones alone."""
        if newer != self._newer:
            self._newer = newer
            self._offers.clear()
            self._lists.clear()
            self.rebuild()

    def rebuild(self) -> None:
        """Make the next snapshot out of everything that is known."""
        offers = [offer for credential in self._credentials for offer in self._offered(credential)]
        registry = self._index.registry(offers, force_prefix=self._config.force_model_prefix)
        self._remark()
        self._current = Snapshot(
            config=self._config,
            registry=registry,
            providers=self.providers,
            credentials=tuple(self._credentials),
        )

    def _remark(self) -> None:
        """Say what is new about names, once."""
        remarks = Remarks()
        for offer, names in self._index.named():
            remarks.take(offer, names)
        said = set(self.remarks.collisions())
        self.remarks = remarks
        for line in remarks.collisions():
            if line not in said:
                logger.warning("names of models: %s", line)

    def ids(self) -> frozenset[CredentialId]:
        """Return the ids of all credentials and of the parts that some of them count as."""
        parts = (part.id for credential in self._credentials for part in self.parts(credential))
        return frozenset({*parts, *(credential.id for credential in self._credentials)})

    def parts(self, credential: Credential) -> tuple[Credential, ...]:
        """Return what an account counts as: itself, or several credentials."""
        return self.providers[credential.provider].expand(credential)

    def _offered(self, credential: Credential) -> tuple[Offer, ...]:
        known = self._offers.get(credential.id)
        if known is None or known[0] is not credential:
            offers = tuple(self._offer(part) for part in self.parts(credential))
            known = self._offers[credential.id] = (credential, offers)
        return known[1]

    def _offer(self, credential: Credential) -> Offer:
        name = credential.provider
        models = self._known(credential)
        if facts := self._config.model_facts.get(name, ()):
            models = self._shared(corrected(models, facts, credential))
        if credential.kind is CredentialKind.KEY:
            # Entries of the configuration have lists of their own.
            return Offer(credential=credential, models=models)
        aliases = self._aliases_for(name)
        if credential.model_aliases:
            aliases = (*credential.model_aliases, *aliases)
        excluded = tuple(self._config.oauth_excluded_models.get(name, ()))
        return Offer(credential=credential, models=models, aliases=aliases, excluded=excluded)

    def _known(self, credential: Credential) -> tuple[ModelInfo, ...]:
        """Return what is known of a credential's models without its owner."""
        provider = self.providers[credential.provider]
        found = self._discovered.get(credential.account)
        known = found or provider.static_models(credential)
        if self._newer is None:
            return known
        plan = provider.plan_of(credential)
        return self._shared(renewed(known, self._newer, credential, plan, is_static=not found))

    def _aliases_for(self, provider: str) -> tuple[ModelEntry, ...]:
        found = self._aliases.get(provider)
        if found is None:
            found = tuple(model_entries(self._config.oauth_model_alias.get(provider, ())))
            self._aliases[provider] = found
        return found

    def _shared(self, models: tuple[ModelInfo, ...]) -> tuple[ModelInfo, ...]:
        return self._lists.setdefault(models, models)


def _said_of_models(config: Config) -> tuple[object, ...]:
    """Return what a configuration says about the models of accounts."""
    return (config.oauth_model_alias, config.oauth_excluded_models, config.model_facts)


def is_listed(candidate: Candidate, table: RuntimeTable, now: float) -> bool:
    """Whether a candidate keeps its model in the lists: ready, or only waiting for quota."""
    state = blocking_state(candidate, table, now)
    return state is None or state.kind in _QUOTA or state.until - now < SHORT_S
