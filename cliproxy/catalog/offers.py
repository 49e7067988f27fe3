"""From what a credential was found to have to the names that clients may use: exclude, alias, prefix.

For every credential the same three steps, whatever its provider:

1. **exclude**: models matching one of its patterns are gone. What clients would call a model counts, and what
   the upstream calls it;
2. **alias**: an owner's alias gives a model another name. The old one is gone, unless the alias is a fork;
   and so is another model of the account that had the alias for its own name. Aliases are not excluded: the
   owner has written both, and an alias is the later word;
3. **prefix**: ``prefix/name`` is served besides ``name``, or instead of it where prefixes are forced; a model
   that is called like the prefix keeps its name.

A list of models on a credential replaces the provider's own before the first step. Several models of one
account under the same name are a *pool*: each is a candidate of its own, with its own turns and pauses.

The upstream's name in a list or an alias may carry a wish for reasoning, as in ``gpt-5(high)``: then requests
for it have that wish, whatever clients say.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

from cliproxy.catalog.allowance import matches
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.registry import Candidate
from cliproxy.catalog.static import efforts, refused, thinking_from
from cliproxy.credentials.model import Credential, ModelEntry
from cliproxy.ir.thinking import split_wish


@frozen(kw_only=True)
class Offer:
    """A credential and the models it was found to have."""

    credential: Credential
    models: tuple[ModelInfo, ...]
    aliases: tuple[ModelEntry, ...] = ()
    """Aliases of the owner's, the most particular first: of several with one alias the first counts."""
    excluded: tuple[str, ...] = ()
    """Owner-wide exclusions for this credential's provider."""


@frozen
class Names:
    """What a credential serves: entries whose client name clients may use, and models that lost theirs."""

    served: tuple[ModelEntry, ...]
    hidden: tuple[ModelEntry, ...] = ()
    """Models that cannot be asked for because an alias has their name."""
    outranked: tuple[ModelEntry, ...] = ()
    """Aliases that are not used because an earlier one has their name."""
    astray: tuple[ModelEntry, ...] = ()
    """Aliases of models that the credential does not have."""


def served(offer: Offer, names: Names, *, force_prefix: bool = False) -> tuple[tuple[str, Candidate], ...]:
    """Return what clients may call the models of a credential, prefixes included, and what they get then."""
    found: dict[tuple[str, str], Candidate] = {}
    for candidate in _candidates(offer, names):
        for name in _with_prefix(candidate.client_name, offer.credential.prefix, force_prefix):
            found.setdefault((name, candidate.model), _under(name, candidate))
    return tuple((name, candidate) for (name, _), candidate in found.items())


def names_of_offer(offer: Offer) -> Names:
    """Return the names a credential serves its models under, without its prefix."""
    if offer.credential.disabled:
        return Names(())
    patterns = (*offer.credential.excluded_models, *offer.excluded)
    entries = _entries(offer.credential.models) or _offered(offer.models)
    left = [e for e in entries if not matches(e.client_name, patterns) and not matches(e.name, patterns)]
    return _aliased(left, offer.aliases)


def _with_prefix(name: str, prefix: str, force: bool) -> tuple[str, ...]:
    if not prefix:
        return (name,)
    is_forced = force and name != prefix
    return (f"{prefix}/{name}",) if is_forced else (name, f"{prefix}/{name}")


def _under(name: str, candidate: Candidate) -> Candidate:
    if name == candidate.client_name:
        return candidate
    shown = name if candidate.shown_model else ""
    return evolve(
        candidate,
        client_name=name,
        shown_model=shown,
        stand_ins=tuple(evolve(each, client_name=name, shown_model=shown) for each in candidate.stand_ins),
    )


# --- names ---


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
            entries.append(evolve(entry, alias=""))
    return entries


def _aliased(entries: Sequence[ModelEntry], aliases: Sequence[ModelEntry]) -> Names:
    names = {entry.client_name.lower() for entry in entries}
    first = _first_of_each(aliases)
    by_name: dict[str, list[ModelEntry]] = defaultdict(list)
    for alias in first.values():
        by_name[_meant(alias, names)].append(alias)
    kept: list[ModelEntry] = []
    renamed: list[ModelEntry] = []
    for entry in entries:
        others = by_name.get(entry.client_name.lower(), [])
        if not others or any(alias.fork for alias in others):
            kept.append(entry)
        renamed.extend(_renamed(entry, alias) for alias in others)
    taken = {entry.client_name for entry in renamed}
    left = [entry for entry in kept if entry.client_name not in taken]
    return Names(
        served=(*left, *renamed),
        hidden=tuple(entry for entry in kept if entry.client_name in taken),
        outranked=tuple(
            alias for alias in aliases if first[alias.client_name.lower()].name.lower() != alias.name.lower()
        ),
        astray=tuple(alias for meant, some in by_name.items() if meant not in names for alias in some),
    )


def _first_of_each(aliases: Iterable[ModelEntry]) -> Mapping[str, ModelEntry]:
    found: dict[str, ModelEntry] = {}
    for alias in aliases:
        found.setdefault(alias.client_name.lower(), alias)
    return found


def _renamed(entry: ModelEntry, alias: ModelEntry) -> ModelEntry:
    """Return what an alias makes of an entry: another client name for its upstream name, which takes over the
    alias's wish for reasoning."""
    is_literal = alias.name.lower() == entry.client_name.lower()
    wish = "" if is_literal else alias.name.removeprefix(split_wish(alias.name)[0])
    return evolve(alias, name=entry.name + wish, alias=alias.client_name)


def _meant(alias: ModelEntry, names: Collection[str]) -> str:
    """Return the name of the model an alias is for, in lower case: without a wish for reasoning, unless a
    model is called like that."""
    name = alias.name.lower()
    return name if name in names else split_wish(name)[0]


# --- candidates ---


def _candidates(offer: Offer, names: Names) -> Iterator[Candidate]:
    credential = offer.credential
    known = {model.id: model for model in offer.models}
    patterns = (*credential.excluded_models, *offer.excluded)
    for entry in names.served:
        model, wish = (entry.name, None) if entry.name in known else split_wish(entry.name)
        info = _described(_info(model, known, credential, entry), entry)
        candidate = Candidate(
            credential=credential,
            model=model,
            client_name=entry.client_name,
            info=info,
            shown_model=entry.client_name if entry.force_mapping else "",
            reasoning=wish,
            is_described=_is_described(entry),
        )
        previews = [name for name in info.previews if name in known and not matches(name, patterns)]
        stand_ins = [
            evolve(candidate, model=each, info=_info(each, known, credential, entry)) for each in previews
        ]
        yield evolve(candidate, stand_ins=tuple(stand_ins)) if stand_ins else candidate


def _info(name: str, known: Mapping[str, ModelInfo], credential: Credential, entry: ModelEntry) -> ModelInfo:
    """Return what is known of a model. Where the owner says that it is another's work under a known name,
    that is nothing."""
    if entry.is_compat:
        return ModelInfo(id=name, owned_by=credential.provider)
    info = known.get(name) or ModelInfo(id=name, owned_by=credential.provider)
    return evolve(info, refuses=info.refuses or refused(name), thinking=info.thinking or efforts(name))


def _described(info: ModelInfo, entry: ModelEntry) -> ModelInfo:
    """Return the facts about a model with what the owner's entry says."""
    if not _is_described(entry):
        return info
    return evolve(
        info,
        display_name=entry.display_name or info.display_name,
        context_tokens=entry.max_context_length or info.context_tokens,
        input_modalities=entry.input_modalities or info.input_modalities,
        output_modalities=entry.output_modalities or info.output_modalities,
        thinking=info.thinking if entry.thinking is None else thinking_from(entry.thinking),
    )


def _is_described(entry: ModelEntry) -> bool:
    return bool(
        entry.display_name
        or entry.max_context_length
        or entry.input_modalities
        or entry.output_modalities
        or entry.thinking is not None
    )
