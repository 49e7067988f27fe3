"""Which model a name means: GitLab's references, the vendors' names, and the alias that stays.

The model proxies of the gateway take the vendor's own model names. GitLab's clients know the models by
references (``duo-chat-sonnet-4-5``), GitLab's own lists by others (``claude_sonnet_4_5_20250929``). The table
maps the references that are known; a name that is not in it is tried by its shape, so that a new model works
before the table knows it. What an account is *offered* is decided by discovery, not by this table.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Final

from attrs import evolve, field, frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.model import Credential
from cliproxy.ir.request import Family
from cliproxy.providers.gitlab.instance import setting_of
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, text

ALIAS: Final = "gitlab-duo"
"""The name that stays when the model behind it changes."""
REFERENCE: Final = "duo-chat-"
DEFAULT_MODEL: Final = "claude-sonnet-4-5-20250929"
OWNER: Final = "gitlab"
DISCOVERED: Final = "discovered_models"
"""Member of a credential file: what the last login found. An empty list: there is none to choose."""


class Vendor(StrEnum):
    """Whose API a model proxy speaks."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"


@frozen
class DuoModel:
    """One row of the table."""

    reference: str
    """Without ``duo-chat-``."""
    name: str
    """The vendor's."""
    context_k: int
    output_k: int


_ROWS: Final = (
    DuoModel("fable-5-1", "claude-fable-5-1", 1000, 128),
    DuoModel("fable-5", "claude-fable-5", 1000, 128),
    DuoModel("opus-5", "claude-opus-5", 1000, 128),
    DuoModel("opus-4-8", "claude-opus-4-8", 1000, 128),
    DuoModel("opus-4-7", "claude-opus-4-7", 1000, 128),
    DuoModel("opus-4-6", "claude-opus-4-6", 1000, 128),
    DuoModel("opus-4-5", "claude-opus-4-5-20251101", 200, 64),
    DuoModel("sonnet-5", "claude-sonnet-5", 1000, 128),
    DuoModel("sonnet-4-6", "claude-sonnet-4-6", 1000, 64),
    DuoModel("sonnet-4-5", "claude-sonnet-4-5-20250929", 200, 64),
    DuoModel("haiku-4-5", "claude-haiku-4-5-20251001", 200, 64),
    DuoModel("gpt-6-astra", "gpt-6-astra", 1050, 128),
    DuoModel("gpt-5-6-sol", "gpt-5.6-sol", 1050, 128),
    DuoModel("gpt-5-6-terra", "gpt-5.6-terra", 1050, 128),
    DuoModel("gpt-5-6-luna", "gpt-5.6-luna", 1050, 128),
    DuoModel("gpt-5-5", "gpt-5.5-2026-04-23", 1050, 128),
    DuoModel("gpt-5-4", "gpt-5.4-2026-03-05", 1050, 128),
    DuoModel("gpt-5-4-mini", "gpt-5.4-mini", 400, 128),
    DuoModel("gpt-5-4-nano", "gpt-5.4-nano", 400, 128),
    DuoModel("gpt-5-2", "gpt-5.2-2025-12-11", 400, 128),
    DuoModel("gpt-5-1", "gpt-5.1-2025-11-13", 400, 128),
    DuoModel("gpt-5-mini", "gpt-5-mini-2025-08-07", 400, 128),
    DuoModel("gpt-5-codex", "gpt-5-codex", 400, 128),
    DuoModel("gpt-5-2-codex", "gpt-5.2-codex", 400, 128),
    DuoModel("gpt-5-3-codex", "gpt-5.3-codex", 400, 128),
)
_DATE: Final = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d)$")
_VERSION: Final = re.compile(r"^gpt-(\d+)-(\d+)(?=-|$)")
_GPT: Final = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_CLAUDE_LINES: Final = ("opus", "sonnet", "haiku", "fable")
_OPENAI_WORDS: Final = re.compile(r"gpt|codex|(?:^|[/-])o[134](?:$|[-.])")
_RESPONSES_FROM: Final = (5, 6)
"""GPT versions from here on are reached by Responses, earlier ones by chat."""


def _undated(name: str) -> str:
    return _DATE.sub("", name)


_BY_REFERENCE: Final[Mapping[str, DuoModel]] = {row.reference: row for row in _ROWS}
_BY_NAME: Final[Mapping[str, DuoModel]] = {row.name: row for row in _ROWS}
_BY_KEY: Final[Mapping[str, DuoModel]] = {
    **{_undated(row.name).replace(".", "-"): row for row in _ROWS},
    **{row.reference: row for row in _ROWS},
}
"""Rows under spellings that differ in dots and dates only."""


def vendor_of(name: str) -> Vendor | None:
    """Return whose model a name means; ``None`` when it does not show."""
    lowered = name.lower()
    if "claude" in lowered:
        return Vendor.ANTHROPIC
    return Vendor.OPENAI if _OPENAI_WORDS.search(lowered) else None


def uses_responses(name: str) -> bool:
    """Tell whether an OpenAI model is reached by Responses rather than by chat."""
    lowered = name.lower()
    if "codex" in lowered:
        return True
    version = _GPT.search(lowered)
    return version is not None and (int(version[1]), int(version[2] or 0)) >= _RESPONSES_FROM


def vendor_name(name: str) -> str:
    """Return the vendor's name of a model that is known by a reference; any other name stays as it is."""
    reference = name.lower().removeprefix(REFERENCE)
    if reference == name.lower():
        return name
    row = _BY_REFERENCE.get(reference)
    if row is not None:
        return row.name
    if reference.split("-", 1)[0] in _CLAUDE_LINES:
        return f"claude-{reference}"
    return _VERSION.sub(r"gpt-\1.\2", reference)


def listed_name(reference: str) -> str:
    """Return the vendor's name for an entry of GitLab's own lists, such as ``anthropic/claude_sonnet_5``."""
    if reference.lower().startswith(REFERENCE):
        return vendor_name(reference)
    name = reference.rsplit("/", 1)[-1]
    if name in _BY_NAME:
        return name
    if "_" not in name:
        return name
    plain = name.replace("_", "-").lower()
    row = _BY_KEY.get(_undated(plain))
    return row.name if row is not None else _VERSION.sub(r"gpt-\1.\2", plain)


# --- what an account has ------------------------------------------------------------------------------------


@frozen
class Found:
    """A model that an account was found to have, and whose it is where that was said."""

    name: str
    vendor: str = ""
    label: str = ""

    @property
    def proxy(self) -> Vendor | None:
        """Whose model proxy has it; ``None``: none, as far as can be told."""
        said = Vendor(self.vendor) if self.vendor in {Vendor.ANTHROPIC, Vendor.OPENAI} else None
        return vendor_of(self.name) or said


def named_in(data: Mapping[str, JsonValue]) -> Iterator[Found]:
    """Yield the models that a credential file or a ``direct_access`` answer names, the assigned one first."""
    yield from _read(data.get("model_details"))
    yield from _read({"model_provider": data.get("model_provider"), "model_name": data.get("model_name")})
    for name in ("models", "supported_models", DISCOVERED):
        yield from _read(data.get(name))


def _read(value: JsonValue) -> Iterator[Found]:
    if isinstance(value, str) and value.strip():
        yield Found(listed_name(value.strip()))
    elif isinstance(value, list):
        for item in value:
            yield from _read(item)
    elif isinstance(value, dict):
        name = text(value, "model_name") or text(value, "name") or text(value, "id")
        vendor = text(value, "model_provider") or text(value, "provider")
        if name.strip():
            yield Found(listed_name(name.strip()), vendor.lower())
        yield from _read(value.get("models"))


@frozen
class Target:
    """What a client's model name comes to on one account."""

    name: str
    """The vendor's name, to be sent to a model proxy."""
    vendor: Vendor | None
    """``None``: no model proxy has it; only GitLab's own endpoints may answer."""

    @property
    def uses_responses(self) -> bool:
        """Whether it is reached by Responses rather than by chat."""
        return uses_responses(self.name)


def target_of(credential: Credential, model: str) -> Target:
    """Say what a model name comes to. The alias is the owner's choice, the assigned model, or GitLab's
    default: the first of them that a model proxy has."""
    known = list(named_in(credential.data))
    if model.lower() == ALIAS:
        candidates = [*chosen(credential), *known]
        first = next((found for found in candidates if found.proxy is not None), Found(DEFAULT_MODEL))
        return Target(first.name, first.proxy)
    name = vendor_name(model)
    said = next((found.vendor for found in known if found.name == name), "")
    return Target(name, Found(name, said).proxy)


def chosen(credential: Credential) -> list[Found]:
    """Return the model the owner wants behind the alias, if he has said so."""
    name = setting_of(credential, "default_model")
    return [Found(listed_name(name))] if name else []


def offered(found: Iterable[Found]) -> tuple[ModelInfo, ...]:
    """Return the models to offer for what was found; the first one is also offered under the alias.

    Models that no proxy has are left out: whatever is assigned for completing code need not be one to talk
    to. Where none remains, the alias is offered alone, and GitLab chooses the model.
    """
    offers: dict[str, ModelInfo] = {}
    taken: set[str] = set()
    for model in found:
        vendor = model.proxy
        if vendor is None or model.name.lower() in taken:
            continue
        aliases = [] if offers else [ALIAS]
        aliases += [name for name in _other_names(model.name) if name not in taken]
        taken |= {model.name.lower(), *aliases}
        offers[model.name] = _info(model, vendor, tuple(aliases))
    return tuple(offers.values()) or (_OWN_CHOICE,)


_OWN_CHOICE: Final = ModelInfo(
    id=ALIAS, display_name="GitLab Duo (GitLab's own choice)", owned_by=OWNER, description="gitlab"
)


def _row_of(name: str) -> DuoModel | None:
    return _BY_NAME.get(name) or _BY_KEY.get(_undated(name).replace(".", "-"))


def _other_names(name: str) -> list[str]:
    row = _row_of(name)
    if row is None:
        return []
    names = [f"{REFERENCE}{row.reference}", _undated(name)]
    return [other for other in dict.fromkeys(names) if other != name]


def _info(model: Found, vendor: Vendor, aliases: tuple[str, ...]) -> ModelInfo:
    row = _row_of(model.name)
    known = static.find(model.name) or ModelInfo(id=model.name)
    return evolve(
        known,
        id=model.name,
        aliases=aliases,
        display_name=f"GitLab Duo ({model.label or model.name})",
        owned_by=OWNER,
        description=vendor,
        context_tokens=row.context_k * 1000 if row is not None else known.context_tokens,
        output_tokens=row.output_k * 1000 if row is not None else known.output_tokens,
        family=Family.CLAUDE if vendor is Vendor.ANTHROPIC else Family.GPT,
        input_modalities=("text", "image"),
    )


def everything() -> list[Found]:
    """Return all models of the table, GitLab's default first."""
    rest = [Found(row.name) for row in _ROWS if row.name != DEFAULT_MODEL]
    return [Found(DEFAULT_MODEL), *rest]


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return what the credential itself names; while that is nothing, all models of the table."""
    if credential.data.get(DISCOVERED) == []:
        return offered([])
    own, named = chosen(credential), list(named_in(credential.data))
    return offered([*own, *(named or everything())]) if own or named else _offered_of_everything()


@cache
def _offered_of_everything() -> tuple[ModelInfo, ...]:
    return offered(everything())


# --- GitLab's list ------------------------------------------------------------------------------------------

GROUP_VARIABLE: Final = "rootNamespaceId"
LIST_QUERY: Final = (
    f"query aiChatAvailableModels(${GROUP_VARIABLE}: GroupID!) {{"
    f" aiChatAvailableModels(rootNamespaceId: ${GROUP_VARIABLE}) {{"
    " pinnedModel { name ref } defaultModel { name ref } selectableModels { name ref } } }"
)


@frozen(kw_only=True)
class ModelList:
    """GitLab's answer to the question for models, as far as it answered."""

    pinned: Found | None = None
    default: Found | None = None
    selectable: tuple[Found, ...] = field(default=())

    @property
    def found(self) -> list[Found]:
        """The models in order: pinned, default, the others. A pinned model leaves no choice."""
        if self.pinned is not None:
            return [self.pinned]
        return [*([self.default] if self.default is not None else []), *self.selectable]


def read_list(body: JsonObject) -> ModelList:
    """Read the answer to :data:`LIST_QUERY`."""
    models = child(child(body, "data"), "aiChatAvailableModels")
    listed = models.get("selectableModels")
    entries = (
        [_listed(entry) for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    )
    return ModelList(
        pinned=_listed(child(models, "pinnedModel")),
        default=_listed(child(models, "defaultModel")),
        selectable=tuple(entry for entry in entries if entry is not None),
    )


def _listed(entry: JsonObject) -> Found | None:
    reference = text(entry, "ref") or text(entry, "name")
    if not reference:
        return None
    return Found(listed_name(reference), label=text(entry, "name"))
