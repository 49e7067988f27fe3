"""Credentials from the key lists of the configuration.

Each usable key becomes one credential. Its id is made of the list it stands in and a hash of the key and
where it is used, so it survives restarts and reordering, tells nothing about the key, and changes when key
or address do. Entries that would get the same id are numbered in their order.

Which list belongs to which provider is said by :class:`~cliproxy.config.sections.Section` records; nothing
here knows a provider by name.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import define, field

from cliproxy.config.entries import CompatibleEntry, CompatibleKey, KeyEntry, ModelName
from cliproxy.config.errorrules import compiled
from cliproxy.config.keys import keys_of
from cliproxy.config.model import Config
from cliproxy.config.sections import Section
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, ModelEntry
from cliproxy.wire.jsontext import JsonValue

COMPATIBLE_NAME: Final = "openai-compatibility"
"""Name of an OpenAI-compatible upstream that has none."""

_HASH_DIGITS: Final = 12


def synthesize(config: Config, sections: Iterable[Section]) -> tuple[Credential, ...]:
    """Return the credentials of a configuration, in the order of the sections and their entries."""
    ids = _Ids()
    return tuple(
        credential
        for section in sections
        for entry in entries_of(config, section)
        for credential in _credentials(entry, section, ids)
    )


def entries_of(config: Config, section: Section) -> tuple[KeyEntry | CompatibleEntry, ...]:
    """Return the entries of the list a section names."""
    declared = keys_of(Config)[section.key]
    entries = getattr(config, declared.attribute)
    assert isinstance(entries, tuple), f"{section.key} is not a list"
    return entries


def _credentials(entry: KeyEntry | CompatibleEntry, section: Section, ids: "_Ids") -> Iterator[Credential]:
    if isinstance(entry, KeyEntry):
        yield _from_key(entry, section, ids)
        return
    for key in entry.api_key_entries or (CompatibleKey(place=entry.place),):
        yield _from_compatible(entry, key, section, ids)


def _from_key(entry: KeyEntry, section: Section, ids: "_Ids") -> Credential:
    parts = [entry.api_key.reveal(), entry.base_url]
    if section.proxy_in_id:
        parts.append(entry.proxy_url.reveal())
    return Credential(
        id=ids.make(section.kind or f"{section.provider}:apikey", parts),
        provider=section.provider,
        kind=CredentialKind.KEY,
        label=entry.api_key.hint(),
        api_key=entry.api_key or None,
        base_url=entry.base_url,
        proxy_url=entry.proxy_url or None,
        prefix=entry.prefix,
        priority=entry.priority,
        weight=entry.weight,
        max_concurrent=entry.max_concurrent,
        headers=entry.headers,
        models=model_entries(entry.models),
        excluded_models=entry.excluded_models,
        disable_cooling=entry.disable_cooling,
        request_retry=entry.request_retry,
        error_rules=compiled(entry.request_scoped_errors),
        disabled=entry.disabled,
        note=entry.note,
        websockets=entry.websockets,
        source=entry.place,
        options=_own_options(entry, section),
    )


def _own_options(entry: KeyEntry, section: Section) -> dict[str, JsonValue]:
    """Return the settings that only entries of this list have, under their names in the file."""
    own = [declared for declared in keys_of(KeyEntry).values() if section.key in declared.info.only]
    return {declared.name: getattr(entry, declared.attribute) for declared in own}


def _from_compatible(entry: CompatibleEntry, key: CompatibleKey, section: Section, ids: "_Ids") -> Credential:
    name = entry.name or COMPATIBLE_NAME
    kind = f"{section.kind or section.provider}:{name.lower()}"
    parts = [entry.base_url]
    if entry.api_key_entries:
        parts = [key.api_key.reveal(), entry.base_url, key.proxy_url.reveal()]
    return Credential(
        id=ids.make(kind, parts),
        provider=section.provider,
        kind=CredentialKind.KEY,
        label=f"{name} {key.api_key.hint()}" if key.api_key else name,
        api_key=key.api_key or None,
        base_url=entry.base_url,
        proxy_url=key.proxy_url or None,
        prefix=entry.prefix,
        priority=entry.priority,
        weight=key.weight,
        max_concurrent=key.max_concurrent,
        headers=entry.headers,
        models=model_entries(entry.models),
        excluded_models=entry.excluded_models,
        disable_cooling=entry.disable_cooling,
        request_retry=entry.request_retry,
        error_rules=compiled(entry.request_scoped_errors),
        disabled=entry.disabled,
        note=entry.note,
        source=key.place,
        options={"name": name, "support-prompt-cache-key": entry.support_prompt_cache_key},
    )


def model_entries(names: Iterable[ModelName]) -> tuple[ModelEntry, ...]:
    """Return ``models`` or ``oauth-model-alias`` entries of the configuration as the registry takes them."""
    return tuple(
        ModelEntry(
            name=model.name,
            alias=model.alias,
            fork=model.fork,
            force_mapping=model.force_mapping,
            thinking=model.thinking,
            image=model.image,
            display_name=model.display_name,
            max_context_length=model.max_context_length,
            is_compat=model.is_compat,
            input_modalities=model.input_modalities,
            output_modalities=model.output_modalities,
        )
        for model in names
    )


@define
class _Ids:
    """Hands out ids; remembers how often each was asked for."""

    _seen: dict[str, int] = field(factory=dict)

    def make(self, kind: str, parts: Iterable[str]) -> CredentialId:
        """Return ``kind:hash``, or ``kind:hash-1`` and so on for twins."""
        base = f"{kind}:{stable_hash(kind, parts)}"
        count = self._seen.get(base, 0)
        self._seen[base] = count + 1
        return CredentialId(f"{base}-{count}" if count else base)


def stable_hash(kind: str, parts: Iterable[str]) -> str:
    """Return the hash that stands for a key and its place in an id; the key cannot be found from it."""
    text = kind + "".join(f"\0{part.strip()}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
