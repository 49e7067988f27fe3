"""Registries, one after the other: what has not changed is not made again.

With thousands of accounts a registry made from nothing takes seconds, in which nobody is served, and one more
model of one account is no reason for that. An :class:`Index` remembers the offers of the last time. Only
offers that differ are looked at, and only the names that they are about, or were, get other candidates. All
other names keep the very tuples they had, by which those who keep an order of candidates know that nothing
has changed for them.

Accounts of one provider mostly offer the same: what makes a name of a model, and what is known of it, is
worked out once for all that do (their *shape*), and they share the facts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

from attrs import define, field, frozen

from cliproxy.catalog.offers import Names, Offer, names_of_offer, served
from cliproxy.catalog.registry import Candidate, Registry
from cliproxy.credentials.model import Credential, CredentialId

_NOTHING: Final[tuple[Candidate, ...]] = ()
_Shape = tuple[str, str, tuple[str, ...], int, int]


@frozen
class _Entry:
    """What is made of an offer."""

    offer: Offer
    names: Names
    served: tuple[str, ...]
    """What clients may say, prefixes included."""


def build(
    offers: Iterable[Offer],
    *,
    force_prefix: bool = False,
    told: Callable[[Offer, Names], None] | None = None,
) -> Registry:
    """Index the offers. Disabled credentials serve nothing. ``told`` learns what became of the names of those
    with aliases."""
    index = Index()
    registry = index.registry(offers, force_prefix=force_prefix)
    if told is not None:
        for offer, names in index.named():
            told(offer, names)
    return registry


@define(eq=False)
class Index:
    """Makes registries, each from the one before."""

    _entries: dict[CredentialId, _Entry] = field(factory=dict, init=False)
    _by_name: dict[str, tuple[Candidate, ...]] = field(factory=dict, init=False)
    _is_prefix_forced: bool = field(default=False, init=False)
    _current: Registry = field(factory=lambda: Registry({}), init=False)

    def registry(self, offers: Iterable[Offer], *, force_prefix: bool = False) -> Registry:
        """Return the registry of some offers, one for each credential; the same one as before if they say the
        same."""
        present = {offer.credential.id: offer for offer in offers}
        is_news = force_prefix != self._is_prefix_forced
        self._is_prefix_forced = force_prefix
        changed = [offer for offer in present.values() if is_news or not self._is_known(offer)]
        gone = self._entries.keys() - present.keys()
        if changed or gone:
            self._replace(gone | {offer.credential.id for offer in changed}, changed)
            self._current = Registry(self._by_name)
        return self._current

    def named(self) -> Iterator[tuple[Offer, Names]]:
        """Yield the offers with aliases, and what became of their names."""
        return ((entry.offer, entry.names) for entry in self._entries.values() if entry.offer.aliases)

    def _is_known(self, offer: Offer) -> bool:
        entry = self._entries.get(offer.credential.id)
        return entry is not None and entry.offer == offer

    def _replace(self, gone: Collection[CredentialId], news: Iterable[Offer]) -> None:
        """Take away some credentials, and add what is offered in their place."""
        entries = [self._entries.pop(each) for each in gone if each in self._entries]
        names = {name for entry in entries for name in entry.served}
        added = self._take(news)
        for name in names | added.keys():
            kept = [each for each in self._by_name.get(name, _NOTHING) if each.credential.id not in gone]
            if found := [*kept, *added.get(name, _NOTHING)]:
                self._by_name[name] = tuple(sorted(found, key=_rank))
            else:
                del self._by_name[name]

    def _take(self, offers: Iterable[Offer]) -> Mapping[str, list[Candidate]]:
        """Take in offers; return the candidates by the names they add to."""
        shapes: dict[_Shape, tuple[_Entry, list[Candidate]]] = {}
        by_name: dict[str, list[Candidate]] = defaultdict(list)
        for offer in offers:
            shape = _shape(offer)
            alike = shapes.get(shape) if shape is not None else None
            if alike is None:
                entry, candidates = self._worked_out(offer)
                if shape is not None:
                    shapes[shape] = (entry, candidates)
            else:
                entry = _Entry(offer, alike[0].names, alike[0].served)
                candidates = [_as(offer.credential, each) for each in alike[1]]
            for name, candidate in zip(entry.served, candidates, strict=True):
                by_name[name].append(candidate)
            self._entries[offer.credential.id] = entry
        return by_name

    def _worked_out(self, offer: Offer) -> tuple[_Entry, list[Candidate]]:
        names = names_of_offer(offer)
        found = served(offer, names, force_prefix=self._is_prefix_forced)
        said = tuple(name for name, _ in found)
        return _Entry(offer, names, said), [candidate for _, candidate in found]


def _shape(offer: Offer) -> _Shape | None:
    """Return what makes two offers differ by their credentials only; ``None`` where that is not known.

    Lists are told apart by identity, which is cheap, and holds while the offers are there.
    """
    credential = offer.credential
    if credential.models or credential.disabled:
        return None
    patterns = (*credential.excluded_models, *offer.excluded)
    return (credential.provider, credential.prefix, patterns, id(offer.models), id(offer.aliases))


def _as(credential: Credential, other: Candidate) -> Candidate:
    """Return what a credential is where another one is the same."""
    return Candidate(
        credential=credential,
        model=other.model,
        client_name=other.client_name,
        info=other.info,
        shown_model=other.shown_model,
        reasoning=other.reasoning,
        is_described=other.is_described,
        stand_ins=tuple(_as(credential, each) for each in other.stand_ins) if other.stand_ins else (),
    )


def _rank(candidate: Candidate) -> tuple[int, str, str, str]:
    credential = candidate.credential
    return (-credential.priority, credential.provider, credential.id, candidate.model)
