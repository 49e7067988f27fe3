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
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from cliproxy.catalog.allowance import EVERYTHING, Allowance, matches, names_of
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
    """The index, or what a client may see of it. Build the index with :func:`build`.

    A *view* (:meth:`visible`) has the same methods as the whole and is made on demand, name by name. There is
    one for each allowance, kept as long as the index, so that it too gives the same object for the same name
    every time.
    """

    def __init__(
        self,
        by_name: Mapping[str, tuple[Candidate, ...]],
        whole: "Registry | None" = None,
        allowance: Allowance = EVERYTHING,
    ) -> None:
        self._by_name = MappingProxyType(by_name if whole is not None else dict(by_name))
        self._whole = whole
        self._allowance = allowance
        self._views: dict[Allowance, Registry] = {}
        """As many as there are client keys with different allowances."""
        self._narrowed: dict[str, tuple[Candidate, ...]] = {}
        """Answers that had to be looked for, by name: as many as there are names with such an answer."""
        self._names: list[str] | None = None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._by_name and bool(self.candidates(name))

    def __len__(self) -> int:
        return len(self._sorted())

    def visible(self, allowance: Allowance) -> "Registry":
        """Return the part of the registry that an allowance covers; always the same one."""
        if allowance.is_everything:
            return self
        view = self._views.get(allowance)
        if view is None:
            view = self._views[allowance] = Registry(self._by_name, self, allowance)
        return view

    def candidates(self, name: str) -> tuple[Candidate, ...]:
        """Return who serves a client's model name; empty for an unknown name.

        ``upstream://name`` restricts to a provider, or to the upstream an owner has given that name; in what
        stands before the mark case does not count. The same name always gives the same object.
        """
        found = self._narrowed.get(name)
        if found is not None:
            return found
        return self._of_upstream(name) if self._whole is None else self._allowed(self._whole, name)

    def _of_upstream(self, name: str) -> tuple[Candidate, ...]:
        found = self._by_name.get(name)
        if found is not None:
            return found
        said, mark, rest = name.partition(PROVIDER_MARK)
        upstream = said.lower()
        if not mark or upstream != said:
            # Only the plain spelling is kept, so that nobody can fill the memory with others.
            return self.candidates(f"{upstream}{mark}{rest}") if mark else ()
        found = tuple(c for c in self._by_name.get(rest, ()) if upstream in names_of(c.credential))
        if found:
            self._narrowed[name] = found
        return found

    def _allowed(self, whole: "Registry", name: str) -> tuple[Candidate, ...]:
        """Return the candidates the whole has, without those that are not allowed."""
        everybody = whole.candidates(name)
        allows = self._allowance.allows
        found = tuple(c for c in everybody if allows(c.client_name, *names_of(c.credential)))
        if len(found) == len(everybody):
            found = everybody
        if found:
            self._narrowed[name] = found
        return found

    def lineup(self, name: str) -> str:
        """Return the name under which turns among the candidates of a name are remembered.

        Turns are shared wherever the same candidates stand behind a name, so that many clients, each with an
        allowance of its own, do not all begin with the same account. Where an allowance leaves some of them
        out, the turns among the others are a matter of their own.
        """
        if self._whole is None:
            return name
        shared = self._whole.lineup(name)
        if self.candidates(name) is self._whole.candidates(name):
            return shared
        return f"{','.join(self._allowance.providers)}{PROVIDER_MARK}{shared}"

    def names(self) -> list[str]:
        """Return every client name, sorted."""
        return list(self._sorted())

    def _sorted(self) -> list[str]:
        if self._names is None:
            self._names = sorted(name for name in self._by_name if self.candidates(name))
        return self._names

    def listing(self, usable: Callable[[Candidate], bool] = lambda _: True) -> list[Listing]:
        """Return the models that at least one usable credential serves, sorted by name."""
        shown: list[Listing] = []
        for name in self._sorted():
            candidates = [candidate for candidate in self.candidates(name) if usable(candidate)]
            if candidates:
                providers = tuple(sorted({candidate.credential.provider for candidate in candidates}))
                shown.append(Listing(name=name, info=candidates[0].info, providers=providers))
        return shown

    def credentials(self) -> frozenset[CredentialId]:
        """Return the ids of all credentials that serve something."""
        return frozenset(c.credential.id for name in self._sorted() for c in self.candidates(name))


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
        if matches(entry.client_name, patterns) or matches(entry.name, patterns):
            continue
        info = _info(entry.name, known, credential)
        candidate = Candidate(
            credential=credential,
            model=entry.name,
            client_name=entry.client_name,
            info=info,
            shown_model=entry.client_name if entry.force_mapping else "",
        )
        previews = [name for name in info.previews if name in known and not matches(name, patterns)]
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


def _with_prefix(name: str, prefix: str, force: bool) -> tuple[str, ...]:
    if not prefix:
        return (name,)
    return (f"{prefix}/{name}",) if force else (name, f"{prefix}/{name}")
