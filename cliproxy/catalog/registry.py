"""Which credential serves which model name now: a frozen index, rebuilt when configuration, credentials or
discovery change.

For every credential the same three steps, whatever its provider:

1. **exclude**: models matching one of its patterns are gone;
2. **alias**: a list of entries on the credential replaces the provider's own list; an owner's alias adds a
  client name for an upstream model, and hides the upstream name unless the alias is a fork;
3. **prefix**: ``prefix/name`` is served besides ``name``, or instead of it where prefixes are forced.

Lookups by name are one dictionary access; the listing is sorted by id and comes from the same index, so a
model that is listed can be asked for.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.static import efforts, refused
from cliproxy.credentials.model import Credential, CredentialId, ModelEntry

PROVIDER_MARK: Final = "://"


@frozen(kw_only=True)
class Candidate:
    """One way to serve a client's model name: a credential and the upstream's name of the model."""

    credential: Credential
    model: str
    """The upstream's name."""
    client_name: str
    info: ModelInfo
    shown_model: str = ""
    """The name to show in answers; empty: whatever the upstream says."""
    stand_ins: tuple["Candidate", ...] = ()
    """The same credential with the model's previews, for when its quota is used up."""

    @property
    def key(self) -> tuple[CredentialId, str]:
        """What makes two candidates of one name different: one account may serve it with several models (a
        pool)."""
        return (self.credential.id, self.model)


@frozen(kw_only=True)
class Offer:
    """A credential and the models it was found to have."""

    credential: Credential
    models: tuple[ModelInfo, ...]
    aliases: tuple[ModelEntry, ...] = ()
    """Owner-wide aliases for this credential's provider."""
    excluded: tuple[str, ...] = ()
    """Owner-wide exclusions for this credential's provider."""


@frozen(kw_only=True)
class Listing:
    """One model as clients see it in a list."""

    name: str
    info: ModelInfo
    providers: tuple[str, ...]


class Registry:
    """The index. Build with :func:`build`."""

    def __init__(self, by_name: Mapping[str, tuple[Candidate, ...]]) -> None:
        self._by_name = MappingProxyType(dict(by_name))
        self._narrowed: dict[str, tuple[Candidate, ...]] = {}
        """Answers to names that restrict to a provider: as many as there are such names with an answer."""

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self._by_name)

    def candidates(self, name: str) -> tuple[Candidate, ...]:
        """Return who serves a client's model name; empty for an unknown name.

        ``provider://name`` restricts to a provider, or to the upstream an owner has given that name. The same
        name always gives the same object.
        """
        found = self._by_name.get(name) or self._narrowed.get(name)
        if found is not None:
            return found
        provider, mark, rest = name.partition(PROVIDER_MARK)
        if not mark:
            return ()
        found = tuple(c for c in self._by_name.get(rest, ()) if provider in _names_of(c.credential))
        if found:
            self._narrowed[name] = found
        return found

    def names(self) -> list[str]:
        """Return every client name, sorted."""
        return sorted(self._by_name)

    def listing(self, usable: Callable[[Candidate], bool] = lambda _: True) -> list[Listing]:
        """Return the models that at least one usable credential serves, sorted by name."""
        shown: list[Listing] = []
        for name in self.names():
            candidates = [candidate for candidate in self._by_name[name] if usable(candidate)]
            if candidates:
                providers = tuple(sorted({candidate.credential.provider for candidate in candidates}))
                shown.append(Listing(name=name, info=candidates[0].info, providers=providers))
        return shown

    def credentials(self) -> frozenset[CredentialId]:
        """Return the ids of all credentials that serve something."""
        return frozenset(c.credential.id for candidates in self._by_name.values() for c in candidates)


def _names_of(credential: Credential) -> tuple[str, object]:
    """Return what an owner may call a credential's upstream: its provider, or the name of its entry."""
    return credential.provider, credential.options.get("name")


def build(offers: Iterable[Offer], *, force_prefix: bool = False) -> Registry:
    """Index the offers. Disabled credentials serve nothing."""
    by_name: dict[str, dict[tuple[CredentialId, str], Candidate]] = defaultdict(dict)
    for offer in offers:
        if offer.credential.disabled:
            continue
        for candidate in _served(offer):
            for name in _with_prefix(candidate.client_name, offer.credential.prefix, force_prefix):
                by_name[name].setdefault(candidate.key, evolve(candidate, client_name=name))
    return Registry({name: _ordered(found.values()) for name, found in by_name.items()})


def _ordered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(sorted(candidates, key=lambda c: (-c.credential.priority, c.credential.provider, c.key)))


def _served(offer: Offer) -> list[Candidate]:
    credential = offer.credential
    known = {model.id: model for model in offer.models}
    entries = _entries(credential.models) or _offered(offer.models)
    entries = _aliased(entries, offer.aliases)
    patterns = (*credential.excluded_models, *offer.excluded)
    served: list[Candidate] = []
    for entry in entries:
        if _matches(entry.client_name, patterns) or _matches(entry.name, patterns):
            continue
        info = _info(entry.name, known, credential)
        candidate = Candidate(
            credential=credential,
            model=entry.name,
            client_name=entry.client_name,
            info=info,
            shown_model=entry.client_name if entry.force_mapping else "",
        )
        previews = [name for name in info.previews if name in known and not _matches(name, patterns)]
        stand_ins = [evolve(candidate, model=each, info=_info(each, known, credential)) for each in previews]
        served.append(evolve(candidate, stand_ins=tuple(stand_ins)))
    return served


def _info(name: str, known: Mapping[str, ModelInfo], credential: Credential) -> ModelInfo:
    info = known.get(name) or ModelInfo(id=name, owned_by=credential.provider)
    return evolve(
        info,
        refuses=info.refuses or refused(name),
        thinking=info.thinking or efforts(name),
    )


def _offered(models: Iterable[ModelInfo]) -> list[ModelEntry]:
    """Return the provider's own names of its models."""
    entries: list[ModelEntry] = []
    for model in models:
        entries.append(ModelEntry(name=model.id))
        entries.extend(ModelEntry(name=model.id, alias=alias) for alias in model.aliases)
    return entries


def _entries(declared: Sequence[ModelEntry]) -> list[ModelEntry]:
    """Expand the entries of a credential: a fork serves the upstream's name too."""
    entries: list[ModelEntry] = []
    for entry in declared:
        entries.append(entry)
        if entry.fork and entry.alias:
            entries.append(ModelEntry(name=entry.name))
    return entries


def _aliased(entries: Sequence[ModelEntry], aliases: Sequence[ModelEntry]) -> list[ModelEntry]:
    by_upstream: dict[str, list[ModelEntry]] = defaultdict(list)
    for alias in aliases:
        by_upstream[alias.name.lower()].append(alias)
    result: list[ModelEntry] = []
    for entry in entries:
        renamed = by_upstream.get(entry.client_name.lower(), [])
        if not renamed or any(alias.fork for alias in renamed):
            result.append(entry)
        result.extend(evolve(alias, name=entry.name, alias=alias.client_name) for alias in renamed)
    return result


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _with_prefix(name: str, prefix: str, force: bool) -> tuple[str, ...]:
    if not prefix:
        return (name,)
    return (f"{prefix}/{name}",) if force else (name, f"{prefix}/{name}")
