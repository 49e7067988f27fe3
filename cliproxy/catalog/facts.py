"""What the owner says about models goes before everything else: ``model-facts`` of the configuration.

The bundled data has a date and an upstream's list has gaps. A fact of the owner's replaces what is known from
either; what he leaves out stays. A model that nobody knew is added to the accounts of its provider, except to
those that serve a list of the owner's own, where it has its place already.
"""

from collections.abc import Sequence

from attrs import evolve

from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.static import thinking_from
from cliproxy.config.entries import ModelFacts
from cliproxy.credentials.model import Credential
from cliproxy.ir.signatures import family_of_model


def corrected(
    models: Sequence[ModelInfo], facts: Sequence[ModelFacts], credential: Credential
) -> tuple[ModelInfo, ...]:
    """Return a credential's models with the owner's facts about those of its provider."""
    by_name = {fact.name: fact for fact in facts if fact.name}
    if not by_name:
        return tuple(models)
    declared = {entry.name for entry in credential.models if entry.thinking is not None}
    known = {model.id for model in models}
    news = () if credential.models else tuple(name for name in by_name if name not in known)
    return (
        *(
            _with(model, by_name[model.id], keeps_thinking=model.id in declared)
            if model.id in by_name
            else model
            for model in models
        ),
        *(_with(_unknown(name, credential), by_name[name], keeps_thinking=False) for name in news),
    )


def _unknown(name: str, credential: Credential) -> ModelInfo:
    return ModelInfo(id=name, display_name=name, owned_by=credential.provider, family=family_of_model(name))


def _with(info: ModelInfo, fact: ModelFacts, *, keeps_thinking: bool) -> ModelInfo:
    """Return a model with a fact. What an entry of a key says about thinking is about that key alone, and
    stays."""
    is_said = fact.thinking is not None and not keeps_thinking
    return evolve(
        info,
        display_name=fact.display_name or info.display_name,
        context_tokens=fact.context or info.context_tokens,
        output_tokens=fact.max_output or info.output_tokens,
        thinking=thinking_from(fact.thinking or {}) if is_said else info.thinking,
    )
