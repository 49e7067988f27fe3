"""Which credential serves which model name now: a frozen index, rebuilt when configuration, credentials or
discovery change.

:mod:`cliproxy.catalog.offers` says which names a credential serves its models under, and
:mod:`cliproxy.catalog.index` puts that together. Lookups by name are one dictionary access; the listing is
sorted by name and comes from the same index, so a model that is listed can be asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from attrs import evolve, frozen

from cliproxy.catalog.allowance import EVERYTHING, Allowance, names_of
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.ranking import rank
from cliproxy.credentials.model import Credential, CredentialId
from cliproxy.ir.request import Reasoning

PROVIDER_MARK: Final = "://"
MAX_VIEWS: Final = 1024
"""Views of one thing that are kept: allowances come and go with the keys of clients."""
_FACTS: Final = (
    *("display_name", "description", "owned_by", "created"),
    *("context_tokens", "output_tokens", "thinking"),
)
"""What one provider tells of a model and another may not."""


View = TypeVar("View")


def make_room(views: dict[Allowance, View]) -> None:
    """Drop the oldest view if there are as many as may be. Who looks through it goes on with it."""
    if len(views) >= MAX_VIEWS:
        del views[next(iter(views))]


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
    reasoning: Reasoning | None = None
    """The wish for reasoning that the owner has put into the name; goes before the client's."""
    is_described: bool = False
    """Whether facts about the model are the owner's own words."""
    stand_ins: tuple["Candidate", ...] = ()
    """The same credential with the model's previews, for when its quota is used up."""

    @property
    def key(self) -> tuple[CredentialId, str]:
        """What makes two candidates of one name different: one account may serve it with several models (a
        pool)."""
        return (self.credential.id, self.model)


@frozen(kw_only=True)
class Listing:
    """One model as clients see it in a list."""

    name: str
    info: ModelInfo
    providers: tuple[str, ...]


class Registry:
    """The index, or what a client may see of it. Build the index with :func:`cliproxy.catalog.index.build`.

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
        """As many as there are client keys with different allowances, and at most :data:`MAX_VIEWS`."""
        self._narrowed: dict[str, tuple[Candidate, ...]] = {}
        """Answers that had to be looked for, by name: as many as there are names with such an answer."""
        self._names: list[str] | None = None
        self._shown: list[Listing] | None = None
        self._ranked: list[str] | None = None

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
            make_room(self._views)
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

    def ranked(self) -> Sequence[str]:
        """Return every client name, the best first; see :mod:`cliproxy.catalog.ranking`."""
        if self._ranked is None:
            order = {
                shown.name: rank(shown.name, shown.info, self.candidates(shown.name)[0].credential.priority)
                for shown in self._everything()
            }
            self._ranked = sorted(order, key=order.__getitem__)
        return self._ranked

    def listing(self, usable: Callable[[Candidate], bool] = lambda _: True) -> list[Listing]:
        """Return the models that at least one usable credential serves, sorted by name.

        What is shown of a model does not depend on who of those that serve it is usable.
        """
        return [shown for shown in self._everything() if any(map(usable, self.candidates(shown.name)))]

    def _everything(self) -> list[Listing]:
        if self._shown is None:
            self._shown = [_listing(name, self.candidates(name)) for name in self._sorted()]
        return self._shown

    def credentials(self) -> frozenset[CredentialId]:
        """Return the ids of all credentials that serve something."""
        return frozenset(c.credential.id for name in self._sorted() for c in self.candidates(name))


def _listing(name: str, candidates: Sequence[Candidate]) -> Listing:
    """Return what is shown of a model: the facts as the one knows them who comes first, by the owner's own
    words, priority and provider; what is unknown there, as the next one knows it."""
    infos = [candidate.info for candidate in sorted(candidates, key=lambda each: not each.is_described)]
    first = infos[0]
    lacking = [fact for fact in _FACTS if not getattr(first, fact)] if len(infos) > 1 else []
    found = {
        fact: value
        for fact in lacking
        if (value := next((known for info in infos if (known := getattr(info, fact))), None)) is not None
    }
    return Listing(
        name=name,
        info=evolve(first, **found) if found else first,
        providers=tuple(sorted({candidate.credential.provider for candidate in candidates})),
    )
