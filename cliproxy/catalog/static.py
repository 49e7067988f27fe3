"""What is known about models without asking anybody: the bundled data of ``models.json``.

The file is divided into sections, one for each provider, because the same model has other limits behind
another provider's door. What a model refuses it refuses everywhere; that stands in a list of its own. The
file names its sources and the date of its facts; an entry without ``thinking`` says
that the model does not think. Discovery and the owner's configuration override what stands there.

:func:`find` answers for names the file does not contain literally: an owner's ``claude-sonnet-4.5``, a dated
release, a gateway's ``anthropic/claude_sonnet_4_6`` mean a model that is known under another spelling.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential, ModelEntry
from cliproxy.ir.request import Family
from cliproxy.ir.signatures import family_of_model
from cliproxy.ir.thinking import ThinkingSupport, split_wish
from cliproxy.wire.jsontext import (
    JsonObject,
    JsonValue,
    child,
    flag,
    integer,
    loads_object,
    objects,
    strings,
    text,
)

_DATA: Final = "models.json"

_OPENAI: Final = "codex"
"""The section with OpenAI's models."""
_REASONING: Final = "max_tokens"
"""The setting that OpenAI's reasoning models refuse and no others."""

_RELEASE: Final = re.compile(r"(?:[@-](?:\d{8}|\d{4}-\d{2}-\d{2}|latest|default))+$")
"""What may follow a model's name without making another model of it."""


@frozen(kw_only=True)
class Entry:
    """A model of a section."""

    info: ModelInfo
    plans: frozenset[str]
    """Plans of an account that include the model; empty: all."""


@frozen(kw_only=True)
class Catalogue:
    """A catalogue: the bundled one, or another of the same form (:mod:`cliproxy.catalog.remote`)."""

    as_of: str
    sections: Mapping[str, tuple[Entry, ...]]
    spellings: Mapping[str, Mapping[str, ModelInfo]]
    """Section → reduced spelling → model."""
    apart: frozenset[str]
    """Sections of vendors' models behind another's door, whose facts are those of the door."""
    refusals: tuple[tuple[tuple[str, ...], frozenset[str]], ...]
    """Patterns of names, and what these models refuse."""

    def __len__(self) -> int:
        return sum(map(len, self.sections.values()))

    def models(self, section: str, plan: str = "") -> tuple[ModelInfo, ...]:
        """Return the models of a section; with ``plan`` those an account of that plan may use."""
        entries = self.sections.get(section, ())
        return tuple(e.info for e in entries if not plan or not e.plans or plan in e.plans)

    def find(self, name: str, *wanted: str) -> ModelInfo | None:
        """Return what is known of a model by any of its spellings, in the wanted sections or in all of them
        that speak of models as such."""
        spelling = reduced(name)
        places = wanted or [section for section in self.spellings if section not in self.apart]
        found = (self.spellings[each].get(spelling) for each in places if each in self.spellings)
        return next((info for info in found if info is not None), None)


def as_of() -> str:
    """Return the date of the bundled facts, as ``YYYY-MM-DD``."""
    return _catalogue().as_of


def sections() -> tuple[str, ...]:
    """Return the names of the sections, which are those of providers."""
    return tuple(name for name in _catalogue().sections)


@cache
def models(section: str, plan: str = "") -> tuple[ModelInfo, ...]:
    """Return the models of a section; see :meth:`Catalogue.models`."""
    return _catalogue().models(section, plan)


def find(name: str, *wanted: str) -> ModelInfo | None:
    """Return what is known of a model; see :meth:`Catalogue.find`."""
    return _catalogue().find(name, *wanted)


def refused(name: str) -> frozenset[str]:
    """Return the settings a model refuses, whoever serves it: see :attr:`ModelInfo.refuses`.

    The first group of models counts whose patterns match.
    """
    spelling = reduced(name)
    for patterns, settings in _catalogue().refusals:
        if any(fnmatchcase(spelling, pattern) for pattern in patterns):
            return settings
    return frozenset()


def efforts(name: str) -> ThinkingSupport | None:
    """Return the efforts that one of OpenAI's reasoning models takes, whoever serves it; ``None`` for all
    other models, of which the same name may mean other limits elsewhere."""
    if _REASONING not in refused(name):
        return None
    known = find(name, _OPENAI)
    return known.thinking if known is not None else None


def models_of(credential: Credential, section: str, plan: str = "") -> tuple[ModelInfo, ...]:
    """Return the models a credential serves: those its entry declares, otherwise the section's."""
    if not credential.models:
        return models(section, plan)
    return tuple(_declared(entry, section) for entry in credential.models)


def _declared(entry: ModelEntry, section: str) -> ModelInfo:
    """Return the facts about a model that the owner's configuration names."""
    name, _ = split_wish(entry.name)
    known = find(name, section)
    info = evolve(known, id=name) if known else ModelInfo(id=name, family=family_of_model(name))
    if entry.image:
        info = evolve(info, output_modalities=("image",))
    return info if entry.thinking is None else evolve(info, thinking=thinking_from(entry.thinking))


def only_draws(credential: Credential, section: str, model: str) -> bool:
    """Tell whether a model makes images and nothing else: as the owner declares it, else as it is known."""
    declared = next((entry for entry in credential.models if split_wish(entry.name)[0] == model), None)
    if declared is not None and declared.image:
        return True
    known = find(model, section)
    return known is not None and known.output_modalities == ("image",)


def thinking_from(said: Mapping[str, JsonValue]) -> ThinkingSupport:
    """Read what somebody says about a model's thinking: ``levels``, ``min``, ``max``, ``zero-allowed``."""
    plain: JsonObject = {key.replace("-", "_"): value for key, value in said.items()}
    return ThinkingSupport(
        min_budget=integer(plain, "min"),
        max_budget=integer(plain, "max"),
        zero_allowed=bool(flag(plain, "zero_allowed")),
        dynamic_allowed=bool(flag(plain, "dynamic_allowed")),
        levels=tuple(level.lower() for level in strings(plain, "levels")),
        adaptive=bool(flag(plain, "adaptive")),
    )


def reduced(name: str) -> str:
    """Reduce a name to what its spellings have in common."""
    last = name.lower().rpartition("/")[2]
    return _RELEASE.sub("", last.replace("_", "-")).replace(".", "-")


@cache
def _catalogue() -> Catalogue:
    return read_catalogue(loads_object(files("cliproxy.catalog").joinpath(_DATA).read_bytes()))


def read_catalogue(document: JsonObject) -> Catalogue:
    """Read a document of the form of the bundled one."""
    read = {name: tuple(_read_section(section)) for name, section in _members(document, "sections")}
    spellings = {
        name: {reduced(entry.info.id): entry.info for entry in reversed(entries)}
        for name, entries in read.items()
    }
    return Catalogue(
        as_of=text(document, "as_of"),
        sections=MappingProxyType(read),
        spellings=MappingProxyType(spellings),
        apart=frozenset(name for name, section in _members(document, "sections") if flag(section, "apart")),
        refusals=tuple(
            (tuple(strings(group, "models")), frozenset(strings(group, "refuse")))
            for group in objects(document, "refusals")
        ),
    )


def _members(document: JsonObject, key: str) -> Iterator[tuple[str, JsonObject]]:
    return ((name, value) for name, value in child(document, key).items() if isinstance(value, dict))


def _read_section(section: JsonObject) -> Iterator[Entry]:
    owner = text(section, "owned_by")
    family = text(section, "family")
    for model in objects(section, "models"):
        merged = {**section, **model}
        name = text(model, "id")
        yield Entry(
            info=ModelInfo(
                id=name,
                aliases=tuple(strings(model, "aliases")),
                display_name=text(model, "name", name),
                owned_by=owner,
                created=integer(model, "created") or 0,
                context_tokens=integer(model, "context"),
                output_tokens=integer(model, "max_output"),
                family=Family(family) if family else family_of_model(name),
                thinking=thinking_from(child(model, "thinking")),
                previews=tuple(strings(model, "previews")),
                input_modalities=tuple(strings(merged, "input")),
                output_modalities=tuple(strings(merged, "output")),
                contracts=tuple(strings(model, "contracts")),
            ),
            plans=frozenset(strings(model, "plans")),
        )
