"""A newer catalogue than the bundled one, from an address that the owner names.

Two forms are read: that of ``models.json`` of this project, and that of the catalogue which other servers of
this kind publish, lists of models by section at the top, some of them one for each plan. Publishers add and
drop sections and members as they please. So everything is taken that can be understood, and the rest passed
over; a document is refused only if nothing in it can be.

What somebody else publishes may correct facts and add models, and nothing more (:func:`renewed`):

=============================  ===============================================================================
an account's models are        then
=============================  ===============================================================================
those of the bundled data      what the newer catalogue says of them replaces what was known, and it adds
                               models of the account's plan; none is taken away
found at the upstream, or      it is asked about what nobody has said
listed by the owner
=============================  ===============================================================================

The owner's own facts (:mod:`cliproxy.catalog.facts`) go before all of this.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.static import Catalogue, read_catalogue
from cliproxy.credentials.model import Credential
from cliproxy.ir.request import Family
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    integer,
    items,
    loads_object,
    objects,
    strings,
    text,
)

MAX_BYTES: Final = 2 * 1024 * 1024
"""Published ones have a twentieth of this; reading it takes no longer than a slow request."""
MAX_MODELS: Final = 2000
"""In one section."""
MAX_NAME: Final = 200

_PLANS: Final[Mapping[str, tuple[str, str]]] = {
    f"codex-{plan}": ("codex", plan) for plan in ("free", "plus", "team", "pro")
}
"""Section of the other form → section, and the plan whose models it lists."""
_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name", "display_name"),
    "context": ("context", "context_length", "inputTokenLimit"),
    "max_output": ("max_output", "max_completion_tokens", "outputTokenLimit"),
    "input": ("input", "supportedInputModalities"),
    "output": ("output", "supportedOutputModalities"),
}
"""Member → its names in the two forms. A display name of the other form stands beside a name that is none."""
_NUMBERS: Final = ("context", "max_output", "created")
_LISTS: Final = ("input", "output")
_FACTS: Final = ("created", "context_tokens", "output_tokens")
_UNKNOWN_MODALITIES: Final[Mapping[str, JsonValue]] = {"input": ["text"], "output": ["text"]}


class CatalogueError(ValueError):
    """A document that is no catalogue."""


def read(raw: bytes) -> Catalogue:
    """Read a catalogue. Raises :class:`CatalogueError`."""
    if len(raw) > MAX_BYTES:
        raise CatalogueError(f"it is larger than {MAX_BYTES} bytes")
    try:
        document = loads_object(raw)
    except JsonError as exc:
        raise CatalogueError(f"it is not a JSON object: {exc}") from exc
    sections = child(document, "sections")
    found = {name: _section(section) for name, section in sections.items() if isinstance(section, dict)}
    if not sections:
        found = dict(_of_lists(document))
    kept: JsonObject = {name: section for name, section in found.items() if section["models"]}
    if not kept:
        raise CatalogueError("no section in it names a model")
    return read_catalogue({"as_of": text(document, "as_of"), "sections": kept})


def _of_lists(document: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield the sections of the other form; those of several plans are one."""
    merged: dict[str, dict[str, JsonObject]] = {}
    for key in document:
        name, plan = _PLANS.get(key, (key, ""))
        section = merged.setdefault(name, {})
        for model in objects(document, key):
            known = section.setdefault(text(model, "id"), {**model, "name": text(model, "display_name")})
            known["plans"] = [*strings(known, "plans"), plan] if plan else []
    for name, models in merged.items():
        owners = (text(model, "owned_by") for model in models.values())
        yield name, _section({"owned_by": next(owners, ""), "models": [*models.values()]})


# --- what can be understood ---


def _section(section: JsonObject) -> JsonObject:
    """Return a section with what can be understood of it."""
    models: dict[str, JsonValue] = {}
    for model in objects(section, "models"):
        name = text(model, "id")
        if _is_name(name) and len(models) < MAX_MODELS:
            models.setdefault(name, _model(model))
    family = text(section, "family")
    return {
        **_UNKNOWN_MODALITIES,
        **_members(section, _LISTS),
        "owned_by": text(section, "owned_by")[:MAX_NAME],
        "family": family if family in {each.value for each in Family} else "",
        "apart": section.get("apart") is True,
        "models": [*models.values()],
    }


def _model(model: JsonObject) -> JsonObject:
    plain = {**model, **_respelt(model)}
    said: JsonObject = _members(plain, ("id", "name", "thinking", "plans", "aliases", "previews", *_LISTS))
    for member in _NUMBERS:
        count = integer(plain, member)
        if count is not None and count > 0:
            said[member] = count
    return said


def _respelt(model: JsonObject) -> JsonObject:
    """Return the members that stand under one of their names."""
    found: JsonObject = {}
    for member, names in _SPELLINGS.items():
        said = [model[name] for name in names if model.get(name)]
        if said:
            found[member] = _lower(said[0]) if member in _LISTS else said[0]
    return found


def _lower(modalities: JsonValue) -> JsonValue:
    return [each.lower() for each in items({"": modalities}, "") if isinstance(each, str)]


def _members(obj: JsonObject, names: Iterable[str]) -> JsonObject:
    return {name: obj[name] for name in names if obj.get(name)}


def _is_name(name: str) -> bool:
    return bool(name) and len(name) <= MAX_NAME and name.isprintable() and " " not in name


# --- what follows ---


def renewed(
    models: Sequence[ModelInfo], newer: Catalogue, credential: Credential, plan: str, *, is_static: bool
) -> tuple[ModelInfo, ...]:
    """Return a credential's models with what a newer catalogue knows; ``is_static``: they are those of the
    bundled one."""
    section = credential.provider
    if credential.models or not is_static:
        return tuple(_filled(model, newer, section) for model in models)
    said = {info.id: info for info in newer.models(section, plan)}
    known = {model.id for model in models}
    return (
        *(_corrected(model, said[model.id]) if model.id in said else model for model in models),
        *(info for name, info in said.items() if name not in known),
    )


def _filled(model: ModelInfo, newer: Catalogue, section: str) -> ModelInfo:
    """Return a model with facts that nobody has told."""
    if model.thinking is not None and all(getattr(model, fact) for fact in _FACTS):
        return model
    found = newer.find(model.id, section) or newer.find(model.id)
    if found is None:
        return model
    lacking = {fact: getattr(found, fact) for fact in _FACTS if not getattr(model, fact)}
    if model.thinking is None:
        lacking["thinking"] = found.thinking
    if model.display_name in {"", model.id}:
        lacking["display_name"] = found.display_name
    return evolve(model, **lacking)


def _corrected(model: ModelInfo, said: ModelInfo) -> ModelInfo:
    """Return a model with the facts that are said of it; what is left out stays as it is known."""
    facts = {fact: value for fact in _FACTS if (value := getattr(said, fact))}
    if said.display_name != said.id:
        facts["display_name"] = said.display_name
    if said.thinking is not None and said.thinking.can_think:
        facts["thinking"] = said.thinking
    return evolve(model, **facts)
